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

#include <malloc.h>

#include <faiss/IndexNSG.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/FaissAssert.h>
#include <faiss/impl/NSG.h>
#include <faiss/utils/random.h>

#include "guarded_call.h"
#include "neighborhoods.h"
#include "spanning_tree.h"
#include "storage_distances.h"

namespace {

using faiss::DistanceComputer;
using faiss_indexer::CancelScope;
using faiss_indexer::Candidate;
using faiss_indexer::check_cancelled;
using faiss_indexer::guarded;
using faiss_indexer::Met;
using faiss_indexer::Neighborhoods;
using faiss_indexer::SpanningTree;

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
        faiss_indexer::prepare_symmetric_distances(*index.storage);
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
        neighborhoods_.clear();
        nsg_.final_graph = std::make_shared<faiss::nsg::Graph<int>>(static_cast<int>(rows_), nsg_.R);
        faiss::nsg::Graph<int>& graph = *nsg_.final_graph;
        std::vector<int32_t> degrees(rows_);
        for (size_t row = 0; row < rows_; ++row) {
            if (row % ROWS_PER_CHECK == 0) {
                check_cancelled();
            }
            int32_t* links = graph.data + row * most_links();
            for (const Link* link = list(row); link < list(row + 1); ++link) {
                if (link->id != NOBODY) {
                    links[degrees[row]++] = link->id;
                }
            }
            std::fill(links + degrees[row], links + most_links(), NOBODY);
        }
        std::vector<Link>().swap(links_);

        SpanningTree tree(graph, degrees);
        tree.reach(nsg_.enterpoint);
        while (tree.is_incomplete()) {
            check_cancelled();
            const int32_t row = near_with_room(linkers_[0], tree, degrees);
            tree.attach(row);
            tree.reach(row);
        }
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

    // Neighbours of a node.
    struct Neighbors {
        const int32_t* first;
        size_t count;
    };

    auto nearest_neighbors() const {
        return [this](int32_t node) {
            return Neighbors{neighborhoods_.neighbors(node), neighborhoods_.parameters().neighbors};
        };
    }

    // Searches enter the graph at the node nearest to the center of all.
    void enter(Linker& linker) {
        for (float& component : center_) {
            component /= static_cast<float>(nsg_.ntotal);
        }
        linker.distances->set_query(center_.data());
        search(linker, nsg_.rng.rand_int(nsg_.ntotal), nsg_.L, nearest_neighbors());
        nsg_.enterpoint = linker.nearest[0].id;
        // The many small lists of NN-descent are free, and too scattered for the links.
        malloc_trim(0);
        links_.resize(rows_ * most_links());
    }

    // Leaves the `size` nearest nodes that the search from `start` meets in `linker.nearest`, and all of them in
    // `linker.seen`.
    template <typename NeighborsOf>
    void search(Linker& linker, int start, int size, NeighborsOf neighbors_of) {
        faiss::RandomGenerator random(0x1234);
        linker.met.clear();
        linker.seen.clear();
        linker.nearest.clear();
        auto meet = [&](int32_t node) {
            linker.nearest.push_back({node, (*linker.distances)(node), true});
            linker.seen.push_back({node, linker.nearest.back().distance});
        };
        Neighbors neighbors = neighbors_of(start);
        for (size_t place = 0; place < std::min(neighbors.count, static_cast<size_t>(size)); ++place) {
            linker.met.insert(neighbors.first[place]);
            meet(neighbors.first[place]);
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
                neighbors = neighbors_of(nearest[next].id);
                for (size_t place = 0; place < neighbors.count; ++place) {
                    const int32_t node = neighbors.first[place];
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

    void set_query(Linker& linker, int32_t row) {
        index_.storage->reconstruct(row, linker.row.data());
        linker.distances->set_query(linker.row.data());
    }

    // The row from which the first that was not reached is linked: the nearest with room that a search for it meets,
    // or any.
    int32_t near_with_room(Linker& linker, const SpanningTree& tree, const std::vector<int32_t>& degrees) {
        const int32_t unreached = tree.first_unreached();
        set_query(linker, unreached);
        search(linker, nsg_.enterpoint, nsg_.search_L, [&](int32_t node) {
            return Neighbors{nsg_.final_graph->data + node * most_links(), static_cast<size_t>(degrees[node])};
        });
        std::sort(linker.seen.begin(), linker.seen.end());
        for (const Link& link : linker.seen) {
            if (link.id != unreached && tree.has_room(link.id)) {
                return link.id;
            }
        }
        return tree.draw_with_room(nsg_.rng);
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
            set_query(linker, node);
            search(linker, nsg_.enterpoint, nsg_.L, nearest_neighbors());
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

    static constexpr size_t ROWS_PER_CHECK = 1 << 16;

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

int32_t faiss_graph_nsg_parameters(const faiss::Index* index, FaissNsgParameters* parameters, char** message) {
    return guarded(message, [&] {
        auto& nsg = dynamic_cast<const faiss::IndexNSG&>(*index);
        *parameters = {
                static_cast<uint64_t>(nsg.nsg.R),
                static_cast<uint64_t>(nsg.nsg.L),
                static_cast<uint64_t>(nsg.GK),
                static_cast<uint64_t>(nsg.nndescent_iter)};
    });
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
