// Builds the graph of an NSG index so that several threads can share the work and the result is, byte for byte, the
// one that IndexNSG::add leaves on one thread: NN-descent (neighborhoods.h) gives each row its nearest neighbours,
// a search through them its candidates, from which its links are selected. Called by src/graph_nsg.rs only.
//
// The searches and selections of the rows are independent. What the links ask of each other's lists is done in row
// order, because a row's own list may already have been changed by those before it.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include <faiss/IndexNSG.h>
#include <faiss/IndexPQ.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/FaissAssert.h>
#include <faiss/impl/NSG.h>
#include <faiss/utils/random.h>

#include "guarded_call.h"
#include "neighborhoods.h"
#include "storage_distances.h"

namespace {

using faiss::DistanceComputer;
using faiss_indexer::CancelScope;
using faiss_indexer::Candidate;
using faiss_indexer::check_cancelled;
using faiss_indexer::guarded;
using faiss_indexer::Met;
using faiss_indexer::Neighborhoods;

// The numbers are those of Step in src/graph_nsg.rs.
enum Step : int32_t {
    DRAW = 0,
    MEASURE = 1,
    JOIN = 2,
    INSERT = 3,
    SELECT = 4,
    SAMPLE = 5,
    COMBINE = 6,
    EXTRACT = 7,
    SUM = 8,
    ENTER = 9,
    LINK = 10,
    LINK_BACK = 11,
};

constexpr int32_t NOBODY = -1;

// A node seen from the row that is linked.
struct Link {
    int32_t id;
    float distance;
    bool operator<(const Link& other) const {
        return distance < other.distance;
    }
};

// What one thread needs.
struct Linker {
    std::unique_ptr<DistanceComputer> distances;
    Met met;
    std::vector<float> row;
    std::vector<Candidate> nearest;
    std::vector<Link> seen;
    std::vector<Link> kept;
};

// Puts a candidate into its place among `size` sorted ones, the last of which falls out; returns that place, or a
// number beyond `size` when it is there already. `sorted` has room for one more.
int place_in_order(Candidate* sorted, int size, const Candidate& candidate) {
    int before = 0;
    int behind = size - 1;
    if (sorted[0].distance > candidate.distance) {
        std::copy_backward(sorted, sorted + size, sorted + size + 1);
        sorted[0] = candidate;
        return 0;
    }
    if (sorted[behind].distance < candidate.distance) {
        sorted[size] = candidate;
        return size;
    }
    while (before + 1 < behind) {
        const int middle = (before + behind) / 2;
        (sorted[middle].distance > candidate.distance ? behind : before) = middle;
    }
    for (; before > 0 && !(sorted[before].distance < candidate.distance); --before) {
        if (sorted[before].id == candidate.id) {
            return size + 1;
        }
    }
    if (sorted[before].id == candidate.id || sorted[behind].id == candidate.id) {
        return size + 1;
    }
    std::copy_backward(sorted + behind, sorted + size, sorted + size + 1);
    sorted[behind] = candidate;
    return behind;
}

class NsgBuild {
  public:
    // The index holds the codes of `rows` rows and no graph yet.
    NsgBuild(faiss::IndexNSG& index, size_t rows, size_t workers, size_t slots)
            : index_(index),
              nsg_(index.nsg),
              rows_(rows),
              neighborhoods_(rows, parameters(index), workers, slots),
              linkers_(workers),
              center_(index.storage->d) {
        FAISS_THROW_IF_NOT(index.build_type == 1 && !index.is_built && nsg_.ntotal == 0);
        FAISS_THROW_IF_NOT(index.storage->ntotal == static_cast<faiss::idx_t>(rows));
        // Faiss makes this table when it trains, not when it reads an index.
        if (auto* storage = dynamic_cast<faiss::IndexPQ*>(index.storage); storage != nullptr) {
            storage->pq.compute_sdc_table();
        }
        index.ntotal = index.storage->ntotal;
        nsg_.ntotal = static_cast<int>(rows);
        for (Linker& linker : linkers_) {
            linker.distances = faiss_indexer::storage_distances(*index.storage);
            linker.row.resize(index.storage->d);
        }
    }

    void run(int32_t step, size_t worker, size_t slot, size_t first, size_t end) {
        DistanceComputer& distances = *linkers_[worker].distances;
        switch (step) {
            case DRAW:
                return neighborhoods_.draw(first, end);
            case MEASURE:
                return neighborhoods_.measure(distances, first, end);
            case JOIN:
                return neighborhoods_.join(distances, slot, first, end);
            case INSERT:
                return neighborhoods_.insert(worker, slot);
            case SELECT:
                return neighborhoods_.select(first, end);
            case SAMPLE:
                return neighborhoods_.sample(first, end);
            case COMBINE:
                return neighborhoods_.combine(first, end);
            case EXTRACT:
                return neighborhoods_.extract(first, end);
            case SUM:
                return sum(linkers_[worker], first, end);
            case ENTER:
                return enter(linkers_[worker]);
            case LINK:
                return link(linkers_[worker], first, end);
            case LINK_BACK:
                return link_back(linkers_[worker], first, end);
            default:
                throw std::invalid_argument("no such step");
        }
    }

