/* Softmax and its cross-entropy over the rows of a matrix. The largest value of a row is subtracted first,
 * so no exponential overflows; lanes past the end of a row hold -inf, whose exponential is 0. That largest
 * value may or may not be NaN if the row holds one: the sum is in any case. */

enum { SHORT_SOFTMAX = 256 };

/* out = e^(x - shift), unless out is NULL; returns the sum. Up to 64 vectors are summed in single
 * precision. */
TR_INLINE float exponentials(float *out, const float *x, int64_t n, float shift) {
    double total = 0;
    for (int64_t i = 0; i < n;) {
        vec_float sum = {0};
        for (int64_t end = at_most(n, i + 64 * TR_LANES); i < end; i += TR_LANES) {
            vec_float e = vec_exp_negative(vec_load_up_to(x + i, n - i, -INFINITY) - shift);
            sum += e;
            if (out)
                vec_store_up_to(out + i, e, n - i);
        }
        total += vec_sum(sum);
    }
    return (float)total;
}

TR_INLINE void scale_row(float *out, const float *x, int64_t n, float scale) {
    for (int64_t i = 0; i < n; i += TR_LANES)
        vec_store_up_to(out + i, vec_load_up_to(x + i, n - i, 0) * scale, n - i);
}

/* Softmax of count <= TR_LANES rows; `most` and `sum` get a value per row. Rows that fit the first cache
 * go through each phase together, so that none waits for the sum of another; their exponentials wait in aligned rows. */
TR_INLINE void softmax_wide(float *out, const float *x, int64_t count, int64_t n, float *most, float *sum) {
    float row[TR_LANES * SHORT_SOFTMAX] __attribute__((aligned(64)));
    int64_t together = n <= SHORT_SOFTMAX ? count : 1, step = n <= SHORT_SOFTMAX ? parts(n, TR_LANES) * TR_LANES : 0;
    for (int64_t first = 0; first < count; first += together) {
        for (int64_t i = first; i < first + together; i++)
            most[i] = extreme_of_row(x + i * n, n, -INFINITY, vec_greater);
        for (int64_t i = first; i < first + together; i++)
            sum[i] = exponentials(step ? row + i * step : out + i * n, x + i * n, n, most[i]);
        for (int64_t i = first; i < first + together; i++)
            scale_row(out + i * n, step ? row + i * step : out + i * n, n, 1 / sum[i]);
    }
}

/* The same for narrow rows: TR_LANES rows are one vector of each step. */
TR_INLINE void softmax_narrow(float *out, const float *x, int64_t count, int64_t n, float *most, float *sum) {
    float columns[NARROW * TR_LANES] = {0};
    load_narrow(columns, x, count, n);
    vec_float largest = vec_load(columns), total = {0};
    for (int64_t j = 1; j < n; j++)
        largest = vec_greater(largest, vec_load(columns + j * TR_LANES));
    for (int64_t j = 0; j < n; j++) {
        vec_float e = vec_exp_negative(vec_load(columns + j * TR_LANES) - largest);
        total += e;
        vec_store(columns + j * TR_LANES, e);
    }
    vec_float scale = 1.0f / total;
    for (int64_t j = 0; j < n; j++)
        vec_store(columns + j * TR_LANES, vec_load(columns + j * TR_LANES) * scale);
    transpose(out, n, columns, TR_LANES, n, count);
    vec_store(most, largest);
    vec_store(sum, total);
}

/* The rows [r, r + count) of the matrix. */
TR_INLINE void softmax_rows(float *out, const float *x, int64_t r, int64_t count, int64_t rows, int64_t n,
                            float *most, float *sum) {
    if (narrow(rows, n))
        softmax_narrow(out + r * n, x + r * n, count, n, most, sum);
    else
        softmax_wide(out + r * n, x + r * n, count, n, most, sum);
}

static int TR_K(softmax)(const tr_call *c, const tr_worker *w) {
    float most[TR_LANES], sum[TR_LANES];
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end;
    tr_split(w, cols ? rows : 0, TR_LANES, &begin, &end);
    for (int64_t r = begin; r < end; r += TR_LANES)
        softmax_rows(c->ptr[0], c->ptr[1], r, at_most(TR_LANES, end - r), rows, cols, most, sum);
    return 0;
}

/* TR_LANES rows share one logarithm. */
static int TR_K(log_softmax)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *x = c->ptr[1];
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end;
    tr_split(w, cols ? rows : 0, TR_LANES, &begin, &end);
    for (int64_t first = begin; first < end; first += TR_LANES) {
        float most[TR_LANES], sum[TR_LANES] = {0};
        int64_t last = at_most(end, first + TR_LANES);
        for (int64_t r = first; r < last; r++) {
            const float *row = x + r * cols;
            most[r - first] = extreme_of_row(row, cols, -INFINITY, vec_greater);
            sum[r - first] = exponentials(0, row, cols, most[r - first]);
        }
        vec_store(sum, vec_log(vec_load(sum)));
        for (int64_t r = first; r < last; r++)
            for (int64_t i = 0, at = r * cols; i < cols; i += TR_LANES) {
                vec_float v = vec_load_up_to(x + at + i, cols - i, 0);
                vec_store_up_to(out + at + i, (v - most[r - first]) - sum[r - first], cols - i);
            }
    }
    return 0;
}

