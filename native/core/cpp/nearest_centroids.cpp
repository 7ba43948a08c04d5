// See nearest_centroids.h.
//
// The bounds. u = 2^-24, and g(n) = n u / (1 - n u) bounds the relative error of n roundings (Higham, "Accuracy and
// Stability of Numerical Algorithms", lemma 3.1). In any order of summation, with or without fused operations, a
// product of d components is off by at most g(d) |x| |y| (section 3.1), and fvec_L2sqr by g(d + 2) of itself, because
// its terms are not negative. G = 1.25 (d + 8) u is above g(d + 3) + 3.3 u as long as (d + 8) u < 1/16, which leaves
// room for everything computed here in double precision. Each of the d terms of a sum can also lose less than the
// smallest normal number where it underflows; H = 16 (d + 8) of those are above all that one comparison adds up.
// Where squared norms could overflow, nothing is screened and all centroids are compared.
//
// DISTANCE. With an origin c, x' = fl(x - c), A = |x'|^2, K = A + 2 x'.c, z = y - c, p = fl(x'.y), the squared distance
// t of x and a centroid y is estimated as K + e, e = fl(fl(|z|^2) - 2 p). It is off by at most
//     2 g(d) |x'| |y|                    the product
//     u (2 |z|^2 + 2.2 |x'| |y|)         the roundings of |z|^2 and of e
//     u (3 A + |z|^2)                    x' instead of x - c
// and with |y| <= |c| + |x'| + sqrt(t) and |z|^2 <= 2 (A + t) (1 + 4 u) by at most 2 G (S + t) + H,
// S = |x'| |c| + 3 A. The centroid of the least estimate e therefore has a distance of at most
//     T = (K + e + 2 G S + H) / (1 - 2 G),
// no centroid farther than T (1 + G) / (1 - G) + 3 H can beat it in fvec_L2sqr, and nearer ones have estimates of at
// most (1 + 2 G) times that + 2 G S + H - K.
// The origin keeps S small where all rows lie far from zero: there |x|^2 says little about distances.
//
// PRODUCT. p and fvec_inner_product are each off by at most g(d) |x| |y|, so a centroid that beats the one of the
// greatest p has a p that is smaller by at most 4 g(d) |x| max |y|.
//
// TABLES. With c = 0 and A = |x|^2, the estimate A + e is off by at most (g(d) + 3.3 u) (A + |y|^2), and pairwise_L2sqr,
// which adds 2 d + 2 terms whose sizes sum up to 2 (A + |y|^2), two of them norms, by at most 3 g(d + 3) (A + |y|^2);
// A + |y|^2 <= 3 A + 2 t. From there as for DISTANCE.

#include "nearest_centroids.h"

#include "blas.h"
#include "guarded_call.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <memory>

#include <immintrin.h>

#include <faiss/utils/distances.h>

