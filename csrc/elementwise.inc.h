/* Elementwise kernels.
 *
 * Each is a vector function of one line, run by one of two drivers: `map` over n elements, `map_rows` over
 * rows x columns with operands that are full, a row, a column or one scalar. Under both lies one loop,
 * which exists once per kernel: an operand that stands still is a vector of copies walked with step 0, and
 * the tail is copied to a zero-padded block and goes round the same loop again, so that a value never
 * depends on where it stands. */

/* The driver's view of one vector: up to three operands and a constant. A condition arrives as a mask, and
 * a function with a bool output returns one. */
typedef vec_float vec_function(vec_float a, vec_float b, vec_float c, vec_float constant);

#define TR_FUNCTION(name, expression)                                                                  \
    TR_INLINE vec_float name(vec_float a, vec_float b, vec_float c, vec_float constant) {              \
        (void)a, (void)b, (void)c, (void)constant;                                                     \
        return expression;                                                                             \
    }

enum { FULL, ROW, COLUMN, SCALAR }; /* two bits of tr_call.flags per input */

/* How far away the operands are. Above FAR_BYTES of them they come from beyond the second level cache: processors fetch
 * ahead of loads better when they touch each line twice (Zen 4: 5% in the third level cache, 15% in memory), and a vector
 * of a whole line touches it once. Above STREAM_BYTES the output is streamed past the caches: they could not hold it
 * anyway. */
#define FAR_BYTES (1 << 20)
#define STREAM_BYTES (32 << 20)
enum { NEAR, FAR, STREAM };

/* Short rows are processed many at a time: up to TILE elements, with the operands that repeat written out.
 * A row is written out once, a column for every tile, so with a column it pays for very short rows only. */
enum { SHORT_ROW = 512, SHORT_ROW_WITH_COLUMN = 64, TILE = 2048 };

TR_INLINE vec_float load_item(const char *p, int item, int reach) {
    if (TR_BYTES == 64 && reach >= FAR)
        __builtin_prefetch(p);
    if (item == 4)
        return vec_load((const float *)p);
    return (vec_float)vec_load_mask(p);
}

TR_INLINE void store_item(char *p, int item, vec_float v, int reach) {
    if (item == 1)
        *(vec_bool_memory *)p = __builtin_convertvector((vec_int)v & 1, vec_bool_memory);
    else if (reach == STREAM)
        vec_stream((float *)p, v);
    else
        vec_store((float *)p, v);
}

/* out[i] = f(a[i], b[i], c[i], constant) for n elements. Steps are bytes per vector, 0 for an operand that
 * stands still. Items are 4 bytes but for a bool output (out_item 1) and a condition in c (c_item 1). */
TR_INLINE void map_segment(char *out, int out_item, const char *a, int64_t step_a, const char *b,
                           int64_t step_b, const char *c, int c_item, int64_t step_c, vec_float constant,
                           int64_t n, int reach, vec_function *f) {
    char pad[4][TR_BYTES] __attribute__((aligned(TR_BYTES))), *target = out;
    int64_t tail = n % TR_LANES, whole = n / TR_LANES;
    for (int padded = 0;; padded = 1) {
        for (int64_t i = 0; i < whole; i++) {
            vec_float y = f(load_item(a, 4, reach), load_item(b, 4, reach), load_item(c, c_item, reach), constant);
            store_item(target, out_item, y, reach);
            target += TR_LANES * out_item;
            a += step_a, b += step_b, c += step_c;
        }
        if (!tail)
            return;
        if (padded)
            break;
        memset(pad, 0, sizeof pad);
        if (step_a)
            a = memcpy(pad[0], a, (size_t)tail * 4);
        if (step_b)
            b = memcpy(pad[1], b, (size_t)tail * 4);
        if (step_c)
            c = memcpy(pad[2], c, (size_t)(tail * c_item));
        out = target;
        target = pad[3];
        whole = 1;
        reach = NEAR;
    }
    memcpy(out, pad[3], (size_t)(tail * out_item));
}

/* Aligned outputs that are not read as well may be streamed. */
TR_INLINE int reach_of(const void *out, int64_t bytes, int in_place) {
    return bytes > STREAM_BYTES && (uintptr_t)out % TR_BYTES == 0 && !in_place ? STREAM : bytes > FAR_BYTES ? FAR : NEAR;
}

