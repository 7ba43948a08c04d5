// An index made ready to encode rows, each as Faiss encodes it when it comes alone.

#pragma once

#include "nearest_centroids.h"

#include <memory>
#include <vector>

#include <faiss/Index.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/ProductQuantizer.h>

namespace faiss_indexer {

// The codes of a product quantizer.
class ProductCodes {
  public:
    explicit ProductCodes(const faiss::ProductQuantizer& quantizer);
    void encode(size_t count, const float* rows, uint8_t* codes) const;

  private:
    const faiss::ProductQuantizer& quantizer_;
    // One per sub-quantizer, or none where Faiss looks at one row at a time anyway.
    std::vector<NearestCentroids> parts_;
};

// The inverted lists that a quantizer assigns rows to.
class ListNumbers {
  public:
    explicit ListNumbers(const faiss::Index* quantizer);
    void find(size_t count, const float* rows, int64_t* lists) const;

  private:
    const faiss::Index* quantizer_;
    size_t bits_ = 0;
    // One for a flat quantizer, one per part of a multi-index, or none where Faiss looks at one row at a time anyway.
    std::vector<NearestCentroids> parts_;
};

// An index without a refining one; it outlives this.
class RowEncoder {
  public:
    explicit RowEncoder(const faiss::Index* index);
    // `lists` is filled by an index that has some, and `second` by one that keeps a second code of its own.
    void encode(size_t count, const float* rows, int64_t* lists, uint8_t* codes, uint8_t* second) const;

  private:
    void encode_products(size_t count, const float* rows, const int64_t* lists, uint8_t* codes) const;
    void encode_remainders(
            size_t count,
            const float* rows,
            const int64_t* lists,
            const uint8_t* codes,
            uint8_t* second) const;

    std::vector<const faiss::VectorTransform*> transforms_;
    // Below the transforms.
    const faiss::Index* base_;
    // What rows are the residuals to, or null.
    const faiss::Index* residual_to_ = nullptr;
    std::unique_ptr<ListNumbers> lists_;
    std::unique_ptr<ProductCodes> products_;
    std::unique_ptr<ProductCodes> remainders_;
};

} // namespace faiss_indexer
