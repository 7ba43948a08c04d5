// The OpenMP calls that Faiss makes, for code that runs on the calling thread alone.
// Locks are real: one index may be searched by several of our own threads.
#pragma once
#include <chrono>
#include <mutex>

using omp_lock_t = std::mutex;

inline int omp_get_max_threads() { return 1; }
inline int omp_get_num_procs() { return 1; }
inline int omp_get_num_threads() { return 1; }
inline int omp_get_thread_num() { return 0; }
inline int omp_in_parallel() { return 0; }
inline int omp_get_nested() { return 0; }
inline void omp_set_nested(int) {}
inline void omp_set_num_threads(int) {}
inline void omp_init_lock(omp_lock_t*) {}
inline void omp_destroy_lock(omp_lock_t*) {}
inline void omp_set_lock(omp_lock_t* lock) { lock->lock(); }
inline void omp_unset_lock(omp_lock_t* lock) { lock->unlock(); }
inline int omp_test_lock(omp_lock_t* lock) { return lock->try_lock(); }
inline double omp_get_wtime() {
    using namespace std::chrono;
    return duration<double>(steady_clock::now().time_since_epoch()).count();
}
