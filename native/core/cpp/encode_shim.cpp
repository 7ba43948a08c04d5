// The codes of rows, as Index::add would store them.

#include "index_structure.h"
#include "shim.h"

#include <algorithm>
#include <functional>

#include <faiss/IndexFastScan.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/pq4_fast_scan.h>

namespace {

using shim::Transformed;
using shim::guarded;

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
            input.replace(transform->apply(rows, input.rows()));
        }
        index = chain->index;
    }
    if (auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index)) {
        ivf->quantizer->assign(rows, input.rows(), lists);
        ivf->encode_vectors(rows, input.rows(), lists, codes);
        if (auto* refined = dynamic_cast<const faiss::IndexIVFPQR*>(index)) {
            encode_remainders(*refined, rows, input.rows(), lists, codes, second);
        }
    } else if (auto* packed = dynamic_cast<const faiss::IndexFastScan*>(index)) {
        packed->compute_codes(codes, rows, input.rows());
    } else {
        index->sa_encode(rows, input.rows(), codes);
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
