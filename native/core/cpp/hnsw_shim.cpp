// Builds the graph of an HNSW index so that several threads can share the work and the result is, byte for byte, the
// one that IndexHNSW::add leaves when it adds all rows on one thread. Called by src/graph_index.rs only.
//
// A row's place in the graph is found by a search that reads lists of neighbours and changes none. Several rows are
// searched at the same time against the graph as it stands (`search`), and then committed in order (`commit`) for as
// long as the rows before them have changed nothing that matters to them (`still_right`); the first row for which
// they have is searched again. What a row changes is part of its search's result, the shortened lists of its
// neighbours included.
//
// What matters: a list that was read and has been rewritten since. An entry that was only appended matters when the
// search would have gone on to it. It would not when it is no nearer than what the search had found by then; all it
// can do besides is to fall into one group of four distances with entries before it, which may be rounded in another
// way.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/FaissAssert.h>
#include <faiss/impl/HNSW.h>
#include <faiss/utils/random.h>

#include "guarded_call.h"
#include "storage_distances.h"

namespace {

using faiss::DistanceComputer;
using faiss::HNSW;
using faiss_indexer::CancelScope;
using faiss_indexer::check_cancelled;
using faiss_indexer::guarded;
using faiss_indexer::Met;
using Node = HNSW::storage_idx_t;

// The queues whose order among equal distances decides which rows are kept: those of Faiss, emptied instead of
// made anew.
template <typename Entry>
struct Queue : std::priority_queue<Entry> {
    void clear() {
        this->c.clear();
    }
};
using NearestFirst = Queue<HNSW::NodeDistFarther>;
using FarthestFirst = Queue<HNSW::NodeDistCloser>;

// What one thread needs for its searches.
struct Searcher {
    std::unique_ptr<DistanceComputer> distances;
    Met met;
    NearestFirst to_expand;
    FarthestFirst nearest;
    std::vector<Node> unmet;
};

// How a search saw a list.
struct Read {
    uint32_t list;
    int32_t level;
    uint32_t length;
    // Entries behind the last whole group of four that were measured.
    uint32_t ungrouped;
    Node rest[3];
    // An entry at the end of the list would have changed the search if nearer than `bound`, or in any case.
    bool bounded;
    float bound;
};

// Entries of one list that a row changes: `length` entries from `entries[from]` go to `first`, and what follows up to
// `end` is emptied. An entry that is appended may have to move on, up to the list's `limit`.
struct Change {
    uint32_t list;
    uint32_t from;
    uint32_t length;
    bool rewrites;
    size_t first;
    size_t end;
    size_t limit;
};

// The result of one search.
struct Found {
    uint32_t round = 0;
    std::vector<Read> read;
    std::vector<Change> changes;
    std::vector<Node> entries;

    void clear() {
        read.clear();
        changes.clear();
        entries.clear();
    }
};

// A list's number: the lists above the base level share one per node, which can only make a row be searched again
// without need.
uint32_t list_number(Node node, int level) {
    return 2 * static_cast<uint32_t>(node) + (level > 0 ? 1 : 0);
}

class HnswBuild {
  public:
    // The index holds the codes of `rows` rows and no graph yet.
    HnswBuild(faiss::IndexHNSW& index, const float* vectors, size_t rows, size_t searchers, size_t window)
            : hnsw_(index.hnsw), vectors_(vectors), dimension_(index.d), searchers_(searchers), found_(window) {
        FAISS_THROW_IF_NOT(hnsw_.levels.empty() && index.init_level0 && !index.keep_max_size_level0);
        FAISS_THROW_IF_NOT(index.storage->ntotal == static_cast<faiss::idx_t>(rows));
        FAISS_THROW_IF_NOT(rows <= static_cast<size_t>(std::numeric_limits<Node>::max()));
        index.ntotal = index.storage->ntotal;
        faiss_indexer::prepare_symmetric_distances(*index.storage);
        for (Searcher& searcher : searchers_) {
            searcher.distances = faiss_indexer::storage_distances(*index.storage);
        }
        draw_levels(rows);
        sort_by_level(rows);
        changed_.resize(2 * rows);
        rewritten_.resize(2 * rows);
        if (rows > 0) {
            hnsw_.entry_point = order_[0];
            hnsw_.max_level = level_of(order_[0]);
        }
    }

