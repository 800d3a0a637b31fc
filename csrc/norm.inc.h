/* Batch normalisation: rows are samples, columns are features, the variance is the biased one.
 *
 * Moments are taken in one pass over chunks of rows: each column is shifted by the mean of its first rows
 * in the chunk, so what is squared is of the size of the deviations. As the shift comes from the data, the
 * error of the variance stays under (rows of a chunk) * 2^-24 of it even if those first rows are outliers.
 * Chunks are combined in double precision (Chan, Golub, LeVeque, 1979). Matrices of more than WIDEST
 * columns are worked WIDEST columns at a time. */

enum { WIDEST = 1 << 16 };

typedef struct moments {
    double *mean, *squares; /* per column; squares: sum of squared deviations from the mean */
} moments;

/* Joins the moments of b, over nb rows, to those of a, over na rows. */
TR_INLINE void join_moments(double *mean, double *squares, double na, double mean_b, double squares_b,
                            double nb) {
    double delta = mean_b - *mean;
    *mean += delta * (nb / (na + nb));
    *squares += squares_b + delta * delta * (na * nb / (na + nb));
}

/* Moments of rows x cols, TR_LANES <= cols < 2 * PANEL; scratch holds 7 * PANEL doubles. */
static void moments_of_rows(moments out, double *scratch, const float *x, int64_t rows, int64_t stride,
                            int64_t cols) {
    double *sums = scratch, *squares = scratch + 2 * PANEL;
    float *shifts = (float *)(scratch + 4 * PANEL), *sum = shifts + 2 * PANEL, *square = sum + 2 * PANEL;
    int64_t count = parts(cols, TR_LANES), first = at_most(rows, BLOCK_ROWS);
    memset(sums, 0, (size_t)(count * TR_LANES) * sizeof(double));
    memset(squares, 0, (size_t)(count * TR_LANES) * sizeof(double));
    memset(sum, 0, (size_t)(count * TR_LANES) * sizeof(float));
    memset(square, 0, (size_t)(count * TR_LANES) * sizeof(float));
    for (int64_t s = 0; s < count; s++) {
        vec_float mean = {0};
        for (int64_t k = 0; k < first; k++) /* scaled before they are added, which could overflow */
            mean += vec_load(x + k * stride + slot_column(s, cols)) * (1.0f / (float)first);
        vec_store(shifts + s * TR_LANES, mean);
    }
    for (int64_t r = 0; r < rows;) {
        int64_t end = at_most(rows, r + FLOAT_ROWS), step;
        for (; r < end; r += step) {
            step = r + BLOCK_ROWS <= end ? BLOCK_ROWS : 1;
            for (int64_t s = 0; s < count; s++) {
                const float *p = x + r * stride + slot_column(s, cols);
                vec_float shift = vec_load(shifts + s * TR_LANES), a = vec_load(p) - shift, b = a * a;
                if (step == BLOCK_ROWS) {
                    vec_float c = vec_load(p + stride) - shift, d = c * c;
                    for (int k = 2; k < BLOCK_ROWS; k += 2) {
                        vec_float e = vec_load(p + k * stride) - shift,
                                  f = vec_load(p + (k + 1) * stride) - shift;
                        a += e, c += f;
                        b += e * e, d += f * f;
                    }
                    a += c, b += d;
                }
                vec_store(sum + s * TR_LANES, vec_load(sum + s * TR_LANES) + a);
                vec_store(square + s * TR_LANES, vec_load(square + s * TR_LANES) + b);
            }
        }
        flush(sums, sum, count * TR_LANES);
        flush(squares, square, count * TR_LANES);
    }
    for (int64_t s = 0; s < count; s++)
        for (int64_t i = s * TR_LANES, j = slot_column(s, cols); i < (s + 1) * TR_LANES; i++, j++) {
            double offset = sums[i] / (double)rows, square = squares[i] - sums[i] * offset;
            out.mean[j] = shifts[i] + offset;
            out.squares[j] = square < 0 ? 0 : square; /* rounding; NaN stays */
        }
}

