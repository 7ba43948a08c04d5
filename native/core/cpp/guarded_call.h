// What every call from Rust into C++ does: exceptions become a code and a message, and Faiss sees the flag of the
// calling task when it asks whether to stop.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>

#include <faiss/impl/AuxIndexStructures.h>

namespace faiss_indexer {

enum Code : int32_t { OK = 0, FAISS = 1, OUT_OF_MEMORY = 2, CANCELLED = 3 };

// The flag of the call that runs on this thread; Rust owns it and outlives the call.
inline thread_local const volatile uint8_t* cancel_flag = nullptr;

inline bool is_cancelled() {
    return cancel_flag != nullptr && *cancel_flag != 0;
}

// Faiss keeps one callback per process. This one looks at the calling thread's flag, so tasks do not cancel
// each other.
struct ThreadInterrupt : faiss::InterruptCallback {
    bool want_interrupt() override {
        return is_cancelled();
    }
};

struct CancelScope {
    explicit CancelScope(const uint8_t* flag) {
        static std::once_flag installed;
        std::call_once(installed, [] { faiss::InterruptCallback::instance = std::make_unique<ThreadInterrupt>(); });
        cancel_flag = flag;
    }
    ~CancelScope() {
        cancel_flag = nullptr;
    }
};

inline char* copy_message(const char* text) {
    size_t length = std::strlen(text) + 1;
    auto* copy = static_cast<char*>(std::malloc(length));
    if (copy != nullptr) {
        std::memcpy(copy, text, length);
    }
    return copy;
}

// Ends the call that runs on this thread when its task was cancelled.
inline void check_cancelled() {
    if (is_cancelled()) {
        throw std::runtime_error("cancelled");
    }
}

template <typename Body>
int32_t guarded(char** message, Body body) {
    *message = nullptr;
    try {
        body();
        return OK;
    } catch (const std::bad_alloc&) {
        return OUT_OF_MEMORY;
    } catch (const std::exception& error) {
        if (is_cancelled()) {
            return CANCELLED;
        }
        *message = copy_message(error.what());
        return FAISS;
    } catch (...) {
        *message = copy_message("an exception of unknown type");
        return FAISS;
    }
}

} // namespace faiss_indexer
