/* Batch normalisation: rows are samples, columns are features, the variance is the biased one.
 *
 * Columns are worked in stripes that fit the registers, from the first row to the last, so that sums stay there and
 * the second pass over a stripe finds it in the cache. A column has the same result whatever stripe it is in.
 *
 * Moments are taken in one pass over chunks of rows: each column is shifted by the mean of its first rows in the
 * chunk, so what is squared is of the size of the deviations. As the shift comes from the data, the error of the
 * variance stays under (rows of a chunk) * 2^-24 of it even if those first rows are outliers. Chunks are combined in
 * double precision (Chan, Golub, LeVeque, 1979). Matrices of more than WIDEST columns are worked WIDEST columns at a
 * time. */

#define STRIPE_VECTORS GEMM_VECTORS
#define STRIPE (STRIPE_VECTORS * TR_LANES)

enum {
    WIDEST = 1 << 16,
    CHUNK_ROWS = 1024, /* so few rows are worked by one worker per column: waiting would cost more than it brings */
    SHIFT_ROWS = 8,
};

/* Calls f(vectors, ...), inlined once for each number of vectors that `cols` columns may take. */
#if STRIPE_VECTORS == 4
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

/* The float moments of columns, and what the float mean lacks to the true one. */
static void round_moments(float *mean, float *rest, float *var, const double *means, const double *squares,
                          int64_t rows, int64_t cols) {
    double inverse = 1 / (double)rows;
    for (int64_t j = 0; j < cols; j++) {
        mean[j] = (float)means[j];
        rest[j] = (float)(means[j] - mean[j]);
        var[j] = (float)(squares[j] * inverse);
    }
}

TR_INLINE vec_float inverse_deviation(vec_float var, double epsilon) {
    return 1.0f / vec_sqrt(var + (float)epsilon);
}

/* What normalising takes, per column. rest, gamma and beta may be NULL: 0, 1 and 0. */
typedef struct norm_columns {
    const float *mean, *var, *gamma, *beta, *rest;
} norm_columns;

TR_INLINE norm_columns norm_columns_at(norm_columns n, int64_t j) {
    return (norm_columns){n.mean + j, n.var + j, n.gamma ? n.gamma + j : 0, n.beta ? n.beta + j : 0,
                          n.rest ? n.rest + j : 0};
}

