// The codes of rows, as Index::add would store them.

#include "index_structure.h"
#include "shim.h"

#include <algorithm>
#include <functional>

#include <faiss/IndexAdditiveQuantizer.h>
#include <faiss/IndexAdditiveQuantizerFastScan.h>
#include <faiss/IndexFastScan.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFAdditiveQuantizer.h>
#include <faiss/IndexIVFAdditiveQuantizerFastScan.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexIVFSpectralHash.h>
#include <faiss/IndexLSH.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/pq4_fast_scan.h>

namespace {

using shim::Transformed;
using shim::guarded;

// The transformed rows, each as Faiss transforms it alone. In a larger batch the last bits of a row depend on its
// place: OpenBLAS multiplies in tiles of twelve columns and sums up the first six in another order than the last six,
// which it sums up as it does a single column. So the rows go to the last six of each tile.
float* transform_each(const faiss::VectorTransform* transform, int64_t rows, const float* vectors) {
    constexpr size_t TILE = 12;
    constexpr size_t USED = 6;
    if (dynamic_cast<const faiss::NormalizationTransform*>(transform) != nullptr ||
        dynamic_cast<const faiss::RemapDimensionsTransform*>(transform) != nullptr) {
        return transform->apply(rows, vectors);
    }
    const size_t count = static_cast<size_t>(rows);
    const size_t columns = (count + USED - 1) / USED * TILE;
    const size_t width_in = static_cast<size_t>(transform->d_in);
    const size_t width_out = static_cast<size_t>(transform->d_out);
    auto column = [](size_t row) { return row / USED * TILE + (TILE - USED) + row % USED; };
    std::vector<float> spread(columns * width_in);
    for (size_t row = 0; row < count; row++) {
        std::copy_n(vectors + row * width_in, width_in, spread.data() + column(row) * width_in);
    }
    std::unique_ptr<float[]> transformed(transform->apply(static_cast<int64_t>(columns), spread.data()));
    std::unique_ptr<float[]> gathered(new float[count * width_out]);
    for (size_t row = 0; row < count; row++) {
        std::copy_n(transformed.get() + column(row) * width_out, width_out, gathered.get() + row * width_out);
    }
    return gathered.release();
}

// What IndexIVFPQR keeps of a row beside its list: the code of what the first code leaves over of the residual.
void encode_remainders(
        const faiss::IndexIVFPQR& index,
        int64_t rows,
        const float* vectors,
        const int64_t* lists,
        const uint8_t* codes,
        uint8_t* second) {
    const size_t dimension = static_cast<size_t>(index.d);
    std::vector<float> remainders(static_cast<size_t>(rows) * dimension);
    index.quantizer->compute_residual_n(rows, vectors, remainders.data(), lists);
    std::vector<float> decoded(dimension);
    for (size_t row = 0; row < static_cast<size_t>(rows); row++) {
        index.pq.decode(codes + row * index.pq.code_size, decoded.data());
        float* remainder = remainders.data() + row * dimension;
        std::transform(remainder, remainder + dimension, decoded.data(), remainder, std::minus<float>());
    }
    index.refine_pq.compute_codes(remainders.data(), second, rows);
}

// Where the last bits of a product, which depend on a row's place among others (transform_each), often decide about
// a code, each row is encoded alone: sums of codewords are searched for among near-equal candidates, and thresholds
// of bits can be values that training rows have exactly.
bool is_encoded_alone(const faiss::Index* index) {
    if (auto* hash = dynamic_cast<const faiss::IndexLSH*>(index)) {
        return hash->rotate_data;
    }
    return dynamic_cast<const faiss::IndexIVFSpectralHash*>(index) != nullptr ||
            dynamic_cast<const faiss::IndexAdditiveQuantizer*>(index) != nullptr ||
            dynamic_cast<const faiss::IndexAdditiveQuantizerFastScan*>(index) != nullptr ||
            dynamic_cast<const faiss::IndexIVFAdditiveQuantizer*>(index) != nullptr ||
            dynamic_cast<const faiss::IndexIVFAdditiveQuantizerFastScan*>(index) != nullptr;
}

void encode_rows(const faiss::Index* index, int64_t rows, const float* vectors, const int64_t* lists, uint8_t* codes) {
    if (auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index)) {
        ivf->encode_vectors(rows, vectors, lists, codes);
    } else if (auto* packed = dynamic_cast<const faiss::IndexFastScan*>(index)) {
        packed->compute_codes(codes, rows, vectors);
    } else {
        index->sa_encode(rows, vectors, codes);
    }
}

// `second` is used by an index that keeps a second code of its own.
void encode_searched(
        const faiss::Index* index,
        int64_t rows,
        const float* vectors,
        int64_t* lists,
        uint8_t* codes,
        uint8_t* second) {
    Transformed input(vectors);
    while (auto* chain = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        for (const faiss::VectorTransform* transform : chain->chain) {
            input.replace(transform_each(transform, rows, input.rows()));
        }
        index = chain->index;
    }
    if (auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index)) {
        ivf->quantizer->assign(rows, input.rows(), lists);
    }
    const uint64_t code_size = shim::code_size_of(index);
    const int64_t step = is_encoded_alone(index) ? 1 : rows;
    for (int64_t row = 0; row < rows; row += step) {
        faiss::InterruptCallback::check();
        const int64_t* row_lists = lists != nullptr ? lists + row : nullptr;
        uint8_t* row_codes = codes + static_cast<uint64_t>(row) * code_size;
        encode_rows(index, step, input.rows() + row * index->d, row_lists, row_codes);
    }
    if (auto* refined = dynamic_cast<const faiss::IndexIVFPQR*>(index)) {
        encode_remainders(*refined, rows, input.rows(), lists, codes, second);
    }
}

} // namespace

extern "C" {

// Codes (each row's first code followed by its second, if there is one) and, for inverted files, list numbers.
// Codes of fast-scan indexes are not packed. lists may be null when there are none. Several threads may encode with
// one index.
int32_t faiss_shim_encode(
        const faiss::Index* index,
        const FaissShimShape* shape,
        int64_t rows,
        const float* vectors,
        int64_t* lists,
        uint8_t* codes,
        const uint8_t* cancel,
        char** message) {
    shim::CancelScope scope(cancel);
    return guarded(message, [&] {
        const faiss::Index* searched = shim::searched_index(index);
        if (shape->second_code_size == 0) {
            encode_searched(searched, rows, vectors, lists, codes, nullptr);
            return;
        }
        const size_t count = static_cast<size_t>(rows);
        const size_t first_size = shape->code_size;
        const size_t second_size = shape->second_code_size;
        std::vector<uint8_t> first(count * first_size);
        std::vector<uint8_t> second(count * second_size);
        encode_searched(searched, rows, vectors, lists, first.data(), second.data());
        if (const faiss::Index* refining = shim::refining_index(index)) {
            encode_searched(refining, rows, vectors, nullptr, second.data(), nullptr);
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

} // extern "C"
