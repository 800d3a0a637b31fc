/* matmul: out[m, n] = op(a) op(b) (+ out) (+ bias) (relu) (mask), one tile kernel for all shapes and transposes.
 *
 * A tile is up to GEMM_ROWS(v) rows by v vectors of out, held in registers over one block of k: per step it
 * loads v vectors of a row of b and broadcasts one element per row of a. a is read in place whatever its
 * strides, since each element serves v multiplications and a cache line of it several steps. b is read in
 * place while that is cheap. When it is transposed (the vectors must lie along n) each worker packs one panel of it, a
 * block of k by v vectors, just before it is used. Of a large b it packs many panels at once, from a few whole rows at
 * a time, which is how memory likes to be read; then some rows of a, as many as stay in the second level cache, go over
 * all of them, then the next rows.
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
 * padded. One of at most half a vector is left to the next narrower instruction set, if that sums alike. */
#include "ahead.h"
#include "gemm_tile.inc.h"

#define GEMM_TRANSPOSE_A 1
#define GEMM_TRANSPOSE_B 2

/* A b of more bytes is large, if out has at least that many rows: fewer do not pay for packing it. */
#define GEMM_LARGE_BYTES (256 << 10)
#define GEMM_LARGE_ROWS 64
#define GEMM_ROWS_AT_ONCE 8

/* Of an a of more bytes so many rows at a time go over the panels. A transposed one is packed for so many columns: its
 * rows lie across as many pages as there are steps. */
#define GEMM_LARGE_A_BYTES (1 << 20)
#define GEMM_PART_ROWS 120
#define GEMM_PACK_A_COLUMNS 256

/* One row times a b of more bytes reads b so many rows and vectors of columns at a time, whose sums stay in the first
 * level cache. */
#define GEMM_ROW_BYTES (1 << 20)
#define GEMM_ROW_STEPS 4
#define GEMM_ROW_VECTORS 256

/* A transposed panel of more steps than that has two vectors, so that what was packed is still in the first level cache
 * when it is used. */
#define GEMM_LONG 128

/* So shallow a product over so wide a matrix does little but store its result: all columns of a few rows before the
 * next rows, since each row of a panel of columns would be on another page. */
#define GEMM_SHALLOW_DEPTH 32
#define GEMM_SHALLOW_COLUMNS 512
#define GEMM_SHALLOW_ROWS(k) ((k) <= 2 ? GEMM_ROWS(GEMM_VECTORS) : 4 * GEMM_ROWS(GEMM_VECTORS))

/* In a worker's own workspace: rows of a, whose step is no multiple of a page (such steps would put all rows of a tile
 * into the same few lines of the cache), then panels of b. */
#define GEMM_A_STEP (TR_GEMM_DEPTH + 16)
#define GEMM_A_FLOATS (GEMM_PART_ROWS * GEMM_A_STEP)
#define GEMM_MOST_VECTORS ((TR_OWN_BYTES / 4 - GEMM_A_FLOATS) / (TR_GEMM_DEPTH * TR_LANES))

typedef struct gemm_product {
    float *out;         /* [m, n] */
    const float *a, *b; /* stored [m, k] or, turned, [k, m]; [k, n] or, turned, [n, k] */
    const float *bias;  /* [n], or NULL */
    const float *mask;  /* [m, n], or NULL */
    int64_t m, n, k;
    int turned_a, turned_b, add, relu;
    int pack_a, pack_b, large_b;
    int64_t height; /* so many rows of a at a time go over the panels */
    int halves; /* k is summed in two halves */
    int half;   /* this is one of them only */
    tr_ahead *ahead;
} gemm_product;

/* How many parts of at most `most` a total has, and where part i begins when they are equal. A division costs as much as
 * a small tile. */
TR_INLINE int64_t gemm_parts(int64_t total, int64_t most) { return total <= most ? 1 : parts(total, most); }
TR_INLINE int64_t gemm_cut(int64_t total, int64_t i, int64_t parts) {
    return parts == 1 ? total * i : total * i / parts;
}

/* Bytes to fetch ahead per step of k and tile: the fewer rows, the less time there is per byte of weights. More
 * than that gets in the way of the product's own operands. */
