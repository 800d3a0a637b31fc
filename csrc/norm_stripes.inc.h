/* Columns in stripes that fit the registers, and their moments: what both directions of batch normalisation stand on.
 *
 * A stripe is worked from the first row to the last, so that sums stay in registers and the second pass over it finds it in
 * the cache. A column has the same result whatever stripe it is in.
 *
 * Moments are taken in one pass over chunks of rows: each column is shifted by the mean of its first rows in the
 * chunk, so what is squared is of the size of the deviations. As the shift comes from the data, the error of the
 * variance stays under (rows of a chunk) * 2^-24 of it even if those first rows are outliers. Chunks are combined in
 * double precision (Chan, Golub, LeVeque, 1979). Matrices of more than WIDEST columns are worked WIDEST columns at a
 * time. */

/* Per vector of columns a pass holds a shift, two sums and two sums of squares: five eighths of the registers. */
#define STRIPE_VECTORS (TR_REGISTERS / 8)
#define STRIPE (STRIPE_VECTORS * TR_LANES)

enum {
    WIDEST = 1 << 16,
    CHUNK_ROWS = 1024, /* so few rows are worked by one worker per column: waiting would cost more than it brings */
    SHIFT_ROWS = 8,
};

/* Calls f(vectors, ...), inlined once for each number of vectors that `cols` columns may take. */
#if TR_REGISTERS == 32
#define STRIPE_CALL(f, cols, ...)                        \
    switch (parts(cols, TR_LANES)) {                     \
        case 1: f(1, __VA_ARGS__); break;                \
        case 2: f(2, __VA_ARGS__); break;                \
        case 3: f(3, __VA_ARGS__); break;                \
        case 4: f(4, __VA_ARGS__); break;                \
    }
#else
#define STRIPE_CALL(f, cols, ...)                        \
    switch (parts(cols, TR_LANES)) {                     \
        case 1: f(1, __VA_ARGS__); break;                \
        case 2: f(2, __VA_ARGS__); break;                \
    }
#endif

/* Vector v of a row of a stripe; the last one may be a part. */
TR_INLINE vec_float stripe_load(const float *row, int v, const int vectors, int64_t cols) {
    const float *p = row + v * TR_LANES;
    return v + 1 < vectors ? vec_load(p) : vec_load_up_to(p, cols - v * TR_LANES, 0);
}

TR_INLINE void stripe_store(float *row, vec_float x, int v, const int vectors, int64_t cols) {
    if (v + 1 < vectors)
        vec_store(row + v * TR_LANES, x);
    else
        vec_store_up_to(row + v * TR_LANES, x, cols - v * TR_LANES);
}

/* A coefficient per column of a stripe, `absent` where there is none. */
TR_INLINE vec_float stripe_coefficient(const float *p, float absent, int v, const int vectors, int64_t cols) {
    return p ? stripe_load(p, v, vectors, cols) : vec_splat(absent);
}

TR_INLINE void add_widened(double *to, vec_float x) {
    float lanes[TR_LANES];
    vec_store(lanes, x);
    for (int half = 0; half < TR_LANES; half += TR_HALF)
        vec_store_double(to + half, vec_load_double(to + half) + vec_load_widened(lanes + half));
}

/* Joins the moments of b, over nb rows, to those of a, over na rows. */
TR_INLINE void join_moments(double *mean, double *squares, double na, double mean_b, double squares_b, double nb) {
    double delta = mean_b - *mean;
    *mean += delta * (nb / (na + nb));
    *squares += squares_b + delta * delta * (na * nb / (na + nb));
}

/* mean[cols], and squares[cols]: sums of squared deviations from it, of a stripe. */
TR_INLINE void moments_of(const int vectors, double *mean, double *squares, const float *x, int64_t rows,
                          int64_t stride, int64_t cols) {
    vec_float shift[STRIPE_VECTORS], sum[STRIPE_VECTORS][2], square[STRIPE_VECTORS][2];
    double sums[STRIPE] = {0}, squared[STRIPE] = {0};
    float shifts[STRIPE] = {0};
    int64_t first = at_most(rows, SHIFT_ROWS);
    TR_UNROLL for (int v = 0; v < vectors; v++)
        shift[v] = vec_splat(0);
    for (int64_t r = 0; r < first; r++) /* scaled before they are added, which could overflow */
        TR_UNROLL for (int v = 0; v < vectors; v++)
            shift[v] += stripe_load(x + r * stride, v, vectors, cols) * (1.0f / (float)first);
    for (int64_t r = 0; r < rows;) {
        int64_t end = at_most(rows, r + FLOAT_ROWS);
        TR_UNROLL for (int v = 0; v < vectors; v++)
            sum[v][0] = sum[v][1] = square[v][0] = square[v][1] = vec_splat(0);
        for (; r + 2 <= end; r += 2)
            TR_UNROLL for (int v = 0; v < vectors; v++) {
                const float *row = x + r * stride;
                vec_float a = stripe_load(row, v, vectors, cols) - shift[v];
                vec_float b = stripe_load(row + stride, v, vectors, cols) - shift[v];
                sum[v][0] += a, sum[v][1] += b;
                square[v][0] += a * a, square[v][1] += b * b;
            }
        if (r < end) {
            TR_UNROLL for (int v = 0; v < vectors; v++) {
                vec_float a = stripe_load(x + r * stride, v, vectors, cols) - shift[v];
                sum[v][0] += a;
                square[v][0] += a * a;
            }
            r++;
        }
        TR_UNROLL for (int v = 0; v < vectors; v++) {
            add_widened(sums + v * TR_LANES, sum[v][0] + sum[v][1]);
            add_widened(squared + v * TR_LANES, square[v][0] + square[v][1]);
        }
    }
    TR_UNROLL for (int v = 0; v < vectors; v++)
        vec_store(shifts + v * TR_LANES, shift[v]);
    for (int64_t j = 0; j < cols; j++) {
        double offset = sums[j] / (double)rows, deviation = squared[j] - sums[j] * offset;
        mean[j] = shifts[j] + offset;
        squares[j] = deviation < 0 ? 0 : deviation; /* rounding; NaN stays */
    }
}

TR_INLINE vec_float inverse_deviation(vec_float var, double epsilon) {
    return 1.0f / vec_sqrt(var + (float)epsilon);
}

/* Rows of a chunk for `cols` columns: by the sizes only. */
TR_INLINE int64_t chunk_rows(int64_t rows, int64_t cols) {
    /* half of the workspace for two doubles per column and chunk */
    int64_t most = at_most(64, SHARED_DOUBLES / 2 / (2 * cols));
    return at_least(CHUNK_ROWS, parts(rows, most));
}

/* The columns that are worked together with `column`, whoever works them: chunks must not depend on a
 * worker's part. */
TR_INLINE int64_t block_columns(int64_t column, int64_t stride) {
    return at_most(WIDEST, stride - column / WIDEST * WIDEST);
}
