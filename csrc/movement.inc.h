/* Kernels that move values without computing: fill, cast, strided copy, one-hot. */

static int TR_K(fill)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    int64_t begin, end, i;
    vec_float value = vec_splat((float)c->scalar[0]);
    int stream = reach_of(out, c->arg[0] * 4, 0) == STREAM;
    tr_split(w, c->arg[0], 64, &begin, &end);
    for (i = begin; i + TR_LANES <= end; i += TR_LANES)
        if (stream)
            vec_stream(out + i, value);
        else
            vec_store(out + i, value);
    vec_store_part(out + i, value, end - i);
    if (stream)
        vec_stream_end();
    return 0;
}

/* One loop per pair of types. To bool is a comparison with zero, which NaN passes. */
#define TR_CAST(from, to)                                                                              \
    for (int64_t i = begin; i < end; i++)                                                              \
        ((to *)c->ptr[0])[i] = (to)((const from *)c->ptr[1])[i];
#define TR_CAST_FROM(from, source)                                                                     \
    case source | 0 << 4: TR_CAST(from, float) return 0;                                               \
    case source | 1 << 4: TR_CAST(from, double) return 0;                                              \
    case source | 2 << 4: TR_CAST(from, int64_t) return 0;                                             \
    case source | 3 << 4: TR_CAST(from, _Bool) return 0;

static int TR_K(cast)(const tr_call *c, const tr_worker *w) {
    int64_t begin, end;
    tr_split(w, c->arg[0], 64, &begin, &end);
    switch (c->flags & 0xff) { /* source type | target type << 4: 0 float, 1 double, 2 int64, 3 bool */
        TR_CAST_FROM(float, 0)
        TR_CAST_FROM(double, 1)
        TR_CAST_FROM(int64_t, 2)
        TR_CAST_FROM(_Bool, 3)
    }
    return 1;
}

/* Strided copy. Dimensions of size 1 are dropped and neighbours that walk memory as one are joined; then
 * the two innermost dimensions are copied as a plane, and workers share the planes or, if there is just
 * one, its rows. */

enum { COPY_DIMENSIONS = 6, COPY_BLOCK = 32 };

typedef struct walk {
    int ndim;
    /* innermost first; strides in elements */
    int64_t shape[COPY_DIMENSIONS], to[COPY_DIMENSIONS], from[COPY_DIMENSIONS];
} walk;

static walk joined_walk(const int64_t *arg) {
    walk k = {.ndim = 0};
    const int64_t *shape = arg + 1, *to = shape + COPY_DIMENSIONS, *from = to + COPY_DIMENSIONS;
    for (int i = (int)arg[0] - 1; i >= 0; i--) {
        int last = k.ndim - 1;
        if (shape[i] == 1)
            continue;
        if (last >= 0 && to[i] == k.to[last] * k.shape[last] && from[i] == k.from[last] * k.shape[last]) {
            k.shape[last] *= shape[i];
            continue;
        }
        k.shape[k.ndim] = shape[i], k.to[k.ndim] = to[i], k.from[k.ndim] = from[i];
        k.ndim++;
    }
    for (int i = k.ndim; i < COPY_DIMENSIONS; i++)
        k.shape[i] = 1, k.to[i] = k.from[i] = 0;
    return k;
}

#define TR_COPY_ROW(type, operator)                                                                    \
    for (int64_t j = 0; j < cols; j++)                                                                 \
        ((type *)out)[j * to] operator ((const type *)in)[j * from];

/* Copies, or sums: of floats, with what is there or with 0. */
enum { COPIES, ADDS, ADDS_TO_ZERO };

static void copy_row(char *out, int64_t to, const char *in, int64_t from, int64_t cols, int item, int sum) {
    if (sum == ADDS && to == 1 && from == 1) {
        for (int64_t j = 0; j < cols; j++)
            ((float *)out)[j] += ((const float *)in)[j];
    } else if (sum == ADDS) {
        TR_COPY_ROW(float, +=)
    } else if (sum == ADDS_TO_ZERO && to == 1 && from == 1) {
        for (int64_t j = 0; j < cols; j++)
            ((float *)out)[j] = 0.0f + ((const float *)in)[j];
    } else if (sum == ADDS_TO_ZERO) {
        TR_COPY_ROW(float, = 0.0f +)
    } else if (to == 1 && from == 1) {
        memcpy(out, in, (size_t)(cols * item));
    } else if (item == 8) {
        TR_COPY_ROW(int64_t, =)
    } else if (item == 4) {
        TR_COPY_ROW(int32_t, =)
    } else {
        TR_COPY_ROW(char, =)
    }
}