/* The same for any cols < 2 * PANEL; rows narrower than a vector are laid side by side. */
static void moments_of(moments out, double *scratch, const float *x, int64_t rows, int64_t stride,
                       int64_t cols) {
    int64_t abreast = at_most(rows_abreast(cols), rows), wide = rows / abreast, width = cols * abreast;
    moments columns = {scratch + 7 * PANEL, scratch + 8 * PANEL};
    if (width >= TR_LANES && abreast == 1) {
        moments_of_rows(out, scratch, x, rows, stride, cols);
        return;
    }
    if (width >= TR_LANES)
        moments_of_rows(columns, scratch, x, wide, stride * abreast, width);
    else
        wide = 0, abreast = 0;
    for (int64_t j = 0; j < cols; j++) {
        double n = 0;
        out.mean[j] = out.squares[j] = 0;
        for (int64_t k = 0; k < abreast; k++, n += (double)wide)
            join_moments(out.mean + j, out.squares + j, n, columns.mean[k * cols + j],
                         columns.squares[k * cols + j], (double)wide);
        for (int64_t r = wide * abreast; r < rows; r++, n++)
            join_moments(out.mean + j, out.squares + j, n, x[r * stride + j], 0, 1);
    }
}

/* y = (x - center) * scale + offset for a panel of columns: three vectors in the private workspace. */
typedef struct affine {
    float *center, *scale, *offset;
} affine;

/* Writes `cols` values behind themselves until they stand there `times` times. */
TR_INLINE void repeat(float *x, int64_t cols, int64_t times) {
    for (int64_t k = 1; k < times; k++)
        memcpy(x + k * cols, x, (size_t)cols * sizeof(float));
}

/* rest is what the float mean lacks to the true one, NULL: nothing. gamma and beta may be NULL. */
static affine affine_of(float *scratch, const float *mean, const float *rest, const float *var,
                        const float *gamma, const float *beta, int64_t cols, int64_t abreast,
                        double epsilon) {
    affine f = {scratch, scratch + 2 * PANEL, scratch + 4 * PANEL};
    size_t bytes = (size_t)cols * sizeof(float);
    memcpy(f.center, mean, bytes);
    for (int64_t j = 0; j < cols; j++)
        f.scale[j] = (float)(1 / sqrt(var[j] + epsilon));
    for (int64_t j = 0; gamma && j < cols; j++)
        f.scale[j] *= gamma[j];
    memset(f.offset, 0, bytes);
    if (beta)
        memcpy(f.offset, beta, bytes);
    for (int64_t j = 0; rest && j < cols; j++)
        f.offset[j] -= rest[j] * f.scale[j];
    repeat(f.center, cols, abreast);
    repeat(f.scale, cols, abreast);
    repeat(f.offset, cols, abreast);
    return f;
}

TR_INLINE vec_float affine_at(vec_float x, vec_float center, vec_float scale, vec_float offset, int relu) {
    vec_float y = (x - center) * scale + offset;
    return relu ? vec_greater(vec_splat(0), y) : y;
}

/* One row, or a rest of rows laid side by side: y may be x. */
static void normalise_row(float *y, const float *x, int64_t n, affine f, int relu) {
    for (int64_t i = 0; i < n; i += TR_LANES) {
        vec_float v = vec_load_up_to(x + i, n - i, 0);
        v = affine_at(v, vec_load(f.center + i), vec_load(f.scale + i), vec_load(f.offset + i), relu);
        vec_store_up_to(y + i, v, n - i);
    }
}

/* Four rows share one load of the coefficients. The last vector overlaps the one before, so y must not be
 * x. */
