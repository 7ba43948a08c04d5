// The codes of rows, as Index::add would store them.

#include "guarded_call.h"
#include "index_structure.h"
#include "row_encoder.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <faiss/impl/pq4_fast_scan.h>

using faiss_indexer::RowEncoder;
using faiss_indexer::guarded;

extern "C" {

struct FaissShimEncoder {
    FaissShimShape shape;
    std::unique_ptr<RowEncoder> searched;
    // Null where no other index refines the result.
    std::unique_ptr<RowEncoder> refining;
};

// The index has to outlive the encoder, without changes.
int32_t faiss_shim_encoder_create(
        const faiss::Index* index,
        const FaissShimShape* shape,
        FaissShimEncoder** out,
        char** message) {
    return guarded(message, [&] {
        auto encoder = std::make_unique<FaissShimEncoder>();
        encoder->shape = *shape;
        encoder->searched = std::make_unique<RowEncoder>(faiss_indexer::searched_index(index));
        if (const faiss::Index* refining = faiss_indexer::refining_index(index)) {
            encoder->refining = std::make_unique<RowEncoder>(refining);
        }
        *out = encoder.release();
    });
}

void faiss_shim_encoder_drop(FaissShimEncoder* encoder) {
    delete encoder;
}

// Codes (each row's first code followed by its second, if there is one) and, for inverted files, list numbers.
// Codes of fast-scan indexes are not packed. lists may be null when there are none. Several threads may encode with
// one encoder.
int32_t faiss_shim_encode(
        const FaissShimEncoder* encoder,
        int64_t rows,
        const float* vectors,
        int64_t* lists,
        uint8_t* codes,
        const uint8_t* cancel,
        char** message) {
    faiss_indexer::CancelScope scope(cancel);
    return guarded(message, [&] {
        const size_t count = static_cast<size_t>(rows);
        const size_t first_size = encoder->shape.code_size;
        const size_t second_size = encoder->shape.second_code_size;
        if (second_size == 0) {
            encoder->searched->encode(count, vectors, lists, codes, nullptr);
            return;
        }
        std::vector<uint8_t> first(count * first_size);
        std::vector<uint8_t> second(count * second_size);
        encoder->searched->encode(count, vectors, lists, first.data(), second.data());
        if (encoder->refining != nullptr) {
            encoder->refining->encode(count, vectors, nullptr, second.data(), nullptr);
        }
        for (size_t row = 0; row < count; row++) {
            uint8_t* target = codes + row * (first_size + second_size);
            target = std::copy_n(first.data() + row * first_size, first_size, target);
            std::copy_n(second.data() + row * second_size, second_size, target);
        }
    });
}

// Packs the codes of `rows` rows into whole blocks as fast scan stores them.
int32_t faiss_shim_pack(
        uint64_t subquantizers,
        uint64_t block_rows,
        uint64_t rows,
        const uint8_t* codes,
        uint8_t* packed,
        char** message) {
    return guarded(message, [&] {
        const uint64_t rounded_rows = (rows + block_rows - 1) / block_rows * block_rows;
        const uint64_t rounded_subquantizers = (subquantizers + 1) / 2 * 2;
        faiss::pq4_pack_codes(codes, rows, subquantizers, rounded_rows, block_rows, rounded_subquantizers, packed);
    });
}

// What Faiss itself encodes one row to, the number of its list first: what builds are compared with in tests. Codes
// have room for `capacity` bytes.
int32_t faiss_shim_encode_alone(
        const faiss::Index* index,
        const float* vector,
        uint8_t* code,
        size_t capacity,
        size_t* length,
        char** message) {
    return guarded(message, [&] {
        *length = index->sa_code_size();
        if (*length > capacity) {
            throw std::runtime_error("the code is longer than the buffer");
        }
        index->sa_encode(1, vector, code);
    });
}

} // extern "C"