/* y = (x - mean) * scale + offset of a stripe; y may be x. */
TR_INLINE void normalise(const int vectors, float *y, const float *x, norm_columns n, int64_t rows, int64_t stride,
                         int64_t cols, double epsilon, int relu) {
    vec_float center[STRIPE_VECTORS], scale[STRIPE_VECTORS], offset[STRIPE_VECTORS];
    const float least = relu ? 0 : -INFINITY;
    TR_UNROLL for (int v = 0; v < vectors; v++) {
        center[v] = stripe_load(n.mean, v, vectors, cols);
        scale[v] = inverse_deviation(stripe_load(n.var, v, vectors, cols), epsilon) *
                   stripe_coefficient(n.gamma, 1, v, vectors, cols);
        offset[v] = stripe_coefficient(n.beta, 0, v, vectors, cols) -
                    stripe_coefficient(n.rest, 0, v, vectors, cols) * scale[v];
    }
    for (int64_t r = 0; r < rows; r++, x += stride, y += stride)
        TR_UNROLL for (int v = 0; v < vectors; v++) {
            vec_float value = (stripe_load(x, v, vectors, cols) - center[v]) * scale[v] + offset[v];
            stripe_store(y, vec_greater(vec_splat(least), value), v, vectors, cols); /* NaN stays */
        }
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

/* A normalisation forward of the columns [column, column + cols), by all workers of w. */
typedef struct norm_forward {
    float *y, *mean, *var;
    const float *x, *gamma, *beta;
    int64_t rows, stride, column, cols;
    double epsilon;
    int relu;
} norm_forward;

/* What its columns from `column` on take, without a rest. */
TR_INLINE norm_columns norm_columns_of(const norm_forward *f, int64_t column) {
    return norm_columns_at((norm_columns){f->mean, f->var, f->gamma, f->beta, 0}, column);
}

/* One chunk: a worker does its stripes to the end, and waits for nobody. */
static void norm_by_stripes(const norm_forward *f, const tr_worker *w) {
    double means[STRIPE], squares[STRIPE];
    float rest[STRIPE];
    int64_t begin, end;
    tr_split(w, f->cols, STRIPE, &begin, &end);
    for (int64_t j = f->column + begin; j < f->column + end; j += STRIPE) {
        int64_t cols = at_most(STRIPE, f->column + end - j);
        norm_columns n = norm_columns_of(f, j);
        n.rest = rest;
        STRIPE_CALL(moments_of, cols, means, squares, f->x + j, f->rows, f->stride, cols)
        round_moments(f->mean + j, rest, f->var + j, means, squares, f->rows, cols);
        STRIPE_CALL(normalise, cols, f->y + j, f->x + j, n, f->rows, f->stride, cols, f->epsilon, f->relu)
    }
}

/* The rows [begin, end), a chunk at a time, the last chunk first: it is what the caches still hold. */
static void normalise_rows(float *y, const float *x, norm_columns n, int64_t begin, int64_t end, int64_t stride,
                           int64_t cols, double epsilon, int relu) {
    while (end > begin) {
        int64_t top = at_least(begin, end - CHUNK_ROWS);
        for (int64_t j = 0; j < cols; j += STRIPE) {
            int64_t at = top * stride + j, width = at_most(STRIPE, cols - j);
            STRIPE_CALL(normalise, width, y + at, x + at, norm_columns_at(n, j), end - top, stride, width, epsilon,
                        relu)
        }
        end = top;
    }
}

/* Many chunks: workers share chunks, then columns, then rows. */
static void norm_by_chunks(const norm_forward *f, int64_t size, const tr_worker *w) {
    int64_t chunks = parts(f->rows, size), cols = f->cols, begin, end;
    double *means = w->shared, *squares = means + chunks * cols;
    float *rest = (float *)(squares + chunks * cols);
    norm_columns n = norm_columns_of(f, f->column);
    n.rest = rest;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t chunk = begin; chunk < end; chunk++)
        for (int64_t j = 0; j < cols; j += STRIPE) {
            int64_t width = at_most(STRIPE, cols - j), to = chunk * cols + j;
            STRIPE_CALL(moments_of, width, means + to, squares + to, f->x + chunk * size * f->stride + f->column + j,
                        at_most(size, f->rows - chunk * size), f->stride, width)
        }
    tr_barrier(w);
    tr_split(w, cols, TR_SHARE_UNIT, &begin, &end);
    for (int64_t k = 1; k < chunks; k++)
        for (int64_t j = begin; j < end; j++)
            join_moments(means + j, squares + j, (double)(k * size), means[k * cols + j], squares[k * cols + j],
                         (double)at_most(size, f->rows - k * size));
    round_moments(f->mean + f->column + begin, rest + begin, f->var + f->column + begin, means + begin,
                  squares + begin, f->rows, end - begin);
    tr_barrier(w);
    tr_split(w, f->rows, 1, &begin, &end);
    normalise_rows(f->y + f->column, f->x + f->column, n, begin, end, f->stride, cols, f->epsilon, f->relu);
}

/* y, mean[cols], var[cols] = batchnorm(x, gamma | NULL, beta | NULL). */
static int TR_K(batchnorm)(const tr_call *c, const tr_worker *w) {
    norm_forward f = {c->ptr[0], c->ptr[1], c->ptr[2], c->ptr[3], c->ptr[4], c->ptr[5]};
    int64_t last = at_most(w->column_end, c->arg[1]);
    f.rows = c->arg[0], f.stride = c->arg[1], f.epsilon = c->scalar[0], f.relu = c->flags & TR_RELU;
    for (f.column = w->column; f.column < last && f.rows; f.column += f.cols) {
        int64_t size = chunk_rows(f.rows, block_columns(f.column, f.stride));
        f.cols = at_most(WIDEST, last - f.column);
        if (f.rows <= size)
            norm_by_stripes(&f, w);
        else
            norm_by_chunks(&f, size, w);
        if (f.column + f.cols < last)
            tr_barrier(w);
    }
    return 0;
}

static int TR_K(batchnorm_inference)(const tr_call *c, const tr_worker *w) {
    norm_columns n = {c->ptr[2], c->ptr[3], c->ptr[4], c->ptr[5], 0};
    int64_t column = w->column, last = at_most(w->column_end, c->arg[1]), begin, end;
    tr_split(w, c->arg[0], 1, &begin, &end);
    normalise_rows((float *)c->ptr[0] + column, (const float *)c->ptr[1] + column, norm_columns_at(n, column), begin,
                   end, c->arg[1], last - column, c->scalar[0], c->flags & TR_RELU);
    return 0;
}

/* The gradient. With h = (x - mean) / sqrt(var + epsilon): dbeta = sum g, dgamma = sum g h, and
 * dx = gamma / sqrt(var + epsilon) * (g - dbeta / rows - h dgamma / rows), an affine function of g and x. */
