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
 * Columns that fill no whole vector need no code of their own: the last vector of a panel ends at the last
 * column and overlaps the one before it, both compute the same, and panels are cut so that the last has two
 * vectors or more. An out narrower than one vector is a part of one; where b cannot be read by parts it is packed and
 * padded. Where half a vector or less would be used it is left to the next narrower instruction set, if that sums
 * alike.
 *
 * The parts: gemm_steps (in which order an element is summed), gemm_finish (what is done to a sum on its way to out),
 * gemm_tile (the registers), gemm_pack (copies of operands), gemm_blocks (parts of out, and who does which), gemm_thin
 * (products of which a side is 1). Another product, say of windows of an image, is one more packing and a kernel that
 * fills a gemm_product. */
#include "ahead.h"
#include "gemm_steps.inc.h"
#include "gemm_finish.inc.h"
#include "gemm_panel.inc.h"
#include "gemm_pack.inc.h"
#include "gemm_blocks.inc.h"
#include "gemm_thin.inc.h"

/* A b of more bytes is large, if out has at least that many rows: fewer do not pay for packing it. With many rows so is
 * one that does not fit the first level cache: its rows, read in place, may all fall on a few lines of that. */
#define GEMM_LARGE_BYTES (256 << 10)
#define GEMM_LARGE_ROWS 64
#define GEMM_CACHED_BYTES (32 << 10)
#define GEMM_MANY_ROWS 256

/* Of an a of more bytes a part of the rows at a time goes over the panels. A transposed one is packed for so many columns:
 * its rows lie across as many pages as there are steps. */
#define GEMM_LARGE_A_BYTES (1 << 19)
#define GEMM_PACK_A_COLUMNS 128

/* So shallow a product over so wide a matrix does little but store its result: all columns of a few rows before the
 * next rows, since each row of a panel of columns would be on another page. */
#define GEMM_SHALLOW_DEPTH 32
#define GEMM_SHALLOW_COLUMNS 512
#define GEMM_SHALLOW_ROWS(k) ((k) <= 2 ? GEMM_ROWS(GEMM_VECTORS) : 4 * GEMM_ROWS(GEMM_VECTORS))

/* The packings of matmul: of an a that is stored transposed, and of a b as it is stored and transposed. */
static void gemm_pack_turned_a(gemm_panel *g, float *to, const gemm_operand *a, int64_t row, int64_t rows, int64_t step,
                               int64_t depth) {
    gemm_pack_transposed(to, GEMM_A_STEP, a->at + step * a->step + row, a->step, rows, depth);
    g->a = to;
    g->a_row = GEMM_A_STEP;
    g->a_step = 1;
}

static void gemm_pack_stored_b(float *to, int64_t to_step, const gemm_operand *b, int64_t column, int64_t columns,
                               int64_t step, int64_t depth) {
    gemm_pack(to, to_step, b->at + step * b->step + column, b->step, depth, columns);
}

static void gemm_pack_turned_b(float *to, int64_t to_step, const gemm_operand *b, int64_t column, int64_t columns,
                               int64_t step, int64_t depth) {
    gemm_pack_transposed(to, to_step, b->at + column * b->line + step, b->line, depth, columns);
}

/* Whether a b so narrow is packed and padded. */
TR_INLINE int gemm_pads_b(int64_t n) { return n < TR_LANES && !TR_MASKED_ACCESS; }

/* What the call fetches ahead with, or NULL. */
TR_INLINE tr_ahead *gemm_ahead(const tr_call *c, const tr_worker *w) {
    if (!(c->share & TR_AHEAD) || !w->ahead)
        return 0;
    tr_ahead_begin(w->ahead, c);
    return w->ahead;
}

/* An area, in the way that suits it. */
static void gemm_work(const gemm_product *d, const gemm_area *area, float *own) {
    if (area->row == area->row_end)
        return;
    if (d->k == 1 && d->n > GEMM_VECTORS * TR_LANES && d->m * d->n * 4 > GEMM_OUTER_BYTES)
        gemm_outer(d, area);
    else if (d->m > 1 || d->n * d->k * 4 <= GEMM_ROW_BYTES)
        gemm_blocks(d, area, own);
    else
        for (int64_t v = area->first; v < area->end; v += GEMM_ROW_VECTORS)
            gemm_row(d, v * TR_LANES, gemm_width(d, v, at_most(area->end, v + GEMM_ROW_VECTORS)), own);
}

