/* The register tile of matmul, and the packing of one panel of b for it. gemm.inc.h says how they are used. */

/* Rows of a tile of v vectors: its accumulators, the v vectors of b and one broadcast must fit the registers. */
#define GEMM_ROWS(v) ((v) == 1 ? GEMM_ROWS_1 : (v) == 2 ? GEMM_ROWS_2 : (v) == 3 ? GEMM_ROWS_3 : GEMM_ROWS_4)

#ifdef __clang__
#define TR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TR_UNROLL _Pragma("GCC unroll 16")
#endif

/* One block of k of one panel of columns. */
typedef struct gemm_panel {
    float *out;        /* rows out_step apart */
    const float *a;    /* element (i, p) at i * a_row + p * a_step */
    const float *b;    /* rows b_step apart, one per p */
    const float *bias; /* of these columns, or NULL */
    int64_t out_step, a_row, a_step, b_step;
    int64_t depth;     /* of the block */
    int64_t last;      /* column of the last vector; the others stand one after the other */
    int add, relu;     /* out += instead of out =; max(., 0) at the end */
} gemm_panel;

/* rows x vectors of out from row `row` on. Both counts are constants where this is inlined, so that the loops over them
 * unroll and the accumulators are registers. */
TR_INLINE void gemm_tile(const int rows, const int vectors, const gemm_panel *g, int64_t row) {
    vec_float sum[GEMM_ROWS_MAX][GEMM_VECTORS], column[GEMM_VECTORS];
    const float *b = g->b;
    const int64_t last = g->last;

    /* One pointer per three rows: the rows between are its index register times 1 and 2, for rows of pointers would take
     * more registers than there are. */
    const float *a[(GEMM_ROWS_MAX + 2) / 3];
    TR_UNROLL for (int i = 0; i < rows; i += 3)
        a[i / 3] = g->a + (row + i) * g->a_row;

    TR_UNROLL for (int i = 0; i < rows; i++)
        TR_UNROLL for (int j = 0; j < vectors; j++)
            sum[i][j] = vec_splat(0.0f);

    for (int64_t p = g->depth; p > 0; p--) {
        TR_UNROLL for (int j = 0; j < vectors; j++)
            column[j] = vec_load(b + (j + 1 < vectors ? j * TR_LANES : last));
        TR_UNROLL for (int i = 0; i < rows; i++) {
            float x = a[i / 3][i % 3 * g->a_row];
            TR_UNROLL for (int j = 0; j < vectors; j++)
                sum[i][j] += x * column[j];
        }
        TR_UNROLL for (int i = 0; i < rows; i += 3)
            a[i / 3] += g->a_step;
        b += g->b_step;
    }

    float *out = g->out + row * g->out_step;
    TR_UNROLL for (int i = 0; i < rows; i++) {
        float *to = out + i * g->out_step;
        if (g->add) {
            TR_UNROLL for (int j = 0; j < vectors; j++)
                sum[i][j] = vec_load(to + (j + 1 < vectors ? j * TR_LANES : last)) + sum[i][j];
        }
        if (g->bias) {
            TR_UNROLL for (int j = 0; j < vectors; j++)
                sum[i][j] += vec_load(g->bias + (j + 1 < vectors ? j * TR_LANES : last));
        }
        if (g->relu) {
            TR_UNROLL for (int j = 0; j < vectors; j++)
                sum[i][j] = vec_max(sum[i][j], vec_splat(0.0f));
        }
        TR_UNROLL for (int j = 0; j < vectors; j++)
            vec_store(to + (j + 1 < vectors ? j * TR_LANES : last), sum[i][j]);
    }
}