typedef struct norm_backward {
    float *dx, *dgamma, *dbeta; /* any may be NULL */
    const float *g, *x, *mean, *var, *gamma;
    int64_t rows, stride, column, cols;
    double epsilon;
    int relu; /* dx is 0 where x is not above 0: x came out of a ReLU */
} norm_backward;

/* sums[cols] of g and products[cols] = sums of g (x - mean), of `rows` rows of a stripe; row 0 is at g and x. */
TR_INLINE void gradient_sums(const int vectors, double *sums, double *products, const float *g, const float *x,
                             const float *mean, int64_t rows, int64_t stride, int64_t cols) {
    vec_float center[STRIPE_VECTORS], sum[STRIPE_VECTORS][2], product[STRIPE_VECTORS][2];
    double total[STRIPE] = {0}, total_product[STRIPE] = {0};
    TR_UNROLL for (int v = 0; v < vectors; v++)
        center[v] = stripe_load(mean, v, vectors, cols);
    for (int64_t r = 0; r < rows;) {
        int64_t end = at_most(rows, r + FLOAT_ROWS);
        TR_UNROLL for (int v = 0; v < vectors; v++)
            sum[v][0] = sum[v][1] = product[v][0] = product[v][1] = vec_splat(0);
        for (; r + 2 <= end; r += 2)
            TR_UNROLL for (int v = 0; v < vectors; v++) {
                const float *row = g + r * stride, *at = x + r * stride;
                vec_float a = stripe_load(row, v, vectors, cols), b = stripe_load(row + stride, v, vectors, cols);
                sum[v][0] += a, sum[v][1] += b;
                product[v][0] += a * (stripe_load(at, v, vectors, cols) - center[v]);
                product[v][1] += b * (stripe_load(at + stride, v, vectors, cols) - center[v]);
            }
        if (r < end) {
            TR_UNROLL for (int v = 0; v < vectors; v++) {
                vec_float a = stripe_load(g + r * stride, v, vectors, cols);
                sum[v][0] += a;
                product[v][0] += a * (stripe_load(x + r * stride, v, vectors, cols) - center[v]);
            }
            r++;
        }
        TR_UNROLL for (int v = 0; v < vectors; v++) {
            add_widened(total + v * TR_LANES, sum[v][0] + sum[v][1]);
            add_widened(total_product + v * TR_LANES, product[v][0] + product[v][1]);
        }
    }
    memcpy(sums, total, (size_t)cols * sizeof(double));
    memcpy(products, total_product, (size_t)cols * sizeof(double));
}

/* dgamma and dbeta of a few columns from `column` on. */
static void gradient_of_affine(const norm_backward *b, const double *sums, const double *products, int64_t column,
                               int64_t cols) {
    for (int64_t j = 0; b->dbeta && j < cols; j++)
        b->dbeta[column + j] = (float)sums[j];
    for (int64_t j = 0; b->dgamma && j < cols; j++)
        b->dgamma[column + j] = (float)products[j] / sqrtf(b->var[column + j] + (float)b->epsilon);
}

/* dx of the rows [begin, end) of a stripe that begins at `column`: a g + b (x - mean) + offset. dx may be g or x. */
TR_INLINE void gradient_of_x(const int vectors, const norm_backward *d, const double *sums, const double *products,
                             int64_t begin, int64_t end, int64_t column, int64_t cols) {
    vec_float a[STRIPE_VECTORS], b[STRIPE_VECTORS], center[STRIPE_VECTORS], offset[STRIPE_VECTORS];
    float sum[STRIPE] = {0}, product[STRIPE] = {0};
    double inverse = -1 / (double)d->rows;
    for (int64_t j = 0; j < cols; j++) {
        sum[j] = (float)(sums[j] * inverse);
        product[j] = (float)(products[j] * inverse);
    }
    TR_UNROLL for (int v = 0; v < vectors; v++) {
        vec_float deviation = inverse_deviation(stripe_load(d->var + column, v, vectors, cols), d->epsilon);
        a[v] = deviation * stripe_coefficient(d->gamma ? d->gamma + column : 0, 1, v, vectors, cols);
        b[v] = a[v] * (deviation * deviation) * vec_load(product + v * TR_LANES);
        center[v] = stripe_load(d->mean + column, v, vectors, cols);
        offset[v] = a[v] * vec_load(sum + v * TR_LANES);
    }
    for (int64_t r = begin; r < end; r++) {
        int64_t at = r * d->stride + column;
        TR_UNROLL for (int v = 0; v < vectors; v++) {
            vec_float g = stripe_load(d->g + at, v, vectors, cols), x = stripe_load(d->x + at, v, vectors, cols);
            vec_float dx = a[v] * g + (b[v] * (x - center[v]) + offset[v]);
            stripe_store(d->dx + at, d->relu ? vec_where_positive(dx, x) : dx, v, vectors, cols);
        }
    }
}

