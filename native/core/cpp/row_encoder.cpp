// See row_encoder.h.

#include "row_encoder.h"
#include "guarded_call.h"
#include "index_structure.h"

#include <algorithm>
#include <functional>

#include <faiss/IndexFastScan.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexIVFSpectralHash.h>
#include <faiss/IndexLSH.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>

namespace faiss_indexer {

namespace {

// The transformed rows, each as Faiss transforms it alone. In a larger batch the last bits of a row depend on its
// place: OpenBLAS multiplies in tiles of twelve columns and sums up the first six in another order than the last six,
// which it sums up as it does a single column. So the rows go to the last six of each tile.
float* transform_each(const faiss::VectorTransform* transform, size_t count, const float* rows) {
    constexpr size_t TILE = 12;
    constexpr size_t USED = 6;
    if (dynamic_cast<const faiss::NormalizationTransform*>(transform) != nullptr ||
        dynamic_cast<const faiss::RemapDimensionsTransform*>(transform) != nullptr) {
        return transform->apply(static_cast<int64_t>(count), rows);
    }
    const size_t columns = (count + USED - 1) / USED * TILE;
    const size_t width_in = static_cast<size_t>(transform->d_in);
    const size_t width_out = static_cast<size_t>(transform->d_out);
    auto column = [](size_t row) { return row / USED * TILE + (TILE - USED) + row % USED; };
    std::vector<float> spread(columns * width_in);
    for (size_t row = 0; row < count; row++) {
        std::copy_n(rows + row * width_in, width_in, spread.data() + column(row) * width_in);
    }
    std::unique_ptr<float[]> transformed(transform->apply(static_cast<int64_t>(columns), spread.data()));
    std::unique_ptr<float[]> gathered(new float[count * width_out]);
    for (size_t row = 0; row < count; row++) {
        std::copy_n(transformed.get() + column(row) * width_out, width_out, gathered.get() + row * width_out);
    }
    return gathered.release();
}

// Where the last bits of a product, which depend on a row's place among others (transform_each), often decide about
// a code, each row is encoded alone: sums of codewords are searched for among near-equal candidates, and thresholds
// of bits can be values that training rows have exactly.
bool is_encoded_alone(const faiss::Index* index) {
    if (auto* hash = dynamic_cast<const faiss::IndexLSH*>(index)) {
        return hash->rotate_data;
    }
    return dynamic_cast<const faiss::IndexIVFSpectralHash*>(index) != nullptr ||
            additive_quantizer_of(index) != nullptr;
}

void encode_rows(const faiss::Index* index, size_t count, const float* vectors, const int64_t* lists, uint8_t* codes) {
    const int64_t rows = static_cast<int64_t>(count);
    if (auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index)) {
        ivf->encode_vectors(rows, vectors, lists, codes);
    } else if (auto* packed = dynamic_cast<const faiss::IndexFastScan*>(index)) {
        packed->compute_codes(codes, rows, vectors);
    } else {
        index->sa_encode(rows, vectors, codes);
    }
}

// From here on ProductQuantizer multiplies matrices (compute_codes, compute_distance_tables).
constexpr size_t LEAST_MULTIPLIED_COMPONENTS = 16;

std::vector<NearestCentroids> parts_of(const faiss::ProductQuantizer& quantizer, Comparison comparison) {
    std::vector<NearestCentroids> parts;
    if (quantizer.dsub >= LEAST_MULTIPLIED_COMPONENTS) {
        for (size_t part = 0; part < quantizer.M; part++) {
            parts.emplace_back(comparison, quantizer.dsub, quantizer.ksub, quantizer.get_centroids(part, 0));
        }
    }
    return parts;
}

// What the rows are when codes are made of residuals.
std::vector<float> residuals_of(
        const faiss::Index& quantizer,
        size_t count,
        const float* rows,
        const int64_t* lists) {
    const size_t dimension = static_cast<size_t>(quantizer.d);
    std::vector<float> residuals(count * dimension);
    for (size_t row = 0; row < count; row++) {
        if (lists[row] >= 0) {
            quantizer.compute_residual(rows + row * dimension, residuals.data() + row * dimension, lists[row]);
        }
    }
    return residuals;
}

} // namespace

ProductCodes::ProductCodes(const faiss::ProductQuantizer& quantizer)
        : quantizer_(quantizer), parts_(parts_of(quantizer, Comparison::CODE_TABLE)) {}

void ProductCodes::encode(size_t count, const float* rows, uint8_t* codes) const {
    if (parts_.empty()) {
        quantizer_.compute_codes(rows, codes, count);
        return;
    }
    std::vector<int64_t> numbers(count * parts_.size());
    for (size_t part = 0; part < parts_.size(); part++) {
        const float* first = rows + part * quantizer_.dsub;
        parts_[part].find(count, first, quantizer_.d, numbers.data() + part, parts_.size());
    }
    for (size_t row = 0; row < count; row++) {
        faiss::PQEncoderGeneric encoder(codes + row * quantizer_.code_size, static_cast<int>(quantizer_.nbits));
        for (size_t part = 0; part < parts_.size(); part++) {
            encoder.encode(static_cast<uint64_t>(numbers[row * parts_.size() + part]));
        }
    }
}

