/* Kernels for any processor: 128-bit vectors, which every 64-bit target has or the compiler splits. */
#include "kernel.h"

#define TR_ISA generic
#define TR_LANES 4

#include "isa_body.h"
