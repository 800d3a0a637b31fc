/* Kernels for any processor: 128-bit vectors, which every 64-bit target has or the compiler splits. */
#include "kernel.h"

#define TR_ISA generic
#define TR_LANES 4
#define TR_REGISTERS 16

/* Tiles of matmul: rows * vectors accumulators, the vectors of b, a broadcast and a product: 12 of 16
 * registers. */
#define GEMM_VECTORS 2
#define GEMM_ROWS_MAX 8
#define GEMM_ROWS_1 8
#define GEMM_ROWS_2 4

#include TR_BODY