TR_INLINE int64_t gemm_ahead_step(int64_t m) { return m <= 64 ? 32 : 16; }

/* Where two workers cut k: as they cut columns. */
TR_INLINE int64_t gemm_first_half(int64_t k) { return parts(parts(k, TR_SHARE_UNIT), 2) * TR_SHARE_UNIT; }

TR_INLINE int gemm_in_halves(const tr_call *c) {
    return !(c->flags & (GEMM_TRANSPOSE_A | GEMM_TRANSPOSE_B)) && c->arg[2] >= TR_GEMM_HALVES_FROM &&
           c->arg[2] <= TR_GEMM_DEPTH;
}

/* Whether a b so narrow is packed and padded. */
TR_INLINE int gemm_pads_b(int64_t n) { return n < TR_LANES && !TR_MASKED_ACCESS; }

/* Whether out is a column of dot products with rows of a, or a row of those with rows of the stored b. */
TR_INLINE int gemm_is_dots_of_a(const tr_call *c) {
    return c->arg[1] == 1 && (!(c->flags & GEMM_TRANSPOSE_A) || c->arg[0] == 1);
}
TR_INLINE int gemm_is_dots_of_b(const tr_call *c) { return c->arg[0] == 1 && c->flags & GEMM_TRANSPOSE_B; }

/* What the call fetches ahead with, or NULL. */
TR_INLINE tr_ahead *gemm_ahead(const tr_call *c, const tr_worker *w) {
    if (!(c->share & TR_AHEAD) || !w->ahead)
        return 0;
    tr_ahead_begin(w->ahead, c);
    return w->ahead;
}

/* Columns of the vectors [v, next), of which the last may be a part. */
TR_INLINE int64_t gemm_width(const gemm_product *d, int64_t v, int64_t next) {
    return at_most(next * TR_LANES, d->n) - v * TR_LANES;
}

/* Packs vectors [first, end) of columns of a block of k, panel after panel. */
static void gemm_pack_panels(float *to, const gemm_product *d, int64_t first, int64_t end, int64_t step, int64_t depth) {
    int64_t panels = gemm_parts(end - first, GEMM_VECTORS), rows = d->turned_b ? depth : GEMM_ROWS_AT_ONCE;
    for (int64_t p = 0; p < depth; p += rows)
        for (int64_t panel = 0, v = first; panel < panels; panel++) {
            int64_t next = first + gemm_cut(end - first, panel + 1, panels), to_step = (next - v) * TR_LANES;
            float *packed = to + (v - first) * TR_LANES * depth + p * to_step;
            if (d->turned_b)
                gemm_pack_transposed(packed, to_step, d->b + v * TR_LANES * d->k + step, d->k, depth,
                                     gemm_width(d, v, next));
            else
                gemm_pack(packed, to_step, d->b + (step + p) * d->n + v * TR_LANES, d->n, at_most(rows, depth - p),
                          gemm_width(d, v, next));
            v = next;
        }
}

/* Steps [step, step + depth) of k of rows [row, row_end) and vectors [first, end) of columns, which are packed if they
 * are to be. */
