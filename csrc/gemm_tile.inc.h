/* The register tile of matmul, and the packing of operands for it. gemm.inc.h says how they are used. */

/* Rows of a tile of v vectors: its accumulators, the v vectors of b and one broadcast must fit the
 * registers. */
#if GEMM_VECTORS == 4
#define GEMM_ROWS(v) ((v) <= 1 ? GEMM_ROWS_1 : (v) == 2 ? GEMM_ROWS_2 : (v) == 3 ? GEMM_ROWS_3 : GEMM_ROWS_4)
#else
#define GEMM_ROWS(v) ((v) <= 1 ? GEMM_ROWS_1 : GEMM_ROWS_2)
#endif

/* One block of k of one panel of columns. */
typedef struct gemm_panel {
    float *out;        /* rows out_step apart */
    const float *a;    /* element (i, p) at i * a_row + p * a_step */
    const float *b;    /* rows b_step apart, one per p */
    const float *bias; /* of these columns, or NULL */
    const float *mask; /* where it is not above 0 out is 0; rows out_step apart; or NULL */
    int64_t out_step, a_row, a_step, b_step;
    int64_t depth;     /* of the block */
    int64_t rest;      /* so many more steps are summed apart and added, or 0 */
    int64_t columns;
    int64_t last;      /* column of the last vector; the others stand one after the other */
    int add, relu;     /* out += instead of out =; max(., 0) at the end */
    int more;          /* whether anything is done but the product: add, bias, relu or mask */
    tr_ahead *ahead;   /* what is fetched meanwhile, or NULL: nothing */
    int64_t ahead_step; /* bytes of it per step of k */
} gemm_panel;

/* Vector j of a row. A panel of `width` 0 is narrower than one vector. */
TR_INLINE vec_float gemm_load(const float *row, int j, const int width, const gemm_panel *g) {
    return width == 0 ? vec_load_part(row, g->columns, 0)
                      : vec_load(row + (j + 1 < width ? j * TR_LANES : g->last));
}

TR_INLINE void gemm_store(float *row, vec_float x, int j, const int width, const gemm_panel *g) {
    if (width == 0)
        vec_store_part(row, x, g->columns);
    else
        vec_store(row + (j + 1 < width ? j * TR_LANES : g->last), x);
}

/* The same of a row of b, in the loop over k; where parts are slow to load it is packed and padded. */
TR_INLINE vec_float gemm_load_b(const float *row, int j, const int width, const gemm_panel *g) {
    return width == 0 && !TR_MASKED_ACCESS ? vec_load(row) : gemm_load(row, j, width, g);
}

/* One step of k: a row of b times an element of each row of a. */
#define GEMM_STEP                                                             \
    TR_UNROLL for (int j = 0; j < vectors; j++)                               \
        column[j] = gemm_load_b(b, j, width, g);                              \
    TR_UNROLL for (int i = 0; i < rows; i++) {                                \
        float x = a[i / 3][i % 3 * g->a_row];                                 \
        TR_UNROLL for (int j = 0; j < vectors; j++)                           \
            sum[i][j] += x * column[j];                                       \
    }                                                                         \
    TR_UNROLL for (int i = 0; i < rows; i += 3)                               \
        a[i / 3] += g->a_step;                                                \
    b += g->b_step;

TR_INLINE vec_float gemm_relu(vec_float x) { return (vec_float)((vec_int)x & ~(x < 0.0f)); } /* NaN stays */

#define GEMM_EACH_VECTOR(statement)               \
    TR_UNROLL for (int j = 0; j < vectors; j++) { \
        statement;                                \
    }
#define GEMM_EACH(statement)                  \
    TR_UNROLL for (int i = 0; i < rows; i++)  \
        GEMM_EACH_VECTOR(statement)

/* rows x vectors of out from row `row` on. Both counts are constants where this is inlined, so that the loops
 * over them unroll and the accumulators are registers. */