/* Kernels over n elements: one input, or two; the operands after them are the scalars p and q, then the
 * constant. */
TR_INLINE int map(const tr_call *call, const tr_worker *w, int inputs, float p, float q, vec_function *f) {
    char *out = call->ptr[0];
    const char *a = call->ptr[1], *b = call->ptr[2];
    int64_t n = call->arg[0];
    float copies_p[TR_LANES], copies_q[TR_LANES];
    int reach = reach_of(out, n * 4 * (1 + inputs), out == a || (inputs == 2 && out == b));
    vec_store(copies_p, vec_splat(p));
    vec_store(copies_q, vec_splat(q));
    tr_runs runs = tr_split_runs(call, w, n, 64);
    for (int64_t k = 0, at = runs.begin * 4; k < runs.count; k++, at += runs.step * 4) {
        if (inputs == 1)
            map_segment(out + at, 4, a + at, TR_BYTES, (char *)copies_p, 0, (char *)copies_q, 4, 0,
                        vec_splat(0), runs.length, reach, f);
        else
            map_segment(out + at, 4, a + at, TR_BYTES, b + at, TR_BYTES, (char *)copies_p, 4, 0, vec_splat(q),
                        runs.length, reach, f);
    }
    if (reach == STREAM)
        vec_stream_end();
    return 0;
}

#define TR_MAP(name, inputs, p, q, function)                                                                 \
    static int TR_K(name)(const tr_call *call, const tr_worker *w) {                                         \
        return map(call, w, inputs, p, q, function);                                                         \
    }

TR_FUNCTION(negative, -a)
TR_FUNCTION(exponential, vec_exp(a))
TR_FUNCTION(logarithm, vec_log(a))
TR_FUNCTION(square_root, vec_sqrt(a))
TR_FUNCTION(absolute, vec_abs(a))
TR_FUNCTION(signum, vec_select(a != a, a,
                               (vec_float)(((a > 0.0f) & (vec_int)vec_splat(1)) |
                                           ((a < 0.0f) & (vec_int)vec_splat(-1)))))
TR_FUNCTION(hyperbolic_tangent, vec_tanh(a))
TR_FUNCTION(logistic, vec_sigmoid(a))
TR_FUNCTION(positive_part, vec_greater(vec_splat(0), a)) /* NaN stays: the second operand is returned */
TR_FUNCTION(soft_positive_part, vec_softplus(a))
TR_FUNCTION(squared, a *a)
TR_FUNCTION(inverse, 1.0f / a)
TR_FUNCTION(clipped, vec_lesser(c, vec_greater(b, a)))

TR_MAP(neg, 1, 0, 0, negative)
TR_MAP(exp, 1, 0, 0, exponential)
TR_MAP(log, 1, 0, 0, logarithm)
TR_MAP(sqrt, 1, 0, 0, square_root)
TR_MAP(abs, 1, 0, 0, absolute)
TR_MAP(sign, 1, 0, 0, signum)
TR_MAP(tanh, 1, 0, 0, hyperbolic_tangent)
TR_MAP(sigmoid, 1, 0, 0, logistic)
TR_MAP(relu, 1, 0, 0, positive_part)
TR_MAP(softplus, 1, 0, 0, soft_positive_part)
TR_MAP(square, 1, 0, 0, squared)
TR_MAP(reciprocal, 1, 0, 0, inverse)
TR_MAP(clip, 1, (float)call->scalar[0], (float)call->scalar[1], clipped)

/* The gradients take (g, x) or (g, y): a is g. Comparisons are written so that g passes where the other is
 * NaN. */
TR_FUNCTION(clipped_gradient, (vec_float)((vec_int)a & ~((b < c) | (b > constant))))
TR_FUNCTION(positive_part_gradient, vec_where_positive(a, b))
TR_FUNCTION(tangent_gradient, a *(1.0f - b * b))
TR_FUNCTION(logistic_gradient, a *(b * (1.0f - b)))

TR_MAP(clip_grad, 2, (float)call->scalar[0], (float)call->scalar[1], clipped_gradient)
TR_MAP(relu_grad, 2, 0, 0, positive_part_gradient)
TR_MAP(tanh_grad, 2, 0, 0, tangent_gradient)
TR_MAP(sigmoid_grad, 2, 0, 0, logistic_gradient)

/* Rows x columns. */

