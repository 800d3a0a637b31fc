/* What kernels.def says of a call, for the walker: what it costs, whether it flushes subnormal numbers, and which of its
 * operands are worth fetching ahead. Every kernel says all three: a line that leaves one out does not compile. */
#ifndef TR_FACTS_H
#define TR_FACTS_H

#include "kernel.h"

/* How many items a copy walks. */
TR_INLINE double tr_walked(const int64_t *n) {
    double items = 1;
    for (int i = 1; i <= 6; i++)
        items *= i <= n[0] ? n[i] : 1;
    return items;
}

/* What a convolution costs: its products, and windows that are put together. */
TR_INLINE double tr_conv_cost(const int64_t *n) {
    double pixels = (double)n[0] * n[7] * n[8], steps = (double)n[4] * n[5] * n[3];
    return pixels * steps * (0.02 * n[6] / n[15] + 0.15) + 0.05 * pixels * n[6];
}

/* How many items pooling reads. */
TR_INLINE double tr_pooled(const int64_t *n) { return (double)n[0] * n[6] * n[7] * n[3] * n[4] * n[5]; }

/* What attention costs: products of that many pairs of matrices, and an exponential per score. */
TR_INLINE double tr_attention_cost(const int64_t *n, double pairs) {
    return (double)n[0] * n[1] * n[2] * n[3] * (0.02 * pairs * (n[4] + n[5]) + 0.4);
}

/* Cost in ns on one fast core, right within a factor of about two for data in the second level cache. */
TR_INLINE double tr_cost(const tr_call *c) {
    const int64_t *n = c->arg;
    switch (c->kernel) {
#define TR_KERNEL(name, outs, ins, args, scalars, flush, cost, cold) \
    case TR_ID_##name:                                               \
        return cost;
#include "kernels.def"
#undef TR_KERNEL
        default:
            return 0;
    }
}

/* Whether a call flushes; flush.h says why. */
TR_INLINE int tr_flushes(const tr_call *c) {
    enum { keeps, flushes, asked } flush;
    switch (c->kernel) {
#define TR_KERNEL(name, outs, ins, args, scalars, flush_, cost, cold) \
    case TR_ID_##name:                                                \
        flush = flush_;                                               \
        break;
#include "kernels.def"
#undef TR_KERNEL
        default:
            return 0;
    }
    return flush == flushes || (flush == asked && c->flags & TR_FLUSH);
}

/* The bytes of operand i, outputs first, that were touched long ago; 0: none, or they have just been made. */
TR_INLINE int64_t tr_cold_bytes(const tr_call *c, int i) {
    const int64_t *n = c->arg;
#define NONE 0
#define COLD(operand, items) (i == (operand) ? 4 * (items) : 0)
    switch (c->kernel) {
#define TR_KERNEL(name, outs, ins, args, scalars, flush, cost, cold) \
    case TR_ID_##name:                                               \
        return cold;
#include "kernels.def"
#undef TR_KERNEL
        default:
            return 0;
    }
#undef COLD
#undef NONE
}

#endif
