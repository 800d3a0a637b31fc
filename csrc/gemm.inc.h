/* matmul: out[m, n] = op(a) op(b) (+ out) (+ bias) (relu) (mask), one tile kernel for all shapes and transposes.
 *
 * A tile is up to GEMM_ROWS(v) rows by v vectors of out, held in registers over one block of k: per step it
 * loads v vectors of a row of b and broadcasts one element per row of a. a is read in place whatever its
 * strides, since each element serves v multiplications and a cache line of it several steps. b is read in
 * place while that is cheap. When it is transposed (the vectors must lie along n) each worker packs one panel of it, a
 * block of k by v vectors, just before it is used. Of a large b it packs many panels at once, and reads it as memory
 * likes to be read: a few whole rows at a time, if it is not transposed. Then some rows of a, as many as stay in the
 * second level cache, go over all of these panels, then the next rows.
 *
 * Order of the sum: k is cut into equal blocks of at most TR_GEMM_DEPTH; in a block products are added one
 * after the other from zero, and block sums are added in order. Without transposes a block of TR_GEMM_HALVES_FROM
 * steps or more, if it is all of k, is cut into two halves. So an element depends on its own operands, on k, and on
 * whether they are stored transposed: not on m, n, its place or the number of workers. Only dot products of
 * contiguous vectors (a matrix times a vector, a vector times a transposed matrix) sum by lanes, in an order that
 * depends on k alone.
 *
 * Columns that fill no whole vector need no code of their own: the last vector of a panel ends at the last
 * column and overlaps the one before it, both compute the same, and panels are cut so that the last has two
 * vectors or more. An out narrower than one vector is a part of one; where b cannot be read by parts it is packed and
 * padded. Where half a vector or less would be used it is left to the next narrower instruction set, if that sums
 * alike. */
#include "ahead.h"
#include "gemm_tile.inc.h"
#include "gemm_blocks.inc.h"
#include "gemm_thin.inc.h"

/* Whether a b so narrow is packed and padded. */
TR_INLINE int gemm_pads_b(int64_t n) { return n < TR_LANES && !TR_MASKED_ACCESS; }

/* What the call fetches ahead with, or NULL. */
TR_INLINE tr_ahead *gemm_ahead(const tr_call *c, const tr_worker *w) {
    if (!(c->share & TR_AHEAD) || !w->ahead)
        return 0;
    tr_ahead_begin(w->ahead, c);
    return w->ahead;
}

/* The share of worker w. Split along n when b is packed, so that no two workers pack the same panel, else
 * along the longer side. A share has two vectors of columns or more, so that the overlapping last one stays
 * inside it. */
static void gemm_share(const gemm_product *d, const tr_worker *w) {
    int64_t vectors = (d->n + TR_LANES - 1) / TR_LANES;
    int64_t row = 0, row_end = d->m, first = 0, end = vectors;
    if (w->by_rows) {
        row = w->column;
        row_end = w->column_end;
    } else if (w->column_end != TR_ALL_COLUMNS) {
        first = w->column / TR_LANES;
        end = w->column_end / TR_LANES;
    } else if (vectors >= 2 * w->nth && (d->pack_b ? vectors >= GEMM_VECTORS * w->nth : d->n > 4 * d->m)) {
        first = gemm_cut(vectors, w->ith, w->nth);
        end = gemm_cut(vectors, w->ith + 1, w->nth);
    } else {
        tr_split(w, d->m, 1, &row, &row_end);
    }
    if (row == row_end)
        return;
    if (d->k == 1 && d->n > GEMM_VECTORS * TR_LANES && d->m * d->n * 4 > GEMM_OUTER_BYTES)
        gemm_outer(d, row, row_end, first * TR_LANES, at_most(end * TR_LANES, d->n));
    else if (d->m > 1 || d->turned_b || d->n * d->k * 4 <= GEMM_ROW_BYTES)
        gemm_blocks(d, row, row_end, first, end, w->own);
    else
        for (int64_t v = first; v < end; v += GEMM_ROW_VECTORS)
            gemm_row(d, v * TR_LANES, gemm_width(d, v, at_most(end, v + GEMM_ROW_VECTORS)), w->own);
}

/* The halves of k that begin among the worker's columns: one of two workers does one, a worker by itself does both. */
static void gemm_halves(gemm_product *d, const tr_worker *w) {
    int64_t first = gemm_first_half(d->k);
    float *out = d->out;
    d->halves = 0;
    d->half = 1;
    if (w->column == 0)
        gemm_block(d, 0, d->m, 0, parts(d->n, TR_LANES), 0, first, w->own);
    d->out = out + d->m * d->n;
    if (w->column <= first && first < w->column_end)
        gemm_block(d, 0, d->m, 0, parts(d->n, TR_LANES), first, d->k - first, w->own);
}

/* Whether a product is one panel by one worker, with a read in place: what small nets are made of. */
TR_INLINE int gemm_is_one_panel(const tr_call *c, const tr_worker *w) {
    int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2];
    return w->nth == 1 && w->column_end == TR_ALL_COLUMNS && m > 1 && n > 1 && n <= GEMM_VECTORS * TR_LANES &&
           k <= (c->flags & GEMM_TRANSPOSE_B ? GEMM_LONG : TR_GEMM_DEPTH) && !(c->flags & TR_HALF_OF_K);
}

