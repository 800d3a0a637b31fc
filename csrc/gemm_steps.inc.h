/* The steps of k: in which order an element of a product of matrices is summed. Nothing else cuts k.
 *
 * k is cut into equal blocks of at most TR_GEMM_DEPTH; in a block products are added one after the other from zero, and
 * block sums are added in order. Without transposes a block of TR_GEMM_HALVES_FROM steps or more, if it is all of k, is
 * cut into two halves. So an element depends on its own operands, on k, and on whether they are stored transposed: not on
 * m, n, its place or the number of workers. Only dot products of contiguous vectors (a matrix times a vector, a vector
 * times a transposed matrix) sum by lanes, in an order that depends on k alone; those of more than TR_GEMM_DEPTH steps add
 * the sums of so many steps in double precision. */

#define GEMM_TRANSPOSE_A 1
#define GEMM_TRANSPOSE_B 2

/* How many parts of at most `most` a total has, and where part i begins when they are equal. A division costs as much as
 * a small tile. */
TR_INLINE int64_t gemm_parts(int64_t total, int64_t most) { return total <= most ? 1 : parts(total, most); }
TR_INLINE int64_t gemm_cut(int64_t total, int64_t i, int64_t parts) {
    return parts == 1 ? total * i : total * i / parts;
}

/* One block: `depth` steps from `step` on, and `rest` more, which are summed apart and added to the sum of those. */
typedef struct gemm_steps {
    int64_t step, depth, rest;
    int begins, ends; /* whether it is the first of k, and the last */
} gemm_steps;

TR_INLINE int64_t gemm_blocks_of(int64_t k) { return gemm_parts(k, TR_GEMM_DEPTH); }

/* Whether k is summed in two halves. */
TR_INLINE int gemm_in_halves(const tr_call *c) {
    return !(c->flags & (GEMM_TRANSPOSE_A | GEMM_TRANSPOSE_B)) && c->arg[2] >= TR_GEMM_HALVES_FROM &&
           c->arg[2] <= TR_GEMM_DEPTH;
}

/* Where two workers cut k: as they cut columns. */
TR_INLINE int64_t gemm_first_half(int64_t k) { return parts(parts(k, TR_SHARE_UNIT), 2) * TR_SHARE_UNIT; }

/* Block i of k. */
TR_INLINE gemm_steps gemm_steps_of(int64_t k, int halves, int64_t i) {
    int64_t blocks = gemm_blocks_of(k), step = gemm_cut(k, i, blocks), steps = gemm_cut(k, i + 1, blocks) - step;
    int64_t depth = halves ? gemm_first_half(steps) : steps;
    return (gemm_steps){step, depth, steps - depth, i == 0, i + 1 == blocks};
}

/* One half of k as a sum of its own (TR_HALF_OF_K), which join_halves ends. */
TR_INLINE gemm_steps gemm_half_of(int64_t k, int second) {
    int64_t first = gemm_first_half(k);
    return (gemm_steps){second ? first : 0, second ? k - first : first, 0, 1, 0};
}
