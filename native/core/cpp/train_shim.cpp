// Training, part by part so that each can be named, cancelled and shared among threads.

#include "index_structure.h"
#include "guarded_call.h"
#include "local_search_turn.h"

#include <algorithm>
#include <utility>

#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/PolysemousTraining.h>
#include <faiss/impl/ProductAdditiveQuantizer.h>
#include <faiss/impl/ResidualQuantizer.h>

namespace {

using faiss_indexer::Polysemous;
using faiss_indexer::Transformed;
using faiss_indexer::guarded;

// Faiss' clustering prints a warning to stderr for every sub-quantizer and iteration with few training rows; the
// build says it once, in its log. Only the warnings depend on what is set here, until the end of the scope.
class QuietClustering {
  public:
    explicit QuietClustering(faiss::Index* index) {
        visit(index);
    }
    QuietClustering(const QuietClustering&) = delete;
    ~QuietClustering() {
        for (auto [parameters, points] : saved_) {
            parameters->min_points_per_centroid = points;
        }
        for (faiss::OPQMatrix* rotation : rotations_) {
            rotation->pq = nullptr;
        }
    }

  private:
    void visit(faiss::Index* index) {
        if (auto* refined = dynamic_cast<faiss::IndexRefine*>(index)) {
            visit(refined->base_index);
            visit(refined->refine_index);
        } else if (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
            std::for_each(chain->chain.begin(), chain->chain.end(), [this](auto* step) { visit_transform(step); });
            visit(chain->index);
        } else if (faiss::Index* storage = faiss_indexer::graph_storage_of(index)) {
            visit(storage);
        } else if (auto* ivf = dynamic_cast<faiss::IndexIVF*>(index)) {
            silence(ivf->cp);
            if (auto* multi = dynamic_cast<faiss::MultiIndexQuantizer*>(ivf->quantizer)) {
                silence(multi->pq.cp);
            }
            visit_codes(ivf);
        } else {
            visit_codes(index);
        }
    }

    void visit_codes(faiss::Index* base) {
        if (faiss::ProductQuantizer* products = faiss_indexer::product_quantizer_of(base)) {
            silence(products->cp);
        }
        if (auto* refined = dynamic_cast<faiss::IndexIVFPQR*>(base)) {
            silence(refined->refine_pq.cp);
        }
        if (faiss::AdditiveQuantizer* sums = faiss_indexer::additive_quantizer_of(base)) {
            visit_additive(sums);
        }
    }

    void visit_additive(faiss::AdditiveQuantizer* quantizer) {
        if (auto* residual = dynamic_cast<faiss::ResidualQuantizer*>(quantizer)) {
            silence(residual->cp);
        } else if (auto* product = dynamic_cast<faiss::ProductAdditiveQuantizer*>(quantizer)) {
            std::for_each(product->quantizers.begin(), product->quantizers.end(), [this](auto* part) {
                visit_additive(part);
            });
        }
    }

    void visit_transform(faiss::VectorTransform* transform) {
        if (auto* rotation = dynamic_cast<faiss::OPQMatrix*>(transform)) {
            own_.push_back(std::make_unique<faiss::ProductQuantizer>(rotation->d_out, rotation->M, 8));
            silence(own_.back()->cp);
            rotation->pq = own_.back().get();
            rotations_.push_back(rotation);
        }
    }

    void silence(faiss::ClusteringParameters& parameters) {
        saved_.emplace_back(&parameters, parameters.min_points_per_centroid);
        parameters.min_points_per_centroid = 1;
    }

