/* Batch normalisation, backward. With h = (x - mean) / sqrt(var + epsilon): dbeta = sum g, dgamma = sum g h, and
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

/* The sums of chunks, `wide` columns apart, are added to those of the first: columns [begin, end). */
TR_INLINE void add_chunks(double *sums, double *products, int64_t chunks, int64_t wide, int64_t begin, int64_t end) {
    for (int64_t k = 1; k < chunks; k++)
        for (int64_t j = begin; j < end; j++) {
            sums[j] += sums[k * wide + j];
            products[j] += products[k * wide + j];
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
    add_chunks(sums, products, chunks, cols, begin, end);
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
    norm_backward b = {
        .dx = c->ptr[0],
        .dgamma = c->ptr[1],
        .dbeta = c->ptr[2],
        .g = c->ptr[3],
        .x = c->ptr[4],
        .mean = c->ptr[5],
        .var = c->ptr[6],
        .gamma = c->ptr[7],
        .rows = c->arg[0],
        .stride = c->arg[1],
        .epsilon = c->scalar[0],
        .relu = c->flags & TR_RELU,
    };
    int64_t last = at_most(w->column_end, c->arg[1]);
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
