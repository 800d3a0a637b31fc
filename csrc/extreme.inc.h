/* Largest and smallest elements, and where the largest stands. There is no order to keep; NaN beats everything. */

/* `least` is what f never chooses over another number. With vec_greater or vec_lesser a NaN may get lost. */
TR_INLINE float extreme_of_row(const float *x, int64_t n, float least, vec_choice *f) {
    vec_float a = vec_splat(least), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 4 * TR_LANES <= n; i += 4 * TR_LANES) {
        a = f(a, vec_load(x + i));
        b = f(b, vec_load(x + i + TR_LANES));
        c = f(c, vec_load(x + i + 2 * TR_LANES));
        d = f(d, vec_load(x + i + 3 * TR_LANES));
    }
    for (; i + TR_LANES <= n; i += TR_LANES)
        a = f(a, vec_load(x + i));
    if (i < n)
        b = f(b, vec_load_part(x + i, n - i, least));
    return vec_across(f(f(a, b), f(c, d)), f);
}

/* The same where f is vec_max or vec_min. Choosing among numbers takes a third of the instructions, and a sum along
 * with it tells whether they were (infinities of both signs count as NaN: that costs time only). */
TR_INLINE float extreme_of_numbers(const float *x, int64_t n, float least, vec_choice *f, vec_choice *among_numbers) {
    vec_float best[4], sum[4];
    int64_t i = 0;
    for (int k = 0; k < 4; k++)
        best[k] = vec_splat(least), sum[k] = vec_splat(0);
    for (; i + 4 * TR_LANES <= n; i += 4 * TR_LANES)
        TR_UNROLL for (int k = 0; k < 4; k++) {
            vec_float v = vec_load(x + i + k * TR_LANES);
            best[k] = among_numbers(best[k], v);
            sum[k] += v;
        }
    for (; i < n; i += TR_LANES) {
        vec_float v = vec_load_up_to(x + i, n - i, least);
        best[0] = among_numbers(best[0], v);
        sum[1] += v;
    }
    sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    if (vec_any(sum[0] != sum[0]))
        return extreme_of_row(x, n, least, f);
    return vec_across(among_numbers(among_numbers(best[0], best[1]), among_numbers(best[2], best[3])), among_numbers);
}

/* out[cols] = extremes over rows; TR_LANES <= cols. The last vector overlaps the one before: choosing
 * twice is no harm. */
TR_INLINE void extreme_of_rows(float *out, const float *x, int64_t rows, int64_t stride, int64_t cols,
                               vec_choice *f) {
    int64_t r = rows % BLOCK_ROWS ? rows % BLOCK_ROWS : BLOCK_ROWS;
    for (int64_t s = 0; s < parts(cols, TR_LANES); s++) {
        const float *p = x + slot_column(s, cols);
        vec_float best = vec_load(p);
        for (int64_t k = 1; k < r; k++)
            best = f(best, vec_load(p + k * stride));
        vec_store(out + slot_column(s, cols), best);
    }
    for (; r < rows; r += BLOCK_ROWS)
        for (int64_t s = 0; s < parts(cols, TR_LANES); s++) {
            const float *p = x + r * stride + slot_column(s, cols), *q = p + 4 * stride;
            float *best = out + slot_column(s, cols);
            vec_float a = f(f(vec_load(p), vec_load(p + stride)),
                            f(vec_load(p + 2 * stride), vec_load(p + 3 * stride)));
            vec_float b = f(f(vec_load(q), vec_load(q + stride)),
                            f(vec_load(q + 2 * stride), vec_load(q + 3 * stride)));
            vec_store(best, f(vec_load(best), f(a, b)));
        }
}

TR_INLINE float choose_one(float a, float b, vec_choice *f) { return f(vec_splat(a), vec_splat(b))[0]; }

/* The same for any cols < 2 * PANEL; rows narrower than a vector are laid side by side. */
TR_INLINE void extreme_of_columns(float *out, float *scratch, const float *x, int64_t rows, int64_t stride,
                                  int64_t cols, vec_choice *f) {
    int64_t abreast = at_most(rows_abreast(cols), rows), wide = rows / abreast, width = cols * abreast;
    if (abreast == 1 && width >= TR_LANES) {
        extreme_of_rows(out, x, rows, stride, cols, f);
        return;
    }
    if (width >= TR_LANES)
        extreme_of_rows(scratch, x, wide, stride * abreast, width, f);
    else
        abreast = wide = 1, memcpy(scratch, x, (size_t)cols * sizeof(float));
    for (int64_t j = 0; j < cols; j++) {
        out[j] = scratch[j];
        for (int64_t k = 1; k < abreast; k++)
            out[j] = choose_one(out[j], scratch[k * cols + j], f);
        for (int64_t r = wide * abreast; r < rows; r++)
            out[j] = choose_one(out[j], x[r * stride + j], f);
    }
}

TR_INLINE void extreme_of_narrow(float *out, const float *x, int64_t rows, int64_t n, const tr_worker *w,
                                 vec_choice *f) {
    float columns[NARROW * TR_LANES] = {0};
    int64_t begin, end;
    tr_split(w, rows, TR_LANES, &begin, &end);
    for (int64_t r = begin; r < end; r += TR_LANES) {
        load_narrow(columns, x + r * n, at_most(TR_LANES, end - r), n);
        vec_float best = vec_load(columns);
        for (int64_t j = 1; j < n; j++)
            best = f(best, vec_load(columns + j * TR_LANES));
        vec_store_part(out + r, best, at_most(TR_LANES, end - r));
    }
}

