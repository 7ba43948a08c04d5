// The calls into Faiss that its C API lacks, with every exception turned into a code and a message: making, reading
// and dropping an index. train_shim.cpp, encode_shim.cpp and write_shim.cpp have what is done with it.
// Called by src/faiss_index.rs only.

#include "index_structure.h"
#include "guarded_call.h"

#include <algorithm>

#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexNSG.h>
#include <faiss/impl/io.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

using faiss_indexer::guarded;

extern "C" {

void faiss_shim_free(void* memory) {
    std::free(memory);
}

int32_t faiss_shim_create(int32_t dimension, const char* factory, int32_t metric, faiss::Index** out, char** message) {
    return guarded(message, [&] {
        std::unique_ptr<faiss::Index> index(
                faiss::index_factory(dimension, factory, static_cast<faiss::MetricType>(metric)));
        // Search tables are of no use to a builder and can take gigabytes.
        faiss::Index* base = faiss_indexer::below_transforms(faiss_indexer::searched_index(index.get()));
        if (auto* ivfpq = dynamic_cast<faiss::IndexIVFPQ*>(base)) {
            ivfpq->use_precomputed_table = -1;
        } else if (auto* packed = dynamic_cast<faiss::IndexIVFPQFastScan*>(base)) {
            packed->use_precomputed_table = -1;
        } else if (auto* nsg = dynamic_cast<faiss::IndexNSG*>(base)) {
            // Faiss leaves it unset until the graph is built, and writes it.
            nsg->nsg.enterpoint = 0;
        }
        *out = index.release();
    });
}

int32_t faiss_shim_read(const uint8_t* bytes, size_t length, faiss::Index** out, char** message) {
    return guarded(message, [&] {
        struct Reader : faiss::IOReader {
            const uint8_t* next;
            size_t left;
            size_t operator()(void* target, size_t size, size_t items) override {
                size_t whole = size == 0 ? 0 : std::min(items, left / size);
                std::memcpy(target, next, whole * size);
                next += whole * size;
                left -= whole * size;
                return whole;
            }
        } reader;
        reader.next = bytes;
        reader.left = length;
        *out = faiss_indexer::not_null(faiss::read_index(
                &reader, faiss::IO_FLAG_SKIP_PRECOMPUTE_TABLE | faiss::IO_FLAG_PQ_SKIP_SDC_TABLE));
    });
}

void faiss_shim_drop(faiss::Index* index) {
    delete index;
}

// An exception of Faiss' own, for checking that errors cross every boundary.
int32_t faiss_shim_raise(char** message) {
    return guarded(message, [] { std::unique_ptr<faiss::Index>(faiss::index_factory(64, "IVF64,PQ7")); });
}

} // extern "C"
