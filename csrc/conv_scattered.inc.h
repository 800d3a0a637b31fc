/* The gradient of an input of few channels. As windows of dy times the kernel it would be a product of so few columns that
 * most of a vector lies idle; so each line of dy is multiplied by the whole kernel, a matrix of kh kw c columns, and what
 * each of its pixels owes to the window that it saw is added there: a kernel row is one run of neighbouring floats.
 *
 * Runs are filled up with zeros to whole vectors, and lines of sums have room beside the image, so nothing is cut off. One
 * after the other come runs that do not overlap: what has just been stored is not loaded at once.
 *
 * A sum of dx has one order, which depends on sizes only. A worker owns lines of dx, and takes of the products the kernel
 * rows that reach them. */

/* Products of so many pixels at a time stay in the first level cache. */
#define CONV_SCATTERED_FLOATS 4096

/* In a worker's own workspace: the kernel with o as its rows, products, and lines of sums. */
#define CONV_SCATTERED_KERNEL (96 << 10)
#define CONV_SCATTERED_LINES (256 << 10)

/* What adding a product costs, in multiplications. */
#define CONV_SCATTERED_COST 10

/* A group of channels. */
typedef struct conv_scattered {
    const int64_t *n;
    const float *dy;     /* from the first o of the group on */
    const float *kernel; /* [o, kh, run] */
    float *products, *sums;
    int64_t channels, o;
    int64_t run;   /* floats of a kernel row, with its zeros */
    int64_t width; /* of a line of sums: the image begins at `left` pixels */
    tr_ahead *ahead;
} conv_scattered;

static conv_scattered conv_scattered_of(const int64_t *n) {
    conv_scattered s = {.n = n, .channels = n[CONV_C] / n[CONV_GROUPS], .o = n[CONV_O] / n[CONV_GROUPS]};
    s.run = parts(n[CONV_KW] * s.channels, TR_LANES) * TR_LANES;
    s.width = at_least((n[CONV_OW] - 1) * n[CONV_SW] * s.channels + s.run, (n[CONV_LEFT] + n[CONV_W]) * s.channels);
    return s;
}

/* Whether it pays, and has room. */
static int conv_is_scattered(const int64_t *n) {
    const conv_scattered s = conv_scattered_of(n);
    const int64_t columns = n[CONV_KH] * s.run, pixels = n[CONV_OH] * n[CONV_OW];
    if (n[CONV_DW] != 1 || s.channels == 0 || s.channels > TR_LANES || s.o == 0 || s.o > TR_GEMM_DEPTH ||
        columns > CONV_SCATTERED_FLOATS || columns * s.o > CONV_SCATTERED_KERNEL || s.width > CONV_SCATTERED_LINES)
        return 0;
    return pixels * columns * (s.o + CONV_SCATTERED_COST) * n[CONV_SH] * n[CONV_SW] <
           n[CONV_H] * n[CONV_W] * n[CONV_KH] * n[CONV_KW] * s.o * TR_LANES;
}

/* The products of the pixels [x, x_end) of line `oy` of an image of dy. */
static void conv_scattered_products(const conv_scattered *s, int64_t image, int64_t oy, int64_t x, int64_t x_end) {
    const int64_t *n = s->n, columns = n[CONV_KH] * s->run, vectors = columns / TR_LANES;
    const int64_t panels = gemm_parts(vectors, GEMM_VECTORS);
    const gemm_target to = {.out = s->products, .step = columns};
    gemm_panel g = {
        .a = s->dy + ((image * n[CONV_OH] + oy) * n[CONV_OW] + x) * n[CONV_O],
        .a_row = n[CONV_O],
        .a_step = 1,
        .b_step = columns,
        .depth = s->o,
        .ahead = s->ahead,
        .ahead_step = gemm_ahead_step(n[CONV_N] * n[CONV_OH] * n[CONV_OW]),
    };
    for (int64_t panel = 0, v = 0; panel < panels; panel++) {
        int64_t next = gemm_cut(vectors, panel + 1, panels), column = v * TR_LANES;
        g.to = gemm_target_at(&to, 0, column, (next - v) * TR_LANES);
        g.b = s->kernel + column;
        gemm_panel_in_parts(next - v, &g, x_end - x);
        v = next;
    }
}