static void gemm_panels(const gemm_product *d, int64_t row, int64_t row_end, int64_t first, int64_t end, int64_t step,
                        int64_t depth, float *own) {
    int ends = step + depth == d->k;
    gemm_panel g = {
        .a = d->turned_a ? d->a + step * d->m + row : d->a + row * d->k + step,
        .out_step = d->n,
        .a_row = d->turned_a ? 1 : d->k,
        .a_step = d->turned_a ? d->m : 1,
        .depth = d->halves ? gemm_first_half(depth) : depth,
        .rest = d->halves ? depth - gemm_first_half(depth) : 0,
        .add = d->add || (step > 0 && !d->half),
        .relu = d->relu && ends,
        .ahead = d->ahead,
        .ahead_step = gemm_ahead_step(d->m),
    };
    if (d->pack_a) {
        gemm_pack_transposed(own, GEMM_A_STEP, g.a, d->m, row_end - row, depth);
        g.a = own;
        g.a_row = GEMM_A_STEP;
        g.a_step = 1;
    }
    int64_t panels = gemm_parts(end - first, GEMM_VECTORS);
    for (int64_t panel = 0, v = first; panel < panels; panel++) {
        int64_t next = first + gemm_cut(end - first, panel + 1, panels), column = v * TR_LANES;
        g.out = d->out + row * d->n + column;
        g.mask = d->mask && ends ? d->mask + row * d->n + column : 0;
        g.columns = gemm_width(d, v, next);
        g.bias = d->bias && ends ? d->bias + column : 0;
        g.more = g.add || g.bias || g.relu || g.mask;
        g.last = g.columns > TR_LANES ? g.columns - TR_LANES : 0;
        g.b = d->pack_b ? own + GEMM_A_FLOATS + (v - first) * TR_LANES * depth : d->b + step * d->n + column;
        g.b_step = d->pack_b ? (next - v) * TR_LANES : d->n;
        gemm_panel_in_parts(next - v, &g, row_end - row);
        v = next;
    }
}

/* The same in parts: as many columns at a time as are packed at once, and of these as many rows as go over them. */
static void gemm_block(const gemm_product *d, int64_t row, int64_t row_end, int64_t first, int64_t end, int64_t step,
                       int64_t depth, float *own) {
    int64_t most = !d->pack_b ? end : d->large_b ? GEMM_MOST_VECTORS : depth > GEMM_LONG ? 2 : GEMM_VECTORS;
    int64_t widths = gemm_parts(end - first, most), heights = gemm_parts(row_end - row, d->height);
    for (int64_t i = 0; i < widths; i++) {
        int64_t left = first + gemm_cut(end - first, i, widths), right = first + gemm_cut(end - first, i + 1, widths);
        if (d->pack_b)
            gemm_pack_panels(own + GEMM_A_FLOATS, d, left, right, step, depth);
        for (int64_t j = 0; j < heights; j++)
            gemm_panels(d, row + gemm_cut(row_end - row, j, heights), row + gemm_cut(row_end - row, j + 1, heights),
                        left, right, step, depth, own);
    }
}

/* Rows [row, row_end) and vectors [first, end) of columns, over all of k. */
static void gemm_blocks(const gemm_product *d, int64_t row, int64_t row_end, int64_t first, int64_t end, float *own) {
    int64_t blocks = gemm_parts(d->k, TR_GEMM_DEPTH);
    for (int64_t i = 0; i < blocks; i++) {
        int64_t step = gemm_cut(d->k, i, blocks), next = gemm_cut(d->k, i + 1, blocks);
        gemm_block(d, row, row_end, first, end, step, next - step, own);
    }
}

/* sums[columns] += the sum of `rows` rows of b, each times its element of a, one after the other. */
TR_INLINE void gemm_add_rows(float *sums, const int rows, const float *a, const float *b, int64_t b_step,
                             int64_t columns) {
    for (int64_t j = 0; j < columns; j += TR_LANES) {
        vec_float sum = vec_load(sums + j);
        TR_UNROLL for (int r = 0; r < rows; r++)
            sum += a[r] * vec_load_up_to(b + r * b_step + j, columns - j, 0);
        vec_store(sums + j, sum);
    }
}

/* One row times the columns [column, column + columns) of a b from memory, which is read as it lies there. The sums of
 * a block stand in the workspace and take their products in the order of a tile. */
