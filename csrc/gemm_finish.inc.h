/* Where the sums of a product go, and what becomes of them on the way: the one epilogue of tiles, of thin products and of
 * joined halves. */

/* What is done to a sum; gemm_finish says in which order. */
enum {
    GEMM_ADD = 1,  /* out += instead of out = */
    GEMM_RELU = 2, /* max(., 0) */
    GEMM_BIAS = 4, /* the bias of its column is added */
    GEMM_MASK = 8, /* 0 where the mask is not above 0 */
};

/* out, or a part of it. */
typedef struct gemm_target {
    float *out;        /* rows `step` apart */
    int64_t step;
    int64_t columns;
    int64_t last;      /* column of a row's last vector; the others stand one after the other */
    int does;          /* what is done to sums: GEMM_ADD, ... */
    const float *bias; /* of these columns, or NULL */
    const float *mask; /* rows `step` apart, or NULL */
} gemm_target;

/* The part of t from (row, column) on, so many columns wide. */
TR_INLINE gemm_target gemm_target_at(const gemm_target *t, int64_t row, int64_t column, int64_t columns) {
    int64_t at = row * t->step + column;
    return (gemm_target){
        .out = t->out + at,
        .step = t->step,
        .columns = columns,
        .last = columns > TR_LANES ? columns - TR_LANES : 0,
        .does = t->does,
        .bias = t->bias ? t->bias + column : 0,
        .mask = t->mask ? t->mask + at : 0,
    };
}

/* What is done to the sums of some steps of k only, where `does` is done to the whole: they are added to what those before
 * them left, and the last ones do the rest. */
TR_INLINE int gemm_does_in(int does, const gemm_steps *s) {
    return (s->ends ? does : does & GEMM_ADD) | (s->begins ? 0 : GEMM_ADD);
}

/* Vector j of a row of `width` vectors. A row of width 0 is narrower than one vector. */
TR_INLINE vec_float gemm_load(const float *row, int j, const int width, const gemm_target *t) {
    return width == 0 ? vec_load_part(row, t->columns, 0)
                      : vec_load(row + (j + 1 < width ? j * TR_LANES : t->last));
}

TR_INLINE void gemm_store(float *row, vec_float x, int j, const int width, const gemm_target *t) {
    if (width == 0)
        vec_store_part(row, x, t->columns);
    else
        vec_store(row + (j + 1 < width ? j * TR_LANES : t->last), x);
}

/* For each vector j of each row i of a tile, whose counts are constants; with a pointer that moves on by a row as well. */
#define GEMM_EACH(statement)                          \
    TR_UNROLL for (int i = 0; i < rows; i++)          \
        TR_UNROLL for (int j = 0; j < vectors; j++) { \
            statement;                                \
        }
#define GEMM_EACH_ALONG(line, step, statement)             \
    TR_UNROLL for (int i = 0; i < rows; i++, line += step) \
        TR_UNROLL for (int j = 0; j < vectors; j++) {      \
            statement;                                     \
        }

/* The one epilogue: what is done to the sums of the rows from `row` on. */
TR_INLINE void gemm_finish(const int rows, const int width, vec_float sum[][GEMM_VECTORS], const gemm_target *t,
                           int64_t row) {
    const int vectors = width > 0 ? width : 1;
    const int64_t step = t->step;
    const float *out = t->out + row * step, *mask = t->mask ? t->mask + row * step : 0;
    if (t->does & GEMM_ADD)
        GEMM_EACH_ALONG(out, step, sum[i][j] = gemm_load(out, j, width, t) + sum[i][j])
    if (t->does & GEMM_BIAS)
        GEMM_EACH(sum[i][j] += gemm_load(t->bias, j, width, t))
    if (t->does & GEMM_RELU)
        GEMM_EACH(sum[i][j] = vec_greater(vec_splat(0), sum[i][j])) /* NaN stays */
    if (t->does & GEMM_MASK)
        GEMM_EACH_ALONG(mask, step, sum[i][j] = vec_where_positive(sum[i][j], gemm_load(mask, j, width, t)))
}

/* The sums of the rows from `row` on to their place. */
TR_INLINE void gemm_put_tile(const int rows, const int width, vec_float sum[][GEMM_VECTORS], const gemm_target *t,
                             int64_t row) {
    const int vectors = width > 0 ? width : 1;
    const int64_t step = t->step;
    float *out = t->out + row * step;
    if (t->does)
        gemm_finish(rows, width, sum, t, row);
    GEMM_EACH_ALONG(out, step, gemm_store(out, sum[i][j], j, width, t))
}

/* A vector of sums to its place: the columns [column, column + count) of a row, as far as it reaches. */
TR_INLINE void gemm_put(const gemm_target *t, vec_float x, int64_t row, int64_t column, int64_t count) {
    gemm_target at = gemm_target_at(t, row, column, at_most(count, TR_LANES));
    vec_float sum[1][GEMM_VECTORS] = {{x}};
    if (count >= TR_LANES)
        gemm_put_tile(1, 1, sum, &at, 0);
    else
        gemm_put_tile(1, 0, sum, &at, 0);
}