TR_INLINE int64_t normalise_fours(float *y, const float *x, int64_t rows, int64_t stride, int64_t cols,
                                  affine f, int relu) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
        for (int64_t s = 0; s < parts(cols, TR_LANES); s++) {
            int64_t j = slot_column(s, cols);
            vec_float center = vec_load(f.center + j), scale = vec_load(f.scale + j),
                      offset = vec_load(f.offset + j);
            for (int64_t k = r * stride + j; k < (r + 4) * stride; k += stride)
                vec_store(y + k, affine_at(vec_load(x + k), center, scale, offset, relu));
        }
    return r;
}

static void normalise(float *y, const float *x, int64_t rows, int64_t stride, int64_t cols, affine f,
                      int relu) {
    int64_t r = 0;
    if (cols >= TR_LANES && (y != x || cols % TR_LANES == 0))
        r = relu ? normalise_fours(y, x, rows, stride, cols, f, 1)
                 : normalise_fours(y, x, rows, stride, cols, f, 0);
    for (; r < rows; r++)
        normalise_row(y + r * stride, x + r * stride, cols, f, relu);
}

/* This worker's rows of the columns [column, column + cols) of a rows x stride matrix. */
static void normalise_columns(const tr_worker *w, float *y, const float *x, const float *mean,
                              const float *rest, const float *var, const float *gamma, const float *beta,
                              int64_t rows, int64_t stride, int64_t column, int64_t cols, double epsilon,
                              int relu) {
    int64_t begin, end, abreast = rows_abreast(cols);
    tr_split(w, rows, 1, &begin, &end);
    for (int64_t panel = 0; panel < panels_of(cols); panel++) {
        int64_t j = column + panel * PANEL, width = panel_width(panel, cols), at = begin * stride + j;
        affine f = affine_of(w->own, mean + j, rest ? rest + panel * PANEL : 0, var + j,
                             gamma ? gamma + j : 0, beta ? beta + j : 0, width, abreast, epsilon);
        int64_t wide = (end - begin) / abreast, left = (end - begin) % abreast;
        normalise(y + at, x + at, wide, stride * abreast, width * abreast, f, relu);
        if (left) {
            at += wide * abreast * stride;
            normalise_row(y + at, x + at, left * width, f, relu);
        }
    }
}

/* Rows of a chunk for `cols` columns, and how many chunks: by the sizes only. */
TR_INLINE int64_t chunk_rows(int64_t rows, int64_t cols) {
    /* half of the workspace for two doubles per column */
    int64_t most = at_most(64, SHARED_DOUBLES / 2 / (2 * cols));
    int64_t size = at_least(at_least(CHUNK / at_most(cols, PANEL), FLOAT_ROWS), parts(rows, most));
    return parts(size, BLOCK_ROWS) * BLOCK_ROWS;
}

/* The columns that are worked together with `column`, whoever works them: chunks must not depend on a
 * worker's part. */
TR_INLINE int64_t block_columns(int64_t column, int64_t stride) {
    return at_most(WIDEST, stride - column / WIDEST * WIDEST);
}

