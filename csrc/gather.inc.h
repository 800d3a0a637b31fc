/* Rows by number: gather_rows, its gradient scatter_rows, running sums, and the order of values.
 *
 * A buffer is outer x rows x inner; ids[n] chooses among `classes` rows. An id out of range is the caller's fault, who has
 * checked: it reads zeros and adds to nothing. */

static int TR_K(gather_rows)(const tr_call *c, const tr_worker *w) {
    char *out = c->ptr[0];
    const char *x = c->ptr[1];
    const int64_t *ids = c->ptr[2];
    int64_t n = c->arg[1], classes = c->arg[3], row = c->arg[2] * (c->flags & 15), begin, end;
    tr_split(w, c->arg[0] * n, at_least(1, 64 / at_least(row, 1)), &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t id = ids[i % n];
        if (id < 0 || id >= classes)
            memset(out + i * row, 0, (size_t)row);
        else
            memcpy(out + i * row, x + (i / n * classes + id) * row, (size_t)row);
    }
    return 0;
}

/* A worker owns columns, outer x inner of them, and does them for all ids in their order: so sums are the same for any
 * number of workers. */
static int TR_K(scatter_rows)(const tr_call *c, const tr_worker *w) {
    const float *g = c->ptr[1];
    const int64_t *ids = c->ptr[2];
    int64_t n = c->arg[1], inner = c->arg[2], classes = c->arg[3], begin, end;
    tr_split(w, c->arg[0] * inner, 16, &begin, &end);
    while (begin < end) {
        int64_t o = begin / inner, column = begin % inner, width = at_most(inner - column, end - begin);
        float *out = (float *)c->ptr[0] + o * classes * inner + column;
        for (int64_t k = 0; k < classes; k++)
            memset(out + k * inner, 0, (size_t)width * sizeof(float));
        for (int64_t i = 0; i < n; i++) {
            const float *from = g + (o * n + i) * inner + column;
            if (ids[i] >= 0 && ids[i] < classes)
                for (int64_t j = 0; j < width; j++)
                    out[ids[i] * inner + j] += from[j];
        }
        begin += width;
    }
    return 0;
}

/* out[outer, n, inner]: sums along n, in double precision; TR_REVERSE: from the end. */
static int TR_K(cumsum)(const tr_call *c, const tr_worker *w) {
    enum { WIDTH = 256 };
    float *out = c->ptr[0];
    const float *x = c->ptr[1];
    int64_t n = c->arg[1], inner = c->arg[2], begin, end;
    int reverse = !!(c->flags & TR_REVERSE);
    double total[WIDTH];
    tr_split(w, c->arg[0] * inner, 16, &begin, &end);
    while (begin < end) {
        int64_t column = begin % inner, width = at_most(at_most(inner - column, end - begin), WIDTH);
        int64_t first = begin / inner * n * inner + column;
        memset(total, 0, sizeof total);
        for (int64_t k = 0; k < n; k++) {
            int64_t at = first + (reverse ? n - 1 - k : k) * inner;
            for (int64_t j = 0; j < width; j++)
                out[at + j] = (float)(total[j] += (double)x[at + j]);
        }
        begin += width;
    }
    return 0;
}

/* Whether a comes before b: NaN behind all numbers, and before them where the order is descending. */
TR_INLINE int comes_before(float a, float b, int descending) {
    return descending ? a > b || (a != a && b == b) : a < b || (b != b && a == a);
}

/* order[cols] = the positions of a row's values in their order, equal ones as they stand; merges runs of 1, 2, 4, ...
 * between `order` and `other`. */
static void sort_row(int64_t *order, int64_t *other, const float *x, int64_t cols, int descending) {
    int64_t *from = order, *to = other;
    for (int64_t i = 0; i < cols; i++)
        order[i] = i;
    for (int64_t run = 1; run < cols; run *= 2) {
        for (int64_t start = 0; start < cols; start += 2 * run) {
            int64_t a = start, middle = at_most(start + run, cols), b = middle, end = at_most(start + 2 * run, cols);
            for (int64_t i = start; i < end; i++)
                to[i] = b == end || (a < middle && !comes_before(x[from[b]], x[from[a]], descending)) ? from[a++]
                                                                                                      : from[b++];
        }
        int64_t *done = to;
        to = from;
        from = done;
    }
    if (from != order)
        memcpy(order, from, (size_t)cols * sizeof(int64_t));
}

/* Runs are merged through `other`; absent for rows that fit the workspace of a worker. */
static int TR_K(argsort)(const tr_call *c, const tr_worker *w) {
    int64_t *order = c->ptr[0], *other = c->ptr[1], cols = c->arg[1], begin, end;
    const float *x = c->ptr[2];
    tr_split(w, c->arg[0], 1, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        sort_row(order + r * cols, other ? other + r * cols : w->own, x + r * cols, cols, !!(c->flags & TR_REVERSE));
    return 0;
}