/* The halves of k that begin among the worker's columns of a, the second behind the first: one of two workers does one, a
 * worker by itself does both. */
static void gemm_halves(gemm_product *d, const tr_worker *w) {
    gemm_steps first = gemm_half_of(d->k, 0), second = gemm_half_of(d->k, 1);
    gemm_area all = gemm_all(d);
    if (w->column == 0)
        gemm_block(d, &all, &first, w->own);
    d->to.out += d->m * d->n;
    if (w->column <= second.step && second.step < w->column_end)
        gemm_block(d, &all, &second, w->own);
}

/* Whether a product is one panel by one worker, with a read in place: what small nets are made of. */
TR_INLINE int gemm_is_one_panel(const tr_call *c, const tr_worker *w) {
    int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2];
    int turned_b = c->flags & GEMM_TRANSPOSE_B;
    return w->nth == 1 && w->column_end == TR_ALL_COLUMNS && m > (turned_b ? 1 : 0) && n > 1 &&
           n <= GEMM_VECTORS * TR_LANES && k <= (turned_b ? GEMM_LONG : TR_GEMM_DEPTH) && !(c->flags & TR_HALF_OF_K);
}

/* All of out as the call says. */
TR_INLINE gemm_target gemm_target_of_call(const tr_call *c) {
    const float *bias = c->ptr[3], *mask = c->ptr[4];
    int64_t n = c->arg[1];
    return (gemm_target){
        .out = c->ptr[0],
        .step = n,
        .columns = n,
        .last = n > TR_LANES ? n - TR_LANES : 0,
        .does = (c->flags & TR_ACCUMULATE ? GEMM_ADD : 0) | (bias ? GEMM_BIAS : 0) |
                (c->flags & TR_RELU ? GEMM_RELU : 0) | (mask ? GEMM_MASK : 0),
        .bias = bias,
        .mask = mask,
    };
}

static void gemm_one_panel(const tr_call *c, const tr_worker *w) {
    int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2];
    int turned_a = c->flags & GEMM_TRANSPOSE_A, turned_b = c->flags & GEMM_TRANSPOSE_B;
    gemm_steps steps = gemm_steps_of(k, gemm_in_halves(c), 0);
    gemm_panel g = {
        .to = gemm_target_of_call(c),
        .a = c->ptr[1],
        .b = c->ptr[2],
        .a_row = turned_a ? 1 : k,
        .a_step = turned_a ? m : 1,
        .b_step = n,
        .depth = steps.depth,
        .rest = steps.rest,
        .ahead = gemm_ahead(c, w),
        .ahead_step = gemm_ahead_step(m),
    };
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

/* The product of two matrices in memory, of which those that are not read well in place are packed. */
TR_INLINE gemm_product gemm_product_of(gemm_target to, const gemm_operand *a, const gemm_operand *b, int flags, int64_t m,
                                       int64_t n, int64_t k, int halves) {
    int turned_a = (flags & GEMM_TRANSPOSE_A) != 0, turned_b = (flags & GEMM_TRANSPOSE_B) != 0;
    int large_a = m * k * 4 > GEMM_LARGE_A_BYTES;
    int64_t most_b = m >= GEMM_MANY_ROWS ? GEMM_CACHED_BYTES : GEMM_LARGE_BYTES;
    int large_b = n * k * 4 > most_b && m >= GEMM_LARGE_ROWS;
    int shallow = k <= GEMM_SHALLOW_DEPTH && n >= GEMM_SHALLOW_COLUMNS && !large_b;
    return (gemm_product){
        .to = to,
        .a = a,
        .b = b,
        .pack_a = turned_a && large_a && n >= GEMM_PACK_A_COLUMNS ? gemm_pack_turned_a : 0,
        .pack_b = turned_b ? gemm_pack_turned_b : large_b || gemm_pads_b(n) ? gemm_pack_stored_b : 0,
        .m = m,
        .n = n,
        .k = k,
        .height = shallow ? GEMM_SHALLOW_ROWS(k) : large_a ? GEMM_PART_ROWS : m,
        .large_b = large_b,
        .halves = halves,
    };
}