ListNumbers::ListNumbers(const faiss::Index* quantizer) : quantizer_(quantizer) {
    if (auto* flat = dynamic_cast<const faiss::IndexFlat*>(quantizer)) {
        const size_t count = static_cast<size_t>(flat->ntotal);
        const size_t dimension = static_cast<size_t>(flat->d);
        if (count == 0) {
            return;
        }
        if (flat->metric_type == faiss::METRIC_L2) {
            parts_.emplace_back(Comparison::DISTANCE, dimension, count, flat->get_xb());
        } else if (flat->metric_type == faiss::METRIC_INNER_PRODUCT) {
            parts_.emplace_back(Comparison::PRODUCT, dimension, count, flat->get_xb());
        }
    } else if (auto* multi = dynamic_cast<const faiss::MultiIndexQuantizer*>(quantizer)) {
        bits_ = multi->pq.nbits;
        parts_ = parts_of(multi->pq, Comparison::LIST_TABLE);
    }
}

void ListNumbers::find(size_t count, const float* rows, int64_t* lists) const {
    if (parts_.empty()) {
        quantizer_->assign(static_cast<int64_t>(count), rows, lists);
        return;
    }
    const size_t dimension = static_cast<size_t>(quantizer_->d);
    if (parts_.size() == 1) {
        parts_.front().find(count, rows, dimension, lists, 1);
        return;
    }
    std::vector<int64_t> numbers(count);
    std::fill_n(lists, count, 0);
    for (size_t part = 0; part < parts_.size(); part++) {
        const float* first = rows + part * (dimension / parts_.size());
        parts_[part].find(count, first, dimension, numbers.data(), 1);
        for (size_t row = 0; row < count; row++) {
            lists[row] |= numbers[row] << (part * bits_);
        }
    }
}

RowEncoder::RowEncoder(const faiss::Index* index) : base_(index) {
    while (auto* chain = dynamic_cast<const faiss::IndexPreTransform*>(base_)) {
        transforms_.insert(transforms_.end(), chain->chain.begin(), chain->chain.end());
        base_ = chain->index;
    }
    auto* ivf = dynamic_cast<const faiss::IndexIVF*>(base_);
    if (ivf != nullptr) {
        lists_ = std::make_unique<ListNumbers>(ivf->quantizer);
        residual_to_ = ivf->by_residual ? ivf->quantizer : nullptr;
    }
    if (const faiss::ProductQuantizer* products = product_quantizer_of(base_)) {
        products_ = std::make_unique<ProductCodes>(*products);
    }
    if (auto* refined = dynamic_cast<const faiss::IndexIVFPQR*>(base_)) {
        remainders_ = std::make_unique<ProductCodes>(refined->refine_pq);
    }
}

void RowEncoder::encode(size_t count, const float* rows, int64_t* lists, uint8_t* codes, uint8_t* second) const {
    Transformed input(rows);
    for (const faiss::VectorTransform* transform : transforms_) {
        input.replace(transform_each(transform, count, input.rows()));
    }
    if (lists_ != nullptr) {
        lists_->find(count, input.rows(), lists);
    }
    if (products_ != nullptr) {
        encode_products(count, input.rows(), lists, codes);
    } else {
        const size_t code_size = code_size_of(base_);
        const size_t dimension = static_cast<size_t>(base_->d);
        const size_t step = is_encoded_alone(base_) ? 1 : count;
        for (size_t row = 0; row < count; row += step) {
            check_cancelled();
            const int64_t* row_lists = lists_ != nullptr ? lists + row : nullptr;
            encode_rows(base_, step, input.rows() + row * dimension, row_lists, codes + row * code_size);
        }
    }
    if (remainders_ != nullptr) {
        encode_remainders(count, input.rows(), lists, codes, second);
    }
}

void RowEncoder::encode_products(size_t count, const float* rows, const int64_t* lists, uint8_t* codes) const {
    if (residual_to_ == nullptr) {
        products_->encode(count, rows, codes);
    } else {
        products_->encode(count, residuals_of(*residual_to_, count, rows, lists).data(), codes);
    }
}

// What IndexIVFPQR keeps of a row beside its list: the code of what the first code leaves over of the residual.
void RowEncoder::encode_remainders(
        size_t count,
        const float* rows,
        const int64_t* lists,
        const uint8_t* codes,
        uint8_t* second) const {
    auto& index = dynamic_cast<const faiss::IndexIVFPQR&>(*base_);
    const size_t dimension = static_cast<size_t>(index.d);
    std::vector<float> remainders = residuals_of(*index.quantizer, count, rows, lists);
    std::vector<float> decoded(dimension);
    for (size_t row = 0; row < count; row++) {
        index.pq.decode(codes + row * index.pq.code_size, decoded.data());
        float* remainder = remainders.data() + row * dimension;
        std::transform(remainder, remainder + dimension, decoded.data(), remainder, std::minus<float>());
    }
    remainders_->encode(count, remainders.data(), second);
}

} // namespace faiss_indexer
