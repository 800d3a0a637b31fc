/* Kernels that look at values: statistics, dot products, checks. Sums are in double precision. */

typedef struct statistics {
    double sum, squares, most, zeros, nans, infs;
} statistics;

/* Two vectors at a time, as comparisons are slow to follow one another; the tail goes round the same loop,
 * padded. */
static statistics statistics_of(const float *x, int64_t n) {
    enum { STEP = 2 * TR_LANES };
    vec_double sum = {0}, sum2 = {0}, squares = {0}, squares2 = {0};
    vec_float most = {0}, most2 = {0};
    vec_int zeros = {0};
    float pad[STEP] = {0};
    const float *all = x;
    statistics s = {0};
    int64_t tail = n % STEP, whole = n - tail;
    for (int padded = 0;; padded = 1) {
        for (int64_t i = 0; i < whole; i += STEP) {
            for (int k = 0; k < 4; k += 2) {
                vec_double a = vec_load_widened(x + i + k * TR_HALF),
                           b = vec_load_widened(x + i + (k + 1) * TR_HALF);
                sum += a, sum2 += b;
                squares += a * a, squares2 += b * b;
            }
            vec_float v = vec_load(x + i), v2 = vec_load(x + i + TR_LANES);
            most = vec_greater(vec_abs(v), most), most2 = vec_greater(vec_abs(v2), most2);
            zeros -= (v == 0.0f) + (v2 == 0.0f);
        }
        if (padded || !tail)
            break;
        x = memcpy(pad, x + whole, (size_t)tail * sizeof(float));
        whole = STEP;
        s.zeros = (double)(tail - STEP);
    }
    most = vec_greater(most, most2);
    s.most = vec_across(most, vec_greater);
    for (int i = 0; i < TR_LANES; i++)
        s.zeros += zeros[i];
    s.sum = vec_sum_double(sum + sum2);
    s.squares = vec_sum_double(squares + squares2);
    /* No sum of squares of floats overflows a double: if it is finite, everything is. */
    if (!isfinite(s.squares))
        for (int64_t i = 0; i < n; i++) {
            s.nans += isnan(all[i]) != 0;
            s.infs += isinf(all[i]) != 0;
        }
    return s;
}

static int TR_K(stats)(const tr_call *c, const tr_worker *w) {
    double *out = c->ptr[0];
    const float *x = c->ptr[1];
    statistics *partial = w->shared, total = {0};
    int64_t n = c->arg[0], size = chunk_of(n), chunks = parts(n, size), begin, end;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t k = begin; k < end; k++)
        partial[k] = statistics_of(x + k * size, at_most(size, n - k * size));
    tr_barrier(w);
    if (w->ith)
        return 0;
    for (int64_t k = 0; k < chunks; k++) {
        total.sum += partial[k].sum;
        total.squares += partial[k].squares;
        total.most = partial[k].most > total.most ? partial[k].most : total.most;
        total.zeros += partial[k].zeros;
        total.nans += partial[k].nans;
        total.infs += partial[k].infs;
    }
    const double result[8] = {total.sum,  total.squares, total.most, total.zeros,
                              total.nans, total.infs,    0,          0};
    memcpy(out, result, sizeof result);
    return 0;
}

/* Of an array with itself, as for a norm, each element is converted once. */
static int TR_K(dot)(const tr_call *c, const tr_worker *w) {
    const float *a = c->ptr[1], *b = c->ptr[2];
    double sum = a == b ? dot_in_chunks(a, a, c->arg[0], w, 1) : dot_in_chunks(a, b, c->arg[0], w, 0);
    if (w->ith == 0)
        *(double *)c->ptr[0] = sum;
    return 0;
}

static int TR_K(check_labels)(const tr_call *c, const tr_worker *w) {
    const int64_t *label = c->ptr[0];
    int64_t begin, end;
    int wrong = 0, ignores = c->flags & TR_IGNORES;
    tr_split(w, c->arg[0], 64, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        wrong |= (label[i] < 0 || label[i] >= c->arg[1]) && !(ignores && label[i] == c->arg[2]);
    return wrong;
}

/* NaN and inf are the floats whose exponent is all ones. */
static int TR_K(check_finite)(const tr_call *c, const tr_worker *w) {
    const float *x = c->ptr[0];
    int64_t begin, end;
    vec_int found = {0};
    tr_split(w, c->arg[0], 64, &begin, &end);
    for (int64_t i = begin; i < end; i += TR_LANES) {
        vec_float v = vec_load_up_to(x + i, end - i, 0);
        found |= ((vec_int)v & 0x7f800000) == 0x7f800000;
    }
    return vec_any(found);
}
