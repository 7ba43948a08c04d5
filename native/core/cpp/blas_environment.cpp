// What OpenBLAS is told when it asks for environment variables (native/core/build.rs redirects its getenv here).
//
// One thread: the threads are ours, and a BLAS that starts its own inside a task would oversubscribe the executor.
// One kernel set, Haswell's: AVX2 is the floor of the library, and a set that followed the CPU model would round
// differently on every machine, so the same rows would not give the same bytes.

#include <cstring>

extern "C" char* faiss_indexer_blas_getenv(const char* name) {
    static char one[] = "1";
    static char kernels[] = "Haswell";
    if (std::strcmp(name, "OPENBLAS_NUM_THREADS") == 0) {
        return one;
    }
    if (std::strcmp(name, "OPENBLAS_CORETYPE") == 0) {
        return kernels;
    }
    return nullptr;
}