TR_INLINE int extreme(const tr_call *c, const tr_worker *w, float least, vec_choice *f, vec_choice *among_numbers) {
    float *out = c->ptr[0], *partial = w->shared;
    const float *x = c->ptr[1];
    int64_t outer = c->arg[0], n = c->arg[1], inner = c->arg[2], begin, end;
    if (inner == 1 && outer == 1) { /* one long row */
        int64_t size = chunk_of(n), chunks = parts(n, size);
        tr_split(w, chunks, 1, &begin, &end);
        for (int64_t k = begin; k < end; k++)
            partial[k] = extreme_of_numbers(x + k * size, at_most(size, n - k * size), least, f, among_numbers);
        tr_barrier(w);
        if (w->ith == 0)
            out[0] = extreme_of_row(partial, chunks, least, f);
        return 0;
    }
    if (inner == 1 && narrow(outer, n)) {
        extreme_of_narrow(out, x, outer, n, w, f);
        return 0;
    }
    if (inner == 1) {
        tr_split(w, outer, 16, &begin, &end);
        for (int64_t r = begin; r < end; r++)
            out[r] = extreme_of_numbers(x + r * n, n, least, f, among_numbers);
        return 0;
    }
    int64_t panels = panels_of(inner);
    tr_split(w, outer * panels, 1, &begin, &end);
    for (int64_t task = begin; task < end; task++) {
        int64_t o = task / panels, column = task % panels * PANEL;
        extreme_of_columns(out + o * inner + column, w->own, x + o * n * inner + column, n, inner,
                           panel_width(task % panels, inner), f);
    }
    return 0;
}

static int TR_K(max)(const tr_call *c, const tr_worker *w) { return extreme(c, w, -INFINITY, vec_max, vec_greater); }
static int TR_K(min)(const tr_call *c, const tr_worker *w) { return extreme(c, w, INFINITY, vec_min, vec_lesser); }

/* The index of the first largest element; the first NaN counts as the largest. The maximum first, then its
 * place: the first vector that holds it, and there the least lane. */
TR_INLINE int64_t argmax_of_row(const float *x, int64_t n) {
    float most = extreme_of_numbers(x, n, -INFINITY, vec_max, vec_greater);
    vec_float lane;
    for (int i = 0; i < TR_LANES; i++)
        lane[i] = (float)i;
    for (int64_t i = 0;; i += TR_LANES) {
        vec_float v = vec_load_up_to(x + i, n - i, -INFINITY);
        vec_int found = (v == most) | (v != v);
        if (i + TR_LANES >= n || vec_any(found)) /* the last vector must hold it if none before did */
            return i + (int64_t)vec_across(vec_select(found, lane, vec_splat(TR_LANES)), vec_lesser);
    }
}

/* out[rows] for rows whose elements stand in columns. */
TR_INLINE void argmax_of_narrow(int64_t *out, const float *columns, int64_t rows, int64_t n) {
    vec_float best = vec_load(columns);
    vec_int index = {0};
    for (int64_t j = 1; j < n; j++) {
        vec_float v = vec_load(columns + j * TR_LANES);
        vec_int better = (v > best) | ((v != v) & (best == best));
        best = vec_select(better, v, best);
        index = (better & (int32_t)j) | (~better & index);
    }
    for (int64_t i = 0; i < rows; i++)
        out[i] = index[i];
}

/* Calls of argmax for the rows [r, r + count), count <= TR_LANES. */
static void argmax_of_rows(int64_t *out, const float *x, int64_t r, int64_t count, int64_t rows, int64_t n) {
    if (narrow(rows, n)) {
        float columns[NARROW * TR_LANES] = {0};
        load_narrow(columns, x + r * n, count, n);
        argmax_of_narrow(out, columns, count, n);
    } else {
        for (int64_t i = 0; i < count; i++)
            out[i] = argmax_of_row(x + (r + i) * n, n);
    }
}

static int TR_K(argmax)(const tr_call *c, const tr_worker *w) {
    int64_t *out = c->ptr[0], begin, end;
    tr_split(w, c->arg[0], TR_LANES, &begin, &end);
    for (int64_t r = begin; r < end; r += TR_LANES)
        argmax_of_rows(out + r, c->ptr[1], r, at_most(TR_LANES, end - r), c->arg[0], c->arg[1]);
    return 0;
}

/* The share of rows whose largest element stands at the label. Counts are exact in any order. */
static int TR_K(accuracy)(const tr_call *c, const tr_worker *w) {
    const int64_t *label = c->ptr[2];
    int64_t rows = c->arg[0], *right = w->shared, begin, end, count = 0, found[TR_LANES];
    tr_split(w, rows, TR_LANES, &begin, &end);
    for (int64_t r = begin; r < end; r += TR_LANES) {
        argmax_of_rows(found, c->ptr[1], r, at_most(TR_LANES, end - r), rows, c->arg[1]);
        for (int64_t i = 0; i < at_most(TR_LANES, end - r); i++)
            count += found[i] == label[r + i];
    }
    right[w->ith] = count;
    tr_barrier(w);
    if (w->ith)
        return 0;
    for (int i = 1; i < w->nth; i++)
        count += right[i];
    *(float *)c->ptr[0] = (float)((double)count / (double)rows);
    return 0;
}