    void begin_round() {
        ++round_;
    }

    void search(size_t worker, size_t slot, size_t position) {
        Searcher& searcher = searchers_[worker];
        Found& found = found_[slot];
        found.clear();
        found.round = round_;

        const Node row = order_[position];
        set_query(searcher, row);
        HNSW::NodeDistCloser nearest((*searcher.distances)(hnsw_.entry_point), hnsw_.entry_point);
        int level = hnsw_.max_level;
        for (; level > level_of(row); --level) {
            descend(searcher, nearest, level, found);
        }
        for (; level >= 0; --level) {
            search_level(searcher, nearest, level, found);
            link(searcher, row, level, found);
        }
    }

    // Whether the slot's result is what a search would find by this time. Entries that were appended and do not matter
    // become part of the result.
    bool still_right(size_t worker, size_t slot, size_t position) {
        Searcher& searcher = searchers_[worker];
        Found& found = found_[slot];
        bool has_query = false;
        for (Read& read : found.read) {
            if (changed_[read.list] < found.round) {
                continue;
            }
            if (rewritten_[read.list] >= found.round) {
                return false;
            }
            const List list = list_of(static_cast<Node>(read.list / 2), read.level);
            searcher.unmet.assign(read.rest, read.rest + read.ungrouped);
            for (size_t entry = list.begin + read.length; entry < list.end && hnsw_.neighbors[entry] >= 0; ++entry) {
                searcher.unmet.push_back(hnsw_.neighbors[entry]);
            }
            if (searcher.unmet.size() == read.ungrouped) {
                continue;
            }
            if (!read.bounded) {
                return false;
            }
            if (!has_query) {
                set_query(searcher, order_[position]);
                has_query = true;
            }
            if (!appended_do_not_matter(searcher, read)) {
                return false;
            }
        }
        for (Change& change : found.changes) {
            if (changed_[change.list] < found.round) {
                continue;
            }
            if (rewritten_[change.list] >= found.round) {
                return false;
            }
            if (!change.rewrites) {
                while (change.first < change.limit && hnsw_.neighbors[change.first] >= 0) {
                    ++change.first;
                }
                if (change.first == change.limit) {
                    return false;
                }
                change.end = change.first + 1;
            }
        }
        return true;
    }

    void commit(size_t slot) {
        const Found& found = found_[slot];
        Node* neighbors = hnsw_.neighbors.data();
        for (const Change& change : found.changes) {
            std::copy_n(found.entries.begin() + change.from, change.length, neighbors + change.first);
            std::fill(neighbors + change.first + change.length, neighbors + change.end, -1);
            changed_[change.list] = round_;
            if (change.rewrites) {
                rewritten_[change.list] = round_;
            }
        }
    }

  private:
    struct List {
        size_t begin;
        size_t end;
    };

    int level_of(Node node) const {
        return hnsw_.levels[node] - 1;
    }

    List list_of(Node node, int level) const {
        List list;
        hnsw_.neighbor_range(node, level, &list.begin, &list.end);
        return list;
    }

    void set_query(Searcher& searcher, Node row) const {
        searcher.distances->set_query(vectors_ + static_cast<size_t>(row) * dimension_);
    }

