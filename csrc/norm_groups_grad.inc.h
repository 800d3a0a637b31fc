/* Normalisation of groups, backward. With h = (x - mean) rstd and means over the items of a group:
 * dbeta = sum g, dgamma = sum g h, and dx = rstd (g gamma - mean(g gamma) - h mean(g gamma h)), an affine function of g and
 * x; with the flag TR_RMS without its mean(g gamma).
 *
 * Workers share chunks of samples, whose number depends on the sizes only; what chunks bring to dgamma and dbeta is added
 * in their order. */

typedef struct group_norm_grad {
    float *dx, *dgamma, *dbeta;                   /* any may be NULL */
    const float *g, *x, *mean, *rstd, *gamma;     /* mean may be NULL: 0; gamma too: 1 */
    int64_t samples, positions, channels, groups;
    int rms;
} group_norm_grad;

enum {
    BLOCK_ITEMS = 1 << 14, /* of g and of x, which the second cache holds for both passes over rows */
    CHUNK_OF_ROWS = 32,    /* rows of a chunk at least: joining chunks takes time too */
};

/* Sums over a row of g gamma, and of g gamma (x - center). */
TR_INLINE void row_products(const int has_gamma, double *sum, double *product, const float *g, const float *x,
                            const float *gamma, int64_t n, float center) {
    *sum = *product = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = at_most(n, i + 64 * TR_LANES);
        vec_float a[2] = {{0}}, p[2] = {{0}};
        for (; i + 2 * TR_LANES <= end; i += 2 * TR_LANES)
            TR_UNROLL for (int k = 0; k < 2; k++) {
                vec_float v = vec_load(g + i + k * TR_LANES);
                if (has_gamma)
                    v *= vec_load(gamma + i + k * TR_LANES);
                a[k] += v;
                p[k] += v * (vec_load(x + i + k * TR_LANES) - center);
            }
        for (; i < end; i += TR_LANES) {
            vec_float v = vec_load_up_to(g + i, n - i, 0);
            if (has_gamma)
                v *= vec_load_up_to(gamma + i, n - i, 0);
            a[0] += v;
            p[0] += v * (vec_load_up_to(x + i, n - i, center) - center);
        }
        *sum += vec_sum(a[0] + a[1]);
        *product += vec_sum(p[0] + p[1]);
    }
}

/* dx of one row. */
TR_INLINE void gradient_of_row(const int has_gamma, const group_norm_grad *b, int64_t row) {
    int64_t n = b->channels, at = row * n;
    float center = b->mean ? b->mean[row] : 0, a = b->rstd[row];
    double sum, product, inverse = 1 / (double)n;
    row_products(has_gamma, &sum, &product, b->g + at, b->x + at, b->gamma, n, center);
    float slope = (float)(-product * inverse) * (a * a) * a, offset = b->rms ? 0 : (float)(-sum * inverse) * a;
    for (int64_t i = 0; i < n; i += TR_LANES) {
        vec_float g = vec_load_up_to(b->g + at + i, n - i, 0);
        if (has_gamma)
            g *= vec_load_up_to(b->gamma + i, n - i, 0);
        vec_float x = vec_load_up_to(b->x + at + i, n - i, 0) - center;
        vec_store_up_to(b->dx + at + i, a * g + (slope * x + offset), n - i);
    }
}

/* Adds the rows [begin, end) of `vectors` vectors of columns, the first at `column`, to sums of g and of g h. */
TR_INLINE void gradient_of_columns(const int vectors, const group_norm_grad *b, double *sums, double *products,
                                   int64_t begin, int64_t end, int64_t column) {
    int64_t left = b->channels - column;
    vec_float sum[4] = {{0}}, product[4] = {{0}};
    for (int64_t r = begin; r < end; r++) {
        const float *g = b->g + r * b->channels + column, *x = b->x + r * b->channels + column;
        float center = b->mean ? b->mean[r] : 0, scale = b->rstd[r];
        TR_UNROLL for (int v = 0; v < vectors; v++) {
            vec_float a = vectors > 1 ? vec_load(g + v * TR_LANES) : vec_load_up_to(g, left, 0);
            vec_float d = vectors > 1 ? vec_load(x + v * TR_LANES) : vec_load_up_to(x, left, center);
            sum[v] += a;
            product[v] += a * ((d - center) * scale);
        }
    }
    TR_UNROLL for (int v = 0; v < vectors; v++) {
        add_widened(sums + v * TR_LANES, sum[v]);
        add_widened(products + v * TR_LANES, product[v]);
    }
}

/* The rows [begin, end): their dx, and what they bring to the columns [column, column + cols) of sums and products. */
static void gradient_of_rows(const group_norm_grad *b, double *sums, double *products, int64_t begin, int64_t end,
                             int64_t column, int64_t cols) {
    int64_t block = at_least(8, at_most(FLOAT_ROWS, BLOCK_ITEMS / b->channels));
    for (int64_t r = begin; r < end; r += block) {
        int64_t last = at_most(end, r + block), j = 0;
        for (int64_t i = r; b->dx && column == 0 && i < last; i++)
            if (b->gamma)
                gradient_of_row(1, b, i);
            else
                gradient_of_row(0, b, i);
        if (!b->dgamma && !b->dbeta)
            continue;
        for (; j + 4 * TR_LANES <= cols; j += 4 * TR_LANES)
            gradient_of_columns(4, b, sums + j, products + j, r, last, column + j);
        for (; j < cols; j += TR_LANES)
            gradient_of_columns(1, b, sums + j, products + j, r, last, column + j);
    }
}

