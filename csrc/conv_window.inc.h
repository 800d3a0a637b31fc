/* The windows of a convolution as the left operand of a product: an NHWC input is read, never copied as a whole.
 *
 * A window is what one pixel of the lattice sees: its steps are (kernel row, kernel column, channel), the taps dh rows and
 * dw columns apart. To the gradient of a strided convolution its input looks spread: spread_h - 1 rows and spread_w - 1
 * columns of zeros between two. Beside the image there are zeros.
 *
 * They are packed part by part, just before panels of the other operand need them. Where taps are neighbours a kernel row
 * of a window is one run of floats of the image, cut where it leaves it. */
typedef struct conv_window {
    gemm_operand operand;          /* at: the image, from the first channel of the group on */
    int64_t h, w, c, pixel;        /* of what is read: c channels of a pixel that has `pixel` of them */
    int64_t kh, kw, dh, dw;        /* taps, and how far apart */
    int64_t oh, ow, sh, sw;        /* the lattice, and how far its pixels are apart */
    int64_t top, left;             /* rows and columns of zeros before the image */
    int64_t spread_h, spread_w;
} conv_window;

/* The sizes of a call, in order: those of the convolution, whichever of its kernels is called. */
enum { CONV_N, CONV_H, CONV_W, CONV_C, CONV_KH, CONV_KW, CONV_O, CONV_OH, CONV_OW, CONV_SH, CONV_SW, CONV_TOP, CONV_LEFT,
       CONV_DH, CONV_DW, CONV_GROUPS };

TR_INLINE void conv_zero(float *to, int64_t n) {
    for (int64_t i = 0; i < n; i += TR_LANES)
        vec_store_up_to(to + i, vec_splat(0), n - i);
}

TR_INLINE void conv_copy(float *to, const float *from, int64_t n) {
    int64_t i = 0;
    for (; i + TR_LANES <= n; i += TR_LANES)
        vec_store(to + i, vec_load(from + i));
    if (i < n)
        vec_store_part(to + i, vec_load_part(from + i, n - i, 0), n - i);
}

/* Which row (column) of an image of `size` a tap at `at` of the spread image reads; -1: it reads zeros. */
TR_INLINE int64_t conv_source(int64_t at, int64_t spread, int64_t size) {
    if (spread == 1)
        return at >= 0 && at < size ? at : -1;
    return at >= 0 && at % spread == 0 && at / spread < size ? at / spread : -1;
}

/* Steps [from, to) of one kernel row of a window whose first tap reads column x of the image row at `line`. */
TR_INLINE void conv_pack_run(float *out, const conv_window *g, const float *line, int64_t x, int64_t from, int64_t to) {
    const int64_t c = g->c;
    if (g->dw == 1 && g->spread_w == 1 && g->pixel == c) {
        int64_t begin = at_most(at_least(-x * c, from), to), end = at_least(at_most((g->w - x) * c, to), begin);
        conv_zero(out, begin - from);
        conv_copy(out + begin - from, line + x * c + begin, end - begin);
        conv_zero(out + end - from, to - end);
        return;
    }
    for (int64_t tap = from / c; tap * c < to; tap++) {
        int64_t begin = at_least(tap * c, from), end = at_most((tap + 1) * c, to);
        int64_t column = conv_source(x + tap * g->dw, g->spread_w, g->w);
        if (column >= 0)
            conv_copy(out + begin - from, line + column * g->pixel + begin - tap * c, end - begin);
        else
            conv_zero(out + begin - from, end - begin);
    }
}

/* to[r, j] = step + j of the window of lattice pixel row + r; rows to_step apart. */
static void conv_pack_windows(float *to, int64_t to_step, const conv_window *g, int64_t row, int64_t rows, int64_t step,
                              int64_t depth) {
    const int64_t run = g->kw * g->c, end = step + depth;
    int64_t ox = row % g->ow, oy = row / g->ow % g->oh, image = row / (g->ow * g->oh);
    for (int64_t r = 0; r < rows; r++, to += to_step) {
        for (int64_t ky = step / run; ky * run < end; ky++) {
            int64_t first = at_least(ky * run, step), last = at_most((ky + 1) * run, end);
            int64_t y = conv_source(oy * g->sh - g->top + ky * g->dh, g->spread_h, g->h);
            if (y >= 0)
                conv_pack_run(to + first - step, g, g->operand.at + (image * g->h + y) * g->w * g->pixel,
                              ox * g->sw - g->left, first - ky * run, last - ky * run);
            else
                conv_zero(to + first - step, last - first);
        }
        if (++ox == g->ow) {
            ox = 0;
            if (++oy == g->oh)
                oy = 0, image++;
        }
    }
}

/* Windows as rows of the left operand, and, to the gradient of the kernel, as its columns. */
static void conv_pack_rows(gemm_panel *g, float *to, const gemm_operand *a, int64_t row, int64_t rows, int64_t step,
                           int64_t depth) {
    conv_pack_windows(to, GEMM_A_STEP, (const conv_window *)a, row, rows, step, depth);
    g->a = to;
    g->a_row = GEMM_A_STEP;
    g->a_step = 1;
}

static void conv_pack_columns(gemm_panel *g, float *to, const gemm_operand *a, int64_t row, int64_t rows, int64_t step,
                              int64_t depth) {
    conv_pack_windows(to, GEMM_PART_ROWS, (const conv_window *)a, step, depth, row, rows);
    g->a = to;
    g->a_row = 1;
    g->a_step = GEMM_PART_ROWS;
}

/* Whether every window is one pixel, in order: then they are the image itself. */
TR_INLINE int conv_is_image(const conv_window *g) {
    return g->kh * g->kw * g->sh * g->sw * g->spread_h * g->spread_w == 1 && !g->top && !g->left && g->h == g->oh &&
           g->w == g->ow;
}
