/* Reductions. The order of every sum is fixed by the sizes: chunks of a fixed number of elements, blocks
 * of a fixed number of rows. A worker takes whole chunks; what chunks leave is combined in their order.
 * Single precision is used inside blocks (no value goes through more than 20 additions there), double
 * precision between them. */

enum {
    CHUNK = 1 << 14,       /* elements that one worker reduces in one go */
    MAX_CHUNKS = 1 << 12,  /* so that partial results fit the shared workspace */
    PANEL = 1 << 10,       /* columns whose double accumulators fit the first cache */
    BLOCK_ROWS = 8,        /* rows that are added before their sum goes to memory */
    FLOAT_ROWS = 128,      /* rows that are added in single precision */
    NARROW = 32,           /* rows of so few elements are transposed, TR_LANES of them at a time */
};

#define SHARED_DOUBLES (TR_SHARED_BYTES / (int64_t)sizeof(double))

/* The chunk length for n elements: a multiple of every vector length. */
TR_INLINE int64_t chunk_of(int64_t n) { return at_least(CHUNK, parts(parts(n, MAX_CHUNKS), 64) * 64); }

/* Whether rows of n elements are worked as columns[n][TR_LANES], one row per lane. A block of fewer rows
 * leaves lanes over: whatever they hold is computed with and not stored. */
TR_INLINE int narrow(int64_t rows, int64_t n) { return n > 0 && n <= NARROW && rows >= TR_LANES / 2; }

TR_INLINE void load_narrow(float *columns, const float *x, int64_t rows, int64_t n) {
    transpose(columns, TR_LANES, x, n, rows, n);
}

/* Sums over the contiguous direction. */

TR_INLINE double sum_of_row(const float *x, int64_t n) {
    vec_double total = {0};
    for (int64_t i = 0;;) {
        int64_t end = at_most(n, i + 64 * TR_LANES);
        vec_float a = {0}, b = {0}, c = {0}, d = {0};
        for (; i + 4 * TR_LANES <= end; i += 4 * TR_LANES) {
            a += vec_load(x + i);
            b += vec_load(x + i + TR_LANES);
            c += vec_load(x + i + 2 * TR_LANES);
            d += vec_load(x + i + 3 * TR_LANES);
        }
        for (; i + TR_LANES <= end; i += TR_LANES)
            a += vec_load(x + i);
        if (i < end)
            b += vec_load_part(x + i, end - i, 0);
        a = (a + b) + (c + d);
        if (n <= 64 * TR_LANES)
            return vec_sum(a);
        float block[TR_LANES];
        vec_store(block, a);
        total += vec_load_widened(block) + vec_load_widened(block + TR_HALF);
        i = end;
        if (i == n)
            return vec_sum_double(total);
    }
}

/* Sums over rows. Column accumulators live in slots of TR_LANES columns; the last slot ends at the last
 * column, so it may overlap the one before: both hold the same sums, and no column is left to a narrower
 * loop. */

TR_INLINE int64_t slot_column(int64_t slot, int64_t cols) {
    return at_most(slot * TR_LANES, cols - TR_LANES);
}

/* Adds `count` floats to doubles and clears them. */
static void add_and_clear(double *to, float *from, int64_t count) {
    for (int64_t i = 0; i < count; i += TR_HALF)
        vec_store_double(to + i, vec_load_double(to + i) + vec_load_widened(from + i));
    memset(from, 0, (size_t)count * sizeof(float));
}

/* slots[parts(cols, TR_LANES)][TR_LANES] = sums of `rows` rows of x; TR_LANES <= cols < 2 * PANEL.
 * Scratch: as many. */
static void sum_rows(double *slots, float *scratch, const float *x, int64_t rows, int64_t stride,
                     int64_t cols) {
    int64_t count = parts(cols, TR_LANES);
    memset(slots, 0, (size_t)(count * TR_LANES) * sizeof(double));
    memset(scratch, 0, (size_t)(count * TR_LANES) * sizeof(float));
    for (int64_t r = 0; r < rows;) {
        int64_t end = at_most(rows, r + FLOAT_ROWS);
        for (; r + BLOCK_ROWS <= end; r += BLOCK_ROWS)
            for (int64_t s = 0; s < count; s++) {
                const float *p = x + r * stride + slot_column(s, cols), *q = p + 4 * stride;
                vec_float a = (vec_load(p) + vec_load(p + stride)) +
                              (vec_load(p + 2 * stride) + vec_load(p + 3 * stride));
                vec_float b = (vec_load(q) + vec_load(q + stride)) +
                              (vec_load(q + 2 * stride) + vec_load(q + 3 * stride));
                vec_store(scratch + s * TR_LANES, vec_load(scratch + s * TR_LANES) + (a + b));
            }
        for (; r < end; r++)
            for (int64_t s = 0; s < count; s++)
                vec_store(scratch + s * TR_LANES,
                          vec_load(scratch + s * TR_LANES) + vec_load(x + r * stride + slot_column(s, cols)));
        add_and_clear(slots, scratch, count * TR_LANES);
    }
}

