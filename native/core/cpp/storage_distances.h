// What the searches of HNSW and NSG share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <faiss/Index.h>
#include <faiss/IndexPQ.h>
#include <faiss/MetricType.h>
#include <faiss/impl/DistanceComputer.h>

#include "guarded_call.h"

namespace faiss_indexer {

// Makes the table of distances between codewords that a graph over PQ codes is made with. Nothing else needs it, so
// indexes are read without it.
inline void prepare_symmetric_distances(faiss::Index& storage) {
    if (auto* products = dynamic_cast<faiss::IndexPQ*>(&storage)) {
        check_cancelled();
        products->pq.compute_sdc_table();
    }
}

// Distances to the rows of a graph's storage, smaller meaning nearer whatever the metric.
inline std::unique_ptr<faiss::DistanceComputer> storage_distances(const faiss::Index& storage) {
    std::unique_ptr<faiss::DistanceComputer> distances(storage.get_distance_computer());
    if (faiss::is_similarity_metric(storage.metric_type)) {
        auto negated = std::make_unique<faiss::NegativeDistanceComputer>(distances.get());
        distances.release();
        return negated;
    }
    return distances;
}

// The nodes that one search has met. Its size follows the search, not the index.
class Met {
  public:
    void clear() {
        count_ = 0;
        if (++search_ == 0) {
            places_.assign(places_.size(), {});
            search_ = 1;
        }
    }

    // Whether the node was not met before.
    bool insert(int32_t node) {
        if (2 * (count_ + 1) > places_.size()) {
            grow();
        }
        for (size_t place = first_place(node);; place = (place + 1) & (places_.size() - 1)) {
            if (places_[place].search != search_) {
                places_[place] = {node, search_};
                ++count_;
                return true;
            }
            if (places_[place].node == node) {
                return false;
            }
        }
    }

  private:
    struct Place {
        int32_t node = 0;
        uint32_t search = 0;
    };

    // Fibonacci hashing: the high bits of the product depend on all bits of the number.
    size_t first_place(int32_t node) const {
        return (static_cast<uint32_t>(node) * 2654435769U) >> shift_;
    }

    void grow() {
        std::vector<Place> old(2 * places_.size());
        old.swap(places_);
        --shift_;
        count_ = 0;
        for (const Place& place : old) {
            if (place.search == search_) {
                insert(place.node);
            }
        }
    }

    // 32 less the binary logarithm of the number of places.
    uint32_t shift_ = 22;
    std::vector<Place> places_ = std::vector<Place>(1 << 10);
    size_t count_ = 0;
    uint32_t search_ = 1;
};

} // namespace faiss_indexer