/* The labels of a cross-entropy. Of the target of a row a part, `smoothing`, is spread over all classes. */
typedef struct row_labels {
    const int64_t *label;
    int64_t cols, ignored;
    int ignores;
    double smoothing;
} row_labels;

TR_INLINE row_labels row_labels_of(const tr_call *c, const int64_t *label) {
    return (row_labels){label, c->arg[1], c->arg[2], c->flags & TR_IGNORES, c->scalar[0]};
}

TR_INLINE int row_counts(const row_labels *of, int64_t r) { return !(of->ignores && of->label[r] == of->ignored); }
TR_INLINE int label_is_there(const row_labels *of, int64_t r) { return of->label[r] >= 0 && of->label[r] < of->cols; }

/* The mean of the logits of row r over its target. A label out of range (check_labels) makes it NaN. */
TR_INLINE double logit_of_target(const row_labels *of, const float *logits, int64_t r) {
    double at_label = label_is_there(of, r) ? logits[r * of->cols + of->label[r]] : NAN;
    if (of->smoothing == 0)
        return at_label;
    return (1 - of->smoothing) * at_label + of->smoothing / (double)of->cols * sum_of_row(logits + r * of->cols, of->cols);
}

/* loss[1] = mean over the rows that count of log(sum of e^logits) - logits of the target, 0 if none does; and the
 * probabilities for the gradient. Rows are summed in chunks whose number depends on the sizes only. */
static int TR_K(softmax_cross_entropy)(const tr_call *c, const tr_worker *w) {
    float *loss = c->ptr[0], *out = c->ptr[1], most[TR_LANES], sum[TR_LANES] = {0};
    const float *logits = c->ptr[2];
    const row_labels of = row_labels_of(c, c->ptr[3]);
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end, count = 0;
    int64_t size = parts(at_least(1024 / at_least(cols, 1), parts(rows, MAX_CHUNKS)), TR_LANES) * TR_LANES;
    int64_t chunks = parts(rows, size);
    double *partial = w->shared, total = 0;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t k = begin; k < end; k++) {
        partial[k] = 0;
        for (int64_t r = k * size, last = at_most(rows, (k + 1) * size); r < last; r += TR_LANES) {
            int64_t width = at_most(TR_LANES, last - r);
            for (int64_t i = r; i < r + width; i++) /* before out, which may be the logits */
                partial[k] -= row_counts(&of, i) ? logit_of_target(&of, logits, i) : 0;
            softmax_rows(out, logits, r, width, rows, cols, most, sum);
            vec_store(sum, vec_log(vec_load(sum)));
            for (int64_t i = 0; i < width; i++)
                partial[k] += row_counts(&of, r + i) ? (double)most[i] + sum[i] : 0;
        }
    }
    tr_barrier(w);
    if (w->ith)
        return 0;
    for (int64_t k = 0; k < chunks; k++)
        total += partial[k];
    for (int64_t r = 0; r < rows; r++)
        count += row_counts(&of, r);
    *loss = (float)(total / (double)at_least(count, 1));
    return 0;
}

/* out = (probability - target) * g / the number of rows that count, 0 in the others; out may be the probabilities. */
static int TR_K(softmax_cross_entropy_grad)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *probability = c->ptr[1], *g = c->ptr[3];
    const row_labels of = row_labels_of(c, c->ptr[2]);
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end, count = 0;
    for (int64_t r = 0; r < rows; r++)
        count += row_counts(&of, r);
    float scale = *g / (float)at_least(count, 1), at_label[256];
    float to_all = (float)(of.smoothing / (double)at_least(cols, 1)), to_label = (float)(1 - of.smoothing);
    tr_split(w, rows, 1, &begin, &end);
    for (int64_t first = begin; first < end; first += 256) {
        int64_t last = at_most(end, first + 256);
        for (int64_t r = first; r < last; r++)
            at_label[r - first] = label_is_there(&of, r) ? probability[r * cols + of.label[r]] : 0;
        for (int64_t i = first * cols; i < last * cols; i += TR_LANES) {
            vec_float v = vec_load_up_to(probability + i, last * cols - i, 0);
            vec_store_up_to(out + i, (v - to_all) * scale, last * cols - i);
        }
        for (int64_t r = first; r < last; r++)
            if (!row_counts(&of, r))
                memset(out + r * cols, 0, (size_t)cols * sizeof(float));
            else if (label_is_there(&of, r))
                out[r * cols + of.label[r]] = (at_label[r - first] - to_all - to_label) * scale;
    }
    return 0;
}