/* Of these products those of kernel row `ky` are added to a line of sums. */
static void conv_scatter(const conv_scattered *s, int64_t x, int64_t x_end, int64_t ky, float *line) {
    const int64_t *n = s->n, step = n[CONV_SW] * s->channels, columns = n[CONV_KH] * s->run;
    const int64_t apart = parts(s->run, step);
    for (int64_t first = x; first < at_most(x + apart, x_end); first++)
        for (int64_t i = first; i < x_end; i += apart) {
            const float *from = s->products + (i - x) * columns + ky * s->run;
            float *to = line + i * step;
            for (int64_t j = 0; j < s->run; j += TR_LANES)
                vec_store(to + j, vec_load(to + j) + vec_load(from + j));
        }
}

/* The sums of lines [y, y_end) of an image of dx. */
static void conv_scatter_to_lines(const conv_scattered *s, int64_t image, int64_t y, int64_t y_end) {
    const int64_t *n = s->n, pixels = CONV_SCATTERED_FLOATS / (n[CONV_KH] * s->run);
    conv_zero(s->sums, (y_end - y) * s->width);
    for (int64_t oy = 0; oy < n[CONV_OH]; oy++) {
        const int64_t top = oy * n[CONV_SH] - n[CONV_TOP], dh = n[CONV_DH];
        const int64_t ky = y > top ? parts(y - top, dh) : 0;
        const int64_t ky_end = y_end > top ? at_most(parts(y_end - top, dh), n[CONV_KH]) : 0;
        for (int64_t x = 0, end; ky < ky_end && x < n[CONV_OW]; x = end) {
            end = at_most(x + pixels, n[CONV_OW]);
            conv_scattered_products(s, image, oy, x, end);
            for (int64_t k = ky; k < ky_end; k++)
                conv_scatter(s, x, end, k, s->sums + (top + k * dh - y) * s->width);
        }
    }
}

/* A line of sums to its place, which begins at `pixel`. */
static void conv_put_line(const gemm_target *to, const float *sums, int64_t pixel, int64_t pixels) {
    const int64_t channels = to->columns;
    if (to->step != channels || to->does & GEMM_BIAS) {
        for (int64_t i = 0; i < pixels; i++)
            gemm_put(to, vec_load_up_to(sums + i * channels, channels, 0), pixel + i, 0, channels);
        return;
    }
    const gemm_target line = {.out = to->out, .mask = to->mask, .does = to->does};
    for (int64_t i = 0, left; (left = pixels * channels - i) > 0; i += TR_LANES)
        gemm_put(&line, vec_load_up_to(sums + i, left, 0), 0, pixel * channels + i, left);
}

/* Group `group` of dx, which goes to `to`: the worker's lines of all images. */
static void conv_scattered_to_input(const tr_call *c, const tr_worker *w, int64_t group, const gemm_target *to) {
    const int64_t *n = c->arg;
    conv_scattered s = conv_scattered_of(n);
    float *kernel = w->own;
    const float *from = (const float *)c->ptr[2] + group * s.o;
    const int64_t taps = n[CONV_KW] * s.channels, columns = n[CONV_KH] * s.run;
    int64_t line, line_end;
    tr_split(w, n[CONV_N] * n[CONV_H], 1, &line, &line_end);
    s.dy = (const float *)c->ptr[1] + group * s.o;
    s.kernel = kernel;
    s.products = kernel + CONV_SCATTERED_KERNEL;
    s.sums = s.products + CONV_SCATTERED_FLOATS;
    s.ahead = gemm_ahead(c, w);
    if (line == line_end)
        return;
    conv_zero(kernel, s.o * columns);
    for (int64_t ky = 0; ky < n[CONV_KH]; ky++)
        gemm_pack_transposed(kernel + ky * s.run, columns, from + ky * taps * n[CONV_O], n[CONV_O], s.o, taps);
    for (int64_t lines; line < line_end; line += lines) {
        int64_t image = line / n[CONV_H], y = line % n[CONV_H];
        lines = at_most(at_most(CONV_SCATTERED_LINES / s.width, line_end - line), n[CONV_H] - y);
        conv_scatter_to_lines(&s, image, y, y + lines);
        for (int64_t i = 0; i < lines; i++)
            conv_put_line(to, s.sums + i * s.width + n[CONV_LEFT] * s.channels, (line + i) * n[CONV_W], n[CONV_W]);
    }
}
