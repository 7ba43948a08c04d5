// The nearest centroid of each row, as Faiss finds it for a row that comes alone.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace faiss_indexer {

// What Faiss compares when it gets one row.
enum class Comparison {
    // fvec_L2sqr with each centroid: IndexFlat.
    DISTANCE,
    // fvec_inner_product with each centroid: IndexFlat.
    PRODUCT,
    // pairwise_L2sqr with all centroids: the lists of MultiIndexQuantizer.
    LIST_TABLE,
    // The same for the codes of ProductQuantizer, which sees no distance of 1e20 or more.
    CODE_TABLE,
};

// Faiss multiplies matrices when it gets many rows. The last bits of a product then depend on the row's place among
// the others, and with them which of two centroids at nearly the same distance wins. Here the product only screens:
// it leaves the centroids whose distance differs from the least by no more than rounding can explain, and among those
// the arithmetic of a single row decides.
class NearestCentroids {
  public:
    // `centroids` stay where they are; there is at least one.
    NearestCentroids(Comparison comparison, size_t dimension, size_t count, const float* centroids);

    // nearest[row * step] becomes the number of the centroid of `row`, whose components begin at rows + row * stride.
    void find(size_t count, const float* rows, size_t stride, int64_t* nearest, size_t step) const;

  private:
    struct Candidate;
    struct Screened;

    void prepare(const float* row, Screened& screened, float* moved) const;
    float limit_of(const Screened& row) const;
    void keep(const float* row, Screened& screened, Candidate* candidates, Candidate candidate) const;
    int64_t decide(const float* row, Screened& screened, const Candidate* candidates) const;
    void compare(const float* row, Screened& screened, const Candidate* candidates) const;
    void compare_with(const float* row, Screened& screened, size_t centroid) const;
    int64_t decide_by_table(const float* row) const;
    bool is_table() const;

    Comparison comparison_;
    size_t dimension_;
    size_t count_;
    const float* centroids_;
    // Subtracted from rows before they are multiplied: empty, or the mean of the centroids.
    std::vector<float> origin_;
    double origin_norm_ = 0;
    // An estimate is offsets_[centroid] - factor_ * product; the least estimate is best.
    std::vector<float> offsets_;
    float factor_ = 2;
    double greatest_norm_ = 0;
    double unit_ = 0;
    double underflow_ = 0;
    bool can_overflow_ = false;
};

} // namespace faiss_indexer
