/* The C ABI of tinyres: everything that Python sees of the core, and nothing else.
 *
 * A kernel call is one plain struct; a list of calls is a plain array of them, and tr_run walks it. An eager
 * call is a list of one, so eager and replay go through the same walker. build_ffi.py hands the part between
 * the two marks below to cffi word for word, so it must stay free of macros with arguments and of
 * conditionals. */
#ifndef TR_H
#define TR_H

#include <stdint.h>

/* <cdef> */
#define TR_POINTERS 10
#define TR_ARGS 24
#define TR_SCALARS 4

/* Bits of tr_call.flags. Bits 0-15 belong to the kernel. */
#define TR_ACCUMULATE 65536 /* out[0] += result instead of out[0] = result: matmul, copy, sum */
#define TR_RELU 131072      /* max(., 0) on the way out: matmul, join_halves, add, batchnorm, batchnorm_inference, groupnorm;
                             * batchnorm_grad: its gradient, as x came out of one */
#define TR_HALF_OF_K 262144 /* matmul by columns of a, in a list for two workers: each sums its half of k, see below */
#define TR_FLUSH 524288     /* add, copy: a sum in which subnormal numbers count as 0, as in the kernels of flush.h */

#define TR_TANH_FORM 1048576 /* gelu, gelu_grad: the form by tanh instead of erf */
#define TR_REVERSE 2097152   /* cumsum: from the end; argsort: descending */

#define TR_FLIP_ROWS 1    /* random_window, random_window_grad: upside down, by chance */
#define TR_FLIP_COLUMNS 2 /* right side left, by chance */
#define TR_ALIKE 4        /* one draw for all images */

#define TR_IGNORES 1 /* check_labels, softmax_cross_entropy and its gradient: the label `ignored` does not count */

#define TR_UNDECAYED 2 /* sgd, adam: weight decay leaves this parameter alone */
#define TR_DUE 4       /* sgd, adam, optimizer_tick: gradients are added up, only every so many steps something moves */

#define TR_RMS 1 /* groupnorm, groupnorm_grad: by the root of the mean square, no mean is taken off */

/* matmul sums over at most this many products in one go, so up to here out + a b with TR_ACCUMULATE rounds
 * exactly as a product and an addition do. */
#define TR_GEMM_DEPTH 512

/* From this k on, up to TR_GEMM_DEPTH, a product of two matrices as they are stored (none transposed) is the sum over
 * the first half of k plus the sum over the second, on any number of workers: cut where two workers cut k columns. So
 * each of two can sum the half of which it has the columns of a and the rows of b (TR_HALF_OF_K: to out, the second to
 * out + m n), and join_halves does the rest. */
#define TR_GEMM_HALVES_FROM 128

/* tr_call.share: one of four ways, whether all workers wait for one another before the call, whether matmuls fetch
 * ahead, and above these bits the number of columns or rows. A planned list holds no call without a way; the planner
 * answers for it that no two workers touch the same memory, one of them writing, without a TR_WAIT in between. */
#define TR_BY_COLUMNS 1 /* matrices of so many columns: each worker does its own columns, from first row to last */
#define TR_ALONE 2      /* worker 0 does it */
#define TR_TOGETHER 3   /* all workers, as the kernel itself divides it; they wait before and behind it */
#define TR_BY_ROWS 4    /* matrices of so many rows: each worker does its own rows */
#define TR_WAIT 8
#define TR_AHEAD 16 /* the list outgrows the second level cache: matmuls fetch what the next calls read */
#define TR_COUNT_SHIFT 5
#define TR_SHARE_UNIT 16 /* columns and rows go to workers in units of a cache line of floats, whole vectors everywhere */

typedef struct tr_call {
    int32_t kernel;         /* index into kernels.def */
    int32_t flags;
    int32_t share;          /* how a planned list shares this call among its workers; 0: the walker decides */
    int32_t reserved;
    void *ptr[TR_POINTERS]; /* outputs first, then inputs; NULL where an optional operand is absent */
    int64_t arg[TR_ARGS];   /* sizes, in the order that kernels.def names them */
    double scalar[TR_SCALARS];
} tr_call;

/* Runs `count` calls in order; `calls` is an array of tr_call, 8-aligned. Returns -1 when all of them ran,
 * else the index of the first call that did not: its value check failed, its kernel id is unknown, or memory
 * ran out. No later call has run then. Any number of threads may call it at the same time. */
int64_t tr_run(const char *calls, int64_t count);
int64_t tr_sizeof_call(void);

/* What a call costs on one fast core, in ns: an estimate from its sizes, right within a factor of about two. */
double tr_call_cost(const char *call);

/* Instruction sets this core was compiled for, worst first. The best supported one is selected at load. */
int tr_isa_count(void);
const char *tr_isa_name(int isa);
int tr_isa_supported(int isa); /* by the processor and by the operating system */
int tr_isa_current(void);
int tr_isa_select(int isa);    /* 0: done; -1: unknown or not supported, nothing changed */

/* Workers, the calling thread included. 0: as many as the CPUs that this process may use. Returns the number
 * in force. */
int tr_set_threads(int count);
int tr_get_threads(void);

/* What kernels.def says of each kernel; NULL for an id out of range. */
int tr_kernel_count(void);
const char *tr_kernel_name(int kernel);
const char *tr_kernel_outs(int kernel);
const char *tr_kernel_ins(int kernel);
const char *tr_kernel_args(int kernel);
const char *tr_kernel_scalars(int kernel);
const char *tr_kernel_flush(int kernel); /* "keeps", "flushes" or "asked" */
/* </cdef> */

/* Kernel ids: TR_ID_matmul, ...; build_ffi.py writes the same enum into the cdef. */
enum tr_kernel_id {
#define TR_KERNEL(name, ...) TR_ID_##name,
#include "kernels.def"
#undef TR_KERNEL
    TR_KERNEL_COUNT
};

#endif
