// Makes every row of an NSG graph one that searches can come to, with the links that NSG::tree_grow makes.
//
// Faiss draws rows until one is found that has room for a link, and draws for ever where none has: rows that are all
// alike link to the same few. Here that is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <faiss/impl/NSG.h>
#include <faiss/utils/random.h>

#include "guarded_call.h"

namespace faiss_indexer {

class SpanningTree {
  public:
    // `degrees` has the number of links of each row, which are first in its list.
    SpanningTree(faiss::nsg::Graph<int32_t>& graph, std::vector<int32_t>& degrees)
            : graph_(graph), degrees_(degrees), reached_(degrees.size()) {}

    // Whether there is a row that cannot be reached, which is `first_unreached` then.
    bool is_incomplete() {
        while (first_unreached_ < reached_.size() && reached_[first_unreached_]) {
            ++first_unreached_;
        }
        return first_unreached_ < reached_.size();
    }

    int32_t first_unreached() const {
        return static_cast<int32_t>(first_unreached_);
    }

    bool has_room(int32_t row) const {
        return degrees_[row] < graph_.K;
    }

    // Follows the links from `root`.
    void reach(int32_t root) {
        enter(root);
        while (!path_.empty()) {
            auto& [row, place] = path_.back();
            if (place == degrees_[row]) {
                path_.pop_back();
                continue;
            }
            const int32_t next = graph_.at(row, place++);
            if (!reached_[next]) {
                enter(next);
            }
        }
    }

    // Adds a link from `row`, which has room, to the first row that was not reached.
    void attach(int32_t row) {
        graph_.at(row, degrees_[row]++) = first_unreached();
        if (reached_[row] && !has_room(row)) {
            --reached_with_room_;
        }
    }

    int32_t draw_with_room(faiss::RandomGenerator& random) const {
        if (reached_with_room_ == 0) {
            throw std::runtime_error(
                    "row " + std::to_string(first_unreached_) +
                    " cannot be linked: all rows that searches come to have their " + std::to_string(graph_.K) +
                    " links; too many rows are alike");
        }
        while (true) {
            check_cancelled();
            const int32_t row = random.rand_int(static_cast<int>(reached_.size()));
            if (reached_[row] && has_room(row)) {
                return row;
            }
        }
    }

  private:
    void enter(int32_t row) {
        if (++entered_ % ROWS_PER_CHECK == 0) {
            check_cancelled();
        }
        if (!reached_[row] && has_room(row)) {
            ++reached_with_room_;
        }
        reached_[row] = true;
        path_.emplace_back(row, 0);
    }

    static constexpr size_t ROWS_PER_CHECK = 1 << 16;

    faiss::nsg::Graph<int32_t>& graph_;
    std::vector<int32_t>& degrees_;
    std::vector<bool> reached_;
    size_t first_unreached_ = 0;
    size_t reached_with_room_ = 0;
    size_t entered_ = 0;
    // The rows from the root to where it is, and the link of each that is next.
    std::vector<std::pair<int32_t, int32_t>> path_;
};

} // namespace faiss_indexer
