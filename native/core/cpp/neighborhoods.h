// NN-descent: the nearest neighbours of every row, found by comparing neighbours of neighbours, with the results of
// faiss::NNDescent on one thread.
//
// The rows of one round are joined in row order, and each comparison may change two rows' pools. A pool changes by its
// own insertions alone and only ever turns away more; so the comparisons of several rows can be made at the same time,
// and then inserted pool by pool in the order of the rows they came from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <faiss/impl/DistanceComputer.h>

namespace faiss_indexer {

struct Candidate {
    int32_t id = 0;
    float distance = 0;
    // Not yet expanded or joined.
    bool fresh = false;
    bool operator<(const Candidate& other) const {
        return distance < other.distance;
    }
};

class Neighborhoods {
  public:
    struct Parameters {
        size_t neighbors;
        size_t sample;
        size_t reverse;
        size_t pool;
    };

    Neighborhoods(size_t rows, const Parameters& parameters, size_t partitions, size_t slots)
            : parameters_(parameters),
              rows_(rows),
              partitions_(partitions),
              found_(slots, std::vector<std::vector<Found>>(partitions)),
              hoods_(rows),
              neighbors_(rows * parameters.neighbors) {}

    const Parameters& parameters() const {
        return parameters_;
    }

    // The nearest neighbours of a row, nearest first; after `extract`.
    const int32_t* neighbors(size_t row) const {
        return neighbors_.data() + row * parameters_.neighbors;
    }

    // Random neighbours to start from. Calls come in row order.
    void draw(size_t first, size_t end) {
        std::vector<int32_t> drawn(parameters_.sample);
        for (size_t row = first; row < end; ++row) {
            Hood& hood = hoods_[row];
            hood.considered = parameters_.sample;
            hood.fresh.resize(2 * parameters_.sample);
            draw_different(random_joins_, hood.fresh);
            draw_different(random_pools_, drawn);
            hood.pool.reserve(parameters_.pool);
            for (int32_t id : drawn) {
                if (static_cast<size_t>(id) != row) {
                    hood.pool.push_back({id, 0, true});
                }
            }
        }
    }

    void measure(faiss::DistanceComputer& distances, size_t first, size_t end) {
        for (size_t row = first; row < end; ++row) {
            std::vector<Candidate>& pool = hoods_[row].pool;
            for (Candidate& candidate : pool) {
                candidate.distance = distances.symmetric_dis(static_cast<faiss::idx_t>(row), candidate.id);
            }
            std::make_heap(pool.begin(), pool.end());
        }
    }

    // Compares what the rows' lists ask for. Results that no pool would take are dropped at once.
    void join(faiss::DistanceComputer& distances, size_t slot, size_t first, size_t end) {
        std::vector<std::vector<Found>>& found = found_[slot];
        for (std::vector<Found>& partition : found) {
            partition.clear();
        }
        auto compare = [&](int32_t one, int32_t other) {
            const float distance = distances.symmetric_dis(one, other);
            if (!(distance > hoods_[one].pool.front().distance)) {
                found[one % partitions_].push_back({one, other, distance});
            }
            if (!(distance > hoods_[other].pool.front().distance)) {
                found[other % partitions_].push_back({other, one, distance});
            }
        };
        for (size_t row = first; row < end; ++row) {
            const Hood& hood = hoods_[row];
            for (int32_t one : hood.fresh) {
                for (int32_t other : hood.fresh) {
                    if (one < other) {
                        compare(one, other);
                    }
                }
                for (int32_t other : hood.known) {
                    if (one != other) {
                        compare(one, other);
                    }
                }
            }
        }
    }

    // Puts what the slots before `slots` found into the pools of one partition.
    void insert(size_t partition, size_t slots) {
        for (size_t slot = 0; slot < slots; ++slot) {
            for (const Found& found : found_[slot][partition]) {
                insert_one(hoods_[found.row].pool, found);
            }
        }
    }

    // Picks the candidates that the next round joins.
    void select(size_t first, size_t end) {
        for (size_t row = first; row < end; ++row) {
            Hood& hood = hoods_[row];
            std::vector<int32_t>().swap(hood.fresh);
            std::vector<int32_t>().swap(hood.known);
            std::sort(hood.pool.begin(), hood.pool.end());
            const size_t most = std::min(hood.considered + parameters_.sample, hood.pool.size());
            size_t considered = 0;
            for (size_t fresh = 0; considered < most && fresh < parameters_.sample; ++considered) {
                fresh += hood.pool[considered].fresh ? 1 : 0;
            }
            hood.considered = considered;
        }
    }

