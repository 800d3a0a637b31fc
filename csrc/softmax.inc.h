/* Softmax and its cross-entropy over the rows of a matrix. The largest value of a row is subtracted first,
 * so no exponential overflows; lanes past the end of a row hold -inf, whose exponential is 0. That largest
 * value may or may not be NaN if the row holds one: the sum is in any case.
 *
 * Rows are worked in order, so the last vector of one may be read and written whole, past its end into the
 * next row, which comes later: `room` says how many elements from the start of a row may be touched. Only
 * where the room ends, or where the output is the input, parts of vectors are copied. */

TR_INLINE vec_float load_of_row(const float *x, int64_t i, int64_t n, int64_t room) {
    return i + TR_LANES <= n ? vec_load(x + i) : vec_load_first(x + i, n - i, room - i, -INFINITY);
}

/* The first `room` - i elements of out + i, at most a vector. */
TR_INLINE void store_up_to(float *out, vec_float v, int64_t i, int64_t room) {
    if (i + TR_LANES <= room)
        vec_store(out + i, v);
    else
        vec_store_part(out + i, v, room - i);
}

/* out = e^(x - shift), unless out is NULL; returns the sum. Up to 64 vectors are summed in single
 * precision. */
TR_INLINE float exponentials(float *out, const float *x, int64_t n, int64_t room, int64_t room_out,
                             float shift) {
    double total = 0;
    for (int64_t i = 0; i < n;) {
        vec_float sum = {0};
        for (int64_t end = at_most(n, i + 64 * TR_LANES); i < end; i += TR_LANES) {
            vec_float e = vec_exp_negative(load_of_row(x, i, n, room) - shift);
            sum += e;
            if (out)
                store_up_to(out, e, i, room_out);
        }
        total += vec_sum(sum);
    }
    return (float)total;
}

/* out *= scale. Lanes past the end belong to the next row and are multiplied by 1. */
TR_INLINE void scale_row(float *out, int64_t n, int64_t room, float scale) {
    int64_t i = 0;
    for (; i + TR_LANES <= n; i += TR_LANES)
        vec_store(out + i, vec_load(out + i) * scale);
    if (i < n && i + TR_LANES <= room)
        vec_store(out + i, vec_load(out + i) * vec_select(vec_first(n - i), vec_splat(scale), vec_splat(1)));
    else if (i < n)
        vec_store_part(out + i, vec_load_part(out + i, n - i, 0) * scale, n - i);
}

/* Softmax of count <= TR_LANES rows; `most` and `sum` get a value per row. Rows that fit the first cache
 * go through each phase together, so that none waits for the sum of another. */
TR_INLINE void softmax_wide(float *out, const float *x, int64_t count, int64_t n, int64_t room,
                            int64_t room_out, float *most, float *sum) {
    int64_t together = n <= 512 ? count : 1, in_place = out == x;
    for (int64_t first = 0; first < count; first += together) {
        for (int64_t i = first; i < first + together; i++)
            most[i] = extreme_of_row(x + i * n, n, room - i * n, -INFINITY, vec_greater);
        for (int64_t i = first; i < first + together; i++)
            sum[i] = exponentials(out + i * n, x + i * n, n, room - i * n, in_place ? n : room_out - i * n,
                                  most[i]);
        for (int64_t i = first; i < first + together; i++)
            scale_row(out + i * n, n, room_out - i * n, 1 / sum[i]);
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

/* The rows [r, r + count) of the matrix; this worker writes rows up to `end`. */
TR_INLINE void softmax_rows(float *out, const float *x, int64_t r, int64_t count, int64_t rows, int64_t end,
                            int64_t n, float *most, float *sum) {
    if (narrow(rows, n))
        softmax_narrow(out + r * n, x + r * n, count, n, most, sum);
    else
        softmax_wide(out + r * n, x + r * n, count, n, (rows - r) * n, (end - r) * n, most, sum);
}

static int TR_K(softmax)(const tr_call *c, const tr_worker *w) {
    float most[TR_LANES], sum[TR_LANES];
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end;
    tr_split(w, cols ? rows : 0, TR_LANES, &begin, &end);
    for (int64_t r = begin; r < end; r += TR_LANES)
        softmax_rows(c->ptr[0], c->ptr[1], r, at_most(TR_LANES, end - r), rows, end, cols, most, sum);
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
            most[r - first] = extreme_of_row(row, cols, (rows - r) * cols, -INFINITY, vec_greater);
            sum[r - first] = exponentials(0, row, cols, (rows - r) * cols, 0, most[r - first]);
        }
        vec_store(sum, vec_log(vec_load(sum)));
        for (int64_t r = first; r < last; r++)
            for (int64_t i = 0; i < cols; i += TR_LANES)
                store_up_to(out + r * cols,
                            (load_of_row(x + r * cols, i, cols, (rows - r) * cols) - most[r - first]) -
                                sum[r - first],
                            i, out == x ? cols : (end - r) * cols);
    }
    return 0;
}

/* loss[1] = mean over rows of log(sum of e^logits) - logits[label], and the probabilities for the
 * gradient. Rows are summed in chunks whose number depends on the sizes only. A label out of range
 * (check_labels) makes the loss NaN. */
static int TR_K(softmax_cross_entropy)(const tr_call *c, const tr_worker *w) {
    float *loss = c->ptr[0], *out = c->ptr[1], most[TR_LANES], sum[TR_LANES] = {0};
    const float *logits = c->ptr[2];
    const int64_t *label = c->ptr[3];
    int64_t rows = c->arg[0], cols = c->arg[1], begin, end;
    int64_t size = parts(at_least(1024 / at_least(cols, 1), parts(rows, MAX_CHUNKS)), TR_LANES) * TR_LANES;
    int64_t chunks = parts(rows, size);
    double *partial = w->shared, total = 0;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t k = begin, stop = at_most(rows, end * size); k < end; k++) {
        partial[k] = 0;
        for (int64_t r = k * size, last = at_most(rows, (k + 1) * size); r < last; r += TR_LANES) {
            int64_t count = at_most(TR_LANES, last - r);
            for (int64_t i = 0; i < count; i++) /* before out, which may be the logits */
                partial[k] -=
                    label[r + i] >= 0 && label[r + i] < cols ? logits[(r + i) * cols + label[r + i]] : NAN;
            softmax_rows(out, logits, r, count, rows, stop, cols, most, sum);
            vec_store(sum, vec_log(vec_load(sum)));
            for (int64_t i = 0; i < count; i++)
                partial[k] += (double)most[i] + sum[i];
        }
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
            store_up_to(out + first * cols, load_of_row(probability + first * cols, i, n, n) * scale, i, n);
        for (int64_t r = first; r < last; r++)
            if (label[r] >= 0 && label[r] < cols)
                out[r * cols + label[r]] = (of_label[r - first] - 1.0f) * scale;
    }
    return 0;
}
