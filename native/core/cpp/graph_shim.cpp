// Walks down and fills an index that is built by one task: transforms, refinements, id maps and what they stand
// around. The graphs themselves are in hnsw_shim.cpp and nsg_shim.cpp. Called by src/graph_index.rs only.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexNSG.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <faiss/utils/AlignedTable.h>

#include "guarded_call.h"
#include "index_structure.h"
#include "local_search_turn.h"

namespace {

using faiss_indexer::CancelScope;
using faiss_indexer::check_cancelled;
using faiss_indexer::guarded;

// The numbers are those of Part::level in src/graph_index.rs.
enum Kind : int32_t { OTHER = 0, TRANSFORMS = 1, REFINED = 2, ID_MAP = 3, HNSW = 4, NSG = 5, CODES = 6 };

// Storage whose code of a row does not depend on the rows beside it. Additive quantizers draw random numbers by the
// row's place in the call.
bool has_codes_of_single_rows(const faiss::Index* index) {
    return dynamic_cast<const faiss::IndexFlat*>(index) != nullptr ||
            dynamic_cast<const faiss::IndexPQ*>(index) != nullptr ||
            dynamic_cast<const faiss::IndexScalarQuantizer*>(index) != nullptr;
}

// Hands a file over in pieces of at most PIECE bytes: small writes are gathered, large ones are cut.
class Pieces : public faiss::IOWriter {
  public:
    using Write = int32_t (*)(void* context, const uint8_t* bytes, size_t length);

    Pieces(Write write, void* context) : write_(write), context_(context) {
        gathered_.reserve(PIECE);
    }

    size_t operator()(const void* source, size_t size, size_t items) override {
        const auto* next = static_cast<const uint8_t*>(source);
        size_t left = size * items;
        if (left > PIECE - gathered_.size()) {
            flush();
        }
        for (; left > PIECE; next += PIECE, left -= PIECE) {
            hand_over(next, PIECE);
        }
        gathered_.insert(gathered_.end(), next, next + left);
        return items;
    }

    void flush() {
        if (!gathered_.empty()) {
            hand_over(gathered_.data(), gathered_.size());
            gathered_.clear();
        }
    }

  private:
    static constexpr size_t PIECE = 1 << 20;

    void hand_over(const uint8_t* bytes, size_t length) {
        check_cancelled();
        if (write_(context_, bytes, length) == 0) {
            throw std::runtime_error("the file could not be written");
        }
    }

    Write write_;
    void* context_;
    std::vector<uint8_t> gathered_;
};

double symmetric_table_bytes(const faiss::Index* storage) {
    const faiss::ProductQuantizer* products = faiss_indexer::product_quantizer_of(storage);
    if (products == nullptr) {
        return 0;
    }
    const size_t floats = products->M * products->ksub * products->ksub;
    return static_cast<double>(faiss::AlignedTable<float>::round_capacity(floats) * sizeof(float));
}

} // namespace

