/* Softmax and its cross-entropy over the rows of a matrix. The largest value of a row is subtracted first, so no exponential
 * overflows; lanes past the end of a row hold -inf, whose exponential is 0. */

TR_INLINE vec_float load_or_lowest(const float *x, int64_t i, int64_t n) {
    return i + TR_LANES <= n ? vec_load(x + i) : vec_load_part(x + i, n - i, -INFINITY);
}

TR_INLINE void store_up_to(float *out, vec_float v, int64_t i, int64_t n) {
    if (i + TR_LANES <= n)
        vec_store(out + i, v);
    else
        vec_store_part(out + i, v, n - i);
}

TR_INLINE float largest_of_row(const float *x, int64_t n) {
    vec_float most = load_or_lowest(x, 0, n);
    for (int64_t i = TR_LANES; i < n; i += TR_LANES)
        most = vec_max(most, load_or_lowest(x, i, n));
    return vec_max_across(most);
}

/* out = e^(x - shift), unless out is NULL; returns the sum, in double precision every 64 vectors. */
TR_INLINE double exponentials(float *out, const float *x, int64_t n, float shift) {
    vec_double total = {0};
    for (int64_t i = 0; i < n;) {
        vec_float sum = {0};
        for (int64_t end = at_most(n, i + 64 * TR_LANES); i < end; i += TR_LANES) {
            vec_float e = vec_exp_negative(load_or_lowest(x, i, n) - shift);
            sum += e;
            if (out)
                store_up_to(out, e, i, n);
        }
        total += vec_low(sum) + vec_high(sum);
    }
    return vec_sum_double(total);
}

TR_INLINE void scale_row(float *out, int64_t n, float scale) {
    for (int64_t i = 0; i < n; i += TR_LANES)
        store_up_to(out, load_or_lowest(out, i, n) * scale, i, n);
}

/* Softmax of one row; returns the logarithm of the sum of its exponentials. */
TR_INLINE double softmax_row(float *out, const float *x, int64_t n) {
    float most = largest_of_row(x, n);
    double sum = exponentials(out, x, n, most);
    scale_row(out, n, (float)(1 / sum));
    return (double)most + vec_log(vec_splat((float)sum))[0];
}

static int TR_K(softmax)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *x = c->ptr[1];
    int64_t cols = c->arg[1], begin, end;
    tr_split(w, cols ? c->arg[0] : 0, 1, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        softmax_row(out + r * cols, x + r * cols, cols);
    return 0;
}

static int TR_K(log_softmax)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *x = c->ptr[1];
    int64_t cols = c->arg[1], begin, end;
    tr_split(w, cols ? c->arg[0] : 0, 1, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *row = x + r * cols;
        float most = largest_of_row(row, cols);
        vec_float log_sum = vec_log(vec_splat((float)exponentials(0, row, cols, most)));
        for (int64_t i = 0; i < cols; i += TR_LANES)
            store_up_to(out + r * cols, (load_or_lowest(row, i, cols) - most) - log_sum, i, cols);
    }
    return 0;
}

/* loss[1] = mean over rows of log(sum of e^logits) - logits[label], and the probabilities for the gradient. Rows are
 * summed in chunks whose number depends on the sizes only. A label out of range (check_labels) makes the loss NaN. */
static int TR_K(softmax_cross_entropy)(const tr_call *c, const tr_worker *w) {
    float *loss = c->ptr[0], *probability = c->ptr[1];
    const float *logits = c->ptr[2];
    const int64_t *label = c->ptr[3];
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end;
    int64_t size = at_least(at_least(1, CHUNK / at_least(cols, 1) / 16), parts(rows, MAX_CHUNKS));
    int64_t chunks = parts(rows, size);
    double *partial = w->shared, total = 0;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t k = begin; k < end; k++) {
        double sum = 0;
        for (int64_t r = k * size; r < at_most(rows, (k + 1) * size); r++) {
            const float *row = logits + r * cols;
            double log_sum = softmax_row(probability + r * cols, row, cols);
            sum += log_sum - (label[r] >= 0 && label[r] < cols ? row[label[r]] : NAN);
        }
        partial[k] = sum;
    }
    tr_barrier(w);
    if (w->ith)
        return 0;
    for (int64_t k = 0; k < chunks; k++)
        total += partial[k];
    *loss = (float)(total / (double)rows);
    return 0;
}

/* out = (probability - one-hot of the label) * g / rows; out may be the probabilities. */
static int TR_K(softmax_cross_entropy_grad)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *probability = c->ptr[1], *g = c->ptr[3];
    const int64_t *label = c->ptr[2];
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end;
    float scale = *g / (float)rows, of_label[256];
    tr_split(w, rows, 1, &begin, &end);
    for (int64_t first = begin; first < end; first += 256) {
        int64_t last = at_most(end, first + 256), n = (last - first) * cols;
        for (int64_t r = first; r < last; r++)
            of_label[r - first] = label[r] >= 0 && label[r] < cols ? probability[r * cols + label[r]] : 0;
        for (int64_t i = 0; i < n; i += TR_LANES)
            store_up_to(out + first * cols, load_or_lowest(probability + first * cols, i, n) * scale, i, n);
        for (int64_t r = first; r < last; r++)
            if (label[r] >= 0 && label[r] < cols)
                out[r * cols + label[r]] = (of_label[r - first] - 1.0f) * scale;
    }
    return 0;
}