    // Tells the candidates' own lists of them, where their pools do not know. Calls come in row order.
    void sample(size_t first, size_t end) {
        if (first == 0) {
            random_sample_.seed(SEED * 5081);
        }
        for (size_t row = first; row < end; ++row) {
            Hood& hood = hoods_[row];
            for (size_t place = 0; place < hood.considered; ++place) {
                Candidate& candidate = hood.pool[place];
                Hood& other = hoods_[candidate.id];
                (candidate.fresh ? hood.fresh : hood.known).push_back(candidate.id);
                if (candidate.distance > other.pool.back().distance) {
                    std::vector<int32_t>& told = candidate.fresh ? other.told_fresh : other.told_known;
                    if (told.size() < parameters_.reverse) {
                        told.push_back(static_cast<int32_t>(row));
                    } else {
                        told[random_sample_() % parameters_.reverse] = static_cast<int32_t>(row);
                    }
                }
                candidate.fresh = false;
            }
            // Before the next row, which may look at this pool's last place.
            std::make_heap(hood.pool.begin(), hood.pool.end());
        }
    }

    void combine(size_t first, size_t end) {
        for (size_t row = first; row < end; ++row) {
            Hood& hood = hoods_[row];
            hood.fresh.insert(hood.fresh.end(), hood.told_fresh.begin(), hood.told_fresh.end());
            hood.known.insert(hood.known.end(), hood.told_known.begin(), hood.told_known.end());
            hood.known.resize(std::min(hood.known.size(), 2 * parameters_.reverse));
            std::vector<int32_t>().swap(hood.told_fresh);
            std::vector<int32_t>().swap(hood.told_known);
        }
    }

    // The result of these rows.
    void extract(size_t first, size_t end) {
        for (size_t row = first; row < end; ++row) {
            Hood& hood = hoods_[row];
            if (hood.pool.size() < parameters_.neighbors) {
                throw std::runtime_error(
                        "a row has found fewer than " + std::to_string(parameters_.neighbors) +
                        " neighbours; there are too few different rows for NSG");
            }
            std::sort(hood.pool.begin(), hood.pool.end());
            for (size_t place = 0; place < parameters_.neighbors; ++place) {
                neighbors_[row * parameters_.neighbors + place] = hood.pool[place].id;
            }
            hood = Hood();
        }
    }

    void clear() {
        std::vector<Hood>().swap(hoods_);
        std::vector<int32_t>().swap(neighbors_);
        found_.clear();
    }

  private:
    struct Hood {
        // A heap, but sorted between `select` and `sample`.
        std::vector<Candidate> pool;
        std::vector<int32_t> fresh;
        std::vector<int32_t> known;
        std::vector<int32_t> told_fresh;
        std::vector<int32_t> told_known;
        // Places of the sorted pool that are joined.
        size_t considered = 0;
    };

    struct Found {
        int32_t row;
        int32_t id;
        float distance;
    };

    static constexpr uint32_t SEED = 2021;

    // Different numbers of rows: sorted draws, pushed apart and then turned by a random distance.
    void draw_different(std::mt19937& random, std::vector<int32_t>& drawn) const {
        const size_t size = drawn.size();
        for (int32_t& id : drawn) {
            id = static_cast<int32_t>(random() % (rows_ - size));
        }
        std::sort(drawn.begin(), drawn.end());
        for (size_t place = 1; place < size; ++place) {
            drawn[place] = std::max(drawn[place], drawn[place - 1] + 1);
        }
        const size_t turn = random() % rows_;
        for (int32_t& id : drawn) {
            id = static_cast<int32_t>((static_cast<size_t>(id) + turn) % rows_);
        }
    }

    void insert_one(std::vector<Candidate>& pool, const Found& found) const {
        if (found.distance > pool.front().distance) {
            return;
        }
        for (const Candidate& candidate : pool) {
            if (candidate.id == found.id) {
                return;
            }
        }
        if (pool.size() < parameters_.pool) {
            pool.push_back({found.id, found.distance, true});
        } else {
            std::pop_heap(pool.begin(), pool.end());
            pool.back() = {found.id, found.distance, true};
        }
        std::push_heap(pool.begin(), pool.end());
    }

    Parameters parameters_;
    size_t rows_;
    size_t partitions_;
    std::vector<std::vector<std::vector<Found>>> found_;
    std::vector<Hood> hoods_;
    std::vector<int32_t> neighbors_;
    std::mt19937 random_joins_{SEED * 6007};
    std::mt19937 random_pools_{SEED * 7741};
    std::mt19937 random_sample_;
};

} // namespace faiss_indexer
