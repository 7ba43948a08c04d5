// See index_structure.h.

#include "index_structure.h"

#include <algorithm>

#include <faiss/IndexAdditiveQuantizer.h>
#include <faiss/IndexAdditiveQuantizerFastScan.h>
#include <faiss/IndexFastScan.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFAdditiveQuantizer.h>
#include <faiss/IndexIVFAdditiveQuantizerFastScan.h>
#include <faiss/IndexIVFFastScan.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexLSH.h>
#include <faiss/IndexNSG.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPQFastScan.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/LocalSearchQuantizer.h>
#include <faiss/impl/ProductAdditiveQuantizer.h>
#include <faiss/impl/ResidualQuantizer.h>

namespace faiss_indexer {

const faiss::Index* searched_index(const faiss::Index* index) {
    auto* refined = dynamic_cast<const faiss::IndexRefine*>(index);
    return refined != nullptr ? refined->base_index : index;
}

faiss::Index* searched_index(faiss::Index* index) {
    auto* refined = dynamic_cast<faiss::IndexRefine*>(index);
    return refined != nullptr ? refined->base_index : index;
}

const faiss::Index* refining_index(const faiss::Index* index) {
    auto* refined = dynamic_cast<const faiss::IndexRefine*>(index);
    return refined != nullptr ? refined->refine_index : nullptr;
}

faiss::Index* refining_index(faiss::Index* index) {
    auto* refined = dynamic_cast<faiss::IndexRefine*>(index);
    return refined != nullptr ? refined->refine_index : nullptr;
}

const faiss::Index* below_transforms(const faiss::Index* index) {
    while (auto* chain = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        index = chain->index;
    }
    return index;
}

faiss::Index* below_transforms(faiss::Index* index) {
    while (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
        index = chain->index;
    }
    return index;
}

faiss::Index* graph_storage_of(faiss::Index* base) {
    if (auto* graph = dynamic_cast<faiss::IndexHNSW*>(base)) {
        return graph->storage;
    }
    auto* graph = dynamic_cast<faiss::IndexNSG*>(base);
    return graph != nullptr ? graph->storage : nullptr;
}

faiss::ProductQuantizer* product_quantizer_of(faiss::Index* base) {
    if (auto* found = dynamic_cast<faiss::IndexIVFPQ*>(base)) {
        return &found->pq;
    }
    if (auto* found = dynamic_cast<faiss::IndexIVFPQFastScan*>(base)) {
        return &found->pq;
    }
    if (auto* found = dynamic_cast<faiss::IndexPQ*>(base)) {
        return &found->pq;
    }
    auto* found = dynamic_cast<faiss::IndexPQFastScan*>(base);
    return found != nullptr ? &found->pq : nullptr;
}

const faiss::ProductQuantizer* product_quantizer_of(const faiss::Index* base) {
    return product_quantizer_of(const_cast<faiss::Index*>(base));
}

faiss::AdditiveQuantizer* additive_quantizer_of(faiss::Index* base) {
    if (auto* found = dynamic_cast<faiss::IndexAdditiveQuantizer*>(base)) {
        return found->aq;
    }
    if (auto* found = dynamic_cast<faiss::IndexAdditiveQuantizerFastScan*>(base)) {
        return found->aq;
    }
    if (auto* found = dynamic_cast<faiss::IndexIVFAdditiveQuantizer*>(base)) {
        return found->aq;
    }
    auto* found = dynamic_cast<faiss::IndexIVFAdditiveQuantizerFastScan*>(base);
    return found != nullptr ? found->aq : nullptr;
}

const faiss::AdditiveQuantizer* additive_quantizer_of(const faiss::Index* base) {
    return additive_quantizer_of(const_cast<faiss::Index*>(base));
}

namespace {

bool searches_locally(const faiss::AdditiveQuantizer* quantizer) {
    if (auto* product = dynamic_cast<const faiss::ProductAdditiveQuantizer*>(quantizer)) {
        return std::any_of(product->quantizers.begin(), product->quantizers.end(), [](auto* part) {
            return searches_locally(part);
        });
    }
    return dynamic_cast<const faiss::LocalSearchQuantizer*>(quantizer) != nullptr ||
            quantizer->search_type == faiss::AdditiveQuantizer::ST_norm_lsq2x4;
}

} // namespace

bool searches_locally(const faiss::Index* index) {
    const faiss::Index* refining = refining_index(index);
    const faiss::AdditiveQuantizer* sums = additive_quantizer_of(below_transforms(searched_index(index)));
    return (sums != nullptr && searches_locally(sums)) || (refining != nullptr && searches_locally(refining));
}

Polysemous polysemous_of(faiss::Index* index) {
    faiss::Index* base = below_transforms(searched_index(index));
    if (faiss::Index* storage = graph_storage_of(base)) {
        base = storage;
    }
    if (auto* ivf = dynamic_cast<faiss::IndexIVFPQ*>(base)) {
        return {&ivf->pq, &ivf->do_polysemous_training};
    }
    if (auto* flat = dynamic_cast<faiss::IndexPQ*>(base)) {
        return {&flat->pq, &flat->do_polysemous_training};
    }
    return {};
}

namespace {

uint64_t multiplications_of(const faiss::AdditiveQuantizer* quantizer) {
    if (auto* product = dynamic_cast<const faiss::ProductAdditiveQuantizer*>(quantizer)) {
        uint64_t sum = 0;
        for (const faiss::AdditiveQuantizer* part : product->quantizers) {
            sum += multiplications_of(part);
        }
        return sum;
    }
    auto* residual = dynamic_cast<const faiss::ResidualQuantizer*>(quantizer);
    const uint64_t beam = residual != nullptr ? static_cast<uint64_t>(std::max(residual->max_beam_size, 1)) : 1;
    return beam * quantizer->total_codebook_size * quantizer->d;
}

uint64_t multiplications_of(const faiss::ProductQuantizer& quantizer) {
    return quantizer.ksub * quantizer.d;
}

uint64_t coarse_multiplications(const faiss::IndexIVF* ivf) {
    const uint64_t dimension = static_cast<uint64_t>(ivf->d);
    if (dynamic_cast<const faiss::IndexFlat*>(ivf->quantizer) != nullptr) {
        return ivf->nlist * dimension;
    }
    if (auto* multi = dynamic_cast<const faiss::MultiIndexQuantizer*>(ivf->quantizer)) {
        return multiplications_of(multi->pq);
    }
    // A graph: a beam of some dozens of vertices with some dozens of neighbours each.
    constexpr uint64_t VISITED = 2048;
    return VISITED * dimension;
}

uint64_t code_multiplications(const faiss::Index* index) {
    if (auto* found = dynamic_cast<const faiss::IndexIVFPQR*>(index)) {
        return multiplications_of(found->pq) + multiplications_of(found->refine_pq);
    }
    if (auto* products = product_quantizer_of(index)) {
        return multiplications_of(*products);
    }
    if (auto* sums = additive_quantizer_of(index)) {
        return multiplications_of(sums);
    }
    if (auto* found = dynamic_cast<const faiss::IndexLSH*>(index)) {
        return static_cast<uint64_t>(found->nbits) * static_cast<uint64_t>(found->d);
    }
    return static_cast<uint64_t>(index->d);
}

uint64_t multiplications_of(const faiss::Index* index) {
    uint64_t sum = 0;
    while (auto* chain = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        for (const faiss::VectorTransform* transform : chain->chain) {
            // Half of the columns stay unused (row_encoder.cpp).
            sum += 2 * static_cast<uint64_t>(transform->d_in) * static_cast<uint64_t>(transform->d_out);
        }
        index = chain->index;
    }
    if (auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index)) {
        sum += coarse_multiplications(ivf);
    }
    return sum + code_multiplications(index);
}

} // namespace