/* Copies slots to columns. */
static void columns_of_slots(double *out, const double *slots, int64_t cols) {
    for (int64_t s = 0; s < parts(cols, TR_LANES); s++)
        memcpy(out + slot_column(s, cols), slots + s * TR_LANES, TR_LANES * sizeof(double));
}

/* How many rows of `cols` columns to lay side by side, so that rows too narrow for a vector become wide
 * ones. */
TR_INLINE int64_t rows_abreast(int64_t cols) { return cols >= TR_LANES || cols < 1 ? 1 : parts(64, cols); }

/* Columns are worked in panels of PANEL; the last one takes what is left, so that none is narrower than a
 * vector. */
TR_INLINE int64_t panels_of(int64_t cols) { return at_least(1, cols / PANEL); }
TR_INLINE int64_t panel_width(int64_t panel, int64_t cols) {
    return panel + 1 < panels_of(cols) ? PANEL : cols - panel * PANEL;
}

/* total[cols] = sums of `rows` rows, cols < 2 * PANEL; scratch holds 5 * PANEL doubles. */
static void sum_columns(double *total, double *scratch, const float *x, int64_t rows, int64_t stride,
                        int64_t cols) {
    double *slots = scratch, *columns = scratch + 2 * PANEL;
    int64_t abreast = at_most(rows_abreast(cols), rows), wide = abreast ? rows / abreast : 0,
            width = cols * abreast;
    if (width < TR_LANES) /* hardly any elements */
        abreast = 1, wide = 0, width = cols, memset(columns, 0, (size_t)cols * sizeof(double));
    else {
        sum_rows(slots, (float *)(scratch + 4 * PANEL), x, wide, stride * abreast, width);
        columns_of_slots(columns, slots, width);
    }
    for (int64_t j = 0; j < cols; j++) {
        total[j] = columns[j];
        for (int64_t k = 1; k < abreast; k++)
            total[j] += columns[k * cols + j];
        for (int64_t r = wide * abreast; r < rows; r++)
            total[j] += x[r * stride + j];
    }
}

TR_INLINE void put(float *out, double value, int accumulate) {
    *out = (float)(accumulate ? *out + value : value);
}

static void sum_of_narrow(float *out, const float *x, int64_t rows, int64_t n, double scale, int accumulate,
                          const tr_worker *w) {
    float columns[NARROW * TR_LANES] = {0};
    int64_t begin, end;
    tr_split(w, rows, TR_LANES, &begin, &end);
    for (int64_t r = begin; r < end; r += TR_LANES) {
        int64_t count = at_most(TR_LANES, end - r);
        load_narrow(columns, x + r * n, count, n);
        vec_float sum = vec_load(columns);
        for (int64_t j = 1; j < n; j++)
            sum += vec_load(columns + j * TR_LANES);
        for (int64_t i = 0; i < count; i++)
            put(out + r + i, scale * sum[i], accumulate);
    }
}