TR_INLINE void gemm_tile(const int rows, const int width, const gemm_panel *g, int64_t row) {
    const int vectors = width > 0 ? width : 1;
    vec_float sum[GEMM_ROWS_MAX][GEMM_VECTORS], column[GEMM_VECTORS];
    const float *b = g->b;

    /* One pointer per three rows: the rows between are its index register times 1 and 2, for rows of pointers
     * would take more registers than there are. */
    const float *a[(GEMM_ROWS_MAX + 2) / 3];
    TR_UNROLL for (int i = 0; i < rows; i += 3)
        a[i / 3] = g->a + (row + i) * g->a_row;

    GEMM_EACH(sum[i][j] = vec_splat(0.0f))

    const char *ahead = g->ahead ? tr_fetch_ahead(g->ahead, g->depth * g->ahead_step) : 0;
    if (ahead) {
        for (int64_t p = g->depth; p > 0; p--) {
            __builtin_prefetch(ahead, 0, 2);
            ahead += g->ahead_step;
            GEMM_STEP
        }
    } else {
        for (int64_t p = g->depth; p > 0; p--) {
            GEMM_STEP
        }
    }

    if (g->rest > 0) {
        float first[GEMM_ROWS_MAX][GEMM_VECTORS][TR_LANES];
        GEMM_EACH(vec_store(first[i][j], sum[i][j]); sum[i][j] = vec_splat(0.0f))
        for (int64_t p = g->rest; p > 0; p--) {
            GEMM_STEP
        }
        GEMM_EACH(sum[i][j] = vec_load(first[i][j]) + sum[i][j])
    }

    const int64_t out_step = g->out_step;
    float *out = g->out + row * out_step;
    if (g->more) {
        const float *mask = g->mask ? g->mask + row * out_step : out;
        TR_UNROLL for (int i = 0; i < rows; i++) {
            if (g->add)
                GEMM_EACH_VECTOR(sum[i][j] = gemm_load(out, j, width, g) + sum[i][j])
            if (g->bias)
                GEMM_EACH_VECTOR(sum[i][j] += gemm_load(g->bias, j, width, g))
            if (g->relu)
                GEMM_EACH_VECTOR(sum[i][j] = gemm_relu(sum[i][j]))
            if (g->mask)
                GEMM_EACH_VECTOR(sum[i][j] = vec_where_positive(sum[i][j], gemm_load(mask, j, width, g)))
            GEMM_EACH_VECTOR(gemm_store(out, sum[i][j], j, width, g))
            out += out_step;
            mask += out_step;
        }
        return;
    }
    TR_UNROLL for (int i = 0; i < rows; i++) {
        GEMM_EACH_VECTOR(gemm_store(out, sum[i][j], j, width, g))
        out += out_step;
    }
}

/* From this depth on the tile of out is fetched while the products are summed: it may lie in memory. */
#define GEMM_PREFETCH_DEPTH 128

TR_NOINLINE void gemm_prefetch(const gemm_panel *g, int64_t row, int64_t end) {
    for (; row < end; row++)
        for (int64_t column = 0; column <= g->last; column += TR_LANES)
            __builtin_prefetch(g->out + row * g->out_step + column, 1);
}

/* The panel's rows, in as few tiles as possible and as equal as possible. */
TR_INLINE void gemm_tiles(const int width, const gemm_panel *g, int64_t rows) {
    int64_t tiles = 1, each = rows, higher = 0, row = 0;
    if (rows > GEMM_ROWS(width)) { /* else no division, which takes as long as a small tile */
        tiles = parts(rows, GEMM_ROWS(width));
        each = rows / tiles;
        higher = rows - each * tiles;
    }
    for (int64_t t = 0; t < tiles; t++) {
        int64_t height = each + (t < higher);
        if (g->depth >= GEMM_PREFETCH_DEPTH)
            gemm_prefetch(g, row, row + height);
#define GEMM_CASE(n) case n: if (n <= GEMM_ROWS(width)) gemm_tile(n, width, g, row); break;
        switch (height) {
            GEMM_CASE(1) GEMM_CASE(2) GEMM_CASE(3) GEMM_CASE(4) GEMM_CASE(5) GEMM_CASE(6)
            GEMM_CASE(7) GEMM_CASE(8) GEMM_CASE(9) GEMM_CASE(10) GEMM_CASE(11) GEMM_CASE(12)
            GEMM_CASE(13) GEMM_CASE(14) GEMM_CASE(15) GEMM_CASE(16)
        }
#undef GEMM_CASE
        row += height;
    }
}

/* One function per width, each with the tiles of all heights. */
TR_NOINLINE void gemm_panel_part(const gemm_panel *g, int64_t rows) { gemm_tiles(0, g, rows); }
TR_NOINLINE void gemm_panel_1(const gemm_panel *g, int64_t rows) { gemm_tiles(1, g, rows); }
TR_NOINLINE void gemm_panel_2(const gemm_panel *g, int64_t rows) { gemm_tiles(2, g, rows); }
#if GEMM_VECTORS == 4
TR_NOINLINE void gemm_panel_3(const gemm_panel *g, int64_t rows) { gemm_tiles(3, g, rows); }
TR_NOINLINE void gemm_panel_4(const gemm_panel *g, int64_t rows) { gemm_tiles(4, g, rows); }
#endif