namespace faiss_indexer {

namespace {

constexpr float INFINITE = std::numeric_limits<float>::infinity();
// Rows and centroids per product, whose results stay in the cache until they are screened.
constexpr size_t ROWS = 480;
constexpr size_t CENTROIDS = 1024;
// Candidates that wait per row.
constexpr size_t CANDIDATES = 32;
// Squared norms up to here keep every sum above in range: none is greater than sixteen times the greatest.
constexpr double MOST_SQUARED_NORM = static_cast<double>(FLT_MAX) / 64;
// compute_code_from_distance_table sees no distance from here on.
constexpr float CODE_TABLE_END = 1e20;

// In double precision, in eight lanes so that it is no slower than the multiplication of the row.
double product_of(const float* a, const float* b, size_t count) {
    double lanes[8] = {};
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (size_t lane = 0; lane < 8; lane++) {
            lanes[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
        }
    }
    for (; i < count; i++) {
        lanes[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    }
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

double squared_distance(const float* a, const float* b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double difference = static_cast<double>(a[i]) - (b != nullptr ? static_cast<double>(b[i]) : 0.0);
        sum += difference * difference;
    }
    return sum;
}

// The least of offset - factor * product.
float least_estimate(const float* products, const float* offsets, float factor, size_t count) {
    const __m256 factors = _mm256_set1_ps(factor);
    __m256 least[4];
    std::fill_n(least, 4, _mm256_set1_ps(INFINITE));
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        for (size_t part = 0; part < 4; part++) {
            const size_t at = i + part * 8;
            const __m256 offset = _mm256_loadu_ps(offsets + at);
            const __m256 estimate = _mm256_fnmadd_ps(factors, _mm256_loadu_ps(products + at), offset);
            least[part] = _mm256_min_ps(least[part], estimate);
        }
    }
    float lanes[8];
    _mm256_storeu_ps(lanes, _mm256_min_ps(_mm256_min_ps(least[0], least[1]), _mm256_min_ps(least[2], least[3])));
    float result = *std::min_element(lanes, lanes + 8);
    for (; i < count; i++) {
        result = std::min(result, std::fma(-factor, products[i], offsets[i]));
    }
    return result;
}

// Calls `found` with each place whose estimate is at most `limit`, in order.
template <typename Found>
void each_within(const float* products, const float* offsets, float factor, size_t count, float limit, Found found) {
    const __m256 factors = _mm256_set1_ps(factor);
    const __m256 limits = _mm256_set1_ps(limit);
    auto within = [&](size_t at) {
        const __m256 offset = _mm256_loadu_ps(offsets + at);
        const __m256 estimate = _mm256_fnmadd_ps(factors, _mm256_loadu_ps(products + at), offset);
        return _mm256_cmp_ps(estimate, limits, _CMP_LE_OQ);
    };
    auto report = [&](size_t from, size_t to) {
        for (size_t at = from; at < to; at++) {
            const float estimate = std::fma(-factor, products[at], offsets[at]);
            if (estimate <= limit) {
                found(at, estimate);
            }
        }
    };
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m256 first = _mm256_or_ps(within(i), within(i + 8));
        const __m256 last = _mm256_or_ps(within(i + 16), within(i + 24));
        if (_mm256_movemask_ps(_mm256_or_ps(first, last)) != 0) {
            report(i, i + 32);
        }
    }
    report(i, count);
}

// A float that is not below `value`: what is added outweighs the rounding.
float at_least(double value) {
    return static_cast<float>(value + std::abs(value) * std::ldexp(1.0, -23) + static_cast<double>(FLT_MIN));
}

} // namespace

// A centroid that was within the limit when its block was screened.
struct NearestCentroids::Candidate {
    size_t centroid;
    float estimate;
};

struct NearestCentroids::Screened {
    double squared_norm;
    double norm;
    // K in the bounds of DISTANCE.
    double constant;
    bool compares_all;
    float least;
    float limit;
    // Candidates that wait, in the order of their numbers.
    size_t waiting;
    // The best of those that were compared; -1 is none.
    float best;
    int64_t chosen;
};

NearestCentroids::NearestCentroids(Comparison comparison, size_t dimension, size_t count, const float* centroids)
        : comparison_(comparison), dimension_(dimension), count_(count), centroids_(centroids) {
    const double terms = static_cast<double>(dimension) + 8;
    unit_ = 1.25 * terms * std::ldexp(1.0, -24);
    underflow_ = 16 * terms * static_cast<double>(FLT_MIN);
    can_overflow_ = terms * std::ldexp(1.0, -24) >= 1.0 / 16;
    if (comparison == Comparison::DISTANCE) {
        std::vector<double> sum(dimension, 0);
        for (size_t number = 0; number < count; number++) {
            for (size_t i = 0; i < dimension; i++) {
                sum[i] += static_cast<double>(centroids[number * dimension + i]);
            }
        }
        origin_.resize(dimension);
        std::transform(sum.begin(), sum.end(), origin_.begin(), [&](double component) {
            return static_cast<float>(component / static_cast<double>(count));
        });
        origin_norm_ = std::sqrt(squared_distance(origin_.data(), nullptr, dimension));
    }
    factor_ = comparison == Comparison::PRODUCT ? 1 : 2;
    offsets_.assign(count, 0);
    for (size_t number = 0; number < count; number++) {
        const float* centroid = centroids + number * dimension;
        const double squared_norm = squared_distance(centroid, nullptr, dimension);
        greatest_norm_ = std::max(greatest_norm_, std::sqrt(squared_norm));
        // Negated, so that a norm that is no number counts.
        can_overflow_ |= !(squared_norm <= MOST_SQUARED_NORM);
        if (comparison == Comparison::DISTANCE) {
            offsets_[number] = static_cast<float>(squared_distance(centroid, origin_.data(), dimension));
        } else if (comparison != Comparison::PRODUCT) {
            offsets_[number] = static_cast<float>(squared_norm);
        }
    }
}

