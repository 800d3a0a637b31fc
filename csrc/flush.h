/* Subnormal numbers (below 2^-126, 1.2e-38) in the kernels that multiply and add: they count as 0 there.
 *
 * Many processors leave the fast path at every operand or result that is subnormal. Training makes them by the
 * million: momenta of units that have died shrink by a tenth per step until they are, and stay there for ever, since
 * 0.9 times the smallest number rounds to the smallest number; so do the gradients of a batch that is learnt by heart.
 * What is that small decides nothing any more. Kernels whose result is one function of each element (relu, exp, mul,
 * ...) keep every number there is.
 *
 * The mode belongs to a thread and is put back before tr_run returns, so Python's own arithmetic never sees it. */
#ifndef TR_FLUSH_H
#define TR_FLUSH_H

#include "kernel.h"

#if TR_HAS_X86

typedef unsigned tr_float_mode;
enum { TR_FLUSH_RESULTS = 0x8000, TR_FLUSH_OPERANDS = 0x0040 };
TR_INLINE tr_float_mode tr_mode(void) {
    tr_float_mode mode;
    __asm__ volatile("stmxcsr %0" : "=m"(mode));
    return mode;
}
TR_INLINE void tr_set_mode(tr_float_mode mode) { __asm__ volatile("ldmxcsr %0" : : "m"(mode) : "memory"); }
TR_INLINE tr_float_mode tr_flushing(tr_float_mode mode) { return mode | TR_FLUSH_RESULTS | TR_FLUSH_OPERANDS; }

#elif TR_HAS_ARM64

typedef uint64_t tr_float_mode;
enum { TR_FLUSH_BOTH = 1 << 24 };
TR_INLINE tr_float_mode tr_mode(void) {
    tr_float_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
TR_INLINE void tr_set_mode(tr_float_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory"); }
TR_INLINE tr_float_mode tr_flushing(tr_float_mode mode) { return mode | TR_FLUSH_BOTH; }

#else

typedef int tr_float_mode;
TR_INLINE tr_float_mode tr_mode(void) { return 0; }
TR_INLINE void tr_set_mode(tr_float_mode mode) { (void)mode; }
TR_INLINE tr_float_mode tr_flushing(tr_float_mode mode) { return mode; }

#endif

#endif