    // `searcher.unmet` has the read's ungrouped entries, followed by those that were appended; these are then part of
    // the read, unless they matter. An appended entry that the search would have met in another list before is in no
    // group here, so each has to be beyond the bound both alone and in a group.
    static bool appended_do_not_matter(Searcher& searcher, Read& read) {
        const std::vector<Node>& nodes = searcher.unmet;
        DistanceComputer& distances = *searcher.distances;
        for (size_t place = 0; place < nodes.size(); ++place) {
            const float alone = distances(nodes[place]);
            const float grouped = grouped_distance(distances, nodes[place]);
            const bool matters = place < read.ungrouped ? nodes.size() >= 4 && alone != grouped
                                                        : std::min(alone, grouped) < read.bound;
            if (matters) {
                return false;
            }
        }
        read.length += static_cast<uint32_t>(nodes.size()) - read.ungrouped;
        note_ungrouped(nodes, read);
        return true;
    }

    static float grouped_distance(DistanceComputer& distances, Node node) {
        float away[4];
        distances.distances_batch_4(node, node, node, node, away[0], away[1], away[2], away[3]);
        return away[0];
    }

    static void note_ungrouped(const std::vector<Node>& nodes, Read& read) {
        read.ungrouped = nodes.size() % 4;
        std::copy(nodes.end() - read.ungrouped, nodes.end(), read.rest);
    }

    // The entries of a list that `wanted` asks for, in `searcher.unmet`.
    template <typename Wanted>
    Read read_list(Searcher& searcher, Node node, int level, Wanted wanted) const {
        const List list = list_of(node, level);
        searcher.unmet.clear();
        size_t entry = list.begin;
        for (; entry < list.end && hnsw_.neighbors[entry] >= 0; ++entry) {
            if (wanted(hnsw_.neighbors[entry])) {
                searcher.unmet.push_back(hnsw_.neighbors[entry]);
            }
        }
        Read read = {list_number(node, level), level, static_cast<uint32_t>(entry - list.begin), 0, {}, true, 0};
        note_ungrouped(searcher.unmet, read);
        return read;
    }

    // The levels, and room for the lists, as HNSW::prepare_level_tab makes them.
    void draw_levels(size_t rows) {
        hnsw_.levels.reserve(rows);
        hnsw_.offsets.reserve(rows + 1);
        for (size_t row = 0; row < rows; ++row) {
            check_sometimes(row);
            const int level = hnsw_.random_level();
            hnsw_.levels.push_back(level + 1);
            hnsw_.offsets.push_back(hnsw_.offsets.back() + hnsw_.cum_nb_neighbors(level + 1));
        }
        const size_t entries = hnsw_.offsets.back();
        hnsw_.neighbors.owned_data.reserve(entries);
        for (size_t size = 0; size < entries;) {
            check_cancelled();
            size = std::min(entries, size + ENTRIES_PER_CHECK);
            hnsw_.neighbors.resize(size, -1);
        }
    }

    // Rows of the highest level first; those of one level are shuffled as in IndexHNSW::add, whose generator starts
    // from 789.
    void sort_by_level(size_t rows) {
        std::vector<size_t> sizes;
        for (size_t row = 0; row < rows; ++row) {
            check_sometimes(row);
            sizes.resize(std::max<size_t>(sizes.size(), hnsw_.levels[row]));
            ++sizes[hnsw_.levels[row] - 1];
        }
        std::vector<size_t> next(sizes.size());
        for (size_t level = sizes.size(), first = 0; level-- > 0; first += sizes[level]) {
            next[level] = first;
        }
        const std::vector<size_t> begins = next;
        order_.resize(rows);
        for (size_t row = 0; row < rows; ++row) {
            check_sometimes(row);
            order_[next[hnsw_.levels[row] - 1]++] = static_cast<Node>(row);
        }
        faiss::RandomGenerator random(789);
        for (size_t level = sizes.size(); level-- > 0;) {
            const size_t end = begins[level] + sizes[level];
            for (size_t place = begins[level]; place < end; ++place) {
                check_sometimes(place);
                std::swap(order_[place], order_[place + random.rand_int(static_cast<int>(end - place))]);
            }
        }
    }

