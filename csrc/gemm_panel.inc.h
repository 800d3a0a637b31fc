/* Panels of columns of a product, which the tiles of gemm_tile.inc.h do. gemm.inc.h says how they are used. */

/* Rows of a tile of v vectors: its accumulators, the v vectors of b and one broadcast must fit the
 * registers. */
#if GEMM_VECTORS == 4
#define GEMM_ROWS(v) ((v) <= 1 ? GEMM_ROWS_1 : (v) == 2 ? GEMM_ROWS_2 : (v) == 3 ? GEMM_ROWS_3 : GEMM_ROWS_4)
#else
#define GEMM_ROWS(v) ((v) <= 1 ? GEMM_ROWS_1 : GEMM_ROWS_2)
#endif

/* One block of k of one panel of columns. Its steps lie one after the other, or in runs of them: `more` and `rest` are not
 * both there. */
typedef struct gemm_panel {
    gemm_target to;
    const float *a;     /* element (i, p) at i * a_row + p * a_step */
    const float *b;     /* rows b_step apart, one per p */
    int64_t a_row, a_step, b_step;
    int64_t depth;      /* of the block, or of a run of it */
    int64_t more;       /* so many more runs of that depth follow, */
    int64_t a_jump;     /* a lies so much further on before each of them than where the last one ended */
    int64_t rest;       /* so many more steps are summed apart and added, or 0 */
    tr_ahead *ahead;    /* what is fetched meanwhile, or NULL: nothing */
    int64_t ahead_step; /* bytes of it per step of k */
} gemm_panel;

/* A panel of so many vectors; gemm_tile.inc.h, in the unit of the tiles. */
void TR_K(gemm_panel_run)(int64_t vectors, const gemm_panel *g, int64_t rows);
#ifdef GEMM_NARROWER
void GEMM_NARROWER_PANEL(int64_t vectors, const gemm_panel *g, int64_t rows);
#endif
