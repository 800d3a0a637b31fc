/* What a case is made of: operands at odd addresses and exact sizes, a call, and the comparison with what is expected. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tr.h"

static long checked, wrong;
static _Thread_local uint64_t generator = 1;

static double uniform(double low, double high) {
    generator = generator * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return low + (high - low) * (double)(generator >> 40) / (1 << 24);
}

/* Operands: blocks that are freed all at once at the end of a case. */

static _Thread_local void *blocks[16];
static _Thread_local int block_count;

static void *operand(int64_t count, size_t item) {
    char *block = malloc(4 + count * item);
    blocks[block_count++] = block;
    return block + (item == 4 ? 4 : 0);
}

static float *floats(int64_t n, double low, double high) {
    float *x = operand(n, sizeof(float));
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)uniform(low, high);
    return x;
}

static void *copy_of(const void *x, int64_t count, size_t item) {
    return memcpy(operand(count, item), x, count * item);
}

static void end_case(void) {
    while (block_count)
        free(blocks[--block_count]);
}

static tr_call call_of(int kernel, int flags) {
    tr_call call = {.kernel = kernel, .flags = flags};
    return call;
}

static int64_t run(const tr_call *call) { return tr_run((const char *)call, 1); }

static void check(const tr_call *call, const char *what, int64_t i, double got, double expected, double magnitude) {
    __atomic_add_fetch(&checked, 1, __ATOMIC_RELAXED);
    if (fabs(got - expected) <= 1e-5 * magnitude || (isnan(got) && isnan(expected)) || got == expected)
        return;
    if (__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED) < 20)
        printf("%s %s %s[%lld]: %.9g, expected %.9g; sizes %lld %lld %lld, flags %x\n", tr_isa_name(tr_isa_current()),
               tr_kernel_name(call->kernel), what, (long long)i, got, expected, (long long)call->arg[0],
               (long long)call->arg[1], (long long)call->arg[2], (unsigned)call->flags);
}

static void check_status(const tr_call *call, int64_t expected) { check(call, "status", 0, run(call), expected, 0); }