typedef struct operand {
    const char *base;
    int mode, item;
    char copies[TR_BYTES]; /* the value of a column or scalar, once per lane */
    char *tile;            /* TILE elements written out, for short rows */
} operand;

TR_INLINE void copy_to_lanes(operand *o, int64_t index) {
    for (int i = 0; i < TR_LANES; i++)
        memcpy(o->copies + i * o->item, o->base + index * o->item, (size_t)o->item);
}

/* Writes `rows` rows of `cols` elements: the same row again and again, or elements of a column again and
 * again. */
static void write_out(char *tile, const char *from, int item, int mode, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++, tile += cols * item) {
        if (mode == ROW)
            memcpy(tile, from, (size_t)(cols * item));
        else if (item == 1)
            memset(tile, from[r], (size_t)cols);
        else
            for (int64_t j = 0; j < cols; j++)
                memcpy(tile + j * 4, from + r * 4, 4);
    }
}

/* What to read at element (row, col) of an operand, and the step of its walk along the row. */
TR_INLINE const char *operand_at(operand *o, int64_t row, int64_t col, int64_t cols, int64_t *step) {
    *step = (o->mode == FULL || o->mode == ROW) * TR_LANES * o->item;
    if (o->mode == FULL)
        return o->base + (row * cols + col) * o->item;
    if (o->mode == ROW)
        return o->base + col * o->item;
    if (o->mode == COLUMN)
        copy_to_lanes(o, row);
    return o->copies;
}

/* With short rows a tile of many rows stands for one row: its rows and columns are written out in full. */
TR_INLINE const char *tile_at(operand *o, int64_t row, int64_t rows, int64_t cols, int64_t *step) {
    *step = (o->mode != SCALAR) * TR_LANES * o->item;
    if (o->mode == FULL)
        return o->base + row * cols * o->item;
    if (o->mode == SCALAR)
        return o->copies;
    if (o->mode == COLUMN)
        write_out(o->tile, o->base + row * o->item, o->item, COLUMN, rows, cols);
    return o->tile;
}

/* The inputs of a kernel are a, b or, for a condition, c, a, b: `first` is the pointer of a. */
TR_INLINE int map_rows(const tr_call *call, const tr_worker *w, int out_item, int conditional,
                       vec_function *f) {
    int64_t rows = call->arg[0], cols = call->arg[1], begin, end, step[3];
    char *out = call->ptr[0];
    operand o[3] = {{.item = 4}, {.item = 4}, {.item = conditional ? 1 : 4, .mode = SCALAR}};
    int simple = 1, columns = 0, in_place = 0, by_columns = w->column_end != TR_ALL_COLUMNS;
    const char *at[3];
    for (int i = 0; i < 2 + conditional; i++) {
        int k = conditional ? (i + 2) % 3 : i, mode = call->flags >> (2 * i) & 3;
        if (rows == 1)
            mode = mode == ROW ? FULL : mode == COLUMN ? SCALAR : mode;
        if (cols == 1)
            mode = mode == COLUMN ? FULL : mode == ROW ? SCALAR : mode;
        o[k].mode = mode;
        o[k].base = call->ptr[1 + i];
        o[k].tile = (char *)w->own + k * TILE * 4;
        simple &= mode == FULL || mode == SCALAR;
        columns |= mode == COLUMN;
        in_place |= out == o[k].base;
        if (mode == SCALAR && rows > 0 && cols > 0)
            copy_to_lanes(&o[k], 0);
    }
    if (simple)
        cols *= rows, rows = cols > 0;
    if (by_columns && simple)
        rows = cols / (call->share >> TR_COUNT_SHIFT), cols = call->share >> TR_COUNT_SHIFT;
    int reach = reach_of(out, rows * cols * 4 * (3 + conditional), in_place || out_item == 1);
    int tiled = !by_columns && rows > 1 && cols > 0 && cols < (columns ? SHORT_ROW_WITH_COLUMN : SHORT_ROW);
    int64_t height = tiled ? at_most(TILE / cols, rows) : 1;
    for (int k = 0; k < 3; k++)
        if (tiled && o[k].mode == ROW)
            write_out(o[k].tile, o[k].base, o[k].item, ROW, height, cols);

    /* Workers share the elements, not the rows: few long rows are as good as many short ones. By columns
     * it is the same part of every row. */
    tr_split(w, rows * cols, tiled ? height * cols : 64, &begin, &end);
    begin += w->column;
    for (int64_t row = cols ? begin / cols : 0, col = cols ? begin % cols : 0; begin < end; col = w->column) {
        int64_t count =
            by_columns ? w->column_end - col : at_most(end - begin, tiled ? height * cols : cols - col);
        int64_t taken = tiled ? count / cols : 1;
        for (int k = 0; k < 3; k++)
            at[k] = tiled ? tile_at(&o[k], row, taken, cols, &step[k])
                          : operand_at(&o[k], row, col, cols, &step[k]);
        map_segment(out + begin * out_item, out_item, at[0], step[0], at[1], step[1], at[2], o[2].item,
                    step[2], vec_splat(0), count, reach == STREAM && begin * 4 % TR_BYTES ? FAR : reach, f);
        begin += by_columns ? cols : count, row += taken;
    }
    if (reach == STREAM)
        vec_stream_end();
    return 0;
}