uint64_t code_size_of(const faiss::Index* base) {
    if (auto* ivf = dynamic_cast<const faiss::IndexIVF*>(base)) {
        return ivf->code_size;
    }
    if (auto* packed = dynamic_cast<const faiss::IndexFastScan*>(base)) {
        return packed->code_size;
    }
    auto* flat = dynamic_cast<const faiss::IndexFlatCodes*>(base);
    return flat != nullptr ? flat->code_size : 0;
}

} // namespace faiss_indexer

extern "C" void faiss_shim_shape(faiss::Index* index, FaissShimShape* shape) {
    faiss::Index* searched = faiss_indexer::searched_index(index);
    faiss::Index* base = faiss_indexer::below_transforms(searched);
    *shape = FaissShimShape();
    shape->dimension = static_cast<uint64_t>(index->d);
    shape->code_size = faiss_indexer::code_size_of(base);
    shape->multiplications = faiss_indexer::multiplications_of(searched);
    if (auto* ivf = dynamic_cast<const faiss::IndexIVF*>(base)) {
        shape->nlist = ivf->nlist;
    }
    if (auto* packed = dynamic_cast<const faiss::IndexFastScan*>(base)) {
        shape->packed_block_rows = static_cast<uint64_t>(packed->bbs);
        shape->packed_subquantizers = packed->M;
    } else if (auto* lists = dynamic_cast<const faiss::IndexIVFFastScan*>(base)) {
        shape->packed_block_rows = static_cast<uint64_t>(lists->bbs);
        shape->packed_subquantizers = lists->M;
    }
    if (const faiss::Index* refining = faiss_indexer::refining_index(index)) {
        shape->refining_indexes = 1;
        shape->second_code_size = faiss_indexer::code_size_of(refining);
        shape->multiplications += faiss_indexer::multiplications_of(refining);
    } else if (auto* refined = dynamic_cast<const faiss::IndexIVFPQR*>(base)) {
        shape->second_code_size = refined->refine_pq.code_size;
    }
    faiss_indexer::Polysemous polysemous = faiss_indexer::polysemous_of(index);
    bool wanted = polysemous.wanted != nullptr && *polysemous.wanted;
    shape->polysemous_subquantizers = wanted ? polysemous.quantizer->M : 0;
    while (auto* chain = dynamic_cast<const faiss::IndexPreTransform*>(searched)) {
        shape->transforms += chain->chain.size();
        searched = chain->index;
    }
}
