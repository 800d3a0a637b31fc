/* Kernels for x86-64 with AVX-512 F, BW, DQ and VL: 512-bit vectors, 32 registers. */
#include "kernel.h"

#if TR_HAS_X86

#define TR_ISA avx512
#define TR_LANES 16
#define TR_REGISTERS 32

/* Tiles of matmul: rows * vectors accumulators, the vectors of b, and a broadcast: 29 to 31 of 32 registers,
 * but for one vector, where more rows would only wait for loads. */
#define GEMM_VECTORS 4
#define GEMM_ROWS_MAX 16
#define GEMM_ROWS_1 16
#define GEMM_ROWS_2 14
#define GEMM_ROWS_3 8
#define GEMM_ROWS_4 6
#define GEMM_NARROWER tr_table_avx2
#define GEMM_NARROWER_PANEL gemm_panel_run_avx2

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif

#include TR_BODY

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
