/* Products of which a side is 1, where the operands are read once and nothing is used again: dot products, and one row
 * times a large matrix. */

/* Whether out is a column of dot products with rows of a, or a row of those with rows of the stored b. */
TR_INLINE int gemm_is_dots_of_a(const tr_call *c) {
    return c->arg[1] == 1 && (!(c->flags & GEMM_TRANSPOSE_A) || c->arg[0] == 1);
}
TR_INLINE int gemm_is_dots_of_b(const tr_call *c) { return c->arg[0] == 1 && c->flags & GEMM_TRANSPOSE_B; }

/* The lanes of the last vector of k, which overlaps the one before, that are still to be added. */
TR_INLINE vec_int gemm_last_lanes(int64_t k) {
    vec_int rest;
    for (int j = 0; j < TR_LANES; j++)
        rest[j] = j >= TR_LANES - k % TR_LANES ? -1 : 0;
    return rest;
}

/* sum[r] += the products of row[r] and x, by lanes, from step p on, whole vectors up to `end`. */
TR_INLINE void gemm_add_dots(vec_float sum[4], const float *const row[4], const float *x, int64_t p, int64_t end) {
    for (; p < end; p += TR_LANES)
        TR_UNROLL for (int r = 0; r < 4; r++)
            sum[r] += vec_load(row[r] + p) * vec_load(x + p);
}

/* Four dot products of so many steps that single precision would not do for their sums: the sums of each
 * TR_GEMM_DEPTH steps are added in double precision. `rest`: the lanes of the last vector that `whole` leaves. */
static void gemm_long_dots(float dot[4], const float *const row[4], const float *x, int64_t k, vec_int rest) {
    int64_t whole = k / TR_LANES * TR_LANES;
    vec_double total[4] = {{0}};
    for (int64_t p = 0; p < whole; p += TR_GEMM_DEPTH) {
        vec_float sum[4] = {{0}};
        gemm_add_dots(sum, row, x, p, at_most(p + TR_GEMM_DEPTH, whole));
        TR_UNROLL for (int r = 0; r < 4; r++) {
            float lanes[TR_LANES];
            vec_store(lanes, sum[r]);
            total[r] += vec_load_widened(lanes) + vec_load_widened(lanes + TR_HALF);
        }
    }
    TR_UNROLL for (int r = 0; r < 4; r++) {
        vec_float last = vec_load(row[r] + k - TR_LANES) * vec_load(x + k - TR_LANES);
        dot[r] = (float)(vec_sum_double(total[r]) + vec_sum((vec_float)((vec_int)last & rest)));
    }
}

/* out[i] = the dot product of row i and x, both contiguous, for four rows at a time: there are no columns for
 * vectors to lie along. */
static void gemm_dots(const gemm_product *d, const float *rows, const float *x, int64_t count, const tr_worker *w) {
    int64_t k = d->k, whole = k / TR_LANES * TR_LANES, begin, end;
    const float bias = d->n == 1 && d->to.bias ? *d->to.bias : 0; /* for all rows of a column */
    const float same[4] = {bias, bias, bias, bias};
    gemm_target line = d->to; /* out as one row, whichever it is */
    if (d->n == 1)
        line.bias = 0;
    vec_int rest = gemm_last_lanes(k);
    tr_split(w, count, 4, &begin, &end);
    for (int64_t i = begin; i < end; i += 4) {
        const float *row[4];
        float long_dot[4];
        vec_float sum[4], total = {0};
        for (int r = 0; r < 4; r++) {
            row[r] = rows + (i + r < end ? i + r : end - 1) * k;
            sum[r] = vec_splat(0.0f);
        }
        if (k > TR_GEMM_DEPTH)
            gemm_long_dots(long_dot, row, x, k, rest);
        else
            gemm_add_dots(sum, row, x, 0, whole);
        TR_UNROLL for (int r = 0; r < 4; r++) {
            float dot = 0.0f;
            if (i + r >= end)
                continue;
            if (k > TR_GEMM_DEPTH) {
                dot = long_dot[r];
            } else if (whole > 0) {
                vec_float last = vec_load(row[r] + k - TR_LANES) * vec_load(x + k - TR_LANES);
                dot = vec_sum(sum[r] + (vec_float)((vec_int)last & rest));
            } else {
                for (int64_t p = 0; p < k; p++)
                    dot += row[r][p] * x[p];
            }
            total[r] = dot;
        }
        gemm_target four = gemm_target_at(&line, 0, i, at_most(4, end - i));
        if (d->n == 1 && d->to.bias)
            four.bias = same;
        gemm_put(&four, total, 0, 0, four.columns);
    }
}