#define TR_MAP_ROWS(function) map_rows(call, w, 4, 0, function)

TR_FUNCTION(sum_of, a + b)
TR_FUNCTION(positive_sum, vec_greater(vec_splat(0), a + b))
TR_FUNCTION(difference, a - b)
TR_FUNCTION(product, a *b)
TR_FUNCTION(quotient, a / b)
TR_FUNCTION(larger, vec_max(a, b))
TR_FUNCTION(smaller, vec_min(a, b))

static int TR_K(add)(const tr_call *call, const tr_worker *w) {
    return call->flags & TR_RELU ? TR_MAP_ROWS(positive_sum) : TR_MAP_ROWS(sum_of);
}

static int TR_K(sub)(const tr_call *call, const tr_worker *w) { return TR_MAP_ROWS(difference); }
static int TR_K(mul)(const tr_call *call, const tr_worker *w) { return TR_MAP_ROWS(product); }
static int TR_K(div)(const tr_call *call, const tr_worker *w) { return TR_MAP_ROWS(quotient); }
static int TR_K(maximum)(const tr_call *call, const tr_worker *w) { return TR_MAP_ROWS(larger); }
static int TR_K(minimum)(const tr_call *call, const tr_worker *w) { return TR_MAP_ROWS(smaller); }

/* pow(x, 1/2) is not sqrt(x) at -0 (it is 0) and at -inf (it is inf). */
TR_FUNCTION(root_power, vec_select(a == -INFINITY, vec_splat(INFINITY), vec_sqrt(a) + 0.0f))
TR_FUNCTION(same, a)
TR_FUNCTION(power, vec_pow(a, b))

static int TR_K(pow)(const tr_call *call, const tr_worker *w) {
    float exponent = (call->flags >> 2 & 3) == SCALAR && call->arg[0] > 0 && call->arg[1] > 0
                         ? *(float *)call->ptr[2]
                         : NAN;
    return exponent == 2.0f    ? TR_MAP_ROWS(squared)
           : exponent == 1.0f  ? TR_MAP_ROWS(same)
           : exponent == 0.5f  ? TR_MAP_ROWS(root_power)
           : exponent == -1.0f ? TR_MAP_ROWS(inverse)
                               : TR_MAP_ROWS(power);
}

TR_FUNCTION(is_greater, (vec_float)(a > b))
TR_FUNCTION(is_greater_equal, (vec_float)(a >= b))
TR_FUNCTION(is_less, (vec_float)(a < b))
TR_FUNCTION(is_less_equal, (vec_float)(a <= b))
TR_FUNCTION(is_equal, (vec_float)(a == b))
TR_FUNCTION(is_not_equal, (vec_float)(a != b))

/* The relation stands in bits 4 to 6 of the flags. */
static int TR_K(compare)(const tr_call *call, const tr_worker *w) {
    switch (call->flags >> 4 & 7) {
    case 0: return map_rows(call, w, 1, 0, is_greater);
    case 1: return map_rows(call, w, 1, 0, is_greater_equal);
    case 2: return map_rows(call, w, 1, 0, is_less);
    case 3: return map_rows(call, w, 1, 0, is_less_equal);
    case 4: return map_rows(call, w, 1, 0, is_equal);
    default: return map_rows(call, w, 1, 0, is_not_equal);
    }
}

TR_FUNCTION(chosen, vec_select((vec_int)c, a, b))

static int TR_K(where)(const tr_call *call, const tr_worker *w) { return map_rows(call, w, 4, 1, chosen); }
