// Searching finished index files, and the matrix product behind exact search.
// Called by src/faiss_search.rs only.

#include "blas.h"
#include "guarded_call.h"

#include <algorithm>
#include <cstdint>
#include <memory>

#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFIndependentQuantizer.h>
#include <faiss/IndexNSG.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/index_io.h>

using namespace faiss_indexer;

namespace {

// The index that has something to set: below id maps, transforms and refinements.
faiss::Index* innermost(faiss::Index* index) {
    while (true) {
        if (auto* map = dynamic_cast<faiss::IndexIDMap*>(index)) {
            index = map->index;
        } else if (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
            index = chain->index;
        } else if (auto* refine = dynamic_cast<faiss::IndexRefine*>(index)) {
            index = refine->base_index;
        } else if (auto* independent = dynamic_cast<faiss::IndexIVFIndependentQuantizer*>(index)) {
            index = independent->index_ivf;
        } else {
            return index;
        }
    }
}

} // namespace

extern "C" {

enum FaissSearchDial : uint64_t { NOTHING = 0, NPROBE = 1, EF_SEARCH = 2, SEARCH_L = 3 };

struct FaissSearchShape {
    uint64_t dimension;
    uint64_t rows;
    uint64_t nlist;
    uint64_t metric;
    uint64_t dial;
};

// Codes, lists and graphs stay in the file and are mapped, as far as Faiss can read them in place.
int32_t faiss_search_open(const char* path, faiss::Index** out, char** message) {
    return guarded(message, [&] {
        *out = not_null(faiss::read_index(
                path,
                faiss::IO_FLAG_MMAP_IFC | faiss::IO_FLAG_SKIP_PRECOMPUTE_TABLE | faiss::IO_FLAG_PQ_SKIP_SDC_TABLE));
    });
}

void faiss_search_shape(faiss::Index* index, FaissSearchShape* shape) {
    faiss::Index* inner = innermost(index);
    auto* ivf = dynamic_cast<const faiss::IndexIVF*>(inner);
    shape->dimension = static_cast<uint64_t>(index->d);
    shape->rows = static_cast<uint64_t>(index->ntotal);
    shape->nlist = ivf != nullptr && ivf->invlists != nullptr ? ivf->nlist : 0;
    shape->metric = static_cast<uint64_t>(index->metric_type);
    shape->dial = NOTHING;
    if (shape->nlist > 0) {
        shape->dial = NPROBE;
    } else if (dynamic_cast<const faiss::IndexHNSW*>(inner) != nullptr) {
        shape->dial = EF_SEARCH;
    } else if (dynamic_cast<const faiss::IndexNSG*>(inner) != nullptr) {
        shape->dial = SEARCH_L;
    }
}

// `sizes` has an entry for each of the shape's lists.
void faiss_search_list_sizes(faiss::Index* index, uint64_t* sizes) {
    auto* ivf = dynamic_cast<const faiss::IndexIVF*>(innermost(index));
    for (size_t list = 0; ivf != nullptr && list < ivf->nlist; list++) {
        sizes[list] = ivf->invlists->list_size(list);
    }
}

// Sets how thorough searches are; the caller keeps searches away meanwhile.
void faiss_search_turn_dial(faiss::Index* index, uint64_t value) {
    faiss::Index* inner = innermost(index);
    if (auto* ivf = dynamic_cast<faiss::IndexIVF*>(inner)) {
        ivf->nprobe = static_cast<size_t>(value);
    } else if (auto* hnsw = dynamic_cast<faiss::IndexHNSW*>(inner)) {
        hnsw->hnsw.efSearch = static_cast<int>(value);
    } else if (auto* nsg = dynamic_cast<faiss::IndexNSG*>(inner)) {
        nsg->nsg.search_L = static_cast<int>(value);
    }
}

// `distances` and `labels` have k entries for each row of `queries`. Several threads may search one index.
int32_t faiss_search_run(
        const faiss::Index* index,
        int64_t rows,
        const float* queries,
        int64_t k,
        float* distances,
        int64_t* labels,
        const uint8_t* cancel,
        char** message) {
    CancelScope scope(cancel);
    return guarded(message, [&] { index->search(rows, queries, k, distances, labels); });
}

// products[q][r] = queries[q] . rows[r], all row-major, each of `dimension` components.
void faiss_search_inner_products(
        int32_t dimension,
        int32_t query_count,
        const float* queries,
        int32_t row_count,
        const float* rows,
        float* products) {
    const float one = 1;
    const float zero = 0;
    sgemm_("T",
           "N",
           &row_count,
           &query_count,
           &dimension,
           &one,
           rows,
           &dimension,
           queries,
           &dimension,
           &zero,
           products,
           &row_count);
}

} // extern "C"
