// The two calls into the Fortran runtime that OpenBLAS' LAPACK makes, so that the library links neither libgfortran
// nor libquadmath (LGPL).

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ctime>

extern "C" {

// Fortran's `//`: both strings, cut to the target's length or padded with blanks.
void _gfortran_concat_string(
        size_t target_length,
        char* target,
        size_t first_length,
        const char* first,
        size_t second_length,
        const char* second) {
    const size_t head = std::min(first_length, target_length);
    std::memcpy(target, first, head);
    const size_t tail = std::min(second_length, target_length - head);
    std::memcpy(target + head, second, tail);
    std::memset(target + head + tail, ' ', target_length - head - tail);
}

// Fortran's ETIME: CPU seconds of the process. LAPACK uses it to time itself only.
float _gfortran_etime(float* parts) {
    const float seconds = static_cast<float>(std::clock()) / CLOCKS_PER_SEC;
    parts[0] = seconds;
    parts[1] = 0;
    return seconds;
}

} // extern "C"