/* A panel of so many vectors. */
#ifdef GEMM_NARROWER
void GEMM_NARROWER_PANEL(int64_t vectors, const gemm_panel *g, int64_t rows);
#endif
void TR_K(gemm_panel_run)(int64_t vectors, const gemm_panel *g, int64_t rows);
void TR_K(gemm_panel_run)(int64_t vectors, const gemm_panel *g, int64_t rows) {
    if (g->columns < TR_LANES) {
        gemm_panel_part(g, rows);
        return;
    }
    switch (vectors) {
        case 1: gemm_panel_1(g, rows); break;
        case 2: gemm_panel_2(g, rows); break;
#if GEMM_VECTORS == 4
        case 3: gemm_panel_3(g, rows); break;
        case 4: gemm_panel_4(g, rows); break;
#endif
    }
}

/* The same. A last vector of which at most half would be used is left to the narrower instruction set, which sums alike:
 * its vector overlaps the one before. Where that must not be, as something is added to out, it is a whole one. */
static void gemm_panel_in_parts(int64_t vectors, gemm_panel *g, int64_t rows) {
#ifdef GEMM_NARROWER
    enum { NARROW_LANES = TR_LANES / 2, FEWEST_ROWS = 8 }; /* fewer would wait for each sum */
    int64_t whole = (vectors - 1) * TR_LANES, rest = g->columns - whole, at = g->columns - NARROW_LANES;
    if (vectors > 1 && rows >= FEWEST_ROWS && (rest == NARROW_LANES || (rest < NARROW_LANES && !g->add))) {
        g->columns = whole;
        g->last = whole - TR_LANES;
        TR_K(gemm_panel_run)(vectors - 1, g, rows);
        g->columns = NARROW_LANES;
        g->last = 0;
        g->out += at;
        g->b += at;
        g->bias = g->bias ? g->bias + at : 0;
        g->mask = g->mask ? g->mask + at : 0;
        GEMM_NARROWER_PANEL(1, g, rows);
        return;
    }
#endif
    TR_K(gemm_panel_run)(vectors, g, rows);
}

/* to[p, j] = from[p, j]; columns below one vector are filled up with zeros to to_step. */
static void gemm_pack(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t depth,
                      int64_t columns) {
    for (int64_t p = 0; p < depth; p++, to += to_step, from += from_step) {
        int64_t j = 0;
        for (; j + TR_LANES <= columns; j += TR_LANES)
            vec_store(to + j, vec_load(from + j));
        if (j < columns && columns >= TR_LANES)
            vec_store(to + columns - TR_LANES, vec_load(from + columns - TR_LANES));
        else
            for (; j < to_step; j++)
                to[j] = j < columns ? from[j] : 0.0f;
    }
}

/* Transposing: to[p, j] = from[j, p] for GEMM_TURN columns j and four steps p. Each 128-bit part of a vector
 * loads four steps of one column; a 4 x 4 transpose inside the parts does the rest. */
#define GEMM_TURN TR_LANES

typedef TR_VECTOR(float, 16) gemm_part;
typedef TR_MEMORY(float, 16, 4) gemm_part_memory;
typedef TR_VECTOR(float, GEMM_TURN * 4) gemm_turn;
typedef TR_VECTOR(int32_t, GEMM_TURN * 4) gemm_turn_index;
typedef TR_MEMORY(float, GEMM_TURN * 4, 4) gemm_turn_memory;

#ifdef __clang__
#define GEMM_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define GEMM_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (gemm_turn_index){__VA_ARGS__})
#endif

/* Column 0 and, in the parts above, columns 4, 8, ... */
TR_INLINE gemm_turn gemm_load_parts(const float *from, int64_t from_step) {
    gemm_turn parts;
#if TR_HAS_X86 && TR_LANES == 16 && !defined(__clang__)
    parts = __builtin_ia32_ps512_ps(*(const gemm_part_memory *)from);
    parts = __builtin_ia32_insertf32x4_mask(parts, *(const gemm_part_memory *)(from + 4 * from_step), 1, parts, -1);
    parts = __builtin_ia32_insertf32x4_mask(parts, *(const gemm_part_memory *)(from + 8 * from_step), 2, parts, -1);
    parts = __builtin_ia32_insertf32x4_mask(parts, *(const gemm_part_memory *)(from + 12 * from_step), 3, parts, -1);
#elif TR_HAS_X86 && TR_LANES == 8 && !defined(__clang__)
    parts = __builtin_ia32_ps256_ps(*(const gemm_part_memory *)from);
    parts = __builtin_ia32_vinsertf128_ps256(parts, *(const gemm_part_memory *)(from + 4 * from_step), 1);
#else
    for (int i = 0; i < GEMM_TURN; i++) /* compilers see the loads of whole parts */
        parts[i] = from[i / 4 * 4 * from_step + i % 4];
#endif
    return parts;
}

