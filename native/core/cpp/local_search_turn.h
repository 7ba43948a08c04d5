// Faiss keeps the times of LocalSearchQuantizer in one table for the whole process, without a lock
// (LocalSearchQuantizer.cpp, lsq_timer). So only one thread at a time may train with it or add rows.
#pragma once

#include <chrono>
#include <mutex>
#include <thread>

#include "guarded_call.h"
#include "index_structure.h"

namespace faiss_indexer {

// Held for the life of this object, where the index needs it. Gives up waiting when the task is cancelled.
class LocalSearchTurn {
  public:
    explicit LocalSearchTurn(const faiss::Index* index) {
        static std::mutex only_one;
        if (searches_locally(index)) {
            turn_ = std::unique_lock<std::mutex>(only_one, std::defer_lock);
            // Waiting with a time limit takes a newer glibc.
            while (!turn_.try_lock()) {
                check_cancelled();
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
            }
        }
    }

  private:
    std::unique_lock<std::mutex> turn_;
};

} // namespace faiss_indexer
