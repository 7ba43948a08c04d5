// Command fake_s3 serves an empty bucket in memory as Amazon S3 would: fake_s3 ADDRESS BUCKET.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const signedInChunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

func main() {
	if len(os.Args) != 3 {
		log.Fatal("fake_s3: two arguments are needed: ADDRESS BUCKET")
	}
	backend := s3mem.New()
	if err := backend.CreateBucket(os.Args[2]); err != nil {
		log.Fatal(err)
	}
	server := gofakes3.New(backend).Server()
	log.Fatal(http.ListenAndServe(os.Args[1], partsWithoutSignatures(server)))
}

// gofakes3 takes the signatures between the chunks of a part, which Amazon's clients send, for bytes of the part.
func partsWithoutSignatures(server http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		isPart := request.URL.Query().Has("partNumber")
		if isPart && request.Header.Get("X-Amz-Content-Sha256") == signedInChunks {
			part, err := withoutSignatures(bufio.NewReader(request.Body))
			if err != nil {
				http.Error(response, err.Error(), http.StatusBadRequest)
				return
			}
			request.Body = io.NopCloser(bytes.NewReader(part))
			// The header stays as it was sent: by that, gofakes3 refuses a part without bytes, which Amazon takes.
			request.ContentLength = int64(len(part))
		}
		server.ServeHTTP(response, request)
	})
}

func withoutSignatures(body *bufio.Reader) ([]byte, error) {
	var part bytes.Buffer
	for {
		line, err := body.ReadString('\n')
		if err != nil {
			return nil, err
		}
		length, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		chunk, err := strconv.ParseInt(length, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("length of a chunk: %w", err)
		}
		if _, err := io.CopyN(&part, body, chunk); err != nil {
			return nil, err
		}
		if _, err := body.Discard(len("\r\n")); err != nil {
			return nil, err
		}
		if chunk == 0 {
			return part.Bytes(), nil
		}
	}
}
