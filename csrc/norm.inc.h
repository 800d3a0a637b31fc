/* Batch normalisation, forward: rows are samples, columns are features, the variance is the biased one. norm_grad.inc.h
 * has the gradient, norm_stripes.inc.h how columns are worked. */
#include "norm_stripes.inc.h"

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
    norm_forward f = {
        .y = c->ptr[0],
        .mean = c->ptr[1],
        .var = c->ptr[2],
        .x = c->ptr[3],
        .gamma = c->ptr[4],
        .beta = c->ptr[5],
        .rows = c->arg[0],
        .stride = c->arg[1],
        .epsilon = c->scalar[0],
        .relu = c->flags & TR_RELU,
    };
    int64_t last = at_most(w->column_end, c->arg[1]);
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
