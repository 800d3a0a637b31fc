/* The kernel contract: what a kernel gets, what it may use, what it owes.
 *
 * A kernel is `static int TR_K(name)(const tr_call *c, const tr_worker *w)`. All w->nth workers of a call
 * enter it at the same time with the same call; each takes its part of the work by w->ith. It returns 0, or 1
 * if a value check failed.
 *   - Buffers are contiguous and usually 64-byte aligned, but any 4-byte aligned pointer must give the same
 *     values.
 *   - An output may be the very same pointer as an input of the same size for elementwise kernels; no other
 *     overlap.
 *   - The order of a floating point sum depends on sizes only, never on nth: results are bit-identical for
 *     any nth.
 *   - Tails go through the same vector function as the body, so a value never depends on its position. */
#ifndef TR_KERNEL_H
#define TR_KERNEL_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tr.h"

#if defined(__x86_64__)
#define TR_HAS_X86 1
#elif defined(__aarch64__)
#define TR_HAS_ARM64 1
#endif

#define TR_INLINE static inline __attribute__((always_inline))

/* What an isa_*.c compiles for its instruction set: all kernels, or what isa_*_tiles.c names. */
#ifndef TR_BODY
#define TR_BODY "isa_body.h"
#endif

/* TR_K(relu) is relu_avx512 in isa_avx512.c: the one place where names are pasted. */
#define TR_PASTE2(name, isa) name##_##isa
#define TR_PASTE(name, isa) TR_PASTE2(name, isa)
#define TR_K(name) TR_PASTE(name, TR_ISA)

#define TR_OWN_BYTES (2 << 20)
#define TR_SHARED_BYTES (4 << 20)

typedef struct tr_gate tr_gate;   /* a barrier; pool.c */
typedef struct tr_ahead tr_ahead; /* ahead.h */

/* How a kernel divides its work. Either nth workers enter it and each takes its part by ith; or, in a planned
 * list, each worker is alone in it (nth is 1) and does the columns [column, column_end) of what it works on, or the
 * rows of these numbers. They say which memory a worker needs: as long as one call after the other treats them apart, no
 * worker needs what another made, and nobody has to wait. */
typedef struct tr_worker {
    int ith, nth;
    void *own;     /* private workspace of this worker: TR_OWN_BYTES, 64-aligned, contents undefined */
    void *shared;  /* workspace of the call, the same for all its workers: TR_SHARED_BYTES, 64-aligned */
    tr_gate *gate; /* for tr_barrier only */
    tr_ahead *ahead; /* NULL: nothing is to be fetched ahead */
    int64_t column, column_end; /* multiples of TR_SHARE_UNIT; 0 and TR_ALL_COLUMNS: the whole call */
    int by_rows;                /* they are rows */
} tr_worker;

#define TR_ALL_COLUMNS INT64_MAX

/* Returns when all nth workers of the call have called it; what they wrote before is visible after. */
void tr_barrier(const tr_worker *w);

typedef int (*tr_kernel_fn)(const tr_call *call, const tr_worker *w);

/* The kernels of each instruction set, by kernel id; isa_*.c. */
extern const tr_kernel_fn tr_table_generic[TR_KERNEL_COUNT];
#if TR_HAS_X86
extern const tr_kernel_fn tr_table_avx2[TR_KERNEL_COUNT];
extern const tr_kernel_fn tr_table_avx512[TR_KERNEL_COUNT];
#elif TR_HAS_ARM64
extern const tr_kernel_fn tr_table_neon[TR_KERNEL_COUNT];
#endif

/* Whether floats become doubles faster by 256 than by 512 bits; dispatch.c. Results do not depend on it. */
extern int tr_widens_by_halves;

TR_INLINE int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
TR_INLINE int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
TR_INLINE int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; } /* rounded up */

/* The part [*begin, *end) of n items that this worker owns: contiguous, and cut only at multiples of `unit`
 * items. */
TR_INLINE void tr_split(const tr_worker *w, int64_t n, int64_t unit, int64_t *begin, int64_t *end) {
    if (w->nth == 1) {
        *begin = 0;
        *end = n;
        return;
    }
    int64_t units = (n + unit - 1) / unit;
    int64_t each = units / w->nth, extra = units % w->nth;
    int64_t first = each * w->ith + (w->ith < extra ? w->ith : extra);
    int64_t last = first + each + (w->ith < extra ? 1 : 0);
    *begin = first * unit < n ? first * unit : n;
    *end = last * unit < n ? last * unit : n;
}

/* This worker's part of n elements in a row: `count` runs of `length` elements, the first at `begin`, `step`
 * apart. One run as tr_split cuts it, or its rows, or its columns of every row. */
typedef struct tr_runs {
    int64_t begin, length, step, count;
} tr_runs;

TR_INLINE tr_runs tr_split_runs(const tr_call *c, const tr_worker *w, int64_t n, int64_t unit) {
    tr_runs runs = {.count = 1};
    if (w->column_end == TR_ALL_COLUMNS) {
        int64_t end;
        tr_split(w, n, unit, &runs.begin, &end);
        runs.length = end - runs.begin;
    } else if (w->by_rows) {
        int64_t cols = n / (c->share >> TR_COUNT_SHIFT);
        runs.begin = w->column * cols;
        runs.length = (w->column_end - w->column) * cols;
    } else {
        runs.step = c->share >> TR_COUNT_SHIFT;
        runs.count = n / runs.step;
        runs.begin = w->column;
        runs.length = w->column_end - w->column;
    }
    return runs;
}

#endif