extern "C" {

struct FaissGraphLevel {
    int32_t kind;
    // Of the rows that go in, and of those that the index below gets.
    uint64_t dimension;
    uint64_t inner_dimension;
    faiss::Index* inner;
    // Of a refinement: the index that holds the finer codes.
    faiss::Index* second;
    // Whether the rows can be read back from the index as they were.
    int32_t keeps_rows;
};

void faiss_graph_level(faiss::Index* index, FaissGraphLevel* level) {
    *level = {OTHER, static_cast<uint64_t>(index->d), static_cast<uint64_t>(index->d), nullptr, nullptr, 0};
    if (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
        level->kind = TRANSFORMS;
        level->inner = chain->index;
        level->inner_dimension = static_cast<uint64_t>(chain->index->d);
    } else if (auto* refined = dynamic_cast<faiss::IndexRefine*>(index)) {
        level->kind = REFINED;
        level->inner = refined->base_index;
        level->second = refined->refine_index;
    } else if (auto* map = dynamic_cast<faiss::IndexIDMap*>(index)) {
        level->kind = ID_MAP;
        level->inner = map->index;
    } else if (auto* hnsw = dynamic_cast<faiss::IndexHNSW*>(index)) {
        const bool plain = hnsw->init_level0 && !hnsw->keep_max_size_level0;
        if (plain && has_codes_of_single_rows(hnsw->storage)) {
            level->kind = HNSW;
            level->inner = hnsw->storage;
        }
    } else if (auto* nsg = dynamic_cast<faiss::IndexNSG*>(index)) {
        // 1: the graph of nearest neighbours comes from NN-descent, as for every factory string.
        if (nsg->build_type == 1 && has_codes_of_single_rows(nsg->storage)) {
            level->kind = NSG;
            level->inner = nsg->storage;
        }
    } else if (has_codes_of_single_rows(index)) {
        level->kind = CODES;
        level->keeps_rows = dynamic_cast<faiss::IndexFlat*>(index) != nullptr ? 1 : 0;
    }
}

struct FaissRowBytes {
    // Of the finished index: codes, and graph.
    double codes;
    double graph;
    // Besides, while the graph is made or rows are added.
    double work;
    // Not per row: tables that the graph is made with.
    double tables;
};

// Memory of one level, without the levels inside.
void faiss_graph_row_bytes(const faiss::Index* index, FaissRowBytes* bytes) {
    *bytes = {};
    if (auto* hnsw = dynamic_cast<const faiss::IndexHNSW*>(index)) {
        bytes->graph = sizeof(int) + sizeof(size_t);
        for (size_t level = 0; level < hnsw->hnsw.assign_probas.size(); ++level) {
            const double links = hnsw->hnsw.cum_nneighbor_per_level[level + 1];
            bytes->graph += hnsw->hnsw.assign_probas[level] * links * sizeof(int32_t);
        }
        // The order, and the rounds of both kinds of change of two lists.
        bytes->work = sizeof(int32_t) + 4 * sizeof(uint32_t);
        bytes->tables = symmetric_table_bytes(hnsw->storage);
    } else if (auto* nsg = dynamic_cast<const faiss::IndexNSG*>(index)) {
        bytes->graph = nsg->nsg.R * sizeof(int32_t);
        // Neighborhoods::Hood: the pool, its four lists at the size they have in the end, and what each of the five
        // costs an allocator; then the neighbours that are taken from it.
        const double pool = std::max(nsg->nndescent_L, nsg->GK + 50) * 12.0;
        const double lists = (nsg->nndescent_S + 3.0 * nsg->nndescent_R) * sizeof(int32_t);
        const double neighbors = nsg->GK * sizeof(int32_t);
        const double hoods = pool + lists + 5 * (sizeof(std::vector<int32_t>) + 16.0) + 8 + neighbors;
        // Links with their distances; beside them first the neighbours, then the graph.
        const double links = 2 * bytes->graph;
        bytes->work = std::max({hoods, links + neighbors + 5 * sizeof(std::vector<int32_t>) + 8, links + bytes->graph});
        bytes->tables = symmetric_table_bytes(nsg->storage);
    } else if (dynamic_cast<const faiss::IndexPreTransform*>(index) == nullptr &&
               dynamic_cast<const faiss::IndexRefine*>(index) == nullptr &&
               dynamic_cast<const faiss::IndexIDMap*>(index) == nullptr) {
        bytes->codes = static_cast<double>(index->sa_code_size());
        if (auto* sums = faiss_indexer::additive_quantizer_of(index)) {
            // The codes as whole numbers; where a norm is coded, all rows as they are decoded.
            const bool has_norms = sums->norm_bits > 0;
            bytes->work += sums->M * sizeof(int32_t) + (has_norms ? index->d * sizeof(float) : 0);
        }
        if (dynamic_cast<const faiss::IndexIVF*>(index) != nullptr) {
            // The number of the list, and lists that grow by doubling.
            bytes->work += sizeof(int64_t) + bytes->codes;
        }
    }
}

// The rows as the index below the transforms gets them. Several threads may call it for one index.
int32_t faiss_graph_transform(
        const faiss::Index* index,
        uint64_t rows,
        const float* vectors,
        float* transformed,
        char** message) {
    return guarded(message, [&] {
        auto& chain = dynamic_cast<const faiss::IndexPreTransform&>(*index);
        const float* applied = chain.apply_chain(static_cast<faiss::idx_t>(rows), vectors);
        std::unique_ptr<const float[]> own(applied == vectors ? nullptr : applied);
        std::copy_n(applied, rows * static_cast<size_t>(chain.index->d), transformed);
    });
}

// Room for the codes of `rows` rows in an index without any.
int32_t faiss_graph_reserve_codes(faiss::Index* index, uint64_t rows, const uint8_t* cancel, char** message) {
    static constexpr size_t BYTES_PER_CHECK = 1 << 24;
    CancelScope scope(cancel);
    return guarded(message, [&] {
        auto& codes = dynamic_cast<faiss::IndexFlatCodes&>(*index);
        FAISS_THROW_IF_NOT(codes.is_trained && codes.ntotal == 0);
        const size_t bytes = rows * codes.code_size;
        codes.codes.owned_data.reserve(bytes);
        for (size_t size = 0; size < bytes;) {
            check_cancelled();
            size = std::min(bytes, size + BYTES_PER_CHECK);
            codes.codes.resize(size);
        }
        codes.ntotal = static_cast<faiss::idx_t>(rows);
    });
}

// Puts the codes of rows `first` and following in their place. Several threads may call it for different rows.
int32_t faiss_graph_encode(faiss::Index* index, uint64_t first, uint64_t rows, const float* vectors, char** message) {
    return guarded(message, [&] {
        auto& codes = dynamic_cast<faiss::IndexFlatCodes&>(*index);
        codes.sa_encode(static_cast<faiss::idx_t>(rows), vectors, codes.codes.data() + first * codes.code_size);
    });
}

// Faiss' own add of all rows in one call.
int32_t faiss_graph_add(
        faiss::Index* index,
        uint64_t rows,
        const float* vectors,
        const uint8_t* cancel,
        char** message) {
    CancelScope scope(cancel);
    return guarded(message, [&] {
        if (rows > 0) {
            faiss_indexer::LocalSearchTurn turn(index);
            index->add(static_cast<faiss::idx_t>(rows), vectors);
        }
    });
}

// Of an index around others, after those have got their rows.
void faiss_graph_set_rows(faiss::Index* index, uint64_t rows) {
    index->ntotal = static_cast<faiss::idx_t>(rows);
}

// Writes the index inside an id map (its own, where it is one) through `write`, which returns 0 to stop.
int32_t faiss_graph_write(
        faiss::Index* index,
        uint64_t rows,
        const int64_t* ids,
        int32_t (*write)(void* context, const uint8_t* bytes, size_t length),
        void* context,
        const uint8_t* cancel,
        char** message) {
    CancelScope scope(cancel);
    return guarded(message, [&] {
        faiss::IndexIDMap around;
        auto* map = dynamic_cast<faiss::IndexIDMap*>(index);
        if (map == nullptr) {
            around.d = index->d;
            around.metric_type = index->metric_type;
            around.is_trained = index->is_trained;
            around.index = index;
            around.own_fields = false;
            map = &around;
        }
        map->id_map.assign(ids, ids + rows);
        map->ntotal = static_cast<faiss::idx_t>(rows);
        Pieces pieces(write, context);
        faiss::write_index(map, &pieces);
        pieces.flush();
    });
}

} // extern "C"