    static void check_sometimes(size_t step) {
        if (step % ROWS_PER_CHECK == 0) {
            check_cancelled();
        }
    }

    // Calls `visit` with each node and its distance to the query. The groups of four are those of Faiss, because a
    // group may be rounded in another way than a single distance.
    template <typename Visit>
    static void each_distance(DistanceComputer& distances, const std::vector<Node>& nodes, Visit visit) {
        size_t next = 0;
        for (; next + 4 <= nodes.size(); next += 4) {
            const Node* four = nodes.data() + next;
            float away[4];
            distances.distances_batch_4(four[0], four[1], four[2], four[3], away[0], away[1], away[2], away[3]);
            for (size_t member = 0; member < 4; ++member) {
                visit(four[member], away[member]);
            }
        }
        for (; next < nodes.size(); ++next) {
            visit(nodes[next], distances(nodes[next]));
        }
    }

    // Moves to the nearest neighbour for as long as one is nearer.
    void descend(Searcher& searcher, HNSW::NodeDistCloser& nearest, int level, Found& found) const {
        for (int before = -1; before != nearest.id;) {
            before = nearest.id;
            Read read = read_list(searcher, before, level, [](Node) { return true; });
            each_distance(*searcher.distances, searcher.unmet, [&](Node node, float distance) {
                if (distance < nearest.d) {
                    nearest = {distance, node};
                }
            });
            read.bound = nearest.d;
            found.read.push_back(read);
        }
    }

    // Leaves the efConstruction nearest nodes of a level that the search from `start` meets in `searcher.nearest`.
    void search_level(Searcher& searcher, const HNSW::NodeDistCloser& start, int level, Found& found) const {
        const size_t wanted = static_cast<size_t>(hnsw_.efConstruction);
        NearestFirst& to_expand = searcher.to_expand;
        FarthestFirst& nearest = searcher.nearest;
        searcher.met.clear();
        to_expand.clear();
        nearest.clear();
        to_expand.emplace(start.d, start.id);
        nearest.emplace(start.d, start.id);
        searcher.met.insert(start.id);
        while (!to_expand.empty() && !(to_expand.top().d > nearest.top().d)) {
            const Node node = to_expand.top().id;
            to_expand.pop();
            Read read = read_list(searcher, node, level, [&](Node other) { return searcher.met.insert(other); });
            each_distance(*searcher.distances, searcher.unmet, [&](Node other, float distance) {
                if (nearest.size() < wanted || distance < nearest.top().d) {
                    nearest.emplace(distance, other);
                    to_expand.emplace(distance, other);
                    if (nearest.size() > wanted) {
                        nearest.pop();
                    }
                }
            });
            read.bounded = nearest.size() >= wanted;
            read.bound = nearest.top().d;
            found.read.push_back(read);
        }
    }

    // Drops nodes that are nearer to one that is kept than to the row, and those beyond `most`.
    static void thin_out(DistanceComputer& distances, FarthestFirst& nodes, size_t most) {
        if (nodes.size() < most) {
            return;
        }
        std::priority_queue<HNSW::NodeDistFarther> nearest_first;
        for (; !nodes.empty(); nodes.pop()) {
            nearest_first.emplace(nodes.top().d, nodes.top().id);
        }
        std::vector<HNSW::NodeDistFarther> kept;
        HNSW::shrink_neighbor_list(distances, nearest_first, kept, static_cast<int>(most));
        for (const HNSW::NodeDistFarther& node : kept) {
            nodes.emplace(node.d, node.id);
        }
    }

    // Appends what is left of `nodes` to the entries, farthest first.
    static uint32_t drain(FarthestFirst& nodes, Found& found) {
        uint32_t length = 0;
        for (; !nodes.empty(); nodes.pop(), ++length) {
            found.entries.push_back(nodes.top().id);
        }
        return length;
    }