static void gemm_one_panel(const tr_call *c, const tr_worker *w) {
    int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2];
    int turned_a = c->flags & GEMM_TRANSPOSE_A, turned_b = c->flags & GEMM_TRANSPOSE_B;
    gemm_panel g;
    g.out = c->ptr[0];
    g.a = c->ptr[1];
    g.b = c->ptr[2];
    g.bias = c->ptr[3];
    g.mask = c->ptr[4];
    g.out_step = g.b_step = g.columns = n;
    g.a_row = turned_a ? 1 : k;
    g.a_step = turned_a ? m : 1;
    g.depth = gemm_in_halves(c) ? gemm_first_half(k) : k;
    g.rest = k - g.depth;
    g.last = n > TR_LANES ? n - TR_LANES : 0;
    g.add = c->flags & TR_ACCUMULATE;
    g.relu = c->flags & TR_RELU;
    g.more = c->flags & (TR_ACCUMULATE | TR_RELU) || g.bias || g.mask;
    g.ahead = gemm_ahead(c, w);
    g.ahead_step = gemm_ahead_step(m);
    if (turned_b || gemm_pads_b(n)) {
        g.b = w->own;
        g.b_step = parts(n, TR_LANES) * TR_LANES;
        if (turned_b)
            gemm_pack_transposed(w->own, g.b_step, c->ptr[2], k, k, n);
        else
            gemm_pack(w->own, g.b_step, c->ptr[2], n, k, n);
    }
    gemm_panel_in_parts(parts(n, TR_LANES), &g, m);
}

/* halves: whether k is summed in two. */
static void gemm_any(const tr_call *c, const tr_worker *w, int halves) {
    int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2];
    int turned_a = (c->flags & GEMM_TRANSPOSE_A) != 0, turned_b = (c->flags & GEMM_TRANSPOSE_B) != 0;
    int large_a = m * k * 4 > GEMM_LARGE_A_BYTES;
    int large_b = n * k * 4 > GEMM_LARGE_BYTES && m >= GEMM_LARGE_ROWS;
    int shallow = k <= GEMM_SHALLOW_DEPTH && n >= GEMM_SHALLOW_COLUMNS && !large_b;
    gemm_product d = {
        .out = c->ptr[0],
        .a = c->ptr[1],
        .b = c->ptr[2],
        .bias = c->ptr[3],
        .mask = c->ptr[4],
        .m = m,
        .n = n,
        .k = k,
        .turned_a = turned_a,
        .turned_b = turned_b,
        .add = (c->flags & TR_ACCUMULATE) != 0,
        .relu = (c->flags & TR_RELU) != 0,
        .pack_a = turned_a && large_a && n >= GEMM_PACK_A_COLUMNS,
        .pack_b = turned_b || large_b || gemm_pads_b(n),
        .large_b = large_b,
        .height = shallow ? GEMM_SHALLOW_ROWS(k) : large_a ? GEMM_PART_ROWS : m,
        .halves = halves,
        .ahead = gemm_ahead(c, w),
    };
    if (m == 0 || n == 0)
        return;
    if (c->flags & TR_HALF_OF_K)
        gemm_halves(&d, w);
    else if (gemm_is_dots_of_a(c))
        gemm_dots(&d, d.a, d.b, m, 0, w);
    else if (gemm_is_dots_of_b(c))
        gemm_dots(&d, d.b, d.a, n, 1, w);
    else
        gemm_share(&d, w);
}

static int TR_K(matmul)(const tr_call *c, const tr_worker *w) {
    int64_t m = c->arg[0], n = c->arg[1];
    if (n == 1 && m > 1 && c->flags & GEMM_TRANSPOSE_A && !c->ptr[3]) { /* the transpose of a vector times a matrix */
        tr_call transposed = *c;
        transposed.ptr[1] = c->ptr[2], transposed.ptr[2] = c->ptr[1];
        transposed.arg[0] = 1, transposed.arg[1] = m;
        transposed.flags &= ~(GEMM_TRANSPOSE_A | GEMM_TRANSPOSE_B);
        transposed.share &= ~TR_AHEAD; /* it stands in no list */
        gemm_any(&transposed, w, 0);
        return 0;
    }
#ifdef GEMM_NARROWER
    if (n <= TR_LANES / 2 && !gemm_is_dots_of_a(c) && !gemm_is_dots_of_b(c))
        return GEMM_NARROWER[TR_ID_matmul](c, w);
#endif
    if (gemm_is_one_panel(c, w))
        gemm_one_panel(c, w);
    else
        gemm_any(c, w, gemm_in_halves(c));
    return 0;
}

/* out = a + b (+ bias) (relu): what matmul does behind its sum, for two halves of it. */
static int TR_K(join_halves)(const tr_call *c, const tr_worker *w) {
    int64_t rows = c->arg[0], stride = c->arg[1], begin, end;
    int64_t column = w->column, last = at_most(w->column_end, stride);
    const float *a = c->ptr[1], *b = c->ptr[2], *bias = c->ptr[3];
    const float least = c->flags & TR_RELU ? 0 : -INFINITY;
    float *out = c->ptr[0];
    tr_split(w, rows, 1, &begin, &end);
    for (int64_t at = begin * stride; at < end * stride; at += stride)
        for (int64_t j = column; j < last; j += TR_LANES) {
            vec_float sum = vec_load_up_to(a + at + j, last - j, 0) + vec_load_up_to(b + at + j, last - j, 0);
            if (bias)
                sum += vec_load_up_to(bias + j, last - j, 0);
            vec_store_up_to(out + at + j, vec_greater(vec_splat(least), sum), last - j); /* NaN stays */
        }
    return 0;
}