/* rows x cols; strides in elements. Where rows are the contiguous direction of the input it is a
 * transposition: blocks keep the lines of both sides in the first cache. */
static void copy_plane(char *out, int64_t to_row, int64_t to_col, const char *in, int64_t from_row,
                       int64_t from_col, int64_t rows, int64_t cols, int item, int sum) {
    int turned = from_col != 1 && from_row == 1;
    int64_t height = turned ? COPY_BLOCK : rows, width = turned ? COPY_BLOCK : cols;
    for (int64_t r0 = 0; r0 < rows; r0 += height)
        for (int64_t c0 = 0; c0 < cols; c0 += width) {
            char *to = out + (r0 * to_row + c0 * to_col) * item;
            const char *from = in + (r0 * from_row + c0 * from_col) * item;
            int64_t count = at_most(height, rows - r0), length = at_most(width, cols - c0);
            if (turned && to_col == 1 && item == 4 && sum == COPIES)
                transpose((float *)to, to_row, (const float *)from, from_col, length, count);
            else
                for (int64_t r = 0; r < count; r++)
                    copy_row(to + r * to_row * item, to_col, from + r * from_row * item, from_col, length,
                             item, sum);
        }
}

static int TR_K(copy)(const tr_call *c, const tr_worker *w) {
    int item = c->flags & 15, overlapping = 0;
    int sum = c->flags & TR_ACCUMULATE ? ADDS : c->flags & TR_FLUSH ? ADDS_TO_ZERO : COPIES;
    walk k = joined_walk(c->arg);
    int64_t planes = 1, rows = k.shape[1], begin, end;
    char *out = (char *)c->ptr[0] + c->arg[1 + 3 * COPY_DIMENSIONS] * item;
    const char *in = (const char *)c->ptr[1] + c->arg[2 + 3 * COPY_DIMENSIONS] * item;
    for (int i = 0; i < COPY_DIMENSIONS; i++) {
        if (k.shape[i] == 0)
            return 0;
        planes *= i < 2 ? 1 : k.shape[i];
        overlapping |= k.to[i] == 0 && k.shape[i] > 1;
    }
    if (k.ndim == 1 && !overlapping) {
        tr_split(w, k.shape[0], 64, &begin, &end);
        copy_row(out + begin * k.to[0] * item, k.to[0], in + begin * k.from[0] * item, k.from[0], end - begin,
                 item, sum);
        return 0;
    }
    if (overlapping && w->ith > 0) /* several values go to one element: one worker keeps their order */
        return 0;
    if (overlapping)
        begin = 0, end = planes * rows;
    else
        tr_split(w, planes * rows, 1, &begin, &end);
    while (begin < end) {
        int64_t row = begin % rows, count = end - begin < rows - row ? end - begin : rows - row,
                rest = begin / rows;
        int64_t to = row * k.to[1], from = row * k.from[1];
        for (int i = 2; i < k.ndim; i++) {
            to += rest % k.shape[i] * k.to[i];
            from += rest % k.shape[i] * k.from[i];
            rest /= k.shape[i];
        }
        copy_plane(out + to * item, k.to[1], k.to[0], in + from * item, k.from[1], k.from[0], count,
                   k.shape[0], item, sum);
        begin += count;
    }
    return 0;
}

static int TR_K(one_hot)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const int64_t *label = c->ptr[1];
    int64_t cols = c->arg[1], begin, end;
    tr_split(w, c->arg[0], 1, &begin, &end);
    memset(out + begin * cols, 0, (size_t)((end - begin) * cols) * sizeof(float));
    for (int64_t r = begin; r < end; r++)
        if (label[r] >= 0 && label[r] < cols)
            out[r * cols + label[r]] = 1.0f;
    return 0;
}