/* halves: whether k is summed in two. */
static void gemm_any(const tr_call *c, const tr_worker *w, int halves) {
    int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2], vectors = parts(n, TR_LANES);
    int turned_a = (c->flags & GEMM_TRANSPOSE_A) != 0, turned_b = (c->flags & GEMM_TRANSPOSE_B) != 0;
    const gemm_operand a = {c->ptr[1], turned_a ? 1 : k, turned_a ? m : 1};
    const gemm_operand b = {c->ptr[2], turned_b ? k : 1, turned_b ? 1 : n};
    gemm_product d = gemm_product_of(gemm_target_of_call(c), &a, &b, c->flags, m, n, k, halves);
    d.ahead = gemm_ahead(c, w);
    /* By columns where b is packed, so that no two workers pack the same panel, else along the longer side. */
    d.by_columns = vectors >= 2 * w->nth && (d.pack_b ? vectors >= GEMM_VECTORS * w->nth : n > 4 * m);
    gemm_area area = gemm_share(&d, w);
    if (m == 0 || n == 0)
        return;
    if (c->flags & TR_HALF_OF_K)
        gemm_halves(&d, w);
    else if (gemm_is_dots_of_a(c))
        gemm_dots(&d, a.at, b.at, m, w);
    else if (gemm_is_dots_of_b(c))
        gemm_dots(&d, b.at, a.at, n, w);
    else
        gemm_work(&d, &area, w->own);
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

/* `rows` rows of two halves to t; those begin at a and b and lie as out does. */
TR_INLINE void gemm_join(const int rows, const int width, const gemm_target *t, const float *a, const float *b) {
    const int vectors = width > 0 ? width : 1;
    vec_float sum[GEMM_ROWS_MAX][GEMM_VECTORS];
    GEMM_EACH(sum[i][j] = gemm_load(a + i * t->step, j, width, t) + gemm_load(b + i * t->step, j, width, t))
    gemm_put_tile(rows, width, sum, t, 0);
}

/* The columns [column, end) of the rows from `row` on. */
TR_INLINE void gemm_join_rows(const int rows, const gemm_target *to, const float *a, const float *b, int64_t row,
                              int64_t column, int64_t end) {
    for (int64_t count; column < end; column += count) {
        count = end - column >= GEMM_VECTORS * TR_LANES ? GEMM_VECTORS * TR_LANES : at_most(TR_LANES, end - column);
        const gemm_target t = gemm_target_at(to, row, column, count);
        const int64_t at = row * t.step + column;
        if (count > TR_LANES)
            gemm_join(rows, GEMM_VECTORS, &t, a + at, b + at);
        else if (count == TR_LANES)
            gemm_join(rows, 1, &t, a + at, b + at);
        else
            gemm_join(rows, 0, &t, a + at, b + at);
    }
}

/* out = a + b (+ bias) (relu): what matmul does behind its sum, for two halves of it. */
static int TR_K(join_halves)(const tr_call *c, const tr_worker *w) {
    enum { ROWS = 4 };
    int64_t cols = c->arg[1], row, row_end, end = at_most(w->column_end, cols);
    const gemm_target to = {
        .out = c->ptr[0],
        .step = cols,
        .does = (c->flags & TR_RELU ? GEMM_RELU : 0) | (c->ptr[3] ? GEMM_BIAS : 0),
        .bias = c->ptr[3],
    };
    tr_split(w, c->arg[0], 1, &row, &row_end);
    for (; row + ROWS <= row_end; row += ROWS)
        gemm_join_rows(ROWS, &to, c->ptr[1], c->ptr[2], row, w->column, end);
    for (; row < row_end; row++)
        gemm_join_rows(1, &to, c->ptr[1], c->ptr[2], row, w->column, end);
    return 0;
}
