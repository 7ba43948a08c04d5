// The calls into Faiss that its C API lacks, with every exception turned into a code and a message.
// Called by src/faiss_index.rs only.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/FaissException.h>
#include <faiss/impl/PolysemousTraining.h>
#include <faiss/impl/io.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

#include "guarded_call.h"

namespace {

using faiss_indexer::CancelScope;
using faiss_indexer::guarded;

// The caller frees the copy with faiss_shim_free.
void hand_over(const faiss::VectorIOWriter& writer, uint8_t** out, size_t* length) {
    *length = writer.data.size();
    *out = static_cast<uint8_t*>(std::malloc(writer.data.size()));
    if (*out == nullptr) {
        throw std::bad_alloc();
    }
    std::memcpy(*out, writer.data.data(), writer.data.size());
}

faiss::Index* below_transforms(faiss::Index* index) {
    while (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
        index = chain->index;
    }
    return index;
}

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

// The product quantizer whose centroids Faiss would reorder for polysemous codes, and whether it would.
struct Polysemous {
    faiss::ProductQuantizer* quantizer = nullptr;
    bool* wanted = nullptr;
};

Polysemous polysemous_of(faiss::Index* index) {
    faiss::Index* base = below_transforms(index);
    if (auto* ivf = dynamic_cast<faiss::IndexIVFPQ*>(base)) {
        return {&ivf->pq, &ivf->do_polysemous_training};
    }
    if (auto* flat = dynamic_cast<faiss::IndexPQ*>(base)) {
        return {&flat->pq, &flat->do_polysemous_training};
    }
    return {};
}

// Faiss' clustering prints a warning to stderr for every sub-quantizer and iteration with few training rows; the
// build says it once, in its log. Only the warnings depend on what is set here, until the end of the scope.
class QuietClustering {
  public:
    explicit QuietClustering(faiss::Index* index) {
        while (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
            for (faiss::VectorTransform* transform : chain->chain) {
                if (auto* rotation = dynamic_cast<faiss::OPQMatrix*>(transform)) {
                    own_.push_back(std::make_unique<faiss::ProductQuantizer>(rotation->d_out, rotation->M, 8));
                    silence(own_.back()->cp);
                    rotation->pq = own_.back().get();
                    rotations_.push_back(rotation);
                }
            }
            index = chain->index;
        }
        if (auto* ivf = dynamic_cast<faiss::IndexIVF*>(index)) {
            silence(ivf->cp);
        }
        if (faiss::ProductQuantizer* quantizer = polysemous_of(index).quantizer) {
            silence(quantizer->cp);
        }
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
    void silence(faiss::ClusteringParameters& parameters) {
        saved_.emplace_back(&parameters, parameters.min_points_per_centroid);
        parameters.min_points_per_centroid = 1;
    }

    // Destroyed after the destructor's body, which still writes to their parameters.
    std::vector<std::unique_ptr<faiss::ProductQuantizer>> own_;
    std::vector<faiss::OPQMatrix*> rotations_;
    std::vector<std::pair<faiss::ClusteringParameters*, int>> saved_;
};

// The number of rows is part of several headers: the transforms, the id map and the index itself.
void set_rows(faiss::Index* index, int64_t rows) {
    index->ntotal = rows;
    if (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(index)) {
        set_rows(chain->index, rows);
    } else if (auto* map = dynamic_cast<faiss::IndexIDMap*>(index)) {
        set_rows(map->index, rows);
    }
}

} // namespace

extern "C" {

struct FaissShimShape {
    uint64_t dimension;
    uint64_t nlist;
    uint64_t code_size;
    uint64_t second_code_size;
    uint64_t polysemous_subquantizers;
    uint64_t transforms;
};

void faiss_shim_free(void* memory) {
    std::free(memory);
}

int32_t faiss_shim_create(int32_t dimension, const char* factory, int32_t metric, faiss::Index** out, char** message) {
    return guarded(message, [&] {
        std::unique_ptr<faiss::Index> index(
                faiss::index_factory(dimension, factory, static_cast<faiss::MetricType>(metric)));
        if (auto* ivfpq = dynamic_cast<faiss::IndexIVFPQ*>(below_transforms(index.get()))) {
            // Search tables are of no use to a builder and can take gigabytes.
            ivfpq->use_precomputed_table = -1;
        }
        *out = index.release();
    });
}

int32_t faiss_shim_read(const uint8_t* bytes, size_t length, faiss::Index** out, char** message) {
    return guarded(message, [&] {
        struct Reader : faiss::IOReader {
            const uint8_t* next;
            size_t left;
            size_t operator()(void* target, size_t size, size_t items) override {
                size_t whole = size == 0 ? 0 : std::min(items, left / size);
                std::memcpy(target, next, whole * size);
                next += whole * size;
                left -= whole * size;
                return whole;
            }
        } reader;
        reader.next = bytes;
        reader.left = length;
        *out = faiss::read_index(&reader, faiss::IO_FLAG_SKIP_PRECOMPUTE_TABLE);
    });
}

void faiss_shim_drop(faiss::Index* index) {
    delete index;
}

void faiss_shim_shape(faiss::Index* index, FaissShimShape* shape) {
    faiss::Index* base = below_transforms(index);
    auto* ivf = dynamic_cast<const faiss::IndexIVF*>(base);
    auto* flat = dynamic_cast<const faiss::IndexFlatCodes*>(base);
    shape->dimension = static_cast<uint64_t>(index->d);
    shape->nlist = ivf != nullptr ? ivf->nlist : 0;
    shape->code_size = ivf != nullptr ? ivf->code_size : flat != nullptr ? flat->code_size : 0;
    shape->second_code_size = 0;
    Polysemous polysemous = polysemous_of(index);
    bool wanted = polysemous.wanted != nullptr && *polysemous.wanted;
    shape->polysemous_subquantizers = wanted ? polysemous.quantizer->M : 0;
    auto* chain = dynamic_cast<const faiss::IndexPreTransform*>(index);
    shape->transforms = chain != nullptr ? chain->chain.size() : 0;
}

// Trains one part of the index on rows whose earlier parts are trained: 0 the transforms, 1 the coarse quantizer,
// 2 the codes. All three leave what IndexPreTransform::train and IndexIVF::train leave, but for the polysemous order,
// which faiss_shim_order_subquantizer makes for one sub-quantizer at a time so that several threads can share it.
int32_t faiss_shim_train(
        faiss::Index* index,
        int32_t part,
        int64_t rows,
        const float* vectors,
        const uint8_t* cancel,
        char** message) {
    CancelScope scope(cancel);
    return guarded(message, [&] {
        QuietClustering quiet(index);
        Transformed input(vectors);
        faiss::Index* base = index;
        while (auto* chain = dynamic_cast<faiss::IndexPreTransform*>(base)) {
            for (faiss::VectorTransform* transform : chain->chain) {
                if (part == 0 && !transform->is_trained) {
                    transform->train(rows, input.rows());
                }
                input.replace(transform->apply(rows, input.rows()));
            }
            chain->is_trained = true;
            base = chain->index;
        }
        if (auto* ivf = dynamic_cast<faiss::IndexIVF*>(base); ivf != nullptr && part == 1) {
            ivf->train_q1(rows, input.rows(), false, ivf->metric_type);
        }
        if (part == 2) {
            Polysemous polysemous = polysemous_of(base);
            const bool wanted = polysemous.wanted != nullptr && std::exchange(*polysemous.wanted, false);
            base->train(rows, input.rows());
            if (wanted) {
                *polysemous.wanted = true;
            }
        }
    });
}

// Reorders the centroids of one sub-quantizer as PolysemousTraining does with its defaults. Cannot be interrupted:
// about two seconds for 8 bits.
// Calls for different sub-quantizers of one index may run at the same time: each touches its own centroids only.
int32_t faiss_shim_order_subquantizer(faiss::Index* index, uint64_t subquantizer, char** message) {
    return guarded(message, [&] {
        faiss::ProductQuantizer& quantizer = *polysemous_of(index).quantizer;
        const size_t floats = quantizer.ksub * quantizer.dsub;
        float* centroids = quantizer.get_centroids(subquantizer, 0);

        faiss::ProductQuantizer alone(quantizer.dsub, 1, quantizer.nbits);
        std::copy_n(centroids, floats, alone.centroids.data());
        faiss::PolysemousTraining().optimize_pq_for_hamming(alone, 0, nullptr);
        std::copy_n(alone.centroids.data(), floats, centroids);
    });
}

// Codes and, for inverted files, list numbers of rows, as Index::add would store them.
// lists may be null when there are none. Several threads may encode with one index.
int32_t faiss_shim_encode(
        const faiss::Index* index,
        int64_t rows,
        const float* vectors,
        int64_t* lists,
        uint8_t* codes,
        const uint8_t* cancel,
        char** message) {
    CancelScope scope(cancel);
    return guarded(message, [&] {
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
        } else {
            index->sa_encode(rows, input.rows(), codes);
        }
    });
}

// The bytes of an index without rows as a file of `rows` rows would begin and end: with an id map around it when
// asked, and with `placeholder_codes` codes (0 or 1) where the codes of an index without inverted lists belong.
int32_t faiss_shim_write(
        faiss::Index* index,
        int64_t rows,
        int32_t id_map,
        uint64_t placeholder_codes,
        uint8_t** out,
        size_t* length,
        char** message) {
    return guarded(message, [&] {
        faiss::IndexIDMap map;
        if (id_map != 0) {
            map.d = index->d;
            map.metric_type = index->metric_type;
            map.is_trained = index->is_trained;
            map.index = index;
            map.own_fields = false;
        }
        if (auto* flat = dynamic_cast<faiss::IndexFlatCodes*>(below_transforms(index))) {
            flat->codes.resize(placeholder_codes * flat->code_size);
        }
        faiss::Index* outer = id_map != 0 ? &map : index;
        set_rows(outer, rows);
        faiss::VectorIOWriter writer;
        faiss::write_index(outer, &writer);
        hand_over(writer, out, length);
    });
}

// Training by Faiss alone: what faiss_shim_train is compared with in tests.
int32_t faiss_shim_train_alone(faiss::Index* index, int64_t rows, const float* vectors, char** message) {
    return guarded(message, [&] { index->train(rows, vectors); });
}

// All rows added in one call and written by Faiss alone: what a build is compared with in tests.
int32_t faiss_shim_add_and_write(
        faiss::Index* index,
        int64_t rows,
        const float* vectors,
        const int64_t* ids,
        int32_t id_map,
        uint8_t** out,
        size_t* length,
        char** message) {
    return guarded(message, [&] {
        faiss::VectorIOWriter writer;
        if (id_map != 0) {
            faiss::IndexIDMap map(index);
            map.add_with_ids(rows, vectors, ids);
            faiss::write_index(&map, &writer);
        } else {
            index->add_with_ids(rows, vectors, ids);
            faiss::write_index(index, &writer);
        }
        hand_over(writer, out, length);
    });
}

// An exception of Faiss' own, for checking that errors cross every boundary.
int32_t faiss_shim_raise(char** message) {
    return guarded(message, [] { std::unique_ptr<faiss::Index>(faiss::index_factory(64, "IVF64,PQ7")); });
}

} // extern "C"
