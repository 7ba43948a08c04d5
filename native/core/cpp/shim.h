// What every call of the shim shares: exceptions become codes and messages, and a flag of the caller cancels.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include <faiss/impl/AuxIndexStructures.h>

namespace shim {

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

} // namespace shim
