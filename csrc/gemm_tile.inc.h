/* The register tile of matmul, and panels of tiles. gemm.inc.h says how they are used. */

/* Vector j of a row of b, in the loop over k; where parts are slow to load it is packed and padded. */
TR_INLINE vec_float gemm_load_b(const float *row, int j, const int width, const gemm_panel *g) {
    return width == 0 && !TR_MASKED_ACCESS ? vec_load(row) : gemm_load(row, j, width, &g->to);
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

/* rows x vectors of out from row `row` on. Both counts are constants where this is inlined, so that the loops
 * over them unroll and the accumulators are registers. So is `in_runs`, whether there is more than one run: a loop around
 * the sums costs a matrix product a tenth of its time. */
TR_INLINE void gemm_tile(const int rows, const int width, const int in_runs, const gemm_panel *g, int64_t row) {
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

    for (int64_t run = in_runs ? g->more : 0; run > 0; run--) {
        TR_UNROLL for (int i = 0; i < rows; i += 3)
            a[i / 3] += g->a_jump;
        for (int64_t p = g->depth; p > 0; p--) {
            GEMM_STEP
        }
    }

    if (!in_runs && g->rest > 0) {
        float first[GEMM_ROWS_MAX][GEMM_VECTORS][TR_LANES];
        GEMM_EACH(vec_store(first[i][j], sum[i][j]); sum[i][j] = vec_splat(0.0f))
        for (int64_t p = g->rest; p > 0; p--) {
            GEMM_STEP
        }
        GEMM_EACH(sum[i][j] = vec_load(first[i][j]) + sum[i][j])
    }

    gemm_put_tile(rows, width, sum, &g->to, row);
}

/* From this depth on the tile of out is fetched while the products are summed: it may lie in memory. */
#define GEMM_PREFETCH_DEPTH 128

TR_NOINLINE void gemm_prefetch(const gemm_panel *g, int64_t row, int64_t end) {
    for (; row < end; row++)
        for (int64_t column = 0; column <= g->to.last; column += TR_LANES)
            __builtin_prefetch(g->to.out + row * g->to.step + column, 1);
}

/* The panel's rows, in as few tiles as possible and as equal as possible. */
TR_INLINE void gemm_tiles(const int width, const int in_runs, const gemm_panel *g, int64_t rows) {
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
#define GEMM_CASE(n) case n: if (n <= GEMM_ROWS(width)) gemm_tile(n, width, in_runs, g, row); break;
        switch (height) {
            GEMM_CASE(1) GEMM_CASE(2) GEMM_CASE(3) GEMM_CASE(4) GEMM_CASE(5) GEMM_CASE(6)
            GEMM_CASE(7) GEMM_CASE(8) GEMM_CASE(9) GEMM_CASE(10) GEMM_CASE(11) GEMM_CASE(12)
            GEMM_CASE(13) GEMM_CASE(14) GEMM_CASE(15) GEMM_CASE(16)
        }
#undef GEMM_CASE
        row += height;
    }
}

/* One function per width, each with the tiles of all heights; and those of at most two vectors in runs too. */
TR_NOINLINE void gemm_panel_part(const gemm_panel *g, int64_t rows) { gemm_tiles(0, 0, g, rows); }
TR_NOINLINE void gemm_panel_1(const gemm_panel *g, int64_t rows) { gemm_tiles(1, 0, g, rows); }
TR_NOINLINE void gemm_panel_2(const gemm_panel *g, int64_t rows) { gemm_tiles(2, 0, g, rows); }
#if GEMM_VECTORS == 4
TR_NOINLINE void gemm_panel_3(const gemm_panel *g, int64_t rows) { gemm_tiles(3, 0, g, rows); }
TR_NOINLINE void gemm_panel_4(const gemm_panel *g, int64_t rows) { gemm_tiles(4, 0, g, rows); }
#endif
TR_NOINLINE void gemm_runs_part(const gemm_panel *g, int64_t rows) { gemm_tiles(0, 1, g, rows); }
TR_NOINLINE void gemm_runs_1(const gemm_panel *g, int64_t rows) { gemm_tiles(1, 1, g, rows); }
TR_NOINLINE void gemm_runs_2(const gemm_panel *g, int64_t rows) { gemm_tiles(2, 1, g, rows); }

/* A panel of so many vectors. */
void TR_K(gemm_panel_run)(int64_t vectors, const gemm_panel *g, int64_t rows) {
    if (g->to.columns < TR_LANES) {
        g->more ? gemm_runs_part(g, rows) : gemm_panel_part(g, rows);
        return;
    }
    if (g->more) {
        vectors == 1 ? gemm_runs_1(g, rows) : gemm_runs_2(g, rows);
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
