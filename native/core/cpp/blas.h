// The one routine of BLAS that is called from here; Faiss declares its own inside its sources.

#pragma once

extern "C" int sgemm_(
        const char* transpose_a,
        const char* transpose_b,
        const int* m,
        const int* n,
        const int* k,
        const float* alpha,
        const float* a,
        const int* lda,
        const float* b,
        const int* ldb,
        const float* beta,
        float* c,
        const int* ldc);
