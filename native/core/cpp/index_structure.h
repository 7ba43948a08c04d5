// What an index consists of: an optional refining index beside the searched one, transforms, and the index below.

#pragma once

#include <cstdint>
#include <memory>

#include <faiss/Index.h>
#include <faiss/impl/AdditiveQuantizer.h>
#include <faiss/impl/ProductQuantizer.h>

namespace faiss_indexer {

// The index that is searched first: the base of a refined index, or the index itself.
faiss::Index* searched_index(faiss::Index* index);
const faiss::Index* searched_index(const faiss::Index* index);

// The index that holds the finer codes of IndexRefine, or null.
faiss::Index* refining_index(faiss::Index* index);
const faiss::Index* refining_index(const faiss::Index* index);

// Where the transforms of IndexPreTransform end.
faiss::Index* below_transforms(faiss::Index* index);
const faiss::Index* below_transforms(const faiss::Index* index);

// What a graph links: the index that holds the rows' codes; null for an index that is no graph.
faiss::Index* graph_storage_of(faiss::Index* base);

// The quantizer of an index's codes, or null; of an IndexIVFPQR that of the first codes. Not of what is inside.
faiss::ProductQuantizer* product_quantizer_of(faiss::Index* base);
const faiss::ProductQuantizer* product_quantizer_of(const faiss::Index* base);
faiss::AdditiveQuantizer* additive_quantizer_of(faiss::Index* base);
const faiss::AdditiveQuantizer* additive_quantizer_of(const faiss::Index* base);

// Whether training or adding rows runs LocalSearchQuantizer, here or in a part.
bool searches_locally(const faiss::Index* index);

// Bytes per row of the codes of an index without transforms; 0 for an index that has none.
uint64_t code_size_of(const faiss::Index* base);

// The product quantizer whose centroids Faiss would reorder for polysemous codes, and whether it would.
struct Polysemous {
    faiss::ProductQuantizer* quantizer = nullptr;
    bool* wanted = nullptr;
};
Polysemous polysemous_of(faiss::Index* index);

// Rows as they came, or as the last transform returned them.
class Transformed {
  public:
    explicit Transformed(const float* rows) : rows_(rows) {}
    const float* rows() const {
        return rows_;
    }
    void replace(float* transformed) {
        own_.reset(transformed);
        rows_ = transformed;
    }

  private:
    const float* rows_;
    std::unique_ptr<float[]> own_;
};

} // namespace faiss_indexer

extern "C" {

struct FaissShimShape {
    uint64_t dimension;
    uint64_t nlist;
    uint64_t code_size;
    uint64_t second_code_size;
    // Rows per block and sub-quantizers of codes that Faiss stores interleaved; 0 where it does not.
    uint64_t packed_block_rows;
    uint64_t packed_subquantizers;
    // About how many multiplications the codes of one row take.
    uint64_t multiplications;
    uint64_t polysemous_subquantizers;
    uint64_t transforms;
    uint64_t refining_indexes;
};

} // extern "C"
