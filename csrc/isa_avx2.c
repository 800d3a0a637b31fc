/* Kernels for x86-64 with AVX2 and FMA: 256-bit vectors, 16 registers. */
#include "kernel.h"

#if TR_HAS_X86

#define TR_ISA avx2
#define TR_LANES 8
#define TR_REGISTERS 16

/* Tiles of matmul: rows * vectors accumulators, the vectors of b, and a broadcast: 14 or 15 of 16
 * registers. */
#define GEMM_VECTORS 2
#define GEMM_ROWS_MAX 12
#define GEMM_ROWS_1 12
#define GEMM_ROWS_2 6

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include TR_BODY

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