    // Destroyed after the destructor's body, which still writes to their parameters.
    std::vector<std::unique_ptr<faiss::ProductQuantizer>> own_;
    std::vector<faiss::OPQMatrix*> rotations_;
    std::vector<std::pair<faiss::ClusteringParameters*, int>> saved_;
};

// The parts of faiss_shim_train.
enum Part : int32_t { TRANSFORMS = 0, COARSE = 1, CODES = 2, REFINING = 3 };

// The transformed rows, rounded as if all of them came in one call: a block is a whole number of tiles of the
// multiplication, and the last one takes what is left over.
float* apply(const faiss::VectorTransform* transform, int64_t rows, const float* vectors) {
    constexpr int64_t TILE = 96;
    constexpr int64_t MULTIPLICATIONS = 2'000'000'000;
    const int64_t row_multiplications = static_cast<int64_t>(transform->d_in) * transform->d_out;
    const int64_t block = std::max<int64_t>(MULTIPLICATIONS / row_multiplications / TILE, 1) * TILE;
    std::unique_ptr<float[]> transformed(new float[rows * transform->d_out]);
    for (int64_t first = 0; first < rows;) {
        faiss_indexer::check_cancelled();
        const int64_t left = rows - first;
        const int64_t count = left < 2 * block ? left : block;
        transform->apply_noalloc(count, vectors + first * transform->d_in, transformed.get() + first * transform->d_out);
        first += count;
    }
    return transformed.release();
}

void train_transforms(faiss::Index* base, int64_t rows, const float* vectors) {
    std::vector<faiss::VectorTransform*> transforms;
    for (; auto* chain = dynamic_cast<faiss::IndexPreTransform*>(base); base = chain->index) {
        transforms.insert(transforms.end(), chain->chain.begin(), chain->chain.end());
        chain->is_trained = true;
    }
    Transformed input(vectors);
    for (size_t number = 0; number < transforms.size(); number++) {
        faiss_indexer::check_cancelled();
        if (!transforms[number]->is_trained) {
            transforms[number]->train(rows, input.rows());
        }
        if (rows > 0 && number + 1 < transforms.size()) {
            input.replace(apply(transforms[number], rows, input.rows()));
        }
    }
}

void train_codes(faiss::Index* base, int64_t rows, const float* vectors) {
    Polysemous polysemous = faiss_indexer::polysemous_of(base);
    const bool wanted = polysemous.wanted != nullptr && std::exchange(*polysemous.wanted, false);
    faiss_indexer::LocalSearchTurn turn(base);
    base->train(rows, vectors);
    if (wanted) {
        *polysemous.wanted = true;
    }
}

} // namespace

extern "C" {

// Trains one part of the index on rows whose earlier parts are trained. All parts together leave what Index::train
// leaves, but for the polysemous order, which faiss_shim_order_subquantizer makes for one sub-quantizer at a time so
// that several threads can share it. Without rows, only what needs none is trained.
int32_t faiss_shim_train(
        faiss::Index* index,
        int32_t part,
        int64_t rows,
        const float* vectors,
        const uint8_t* cancel,
        char** message) {
    faiss_indexer::CancelScope scope(cancel);
    return guarded(message, [&] {
        QuietClustering quiet(index);
        if (part == REFINING) {
            faiss_indexer::LocalSearchTurn turn(faiss_indexer::refining_index(index));
            faiss_indexer::refining_index(index)->train(rows, vectors);
            index->is_trained = true;
            return;
        }
        faiss::Index* base = faiss_indexer::searched_index(index);
        if (part == TRANSFORMS) {
            train_transforms(base, rows, vectors);
            return;
        }
        Transformed input(vectors);
        for (; auto* chain = dynamic_cast<faiss::IndexPreTransform*>(base); base = chain->index) {
            for (const faiss::VectorTransform* transform : chain->chain) {
                input.replace(apply(transform, rows, input.rows()));
            }
        }
        if (part == COARSE) {
            auto& ivf = dynamic_cast<faiss::IndexIVF&>(*base);
            ivf.train_q1(rows, input.rows(), false, ivf.metric_type);
        } else if (part == CODES) {
            train_codes(base, rows, input.rows());
        }
    });
}

// Reorders the centroids of one sub-quantizer as PolysemousTraining does with its defaults. Cannot be interrupted:
// about two seconds for 8 bits.
// Calls for different sub-quantizers of one index may run at the same time: each touches its own centroids only.
int32_t faiss_shim_order_subquantizer(faiss::Index* index, uint64_t subquantizer, char** message) {
    return guarded(message, [&] {
        faiss::ProductQuantizer& quantizer = *faiss_indexer::polysemous_of(index).quantizer;
        const size_t floats = quantizer.ksub * quantizer.dsub;
        float* centroids = quantizer.get_centroids(subquantizer, 0);

        faiss::ProductQuantizer alone(quantizer.dsub, 1, quantizer.nbits);
        std::copy_n(centroids, floats, alone.centroids.data());
        faiss::PolysemousTraining().optimize_pq_for_hamming(alone, 0, nullptr);
        std::copy_n(alone.centroids.data(), floats, centroids);
    });
}

// Training by Faiss alone: what faiss_shim_train is compared with in tests.
int32_t faiss_shim_train_alone(faiss::Index* index, int64_t rows, const float* vectors, char** message) {
    return guarded(message, [&] { index->train(rows, vectors); });
}

} // extern "C"
