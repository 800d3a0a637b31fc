/* Products of which a side is 1, where the operands are read once and nothing is used again: dot products, and one row
 * times a large matrix. */

/* Whether out is a column of dot products with rows of a, or a row of those with rows of the stored b. */
TR_INLINE int gemm_is_dots_of_a(const tr_call *c) {
    return c->arg[1] == 1 && (!(c->flags & GEMM_TRANSPOSE_A) || c->arg[0] == 1);
}
TR_INLINE int gemm_is_dots_of_b(const tr_call *c) { return c->arg[0] == 1 && c->flags & GEMM_TRANSPOSE_B; }

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

/* One row times a b of more bytes reads b so many rows and vectors of columns at a time, whose sums stay in the first
 * level cache. */
#define GEMM_ROW_BYTES (1 << 20)
#define GEMM_ROW_STEPS 4
#define GEMM_ROW_VECTORS 256

/* A wide out of more bytes is stored row by row if k = 1. */
#define GEMM_OUTER_BYTES (128 << 10)

/* What is done to x, a vector of the sum, on its way to out[row, column]; count: how many columns there are left. */
TR_INLINE void gemm_put(const gemm_product *d, vec_float x, int64_t row, int64_t column, int64_t count, int add, int ends) {
    float *out = d->out + row * d->n + column;
    if (add)
        x = vec_load_up_to(out, count, 0) + x;
    if (ends && d->bias)
        x += vec_load_up_to(d->bias + column, count, 0);
    if (ends && d->relu)
        x = gemm_relu(x);
    if (ends && d->mask)
        x = vec_where_positive(x, vec_load_up_to(d->mask + row * d->n + column, count, 0));
    vec_store_up_to(out, x, count);
}

/* k = 1: rows [row, row_end) of a column times a row, columns [column, end). All of it is storing: row by row. */
static void gemm_outer(const gemm_product *d, int64_t row, int64_t row_end, int64_t column, int64_t end) {
    const int more = d->add || d->bias || d->relu || d->mask;
    const float *b = d->b;
    for (int64_t i = row; i < row_end; i++) {
        const float a = d->a[i];
        float *out = d->out + i * d->n;
        int64_t j = column;
        for (; !more && j + TR_LANES <= end; j += TR_LANES)
            vec_store(out + j, vec_splat(0) + a * vec_load(b + j));
        for (; j < end; j += TR_LANES)
            gemm_put(d, vec_splat(0) + a * vec_load_up_to(b + j, end - j, 0), i, j, end - j, d->add, 1);
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

/* One row times the columns [column, column + columns) of a b from memory, which is read as it lies there. The sums of
 * a block stand in the workspace and take their products in the order of a tile. */
static void gemm_row(const gemm_product *d, int64_t column, int64_t columns, float *sums) {
    int64_t whole = parts(columns, TR_LANES) * TR_LANES, blocks = d->halves ? 2 : gemm_parts(d->k, TR_GEMM_DEPTH);
    float *first = sums + whole;
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
            if (d->halves)
                x = vec_load(first + j) + x;
            gemm_put(d, x, 0, column + j, columns - j, d->add || (i > 0 && !d->halves), ends);
        }
    }
}