/* One row times a b of more bytes reads b so many rows and vectors of columns at a time, whose sums stay in the first
 * level cache. */
#define GEMM_ROW_BYTES (1 << 20)
#define GEMM_ROW_STEPS 4
#define GEMM_ROW_VECTORS 256

/* A wide out of more bytes is stored row by row if k = 1. */
#define GEMM_OUTER_BYTES (128 << 10)

/* k = 1: a column times a row. All of it is storing: row by row. */
static void gemm_outer(const gemm_product *d, const gemm_area *area) {
    enum { AT_ONCE = GEMM_VECTORS * TR_LANES };
    const gemm_target to = d->to;
    const int64_t column = area->first * TR_LANES, end = at_most(area->end * TR_LANES, d->n);
    const float *b = d->b->at;
    for (int64_t i = area->row; i < area->row_end; i++) {
        const float a = d->a->at[i];
        int64_t j = column;
        for (; !to.does && j + TR_LANES <= end; j += TR_LANES)
            vec_store(to.out + i * to.step + j, vec_splat(0) + a * vec_load(b + j));
        for (; j + AT_ONCE <= end; j += AT_ONCE) {
            gemm_target at = gemm_target_at(&to, i, j, AT_ONCE);
            vec_float product[1][GEMM_VECTORS];
            TR_UNROLL for (int v = 0; v < GEMM_VECTORS; v++)
                product[0][v] = vec_splat(0) + a * vec_load(b + j + v * TR_LANES);
            gemm_put_tile(1, GEMM_VECTORS, product, &at, 0);
        }
        for (; j < end; j += TR_LANES)
            gemm_put(&to, vec_splat(0) + a * vec_load_up_to(b + j, end - j, 0), i, j, end - j);
    }
}

/* sums[columns] += the sum of `rows` rows of b, each times its element of a, one after the other. */
TR_INLINE void gemm_add_rows(float *sums, const int rows, const float *a, const float *b, int64_t b_step,
                             int64_t columns) {
    int64_t j = 0;
    for (; j + TR_LANES <= columns; j += TR_LANES) {
        vec_float sum = vec_load(sums + j);
        TR_UNROLL for (int r = 0; r < rows; r++)
            sum += a[r] * vec_load(b + r * b_step + j);
        vec_store(sums + j, sum);
    }
    if (j < columns) {
        vec_float sum = vec_load(sums + j);
        TR_UNROLL for (int r = 0; r < rows; r++)
            sum += a[r] * vec_load_part(b + r * b_step + j, columns - j, 0);
        vec_store(sums + j, sum);
    }
}

/* sums[columns] = the sum of the steps [step, end). */
TR_INLINE void gemm_sum_rows(float *sums, const gemm_product *d, int64_t step, int64_t end, int64_t column,
                             int64_t columns) {
    const float *a = d->a->at, *b = d->b->at + column;
    memset(sums, 0, (size_t)(parts(columns, TR_LANES) * TR_LANES) * sizeof(float));
    for (; step + GEMM_ROW_STEPS <= end; step += GEMM_ROW_STEPS)
        gemm_add_rows(sums, GEMM_ROW_STEPS, a + step, b + step * d->n, d->n, columns);
    for (; step < end; step++)
        gemm_add_rows(sums, 1, a + step, b + step * d->n, d->n, columns);
}

/* One row times the columns [column, column + columns) of a b from memory, which is read as it lies there. The sums of
 * a block stand in the workspace and take their products in the order of a tile. */
static void gemm_row(const gemm_product *d, int64_t column, int64_t columns, float *sums) {
    float *others = sums + parts(columns, TR_LANES) * TR_LANES;
    gemm_target to = d->to;
    for (int64_t i = 0, blocks = gemm_blocks_of(d->k); i < blocks; i++) {
        gemm_steps s = gemm_steps_of(d->k, d->halves, i);
        to.does = gemm_does_in(d->to.does, &s);
        gemm_sum_rows(sums, d, s.step, s.step + s.depth, column, columns);
        if (s.rest)
            gemm_sum_rows(others, d, s.step + s.depth, s.step + s.depth + s.rest, column, columns);
        for (int64_t j = 0; j < columns; j += TR_LANES) {
            vec_float x = vec_load(sums + j);
            if (s.rest)
                x += vec_load(others + j);
            gemm_put(&to, x, 0, column + j, columns - j);
        }
    }
}