/* y, mean[cols], var[cols] = batchnorm(x, gamma | NULL, beta | NULL). */
static int TR_K(batchnorm)(const tr_call *c, const tr_worker *w) {
    float *y = c->ptr[0], *mean = c->ptr[1], *var = c->ptr[2];
    const float *x = c->ptr[3], *gamma = c->ptr[4], *beta = c->ptr[5];
    int64_t rows = c->arg[0], stride = c->arg[1], last = at_most(w->column_end, stride), begin, end;
    for (int64_t column = w->column; column < last && rows; column += WIDEST) {
        int64_t cols = at_most(WIDEST, last - column), size = chunk_rows(rows, block_columns(column, stride));
        int64_t chunks = parts(rows, size);
        double *means = w->shared, *squares = means + chunks * cols;
        float *rest = (float *)(squares + chunks * cols);
        tr_split(w, chunks * panels_of(cols), 1, &begin, &end);
        for (int64_t task = begin; task < end; task++) {
            int64_t chunk = task / panels_of(cols), panel = task % panels_of(cols), j = panel * PANEL;
            moments to = {means + chunk * cols + j, squares + chunk * cols + j};
            moments_of(to, w->own, x + chunk * size * stride + column + j, at_most(size, rows - chunk * size),
                       stride, panel_width(panel, cols));
        }
        tr_barrier(w);
        tr_split(w, cols, 64, &begin, &end);
        for (int64_t k = 1; k < chunks; k++)
            for (int64_t j = begin; j < end; j++)
                join_moments(means + j, squares + j, (double)(k * size), means[k * cols + j],
                             squares[k * cols + j], (double)at_most(size, rows - k * size));
        for (int64_t j = begin; j < end; j++) {
            mean[column + j] = (float)means[j];
            var[column + j] = (float)(squares[j] / (double)rows);
            rest[j] = (float)(means[j] - mean[column + j]);
        }
        tr_barrier(w);
        normalise_columns(w, y, x, mean, rest, var, gamma, beta, rows, stride, column, cols, c->scalar[0],
                          c->flags & TR_RELU);
        if (column + WIDEST < last)
            tr_barrier(w);
    }
    return 0;
}

static int TR_K(batchnorm_inference)(const tr_call *c, const tr_worker *w) {
    normalise_columns(w, c->ptr[0], c->ptr[1], c->ptr[2], 0, c->ptr[3], c->ptr[4], c->ptr[5], c->arg[0],
                      c->arg[1], w->column, at_most(w->column_end, c->arg[1]) - w->column, c->scalar[0],
                      c->flags & TR_RELU);
    return 0;
}

/* The gradient. With h = (x - mean) / sqrt(var + epsilon): dbeta = sum g, dgamma = sum g h, and
 * dx = gamma / sqrt(var + epsilon) * (g - dbeta / rows - h dgamma / rows), an affine function of g and x. */

/* sums = sum of g, products = sum of g (x - mean) over rows, as slots; TR_LANES <= cols < 2 * PANEL.
 * Scratch holds 4 * PANEL floats. */
static void gradient_sums(double *sums, double *products, float *scratch, const float *g, const float *x,
                          const float *mean, int64_t rows, int64_t stride, int64_t cols) {
    int64_t count = parts(cols, TR_LANES);
    float *sum = scratch, *product = scratch + 2 * PANEL;
    memset(sums, 0, (size_t)(count * TR_LANES) * sizeof(double));
    memset(products, 0, (size_t)(count * TR_LANES) * sizeof(double));
    memset(sum, 0, (size_t)(count * TR_LANES) * sizeof(float));
    memset(product, 0, (size_t)(count * TR_LANES) * sizeof(float));
    for (int64_t r = 0; r < rows;) {
        int64_t end = at_most(rows, r + FLOAT_ROWS), step;
        for (; r < end; r += step) {
            step = r + BLOCK_ROWS <= end ? BLOCK_ROWS : 1;
            for (int64_t s = 0; s < count; s++) {
                int64_t at = r * stride + slot_column(s, cols);
                vec_float center = vec_load(mean + slot_column(s, cols));
                vec_float a = vec_load(g + at), b = a * (vec_load(x + at) - center);
                if (step == BLOCK_ROWS) {
                    vec_float c = vec_load(g + at + stride), d = c * (vec_load(x + at + stride) - center);
                    for (int64_t k = at + 2 * stride; k < at + BLOCK_ROWS * stride; k += 2 * stride) {
                        vec_float e = vec_load(g + k), f = vec_load(g + k + stride);
                        a += e, c += f;
                        b += e * (vec_load(x + k) - center), d += f * (vec_load(x + k + stride) - center);
                    }
                    a += c, b += d;
                }
                vec_store(sum + s * TR_LANES, vec_load(sum + s * TR_LANES) + a);
                vec_store(product + s * TR_LANES, vec_load(product + s * TR_LANES) + b);
            }
        }
        flush(sums, sum, count * TR_LANES);
        flush(products, product, count * TR_LANES);
    }
}