    // The row's own list and its entries in the lists of its neighbours.
    void link(Searcher& searcher, Node row, int level, Found& found) const {
        DistanceComputer& distances = *searcher.distances;
        FarthestFirst& nodes = searcher.nearest;
        const List own = list_of(row, level);
        thin_out(distances, nodes, own.end - own.begin);
        const uint32_t first = static_cast<uint32_t>(found.entries.size());
        const uint32_t linked = drain(nodes, found);
        found.changes.push_back({list_number(row, level), first, linked, true, own.begin, own.end, own.end});

        for (uint32_t neighbor = 0; neighbor < linked; ++neighbor) {
            const Node other = found.entries[first + neighbor];
            const List list = list_of(other, level);
            const uint32_t from = static_cast<uint32_t>(found.entries.size());
            if (hnsw_.neighbors[list.end - 1] < 0) {
                size_t free = list.end - 1;
                while (free > list.begin && hnsw_.neighbors[free - 1] < 0) {
                    --free;
                }
                found.entries.push_back(row);
                found.changes.push_back({list_number(other, level), from, 1, false, free, free + 1, list.end});
                continue;
            }
            nodes.clear();
            nodes.emplace(distances.symmetric_dis(other, row), row);
            for (size_t entry = list.begin; entry < list.end; ++entry) {
                const Node linked_before = hnsw_.neighbors[entry];
                nodes.emplace(distances.symmetric_dis(other, linked_before), linked_before);
            }
            thin_out(distances, nodes, list.end - list.begin);
            const uint32_t length = drain(nodes, found);
            found.changes.push_back({list_number(other, level), from, length, true, list.begin, list.end, list.end});
        }
    }

    static constexpr size_t ROWS_PER_CHECK = 1 << 18;
    static constexpr size_t ENTRIES_PER_CHECK = 1 << 22;

    HNSW& hnsw_;
    const float* vectors_;
    size_t dimension_;
    std::vector<Node> order_;
    // The rounds in which each list was last changed, and last rewritten.
    std::vector<uint32_t> changed_;
    std::vector<uint32_t> rewritten_;
    uint32_t round_ = 0;
    std::vector<Searcher> searchers_;
    std::vector<Found> found_;
};

} // namespace

extern "C" {

// `vectors` may be null for an index over uncompressed rows, whose own copy is used then. The index and the vectors
// outlive the build.
int32_t faiss_graph_hnsw_open(
        faiss::Index* index,
        const float* vectors,
        uint64_t rows,
        uint64_t searchers,
        uint64_t window,
        const uint8_t* cancel,
        HnswBuild** out,
        char** message) {
    CancelScope scope(cancel);
    return guarded(message, [&] {
        auto& hnsw = dynamic_cast<faiss::IndexHNSW&>(*index);
        if (vectors == nullptr) {
            vectors = dynamic_cast<faiss::IndexFlat&>(*hnsw.storage).get_xb();
        }
        *out = new HnswBuild(hnsw, vectors, rows, searchers, window);
    });
}

void faiss_graph_hnsw_drop(HnswBuild* build) {
    delete build;
}

void faiss_graph_hnsw_begin_round(HnswBuild* build) {
    build->begin_round();
}

// Calls with different workers and slots may run at the same time, but not beside `begin_round` and `commit`.
int32_t faiss_graph_hnsw_search(
        HnswBuild* build,
        uint64_t worker,
        uint64_t slot,
        uint64_t position,
        char** message) {
    return guarded(message, [&] { build->search(worker, slot, position); });
}

// Whether the slot's result is that of a search by this time. May run beside calls for other workers and slots.
int32_t faiss_graph_hnsw_still_right(
        HnswBuild* build,
        uint64_t worker,
        uint64_t slot,
        uint64_t position,
        int32_t* right,
        char** message) {
    return guarded(message, [&] { *right = build->still_right(worker, slot, position) ? 1 : 0; });
}

void faiss_graph_hnsw_commit(HnswBuild* build, uint64_t slot) {
    build->commit(slot);
}

} // extern "C"