static void gemm_row(const gemm_product *d, int64_t column, int64_t columns, float *sums) {
    int64_t whole = parts(columns, TR_LANES) * TR_LANES, blocks = d->halves ? 2 : gemm_parts(d->k, TR_GEMM_DEPTH);
    float *first = sums + whole, *out = d->out + column;
    for (int64_t i = 0, step = 0; i < blocks; i++) {
        int64_t next = d->halves && i == 0 ? gemm_first_half(d->k) : gemm_cut(d->k, i + 1, blocks);
        int ends = i + 1 == blocks;
        memset(sums, 0, (size_t)whole * sizeof(float));
        for (; step + GEMM_ROW_STEPS <= next; step += GEMM_ROW_STEPS)
            gemm_add_rows(sums, GEMM_ROW_STEPS, d->a + step, d->b + step * d->n + column, d->n, columns);
        for (; step < next; step++)
            gemm_add_rows(sums, 1, d->a + step, d->b + step * d->n + column, d->n, columns);
        if (d->halves && i == 0) {
            memcpy(first, sums, (size_t)whole * sizeof(float));
            continue;
        }
        for (int64_t j = 0; j < columns; j += TR_LANES) {
            vec_float x = vec_load(sums + j);
            int64_t count = columns - j;
            if (d->halves)
                x = vec_load(first + j) + x;
            else if (i > 0)
                x = vec_load_up_to(out + j, count, 0) + x;
            if (d->add && (d->halves || i == 0))
                x = vec_load_up_to(out + j, count, 0) + x;
            if (ends && d->bias)
                x += vec_load_up_to(d->bias + column + j, count, 0);
            if (ends && d->relu)
                x = gemm_relu(x);
            if (ends && d->mask)
                x = vec_where_positive(x, vec_load_up_to(d->mask + column + j, count, 0));
            vec_store_up_to(out + j, x, count);
        }
    }
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
    if (d->m > 1 || d->turned_b || d->n * d->k * 4 <= GEMM_ROW_BYTES)
        gemm_blocks(d, row, row_end, first, end, w->own);
    else
        for (int64_t v = first; v < end; v += GEMM_ROW_VECTORS)
            gemm_row(d, v * TR_LANES, gemm_width(d, v, at_most(end, v + GEMM_ROW_VECTORS)), w->own);
}

/* out[i] = the dot product of row i and x, both contiguous, for four rows at a time: there are no columns for
 * vectors to lie along. bias[i * bias_step] is added. */
static void gemm_dots(const gemm_product *d, const float *rows, const float *x, int64_t count, int64_t bias_step,
                      const tr_worker *w) {
    int64_t k = d->k, begin, end;
    int64_t whole = k / TR_LANES * TR_LANES;
    vec_int rest; /* lanes of the last vector, which overlaps the one before, that are still to be added */
    for (int j = 0; j < TR_LANES; j++)
        rest[j] = j >= TR_LANES - (k - whole) ? -1 : 0;
    tr_split(w, count, 4, &begin, &end);
    for (int64_t i = begin; i < end; i += 4) {
        const float *row[4];
        vec_float sum[4];
        for (int r = 0; r < 4; r++) {
            row[r] = rows + (i + r < end ? i + r : end - 1) * k;
            sum[r] = vec_splat(0.0f);
        }
        for (int64_t p = 0; p < whole; p += TR_LANES)
            TR_UNROLL for (int r = 0; r < 4; r++)
                sum[r] += vec_load(row[r] + p) * vec_load(x + p);
        for (int r = 0; r < 4 && i + r < end; r++) {
            float *out = d->out + i + r, total = 0.0f;
            if (whole > 0) {
                vec_float last = vec_load(row[r] + k - TR_LANES) * vec_load(x + k - TR_LANES);
                total = vec_sum(sum[r] + (vec_float)((vec_int)last & rest));
            } else {
                for (int64_t p = 0; p < k; p++)
                    total += row[r][p] * x[p];
            }
            if (d->add)
                total = *out + total;
            if (d->bias)
                total += d->bias[(i + r) * bias_step];
            if (d->relu && total < 0.0f)
                total = 0.0f;
            *out = d->mask && !(vec_where_positive(vec_splat(1), vec_splat(d->mask[out - d->out]))[0] > 0) ? 0.0f : total;
        }
    }
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

static void gemm_any(const tr_call *c, const tr_worker *w) {
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
        .halves = gemm_in_halves(c),
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
        gemm_any(&transposed, w);
        return 0;
    }
#ifdef GEMM_NARROWER
    if (n <= TR_LANES / 2 && !gemm_is_dots_of_a(c) && !gemm_is_dots_of_b(c))
        return GEMM_NARROWER[TR_ID_matmul](c, w);
#endif
    if (gemm_is_one_panel(c, w))
        gemm_one_panel(c, w);
    else
        gemm_any(c, w);
    return 0;
}