/* The same to columns, for any cols < 2 * PANEL. */
static void gradient_sums_of(double *sums, double *products, double *scratch, const float *g, const float *x,
                             const float *mean, int64_t rows, int64_t stride, int64_t cols) {
    int64_t abreast = at_most(rows_abreast(cols), rows), wide = rows / abreast, width = cols * abreast;
    double *slots = scratch, *slots2 = scratch + 2 * PANEL, *columns = scratch + 4 * PANEL,
           *columns2 = columns + 2 * PANEL;
    float *means = (float *)(columns2 + 2 * PANEL);
    if (width < TR_LANES)
        abreast = wide = 0, memset(columns, 0, 4 * PANEL * sizeof(double));
    else {
        for (int64_t k = 0; k < abreast; k++)
            memcpy(means + k * cols, mean, (size_t)cols * sizeof(float));
        gradient_sums(slots, slots2, means + 2 * PANEL, g, x, means, wide, stride * abreast, width);
        columns_of_slots(columns, slots, width);
        columns_of_slots(columns2, slots2, width);
    }
    for (int64_t j = 0; j < cols; j++) {
        sums[j] = products[j] = 0;
        for (int64_t k = 0; k < abreast; k++) {
            sums[j] += columns[k * cols + j];
            products[j] += columns2[k * cols + j];
        }
        for (int64_t at = wide * abreast * stride + j; at < rows * stride; at += stride) {
            sums[j] += g[at];
            products[j] += (double)g[at] * ((double)x[at] - mean[j]);
        }
    }
}

/* dx = a g + b (x - mean) + offset. */
typedef struct gradient_factors {
    float *a, *b, *center, *offset;
} gradient_factors;

static gradient_factors factors_of(float *scratch, const float *mean, const float *var, const float *gamma,
                                   const double *sum, const double *product, int64_t rows, int64_t cols,
                                   double epsilon) {
    gradient_factors f = {scratch, scratch + 2 * PANEL, scratch + 4 * PANEL, scratch + 6 * PANEL};
    double inverse = 1 / (double)rows;
    memcpy(f.center, mean, (size_t)cols * sizeof(float));
    for (int64_t j = 0; j < cols; j++)
        f.a[j] = (float)(1 / sqrt(var[j] + epsilon));
    for (int64_t j = 0; gamma && j < cols; j++)
        f.a[j] *= gamma[j];
    for (int64_t j = 0; j < cols; j++)
        f.b[j] = (float)(-f.a[j] * inverse * product[j] / (var[j] + epsilon));
    for (int64_t j = 0; j < cols; j++)
        f.offset[j] = (float)(-f.a[j] * inverse * sum[j]);
    return f;
}

TR_INLINE vec_float gradient_at(vec_float g, vec_float x, vec_float a, vec_float b, vec_float center,
                                vec_float offset) {
    return a * g + (b * (x - center) + offset);
}

static void gradient_row(float *dx, const float *g, const float *x, int64_t n, gradient_factors f) {
    for (int64_t i = 0; i < n; i += TR_LANES) {
        vec_float gradient = vec_load_up_to(g + i, n - i, 0), value = vec_load_up_to(x + i, n - i, 0);
        gradient = gradient_at(gradient, value, vec_load(f.a + i), vec_load(f.b + i), vec_load(f.center + i),
                               vec_load(f.offset + i));
        vec_store_up_to(dx + i, gradient, n - i);
    }
}

