/* Kernels for x86-64 with AVX-512 F, BW, DQ and VL: 512-bit vectors, 32 registers. */
#include "kernel.h"

#if TR_HAS_X86

#define TR_ISA avx512
#define TR_LANES 16

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#endif

#include "isa_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