    // The final graph, in which every node can be reached from the one where searches enter.
    void finish() {
        nsg_.final_graph = std::make_shared<faiss::nsg::Graph<int>>(static_cast<int>(rows_), nsg_.R);
        std::fill_n(nsg_.final_graph->data, links_.size(), NOBODY);
        std::vector<int> degrees(rows_);
        for (size_t row = 0; row < rows_; ++row) {
            for (size_t place = 0; place < most_links(); ++place) {
                if (list(row)[place].id != NOBODY) {
                    nsg_.final_graph->at(static_cast<int>(row), degrees[row]++) = list(row)[place].id;
                }
            }
        }
        std::vector<Link>().swap(links_);
        neighborhoods_.clear();

        faiss::VisitedTable reached(nsg_.ntotal);
        faiss::VisitedTable met(nsg_.ntotal);
        for (int root = nsg_.enterpoint, count = 0; (count = nsg_.dfs(reached, root, count)) < nsg_.ntotal;) {
            check_cancelled();
            root = nsg_.attach_unlinked(index_.storage, reached, met, degrees);
            met.advance();
        }
        nsg_.check_graph();
        nsg_.is_built = true;
        index_.is_built = true;
    }

  private:
    static Neighborhoods::Parameters parameters(const faiss::IndexNSG& index) {
        Neighborhoods::Parameters parameters;
        parameters.neighbors = static_cast<size_t>(index.GK);
        parameters.sample = static_cast<size_t>(index.nndescent_S);
        parameters.reverse = static_cast<size_t>(index.nndescent_R);
        parameters.pool = static_cast<size_t>(std::max(index.nndescent_L, index.GK + 50));
        return parameters;
    }

    size_t most_links() const {
        return static_cast<size_t>(nsg_.R);
    }

    Link* list(size_t row) {
        return links_.data() + row * most_links();
    }

    void sum(Linker& linker, size_t first, size_t end) {
        for (size_t row = first; row < end; ++row) {
            index_.storage->reconstruct(static_cast<faiss::idx_t>(row), linker.row.data());
            for (size_t component = 0; component < center_.size(); ++component) {
                center_[component] += linker.row[component];
            }
        }
    }

    // Searches enter the graph at the node nearest to the center of all.
    void enter(Linker& linker) {
        for (float& component : center_) {
            component /= static_cast<float>(nsg_.ntotal);
        }
        linker.distances->set_query(center_.data());
        search(linker, nsg_.rng.rand_int(nsg_.ntotal));
        nsg_.enterpoint = linker.nearest[0].id;
        links_.resize(rows_ * most_links());
    }

    // Leaves the L nearest nodes that the search from `start` meets in `linker.nearest`, and all of them in
    // `linker.seen`.
    void search(Linker& linker, int start) {
        const int size = nsg_.L;
        faiss::RandomGenerator random(0x1234);
        linker.met.clear();
        linker.seen.clear();
        linker.nearest.clear();
        auto meet = [&](int32_t node) {
            linker.nearest.push_back({node, (*linker.distances)(node), true});
            linker.seen.push_back({node, linker.nearest.back().distance});
        };
        const int32_t* neighbors = neighborhoods_.neighbors(start);
        const size_t count = neighborhoods_.parameters().neighbors;
        for (size_t place = 0; place < std::min(count, static_cast<size_t>(size)); ++place) {
            linker.met.insert(neighbors[place]);
            meet(neighbors[place]);
        }
        while (linker.nearest.size() < static_cast<size_t>(size)) {
            const int node = random.rand_int(nsg_.ntotal);
            if (linker.met.insert(node)) {
                meet(node);
            }
        }
        std::sort(linker.nearest.begin(), linker.nearest.end());
        linker.nearest.emplace_back();
        Candidate* nearest = linker.nearest.data();
        for (int next = 0; next < size;) {
            int changed = size;
            if (nearest[next].fresh) {
                nearest[next].fresh = false;
                neighbors = neighborhoods_.neighbors(nearest[next].id);
                for (size_t place = 0; place < count; ++place) {
                    const int32_t node = neighbors[place];
                    if (!linker.met.insert(node)) {
                        continue;
                    }
                    const float distance = (*linker.distances)(node);
                    linker.seen.push_back({node, distance});
                    if (distance < nearest[size - 1].distance) {
                        changed = std::min(changed, place_in_order(nearest, size, {node, distance, true}));
                    }
                }
            }
            next = changed <= next ? changed : next + 1;
        }
    }

    // Whether a node that is nearer to one that is kept than to the row, or is itself kept.
    static bool is_covered(DistanceComputer& distances, const std::vector<Link>& kept, const Link& link) {
        for (const Link& other : kept) {
            if (link.id == other.id || distances.symmetric_dis(other.id, link.id) < link.distance) {
                return true;
            }
        }
        return false;
    }