/* The panel's rows, in as few tiles as possible and as equal as possible. */
TR_INLINE void gemm_tiles(const int vectors, const gemm_panel *g, int64_t rows) {
    int64_t tiles = (rows + GEMM_ROWS(vectors) - 1) / GEMM_ROWS(vectors), row = 0;
    for (int64_t t = 0; t < tiles; t++) {
        int64_t height = (rows - row + tiles - t - 1) / (tiles - t);
#define GEMM_CASE(n) case n: if (n <= GEMM_ROWS(vectors)) gemm_tile(n, vectors, g, row); break;
        switch (height) {
            GEMM_CASE(1) GEMM_CASE(2) GEMM_CASE(3) GEMM_CASE(4) GEMM_CASE(5) GEMM_CASE(6) GEMM_CASE(7) GEMM_CASE(8)
            GEMM_CASE(9) GEMM_CASE(10) GEMM_CASE(11) GEMM_CASE(12) GEMM_CASE(13) GEMM_CASE(14) GEMM_CASE(15) GEMM_CASE(16)
        }
#undef GEMM_CASE
        row += height;
    }
}

/* One function per width, each with the tiles of all heights. */
#define TR_NOINLINE static __attribute__((noinline))
TR_NOINLINE void gemm_panel_1(const gemm_panel *g, int64_t rows) { gemm_tiles(1, g, rows); }
TR_NOINLINE void gemm_panel_2(const gemm_panel *g, int64_t rows) { gemm_tiles(2, g, rows); }
#if GEMM_VECTORS == 4
TR_NOINLINE void gemm_panel_3(const gemm_panel *g, int64_t rows) { gemm_tiles(3, g, rows); }
TR_NOINLINE void gemm_panel_4(const gemm_panel *g, int64_t rows) { gemm_tiles(4, g, rows); }
#endif

static void gemm_panel_run(int64_t vectors, const gemm_panel *g, int64_t rows) {
    switch (vectors) {
        case 1: gemm_panel_1(g, rows); break;
        case 2: gemm_panel_2(g, rows); break;
#if GEMM_VECTORS == 4
        case 3: gemm_panel_3(g, rows); break;
        case 4: gemm_panel_4(g, rows); break;
#endif
    }
}

/* to[p, j] = from[p, j], `columns` of them, rows to_step apart; `last` as in gemm_panel, or columns below one vector. */
static void gemm_pack_rows(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t depth, int64_t columns) {
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

/* Four steps of k of TR_LANES columns, transposed: to[p, j] = from[j, p]. Each 128-bit part of a vector takes four steps
 * of one column, and a 4 x 4 transpose inside the parts does the rest. */
#define GEMM_PARTS (TR_LANES / 4)

TR_INLINE void gemm_transpose_4(float *to, int64_t to_step, const float *from, int64_t from_step) {
    vec_float c[4];
    TR_UNROLL for (int q = 0; q < 4; q++)
        c[q] = vec_load_quarters(from + q * from_step, 4 * from_step);
    vec_float low01 = vec_zip_low(c[0], c[1]), high01 = vec_zip_high(c[0], c[1]);
    vec_float low23 = vec_zip_low(c[2], c[3]), high23 = vec_zip_high(c[2], c[3]);
    vec_store(to, vec_pairs_low(low01, low23));
    vec_store(to + to_step, vec_pairs_high(low01, low23));
    vec_store(to + 2 * to_step, vec_pairs_low(high01, high23));
    vec_store(to + 3 * to_step, vec_pairs_high(high01, high23));
}

static void gemm_pack_columns(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t depth, int64_t columns) {
    if (columns < TR_LANES || depth < 4) {
        for (int64_t p = 0; p < depth; p++)
            for (int64_t j = 0; j < to_step; j++)
                to[p * to_step + j] = j < columns ? from[j * from_step + p] : 0.0f;
        return;
    }
    for (int64_t j = 0; j < columns; j += TR_LANES) {
        int64_t column = j + TR_LANES <= columns ? j : columns - TR_LANES;
        for (int64_t p = 0; p < depth; p += 4) {
            int64_t step = p + 4 <= depth ? p : depth - 4;
            gemm_transpose_4(to + step * to_step + column, to_step, from + column * from_step + step, from_step);
        }
    }
}
