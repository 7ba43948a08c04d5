// What every call from Rust into C++ does: exceptions become a code and a message, and Faiss sees the flag of the
// calling task when it asks whether to stop.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include <faiss/Index.h>
#include <faiss/impl/AuxIndexStructures.h>

namespace faiss_indexer {

enum Code : int32_t { OK = 0, FAISS = 1, OUT_OF_MEMORY = 2, CANCELLED = 3 };

// The flag of the call that runs on this thread; Rust owns it and outlives the call.
inline thread_local const uint8_t* cancel_flag = nullptr;

inline bool is_cancelled() {
    return cancel_flag != nullptr && __atomic_load_n(cancel_flag, __ATOMIC_RELAXED) != 0;
}

// Faiss keeps one callback per process. This one looks at the calling thread's flag, so tasks do not cancel
// each other.
struct ThreadInterrupt : faiss::InterruptCallback {
    bool want_interrupt() override {
        return is_cancelled();
    }
};

// Made outside of `guarded`, so it must not throw. Without memory for the callback Faiss is not interrupted.
struct CancelScope {
    explicit CancelScope(const uint8_t* flag) noexcept {
        [[maybe_unused]] static const bool installed = [] {
            faiss::InterruptCallback::instance.reset(new (std::nothrow) ThreadInterrupt());
            return true;
        }();
        cancel_flag = flag;
    }
    CancelScope(const CancelScope&) = delete;
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

// The caller frees the copy with faiss_shim_free.
inline void hand_over(const std::vector<uint8_t>& bytes, uint8_t** out, size_t* length) {
    *length = bytes.size();
    *out = static_cast<uint8_t*>(std::malloc(bytes.size()));
    if (*out == nullptr) {
        throw std::bad_alloc();
    }
    std::memcpy(*out, bytes.data(), bytes.size());
}

// Ends the call that runs on this thread when its task was cancelled.
inline void check_cancelled() {
    if (is_cancelled()) {
        throw std::runtime_error("cancelled");
    }
}

// Faiss has a file format for no index at all.
inline faiss::Index* not_null(faiss::Index* read) {
    if (read == nullptr) {
        throw std::runtime_error("the file says that it holds no index");
    }
    return read;
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