/* dx = a g + (slope (x - center) + offset) of a stripe. */
TR_INLINE void affine_of_both(const int vectors, float *dx, const float *g, const float *x, const float *a,
                              const float *slope, const float *center, const float *offset, int64_t rows,
                              int64_t stride, int64_t cols) {
    vec_float of_g[STRIPE_VECTORS], of_x[STRIPE_VECTORS], middle[STRIPE_VECTORS], rest[STRIPE_VECTORS];
    TR_UNROLL for (int v = 0; v < vectors; v++) {
        of_g[v] = stripe_load(a, v, vectors, cols);
        of_x[v] = stripe_load(slope, v, vectors, cols);
        middle[v] = stripe_load(center, v, vectors, cols);
        rest[v] = stripe_load(offset, v, vectors, cols);
    }
    for (int64_t at = 0; at < rows * stride; at += stride)
        TR_UNROLL for (int v = 0; v < vectors; v++) {
            vec_float of = stripe_load(x + at, v, vectors, cols) - middle[v];
            stripe_store(dx + at, of_g[v] * stripe_load(g + at, v, vectors, cols) + (of_x[v] * of + rest[v]), v, vectors,
                         cols);
        }
}

/* One sample by channels: what it brings to sums and products, and its dx. */
static void gradient_of_sample(const group_norm_grad *b, double *sums, double *products, int64_t sample, void *own) {
    int64_t channels = b->channels, width = channels / b->groups, at = sample * b->positions * channels;
    double *sum = own, *product = sum + channels, inverse = -1 / (double)(b->positions * width);
    float *center = (float *)(product + channels), *a = center + channels, *slope = a + channels,
          *offset = slope + channels;
    for (int64_t c = 0; c < channels; c++)
        center[c] = b->mean ? b->mean[sample * b->groups + c / width] : 0;
    for (int64_t j = 0; j < channels; j += STRIPE) {
        int64_t cols = at_most(STRIPE, channels - j);
        STRIPE_CALL(gradient_sums, cols, sum + j, product + j, b->g + at + j, b->x + at + j, center + j, b->positions,
                    channels, cols)
    }
    for (int64_t g = 0; g < b->groups; g++) {
        double total = 0, along = 0;
        float rstd = b->rstd[sample * b->groups + g];
        for (int64_t c = g * width; c < (g + 1) * width; c++) {
            float gamma = b->gamma ? b->gamma[c] : 1;
            total += gamma * sum[c];
            along += gamma * product[c];
            sums[c] += sum[c];
            products[c] += product[c] * rstd;
            a[c] = rstd * gamma;
        }
        for (int64_t c = g * width; c < (g + 1) * width; c++) {
            slope[c] = (float)(along * inverse) * (rstd * rstd) * rstd;
            offset[c] = b->rms ? 0 : (float)(total * inverse) * rstd;
        }
    }
    for (int64_t j = 0; b->dx && j < channels; j += STRIPE) {
        int64_t cols = at_most(STRIPE, channels - j);
        STRIPE_CALL(affine_of_both, cols, b->dx + at + j, b->g + at + j, b->x + at + j, a + j, slope + j, center + j,
                    offset + j, b->positions, channels, cols)
    }
}

/* The columns [column, column + cols) of dgamma and dbeta, and with the first of them all of dx. */
static void gradient_of_block(const group_norm_grad *b, int64_t column, int64_t cols, const tr_worker *w) {
    int64_t wide = parts(cols, TR_SHARE_UNIT) * TR_SHARE_UNIT, begin, end;
    int64_t least = groups_are_rows(b->positions, b->groups) ? CHUNK_OF_ROWS : 1;
    int64_t size = at_least(least, parts(b->samples, at_most(64, SHARED_DOUBLES / (2 * wide))));
    int64_t chunks = at_least(1, parts(b->samples, size));
    double *sums = w->shared, *products = sums + chunks * wide;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t k = begin; k < end; k++) {
        int64_t first = k * size, last = at_most(b->samples, first + size);
        memset(sums + k * wide, 0, (size_t)wide * sizeof(double));
        memset(products + k * wide, 0, (size_t)wide * sizeof(double));
        if (groups_are_rows(b->positions, b->groups))
            gradient_of_rows(b, sums + k * wide, products + k * wide, first, last, column, cols);
        else
            for (int64_t s = first; s < last; s++)
                gradient_of_sample(b, sums + k * wide, products + k * wide, s, w->own);
    }
    tr_barrier(w);
    tr_split(w, cols, TR_SHARE_UNIT, &begin, &end);
    add_chunks(sums, products, chunks, wide, begin, end);
    for (int64_t j = begin; b->dbeta && j < end; j++)
        b->dbeta[column + j] = (float)sums[j];
    for (int64_t j = begin; b->dgamma && j < end; j++)
        b->dgamma[column + j] = (float)products[j];
}

/* dx | NULL, dgamma | NULL, dbeta | NULL = gradients of groupnorm(g, x, mean | NULL, rstd, gamma | NULL). */
static int TR_K(groupnorm_grad)(const tr_call *c, const tr_worker *w) {
    group_norm_grad b = {
        .dx = c->ptr[0],
        .dgamma = c->ptr[1],
        .dbeta = c->ptr[2],
        .g = c->ptr[3],
        .x = c->ptr[4],
        .mean = c->ptr[5],
        .rstd = c->ptr[6],
        .gamma = c->ptr[7],
        .samples = c->arg[0],
        .positions = c->arg[1],
        .channels = c->arg[2],
        .groups = c->arg[3],
        .rms = c->flags & TR_RMS,
    };
    for (int64_t column = 0; column < b.channels; column += WIDEST) {
        if (column)
            tr_barrier(w);
        gradient_of_block(&b, column, at_most(WIDEST, b.channels - column), w);
    }
    return 0;
}
