/* Kernels for 64-bit ARM: 128-bit vectors, 32 registers. NEON and FMA are part of the base architecture. */
#include "kernel.h"

#if TR_HAS_ARM64

#define TR_ISA neon
#define TR_LANES 4

#include "isa_body.h"

#endif