static void gradient_rows(float *dx, const float *g, const float *x, int64_t rows, int64_t stride,
                          int64_t cols, gradient_factors f) {
    int64_t r = 0, fours = cols >= TR_LANES && ((dx != g && dx != x) || cols % TR_LANES == 0);
    for (; fours && r + 4 <= rows; r += 4)
        for (int64_t s = 0; s < parts(cols, TR_LANES); s++) {
            int64_t j = slot_column(s, cols);
            vec_float a = vec_load(f.a + j), b = vec_load(f.b + j);
            vec_float center = vec_load(f.center + j), offset = vec_load(f.offset + j);
            for (int64_t k = r * stride + j; k < (r + 4) * stride; k += stride)
                vec_store(dx + k, gradient_at(vec_load(g + k), vec_load(x + k), a, b, center, offset));
        }
    for (; r < rows; r++)
        gradient_row(dx + r * stride, g + r * stride, x + r * stride, cols, f);
}

static int TR_K(batchnorm_grad)(const tr_call *c, const tr_worker *w) {
    float *dx = c->ptr[0], *dgamma = c->ptr[1], *dbeta = c->ptr[2];
    const float *g = c->ptr[3], *x = c->ptr[4], *mean = c->ptr[5], *var = c->ptr[6], *gamma = c->ptr[7];
    int64_t rows = c->arg[0], stride = c->arg[1], last = at_most(w->column_end, stride), begin, end;
    double epsilon = c->scalar[0];
    for (int64_t column = w->column; column < last; column += WIDEST) {
        int64_t cols = at_most(WIDEST, last - column), size = chunk_rows(rows, block_columns(column, stride));
        int64_t chunks = parts(rows, size);
        double *sums = w->shared, *products = sums + chunks * cols, *sum = products + chunks * cols,
               *product = sum + cols;
        tr_split(w, chunks * panels_of(cols), 1, &begin, &end);
        for (int64_t task = begin; task < end; task++) {
            int64_t chunk = task / panels_of(cols), panel = task % panels_of(cols), j = panel * PANEL;
            int64_t at = chunk * size * stride + column + j, to = chunk * cols + j;
            gradient_sums_of(sums + to, products + to, w->own, g + at, x + at, mean + column + j,
                             at_most(size, rows - chunk * size), stride, panel_width(panel, cols));
        }
        tr_barrier(w);
        tr_split(w, cols, 64, &begin, &end);
        memset(sum + begin, 0, (size_t)(end - begin) * sizeof(double));
        memset(product + begin, 0, (size_t)(end - begin) * sizeof(double));
        for (int64_t k = 0; k < chunks; k++)
            for (int64_t j = begin; j < end; j++) {
                sum[j] += sums[k * cols + j];
                product[j] += products[k * cols + j];
            }
        for (int64_t j = begin; dbeta && j < end; j++)
            dbeta[column + j] = (float)sum[j];
        for (int64_t j = begin; dgamma && j < end; j++)
            dgamma[column + j] = (float)(product[j] / sqrt(var[column + j] + epsilon));
        if (dx && rows) {
            tr_barrier(w);
            tr_split(w, rows, 1, &begin, &end);
            for (int64_t panel = 0; panel < panels_of(cols); panel++) {
                int64_t j0 = panel * PANEL, width = panel_width(panel, cols), abreast = rows_abreast(width);
                gradient_factors f =
                    factors_of(w->own, mean + column + j0, var + column + j0, gamma ? gamma + column + j0 : 0,
                               sum + j0, product + j0, rows, width, epsilon);
                repeat(f.a, width, abreast);
                repeat(f.b, width, abreast);
                repeat(f.center, width, abreast);
                repeat(f.offset, width, abreast);
                int64_t wide = (end - begin) / abreast, left = (end - begin) % abreast,
                        at = begin * stride + column + j0;
                gradient_rows(dx + at, g + at, x + at, wide, stride * abreast, width * abreast, f);
                if (left) {
                    at += wide * abreast * stride;
                    gradient_row(dx + at, g + at, x + at, left * width, f);
                }
            }
        }
        if (column + WIDEST < last)
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
