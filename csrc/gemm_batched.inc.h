/* matmul_batch: many products of matrices of one size, out[i, j] = op(a[i, j]) op(b[i, j]) (+ out), for i < outer and
 * j < inner. Each operand says how far apart its matrices and the lines of one are; matrices 0 apart are one that all
 * share. So heads that stand inside a token are read and written where they lie.
 *
 * Matrices whose lines follow one another are matmul's own affair. Of others the elements of a line must be, which is all
 * that tiles need; they are summed in the same order, dot products too, which here go by tiles like all else. */

/* Where kernels.def has the sizes behind m, n and k: how far apart matrices are, and lines. */
enum { BATCH_OUTER = 3, BATCH_INNER, BATCH_A, BATCH_B = BATCH_A + 3, BATCH_OUT = BATCH_B + 3 };

/* The pointers of matrix (i, j). */
TR_INLINE float *batch_operand(const tr_call *c, int pointer, int sizes, int64_t i, int64_t j) {
    return (float *)c->ptr[pointer] + i * c->arg[sizes] + j * c->arg[sizes + 1];
}

TR_INLINE tr_call batch_call(const tr_call *c, int64_t i, int64_t j) {
    return (tr_call){
        .flags = c->flags,
        .ptr = {batch_operand(c, 0, BATCH_OUT, i, j), batch_operand(c, 1, BATCH_A, i, j), batch_operand(c, 2, BATCH_B, i, j)},
        .arg = {c->arg[0], c->arg[1], c->arg[2]},
    };
}

/* Whether the lines of every matrix follow one another. */
static int batch_is_dense(const tr_call *c) {
    const int64_t *n = c->arg, a = c->flags & GEMM_TRANSPOSE_A ? n[0] : n[2], b = c->flags & GEMM_TRANSPOSE_B ? n[2] : n[1];
    return n[BATCH_A + 2] == a && n[BATCH_B + 2] == b && n[BATCH_OUT + 2] == n[1];
}

/* The product of one matrix, whose operands stand in `one`, with lines as the batch has them. */
static void batch_product(const tr_call *c, const tr_call *one, const tr_worker *w) {
    const int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2], a_line = c->arg[BATCH_A + 2], b_line = c->arg[BATCH_B + 2];
    const int turned_a = (c->flags & GEMM_TRANSPOSE_A) != 0, turned_b = (c->flags & GEMM_TRANSPOSE_B) != 0;
    const gemm_operand a = {one->ptr[1], turned_a ? 1 : a_line, turned_a ? a_line : 1};
    const gemm_operand b = {one->ptr[2], turned_b ? b_line : 1, turned_b ? 1 : b_line};
    const gemm_target all = {
        .out = one->ptr[0], .step = c->arg[BATCH_OUT + 2], .does = c->flags & TR_ACCUMULATE ? GEMM_ADD : 0};
    const gemm_product d = gemm_product_of(gemm_target_at(&all, 0, 0, n), &a, &b, c->flags, m, n, k, gemm_in_halves(one));
    gemm_area area = gemm_share(&d, w);
    if (area.row < area.row_end && n > 0)
        gemm_blocks(&d, &area, w->own);
}

static int TR_K(matmul_batch)(const tr_call *c, const tr_worker *w) {
    const int64_t inner = c->arg[BATCH_INNER], count = c->arg[BATCH_OUTER] * inner;
    const int dense = batch_is_dense(c), by_matrices = count % w->nth == 0 || count >= 8 * w->nth;
    tr_worker alone = *w;
    int64_t begin = 0, end = count;
#ifdef GEMM_NARROWER
    if (!dense && c->arg[1] <= TR_LANES / 2)
        return GEMM_NARROWER[TR_ID_matmul_batch](c, w);
#endif
    if (by_matrices) {
        tr_split(w, count, 1, &begin, &end);
        alone.ith = 0, alone.nth = 1;
    }
    for (int64_t i = begin; i < end; i++) {
        const tr_call one = batch_call(c, i / inner, i % inner);
        if (dense)
            TR_K(matmul)(&one, &alone);
        else
            batch_product(c, &one, &alone);
    }
    return 0;
}