    void link(Linker& linker, size_t first, size_t end) {
        DistanceComputer& distances = *linker.distances;
        std::vector<Link>& kept = linker.kept;
        for (size_t row = first; row < end; ++row) {
            const auto node = static_cast<int32_t>(row);
            index_.storage->reconstruct(node, linker.row.data());
            distances.set_query(linker.row.data());
            search(linker, nsg_.enterpoint);
            const int32_t* neighbors = neighborhoods_.neighbors(row);
            for (size_t place = 0; place < neighborhoods_.parameters().neighbors; ++place) {
                if (linker.met.insert(neighbors[place])) {
                    linker.seen.push_back({neighbors[place], distances.symmetric_dis(node, neighbors[place])});
                }
            }
            std::sort(linker.seen.begin(), linker.seen.end());

            size_t next = linker.seen[0].id == node ? 1 : 0;
            kept.assign(1, linker.seen[next]);
            const size_t candidates = std::min(linker.seen.size(), static_cast<size_t>(nsg_.C));
            while (kept.size() < most_links() && ++next < candidates) {
                if (!is_covered(distances, kept, linker.seen[next])) {
                    kept.push_back(linker.seen[next]);
                }
            }
            std::copy(kept.begin(), kept.end(), list(row));
            std::fill(list(row) + kept.size(), list(row + 1), Link{NOBODY, 0});
        }
    }

    // Offers each row to the nodes it links to.
    void link_back(Linker& linker, size_t first, size_t end) {
        std::vector<Link>& offered = linker.seen;
        std::vector<Link>& kept = linker.kept;
        for (size_t row = first; row < end; ++row) {
            for (size_t place = 0; place < most_links() && list(row)[place].id != NOBODY; ++place) {
                Link* target = list(list(row)[place].id);
                const Link back = {static_cast<int32_t>(row), list(row)[place].distance};
                size_t length = 0;
                while (length < most_links() && target[length].id != NOBODY && target[length].id != back.id) {
                    ++length;
                }
                if (length < most_links()) {
                    // A row that is there stays as it is.
                    if (target[length].id == NOBODY) {
                        target[length] = back;
                    }
                    continue;
                }
                offered.assign(target, target + length);
                offered.push_back(back);
                std::sort(offered.begin(), offered.end());
                kept.assign(1, offered[0]);
                for (size_t next = 1; kept.size() < most_links() && next < offered.size(); ++next) {
                    if (!is_covered(*linker.distances, kept, offered[next])) {
                        kept.push_back(offered[next]);
                    }
                }
                // Faiss leaves the entries behind those it keeps.
                std::copy(kept.begin(), kept.end(), target);
            }
        }
    }

    faiss::IndexNSG& index_;
    faiss::NSG& nsg_;
    size_t rows_;
    Neighborhoods neighborhoods_;
    std::vector<Linker> linkers_;
    std::vector<float> center_;
    std::vector<Link> links_;
};

} // namespace

extern "C" {

struct FaissNsgParameters {
    // Links per row, nodes that a search keeps, neighbours per row, rounds of NN-descent.
    uint64_t links;
    uint64_t kept;
    uint64_t neighbors;
    uint64_t rounds;
};

void faiss_graph_nsg_parameters(const faiss::Index* index, FaissNsgParameters* parameters) {
    auto& nsg = dynamic_cast<const faiss::IndexNSG&>(*index);
    *parameters = {
            static_cast<uint64_t>(nsg.nsg.R),
            static_cast<uint64_t>(nsg.nsg.L),
            static_cast<uint64_t>(nsg.GK),
            static_cast<uint64_t>(nsg.nndescent_iter)};
}

// The index outlives the build.
int32_t faiss_graph_nsg_open(
        faiss::Index* index,
        uint64_t rows,
        uint64_t workers,
        uint64_t slots,
        NsgBuild** out,
        char** message) {
    return guarded(
            message, [&] { *out = new NsgBuild(dynamic_cast<faiss::IndexNSG&>(*index), rows, workers, slots); });
}

void faiss_graph_nsg_drop(NsgBuild* build) {
    delete build;
}

// One step for the rows from `first` to `end`. DRAW, SAMPLE, SUM, ENTER and LINK_BACK run alone and in row order;
// calls of one of the others may run at the same time when neither their workers nor their rows (for JOIN: slots) are
// the same.
int32_t faiss_graph_nsg_run(
        NsgBuild* build,
        int32_t step,
        uint64_t worker,
        uint64_t slot,
        uint64_t first,
        uint64_t end,
        char** message) {
    return guarded(message, [&] { build->run(step, worker, slot, first, end); });
}

int32_t faiss_graph_nsg_finish(NsgBuild* build, const uint8_t* cancel, char** message) {
    CancelScope scope(cancel);
    return guarded(message, [&] { build->finish(); });
}

} // extern "C"