/* Rows of one chunk each. */
static void sum_of_short(float *out, const float *x, int64_t rows, int64_t n, double scale, int accumulate,
                         const tr_worker *w) {
    int64_t begin, end;
    tr_split(w, rows, 16, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        put(out + r, scale * sum_of_row(x + r * n, n), accumulate);
}

/* out[outer, inner] = scale * sum over n of x[outer, n, inner]. Each of the outer matrices is cut into
 * panels of columns and, if large, into chunks of rows. */
static int TR_K(sum)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *x = c->ptr[1];
    int64_t outer = c->arg[0], n = c->arg[1], inner = c->arg[2], begin, end;
    int64_t first = w->column, mine = at_most(w->column_end, inner) - first; /* columns of each matrix */
    int accumulate = !!(c->flags & TR_ACCUMULATE);
    if (inner == 1 && narrow(outer, n)) {
        sum_of_narrow(out, x, outer, n, c->scalar[0], accumulate, w);
        return 0;
    }
    if (inner == 1 && n <= CHUNK) {
        sum_of_short(out, x, outer, n, c->scalar[0], accumulate, w);
        return 0;
    }
    double *scratch = w->own, *total = scratch + 5 * PANEL, *partial = w->shared, scale = c->scalar[0];
    int64_t panels = panels_of(mine), width = at_least(1, at_most(inner, PANEL));
    int64_t rows = inner == 1 ? chunk_of(n) : at_least(at_least(CHUNK / width, FLOAT_ROWS), parts(n, 64));
    rows = parts(rows, BLOCK_ROWS) * BLOCK_ROWS;
    int64_t chunks = parts(n, rows);
    if (chunks * outer * inner > SHARED_DOUBLES || chunks == 0)
        chunks = 1, rows = n;
    tr_split(w, outer * panels * chunks, 1, &begin, &end);
    for (int64_t task = begin; task < end; task++) {
        int64_t o = task / (panels * chunks), panel = task / chunks % panels, chunk = task % chunks;
        int64_t column = first + panel * PANEL, cols = panel_width(panel, mine),
                count = at_most(rows, n - chunk * rows);
        const float *from = x + (o * n + chunk * rows) * inner + column;
        double *to = chunks > 1 ? partial + (chunk * outer + o) * inner + column : total;
        if (inner == 1)
            *to = sum_of_row(from, count);
        else
            sum_columns(to, scratch, from, count, inner, cols);
        for (int64_t j = 0; chunks == 1 && j < cols; j++)
            put(out + o * inner + column + j, scale * total[j], accumulate);
    }
    if (chunks == 1)
        return 0;
    tr_barrier(w);
    tr_split(w, outer * mine, 64, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = mine == inner ? i : i / mine * inner + first + i % mine;
        double sum = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++)
            sum += partial[chunk * outer * inner + at];
        put(out + at, scale * sum, accumulate);
    }
    return 0;
}

/* sum[TR_LANES / 2 * 4] += the products of n elements, a multiple of as many. With a == b the compiler loads and widens
 * once: `same` is a constant. */
#define DOT_LOOP(vector, load, parts)                                               \
    do {                                                                            \
        vector total[parts];                                                        \
        memcpy(total, sum, sizeof total);                                           \
        for (int64_t i = 0; i < n; i += 2 * TR_LANES)                               \
            TR_UNROLL for (int k = 0; k < parts; k++) {                             \
                vector x = load(a + i + k * 2 * TR_LANES / parts);                  \
                total[k] += x * (same ? x : load(b + i + k * 2 * TR_LANES / parts)); \
            }                                                                       \
        memcpy(sum, total, sizeof total);                                           \
    } while (0)

TR_INLINE void dot_add(vec_double *sum, const float *a, const float *b, int64_t n, int same) {
#if TR_LANES == 16
    if (tr_widens_by_halves) {
        DOT_LOOP(vec_half_double, vec_load_half_widened, 8);
        return;
    }
#endif
    DOT_LOOP(vec_double, vec_load_widened, 4);
}

/* The tail is padded. */
TR_INLINE double dot_of(const float *a, const float *b, int64_t n, int same) {
    enum { STEP = 2 * TR_LANES };
    vec_double sum[4] = {{0}};
    int64_t tail = n % STEP, whole = n - tail;
    dot_add(sum, a, b, whole, same);
    if (tail) {
        float pad_a[STEP] = {0}, pad_b[STEP] = {0};
        memcpy(pad_a, a + whole, (size_t)tail * sizeof(float));
        if (!same)
            memcpy(pad_b, b + whole, (size_t)tail * sizeof(float));
        dot_add(sum, pad_a, same ? pad_a : pad_b, STEP, same);
    }
    return vec_sum_double((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* The dot product in double precision; every worker returns the same value. */
TR_INLINE double dot_in_chunks(const float *a, const float *b, int64_t n, const tr_worker *w, int same) {
    int64_t size = chunk_of(n), chunks = parts(n, size), begin, end;
    double *partial = w->shared, sum = 0;
    tr_split(w, chunks, 1, &begin, &end);
    for (int64_t k = begin; k < end; k++)
        partial[k] = dot_of(a + k * size, b + k * size, at_most(size, n - k * size), same);
    tr_barrier(w);
    for (int64_t k = 0; k < chunks; k++)
        sum += partial[k];
    return sum;
}

/* Adds to its output, so that a list of calls gives the squared norm of many arrays. */
static int TR_K(sum_squares)(const tr_call *c, const tr_worker *w) {
    double sum = dot_in_chunks(c->ptr[1], c->ptr[1], c->arg[0], w, 1);
    if (w->ith == 0)
        *(double *)c->ptr[0] += sum;
    return 0;
}