void NearestCentroids::prepare(const float* row, Screened& screened, float* moved) const {
    if (!origin_.empty()) {
        for (size_t i = 0; i < dimension_; i++) {
            moved[i] = row[i] - origin_[i];
        }
        row = moved;
    }
    screened.squared_norm = product_of(row, row, dimension_);
    screened.norm = is_table() ? 0 : std::sqrt(screened.squared_norm);
    screened.constant = screened.squared_norm;
    if (!origin_.empty()) {
        screened.constant += 2 * product_of(row, origin_.data(), dimension_);
    }
    screened.compares_all = can_overflow_ || !(screened.squared_norm <= MOST_SQUARED_NORM);
    screened.least = INFINITE;
    screened.limit = INFINITE;
    screened.waiting = 0;
    screened.best = comparison_ == Comparison::PRODUCT ? -FLT_MAX : FLT_MAX;
    screened.chosen = -1;
}

float NearestCentroids::limit_of(const Screened& row) const {
    const double least = static_cast<double>(row.least);
    switch (comparison_) {
        case Comparison::PRODUCT:
            return at_least(least + 4 * unit_ * row.norm * greatest_norm_ + underflow_);
        case Comparison::DISTANCE: {
            const double slack = row.norm * origin_norm_ + 3 * row.squared_norm;
            const double added = 2 * unit_ * slack + underflow_;
            const double nearest = std::max((row.constant + least + added) / (1 - 2 * unit_), 0.0);
            const double winner = nearest * (1 + unit_) / (1 - unit_) + 3 * underflow_;
            return at_least(winner * (1 + 2 * unit_) + added - row.constant);
        }
        default: {
            const double norm = row.squared_norm;
            const double nearest = std::max((norm + least + 3 * unit_ * norm + underflow_) / (1 - 2 * unit_), 0.0);
            const double in_table = nearest + 3 * unit_ * (3 * norm + 2 * nearest) + underflow_;
            const double winner = (in_table + 9 * unit_ * norm + underflow_) / (1 - 6 * unit_);
            return at_least(winner * (1 + 2 * unit_) + 3 * unit_ * norm + underflow_ - norm);
        }
    }
}

void NearestCentroids::find(size_t count, const float* rows, size_t stride, int64_t* nearest, size_t step) const {
    const size_t most_rows = std::min(count, ROWS);
    std::unique_ptr<float[]> products(new float[most_rows * std::min(count_, CENTROIDS)]);
    std::unique_ptr<float[]> moved(origin_.empty() ? nullptr : new float[most_rows * dimension_]);
    std::unique_ptr<Candidate[]> candidates(new Candidate[most_rows * CANDIDATES]);
    std::vector<Screened> screened(most_rows);
    for (size_t begin = 0; begin < count; begin += ROWS) {
        const size_t block = std::min(ROWS, count - begin);
        const float* first = rows + begin * stride;
        for (size_t row = 0; row < block; row++) {
            prepare(first + row * stride, screened[row], origin_.empty() ? nullptr : moved.get() + row * dimension_);
        }
        for (size_t from = 0; from < count_; from += CENTROIDS) {
            check_cancelled();
            const size_t width = std::min(CENTROIDS, count_ - from);
            const float one = 1;
            const float zero = 0;
            const int m = static_cast<int>(width);
            const int n = static_cast<int>(block);
            const int k = static_cast<int>(dimension_);
            const float* multiplied = origin_.empty() ? first : moved.get();
            const int row_stride = static_cast<int>(origin_.empty() ? stride : dimension_);
            const float* some = centroids_ + from * dimension_;
            sgemm_("T", "N", &m, &n, &k, &one, some, &k, multiplied, &row_stride, &zero, products.get(), &m);
            for (size_t row = 0; row < block; row++) {
                Screened& state = screened[row];
                if (state.compares_all) {
                    continue;
                }
                const float* estimated = products.get() + row * width;
                const float* offsets = offsets_.data() + from;
                const float least = least_estimate(estimated, offsets, factor_, width);
                if (least < state.least) {
                    state.least = least;
                    state.limit = limit_of(state);
                }
                if (least > state.limit) {
                    continue;
                }
                each_within(estimated, offsets, factor_, width, state.limit, [&](size_t at, float estimate) {
                    keep(first + row * stride, state, candidates.get() + row * CANDIDATES, {from + at, estimate});
                });
            }
        }
        for (size_t row = 0; row < block; row++) {
            const Candidate* own = candidates.get() + row * CANDIDATES;
            nearest[(begin + row) * step] = decide(first + row * stride, screened[row], own);
        }
    }
}