#if TR_LANES == 4
#define GEMM_ZIP_LOW(a, b) GEMM_SHUFFLE(a, b, 0, 4, 1, 5)
#define GEMM_ZIP_HIGH(a, b) GEMM_SHUFFLE(a, b, 2, 6, 3, 7)
#define GEMM_PAIR_LOW(a, b) GEMM_SHUFFLE(a, b, 0, 1, 4, 5)
#define GEMM_PAIR_HIGH(a, b) GEMM_SHUFFLE(a, b, 2, 3, 6, 7)
#elif TR_LANES == 8
#define GEMM_ZIP_LOW(a, b) GEMM_SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define GEMM_ZIP_HIGH(a, b) GEMM_SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define GEMM_PAIR_LOW(a, b) GEMM_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define GEMM_PAIR_HIGH(a, b) GEMM_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define GEMM_ZIP_LOW(a, b) GEMM_SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define GEMM_ZIP_HIGH(a, b) GEMM_SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define GEMM_PAIR_LOW(a, b) GEMM_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define GEMM_PAIR_HIGH(a, b) GEMM_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#endif

/* The 4 x 4 transpose inside the parts: from four columns in each to four steps in each, in place. */
TR_INLINE void gemm_turn_parts(gemm_turn v[4]) {
    gemm_turn low01 = GEMM_ZIP_LOW(v[0], v[1]), high01 = GEMM_ZIP_HIGH(v[0], v[1]);
    gemm_turn low23 = GEMM_ZIP_LOW(v[2], v[3]), high23 = GEMM_ZIP_HIGH(v[2], v[3]);
    v[0] = GEMM_PAIR_LOW(low01, low23);
    v[1] = GEMM_PAIR_HIGH(low01, low23);
    v[2] = GEMM_PAIR_LOW(high01, high23);
    v[3] = GEMM_PAIR_HIGH(high01, high23);
}

TR_INLINE void gemm_transpose(float *to, int64_t to_step, const float *from, int64_t from_step) {
    gemm_turn v[4];
    TR_UNROLL for (int i = 0; i < 4; i++)
        v[i] = gemm_load_parts(from + i * from_step, from_step);
    gemm_turn_parts(v);
    TR_UNROLL for (int p = 0; p < 4; p++)
        *(gemm_turn_memory *)(to + p * to_step) = v[p];
}

#if TR_LANES == 16
/* The same for eight steps, which takes a fifth less shuffling: each half of a vector loads eight steps of one column,
 * the transposes leave four steps in the even parts and four in the odd ones. */
#define GEMM_EVEN_PARTS(a, b) GEMM_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define GEMM_ODD_PARTS(a, b) GEMM_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)

typedef TR_MEMORY(float, 32, 4) gemm_half_memory;

/* Column 0 and, in the upper half, column 4. */
TR_INLINE gemm_turn gemm_load_halves(const float *from, int64_t from_step) {
#ifndef __clang__
    gemm_turn halves = __builtin_ia32_ps512_256ps(*(const gemm_half_memory *)from);
    return __builtin_ia32_insertf32x8_mask(halves, *(const gemm_half_memory *)(from + 4 * from_step), 1, halves, -1);
#else
    gemm_turn halves;
    for (int i = 0; i < GEMM_TURN; i++)
        halves[i] = from[i / 8 * 4 * from_step + i % 8];
    return halves;
#endif
}

TR_INLINE void gemm_transpose_eight(float *to, int64_t to_step, const float *from, int64_t from_step) {
    gemm_turn step[2][4]; /* of the columns 0..7 and 8..15 */
    TR_UNROLL for (int h = 0; h < 2; h++) {
        TR_UNROLL for (int i = 0; i < 4; i++)
            step[h][i] = gemm_load_halves(from + (8 * h + i) * from_step, from_step);
        gemm_turn_parts(step[h]);
    }
    TR_UNROLL for (int p = 0; p < 4; p++) {
        *(gemm_turn_memory *)(to + p * to_step) = GEMM_EVEN_PARTS(step[0][p], step[1][p]);
        *(gemm_turn_memory *)(to + (4 + p) * to_step) = GEMM_ODD_PARTS(step[0][p], step[1][p]);
    }
}
#endif

/* to[p, j] = from[j, p]: columns from_step apart. Edges are overlapped. */
static void gemm_pack_transposed(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t depth,
                                 int64_t columns) {
    if (columns < GEMM_TURN || depth < 4) {
        transpose(to, to_step, from, from_step, columns, depth); /* lanes behind the columns are never stored */
        return;
    }
    for (int64_t j = 0; j < columns; j += GEMM_TURN) {
        int64_t column = j + GEMM_TURN <= columns ? j : columns - GEMM_TURN;
        int64_t p = 0;
#if TR_LANES == 16
        for (; p + 8 <= depth; p += 8)
            gemm_transpose_eight(to + p * to_step + column, to_step, from + column * from_step + p, from_step);
#endif
        for (; p < depth; p += 4) {
            int64_t step = p + 4 <= depth ? p : depth - 4;
            gemm_transpose(to + step * to_step + column, to_step, from + column * from_step + step, from_step);
        }
    }
}
