/* Kernels for 64-bit ARM: 128-bit vectors, 32 registers. NEON and FMA are part of the base architecture. */
#include "kernel.h"

#if TR_HAS_ARM64

#define TR_ISA neon
#define TR_LANES 4
#define TR_REGISTERS 32

/* Tiles of matmul: rows * vectors accumulators, the vectors of b, and a broadcast: 27 to 31 of 32
 * registers. */
#define GEMM_VECTORS 4
#define GEMM_ROWS_MAX 16
#define GEMM_ROWS_1 16
#define GEMM_ROWS_2 12
#define GEMM_ROWS_3 8
#define GEMM_ROWS_4 6

#include TR_BODY

#endif