void NearestCentroids::keep(
        const float* row,
        Screened& screened,
        Candidate* candidates,
        Candidate candidate) const {
    if (screened.waiting == CANDIDATES) {
        if (is_table()) {
            screened.compares_all = true;
            return;
        }
        compare(row, screened, candidates);
        screened.waiting = 0;
    }
    candidates[screened.waiting] = candidate;
    screened.waiting++;
}

int64_t NearestCentroids::decide(const float* row, Screened& screened, const Candidate* candidates) const {
    size_t within = 0;
    size_t only = 0;
    for (size_t at = 0; at < screened.waiting; at++) {
        if (candidates[at].estimate <= screened.limit) {
            within++;
            only = candidates[at].centroid;
        }
    }
    // A tenth is far more than the table can be off.
    const bool is_seen = !is_table() ||
            screened.squared_norm + static_cast<double>(screened.limit) < static_cast<double>(CODE_TABLE_END) / 10;
    if (within == 1 && screened.chosen == -1 && is_seen && !screened.compares_all) {
        return static_cast<int64_t>(only);
    }
    if (is_table()) {
        return decide_by_table(row);
    }
    if (screened.compares_all) {
        for (size_t centroid = 0; centroid < count_; centroid++) {
            if (centroid % CENTROIDS == 0) {
                check_cancelled();
            }
            compare_with(row, screened, centroid);
        }
    } else {
        compare(row, screened, candidates);
    }
    return screened.chosen;
}

void NearestCentroids::compare(const float* row, Screened& screened, const Candidate* candidates) const {
    for (size_t at = 0; at < screened.waiting; at++) {
        if (candidates[at].estimate <= screened.limit) {
            compare_with(row, screened, candidates[at].centroid);
        }
    }
}

// As Top1BlockResultHandler keeps results: of equal ones the first.
void NearestCentroids::compare_with(const float* row, Screened& screened, size_t centroid) const {
    const float* components = centroids_ + centroid * dimension_;
    const bool is_product = comparison_ == Comparison::PRODUCT;
    const float value = is_product ? faiss::fvec_inner_product(row, components, dimension_)
                                   : faiss::fvec_L2sqr(row, components, dimension_);
    if (is_product ? value > screened.best : value < screened.best) {
        screened.best = value;
        screened.chosen = static_cast<int64_t>(centroid);
    }
}

bool NearestCentroids::is_table() const {
    return comparison_ == Comparison::LIST_TABLE || comparison_ == Comparison::CODE_TABLE;
}

int64_t NearestCentroids::decide_by_table(const float* row) const {
    std::vector<float> table(count_);
    const int64_t dimension = static_cast<int64_t>(dimension_);
    faiss::pairwise_L2sqr(dimension, 1, row, static_cast<int64_t>(count_), centroids_, table.data());
    const bool is_code = comparison_ == Comparison::CODE_TABLE;
    float best = is_code ? CODE_TABLE_END : INFINITE;
    int64_t chosen = is_code ? 0 : -1;
    for (size_t number = 0; number < count_; number++) {
        if (table[number] < best) {
            best = table[number];
            chosen = static_cast<int64_t>(number);
        }
    }
    return chosen;
}

} // namespace faiss_indexer