static void norm_grad_by_stripes(const norm_backward *b, const tr_worker *w) {
    double sums[STRIPE], products[STRIPE];
    int64_t begin, end;
    tr_split(w, b->cols, STRIPE, &begin, &end);
    for (int64_t j = b->column + begin; j < b->column + end; j += STRIPE) {
        int64_t cols = at_most(STRIPE, b->column + end - j);
        STRIPE_CALL(gradient_sums, cols, sums, products, b->g + j, b->x + j, b->mean + j, b->rows, b->stride, cols)
        gradient_of_affine(b, sums, products, j, cols);
        if (b->dx)
            STRIPE_CALL(gradient_of_x, cols, b, sums, products, 0, b->rows, j, cols)
    }
}

static void norm_grad_by_chunks(const norm_backward *b, int64_t size, const tr_worker *w) {
    int64_t chunks = parts(b->rows, size), cols = b->cols, begin, end;
    double *sums = w->shared, *products = sums + chunks * cols;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t chunk = begin; chunk < end; chunk++)
        for (int64_t j = 0; j < cols; j += STRIPE) {
            int64_t width = at_most(STRIPE, cols - j), at = chunk * size * b->stride + b->column + j;
            STRIPE_CALL(gradient_sums, width, sums + chunk * cols + j, products + chunk * cols + j, b->g + at,
                        b->x + at, b->mean + b->column + j, at_most(size, b->rows - chunk * size), b->stride, width)
        }
    tr_barrier(w);
    tr_split(w, cols, TR_SHARE_UNIT, &begin, &end);
    for (int64_t k = 1; k < chunks; k++)
        for (int64_t j = begin; j < end; j++) {
            sums[j] += sums[k * cols + j];
            products[j] += products[k * cols + j];
        }
    gradient_of_affine(b, sums + begin, products + begin, b->column + begin, end - begin);
    if (!b->dx)
        return;
    tr_barrier(w);
    tr_split(w, b->rows, 1, &begin, &end);
    while (end > begin) { /* the last rows first: the caches still hold them */
        int64_t top = at_least(begin, end - CHUNK_ROWS);
        for (int64_t j = 0; j < cols; j += STRIPE) {
            int64_t width = at_most(STRIPE, cols - j);
            STRIPE_CALL(gradient_of_x, width, b, sums + j, products + j, top, end, b->column + j, width)
        }
        end = top;
    }
}

static int TR_K(batchnorm_grad)(const tr_call *c, const tr_worker *w) {
    norm_backward b = {c->ptr[0], c->ptr[1], c->ptr[2], c->ptr[3], c->ptr[4], c->ptr[5], c->ptr[6], c->ptr[7]};
    int64_t last = at_most(w->column_end, c->arg[1]);
    b.rows = c->arg[0], b.stride = c->arg[1], b.epsilon = c->scalar[0], b.relu = c->flags & TR_RELU;
    for (b.column = w->column; b.column < last; b.column += b.cols) {
        int64_t size = chunk_rows(b.rows, block_columns(b.column, b.stride));
        b.cols = at_most(WIDEST, last - b.column);
        if (b.rows <= size)
            norm_grad_by_stripes(&b, w);
        else
            norm_grad_by_chunks(&b, size, w);
        if (b.column + b.cols < last)
            tr_barrier(w);
    }
    return 0;
}

/* moving = moving * momentum + new * (1 - momentum), for the mean and the variance. */
static int TR_K(moving_statistics)(const tr_call *c, const tr_worker *w) {
    float keep = (float)c->scalar[0], take = (float)(1 - c->scalar[0]);
    tr_runs runs = tr_split_runs(c, w, c->arg[0], 64);
    int64_t begin = runs.begin, end = begin + runs.length;
    for (int k = 0; k < 2; k++) {
        float *moving = c->ptr[k];
        const float *now = c->ptr[2 + k];
        for (int64_t i = begin; i < end; i += TR_LANES) {
            vec_float a = vec_load_up_to(moving + i, end - i, 0), b = vec_load_up_to(now + i, end - i, 0);
            vec_store_up_to(moving + i, a * keep + b * take, end - i);
        }
    }
    return 0;
}
