/* Convolutions whose windows are read in place. A line of the lattice is a strip of pixels whose windows overlap in the
 * image: one kernel row of each is a run of kw c neighbouring floats, and the next window's begins sw c floats further. So
 * a panel reads the windows of a line where they lie, in kh runs. Where a strip leaves the image a patch of it is copied,
 * with zeros beside it: some lines at a time, so that each row of the image is copied about once, not kh kw times.
 *
 * The sums of a window are those of its steps one after the other in blocks: whole kernel rows, as many as have at most
 * TR_GEMM_DEPTH steps, or equal parts of one. The sums of a tap of the kernel are those of some lines of an image at a time,
 * whose pixels are at most so many. Both depend on sizes only. */

/* A patch of so many floats stays in the first level cache if one line needs no more. */
#define CONV_PATCH_FLOATS 8192

/* Panels of two vectors at most: their tiles are as high as lines of 7 to 14 pixels, and a block of them fits the first
 * level cache. */
#define CONV_VECTORS 2

/* To the gradient of the kernel so many pixels are summed at a time, or one line: what a panel reads of x and of dy for
 * them fits the first level cache, as tiles go over the steps of a window. */
#define CONV_PIXELS_AT_ONCE 160

/* Where the lines of the lattice go: rows of the output, which has out_h x out_w pixels for each image. */
typedef struct conv_lattice {
    int64_t out_h, out_w;
    int64_t line, line_step, pixel, pixel_step; /* the first, and how far they are apart */
} conv_lattice;

/* Windows in memory: those of a line begins at at + line * line_step, one per pixel, kernel rows `pitch` apart. */
typedef struct conv_strip {
    const float *at;
    int64_t line_step, pitch;
} conv_strip;

/* Whether windows can be read like this: taps are neighbours, and a patch for one line has room. */
static int conv_has_strips(const conv_window *g) {
    return g->dh == 1 && g->dw == 1 && g->spread_h == 1 && g->spread_w == 1 &&
           at_least(g->kh, g->sh) * ((g->ow - 1) * g->sw + g->kw) * g->c <= GEMM_A_FLOATS;
}

/* How many lines are patched at a time, so that they have about `floats`. */
TR_INLINE int64_t conv_lines_at_once(const conv_window *g, int64_t floats) {
    int64_t rows = floats / at_least(((g->ow - 1) * g->sw + g->kw) * g->c, 1);
    return rows <= g->kh ? 1 : (rows - g->kh) / g->sh + 1;
}

/* One row of a patch: `columns` pixels from column x of the image row at `line` on, zeros where it ends. */
TR_INLINE void conv_patch_row(float *to, const conv_window *g, const float *line, int64_t x, int64_t columns) {
    int64_t begin = at_most(at_least(-x, 0), columns), end = at_least(at_most(g->w - x, columns), begin);
    conv_zero(to, begin * g->c);
    if (g->pixel == g->c)
        conv_copy(to + begin * g->c, line + (x + begin) * g->c, (end - begin) * g->c);
    else
        for (int64_t i = begin; i < end; i++)
            conv_copy(to + i * g->c, line + (x + i) * g->pixel, g->c);
    conv_zero(to + end * g->c, (columns - end) * g->c);
}

/* The strip of `lines` lines of an image: kernel rows [ky, ky + rows) of their windows. Copied to `patch` if need be, or
 * `always`: where a few floats of each pixel are read at a time, memory gives them sooner from end to end. */
static conv_strip conv_strip_of(float *patch, const conv_window *g, int64_t image, int64_t line, int64_t lines, int64_t ky,
                                int64_t rows, int always) {
    const int64_t columns = (g->ow - 1) * g->sw + g->kw, x = -g->left, y = line * g->sh - g->top + ky;
    const int64_t y_end = y + (lines - 1) * g->sh + rows;
    const float *in = g->operand.at + image * g->h * g->w * g->pixel;
    if (!always && x >= 0 && x + columns <= g->w && y >= 0 && y_end <= g->h && g->pixel == g->c)
        return (conv_strip){in + (y * g->w + x) * g->c, g->sh * g->w * g->c, g->w * g->c};
    for (int64_t i = y; i < y_end; i++) {
        float *to = patch + (i - y) * columns * g->c;
        if (i >= 0 && i < g->h)
            conv_patch_row(to, g, in + i * g->w * g->pixel, x, columns);
        else
            conv_zero(to, columns * g->c);
    }
    return (conv_strip){patch, g->sh * columns * g->c, columns * g->c};
}

/* A block of the steps of a window: kernel rows [ky, ky + rows), of each `depth` steps from `step` on. */
typedef struct conv_steps {
    int64_t ky, rows, step, depth;
    int begins, ends;
} conv_steps;

static int64_t conv_parts_of_row(const conv_window *g) { return gemm_parts(g->kw * g->c, TR_GEMM_DEPTH); }

TR_INLINE int64_t conv_blocks_of(const conv_window *g) {
    int64_t run = g->kw * g->c, in_row = conv_parts_of_row(g);
    return run == 0 || g->kh == 0 ? 1 : in_row > 1 ? g->kh * in_row : gemm_parts(g->kh, TR_GEMM_DEPTH / run);
}

static conv_steps conv_steps_of(const conv_window *g, int64_t i) {
    int64_t run = g->kw * g->c, in_row = conv_parts_of_row(g), blocks = conv_blocks_of(g);
    conv_steps s = {.begins = i == 0, .ends = i + 1 == blocks};
    if (run == 0 || g->kh == 0)
        return s;
    if (in_row > 1) {
        s.ky = i / in_row, s.rows = 1;
        s.step = gemm_cut(run, i % in_row, in_row), s.depth = gemm_cut(run, i % in_row + 1, in_row) - s.step;
    } else {
        s.ky = gemm_cut(g->kh, i, blocks), s.rows = gemm_cut(g->kh, i + 1, blocks) - s.ky;
        s.depth = run;
    }
    return s;
}

/* The lines [line, line + lines) of an image: vectors [first, end) of columns, whose panels are packed if they are to be. */
static void conv_lines(const gemm_product *d, const conv_window *a, const conv_lattice *to, const conv_steps *s,
                       int64_t first, int64_t end, int64_t image, int64_t line, int64_t lines, float *own) {
    const conv_strip strip = conv_strip_of(own, a, image, line, lines, s->ky, s->rows, 0);
    const int64_t depth = s->depth * s->rows, step = s->ky * a->kw * a->c + s->step;
    const int64_t panels = gemm_parts(end - first, CONV_VECTORS);
    const gemm_steps ends = {.begins = s->begins, .ends = s->ends};
    gemm_panel g = {
        .a_row = a->sw * a->c,
        .a_step = 1,
        .a_jump = strip.pitch - s->depth,
        .depth = s->depth,
        .more = at_least(s->rows - 1, 0),
        .ahead = d->ahead,
        .ahead_step = gemm_ahead_step(d->m),
    };
    for (int64_t panel = 0, v = first; panel < panels; panel++) {
        int64_t next = first + gemm_cut(end - first, panel + 1, panels), column = v * TR_LANES;
        const float *b = d->pack_b ? own + GEMM_A_FLOATS + (v - first) * TR_LANES * depth
                                   : d->b->at + step * d->b->step + column;
        for (int64_t i = 0; i < lines; i++) {
            int64_t y = to->line + (line + i) * to->line_step;
            g.to = gemm_target_at(&d->to, (image * to->out_h + y) * to->out_w + to->pixel, column, gemm_width(d, v, next));
            g.to.step *= to->pixel_step;
            g.to.does = gemm_does_in(d->to.does, &ends);
            g.a = strip.at + i * strip.line_step + s->step;
            g.b = b;
            g.b_step = d->pack_b ? (next - v) * TR_LANES : d->b->step;
            gemm_panel_in_parts(next - v, &g, a->ow);
        }
        v = next;
    }
}

/* Rows of the product are the pixels of the lattice: its lines [line, line_end) of all images, and vectors of columns. */
static void conv_strips(const gemm_product *d, const conv_window *a, const conv_lattice *to, const gemm_area *area,
                        float *own) {
    const int64_t at_once = conv_lines_at_once(a, CONV_PATCH_FLOATS), vectors = area->end - area->first;
    for (int64_t block = 0; block < conv_blocks_of(a); block++) {
        const conv_steps s = conv_steps_of(a, block);
        const int64_t depth = s.depth * s.rows, step = s.ky * a->kw * a->c + s.step;
        const int64_t widths = gemm_parts(vectors, d->pack_b ? GEMM_MOST_VECTORS : vectors);
        for (int64_t i = 0; i < widths; i++) {
            int64_t first = area->first + gemm_cut(vectors, i, widths), end = area->first + gemm_cut(vectors, i + 1, widths);
            if (d->pack_b)
                gemm_pack_panels(own + GEMM_A_FLOATS, d, CONV_VECTORS, first, end, step, depth);
            for (int64_t line = area->row, lines; line < area->row_end; line += lines) {
                lines = at_most(at_most(at_once, area->row_end - line), a->oh - line % a->oh);
                conv_lines(d, a, to, &s, first, end, line / a->oh, line % a->oh, lines, own);
            }
        }
    }
}

/* Steps of the product are the pixels of the lattice, rows the steps of its windows. */
static void conv_strips_to_kernel(const gemm_product *d, const conv_window *a, const gemm_area *area, float *own) {
    const int64_t run = a->kw * a->c, panels = gemm_parts(area->end - area->first, CONV_VECTORS);
    const int64_t most = at_least(at_most(CONV_PIXELS_AT_ONCE / a->ow, conv_lines_at_once(a, GEMM_A_FLOATS)), 1);
    const int64_t blocks = gemm_parts(a->oh, most), images = d->k / (a->oh * a->ow);
    gemm_panel g = {
        .a_row = 1,
        .a_step = a->sw * a->c,
        .depth = a->ow,
        .ahead = d->ahead,
        .ahead_step = gemm_ahead_step(d->m),
    };
    for (int64_t block = 0; block < images * blocks; block++) {
        int64_t image = block / blocks, line = gemm_cut(a->oh, block % blocks, blocks);
        int64_t lines = gemm_cut(a->oh, block % blocks + 1, blocks) - line, pixel = (image * a->oh + line) * a->ow;
        int64_t ky = area->row / run, ky_end = parts(area->row_end, run);
        const conv_strip strip = conv_strip_of(own, a, image, line, lines, ky, ky_end - ky, a->sh * a->sw == 1);
        const gemm_steps ends = {.begins = block == 0, .ends = block + 1 == images * blocks};
        g.more = lines - 1;
        g.a_jump = strip.line_step - a->ow * g.a_step;
        for (int64_t panel = 0, v = area->first; panel < panels; panel++) {
            int64_t next = area->first + gemm_cut(area->end - area->first, panel + 1, panels), column = v * TR_LANES;
            const int64_t columns = gemm_width(d, v, next), packed_step = (next - v) * TR_LANES;
            if (d->pack_b)
                gemm_pack_stored_b(own + GEMM_A_FLOATS, packed_step, d->b, column, columns, pixel, lines * a->ow);
            g.b_step = d->pack_b ? packed_step : d->b->step;
            for (int64_t y = ky; y < ky_end; y++) {
                int64_t row = at_least(area->row, y * run), row_end = at_most(area->row_end, (y + 1) * run);
                g.to = gemm_target_at(&d->to, row, column, columns);
                g.to.does = gemm_does_in(d->to.does, &ends);
                g.a = strip.at + (y - ky) * strip.pitch + row - y * run;
                g.b = d->pack_b ? own + GEMM_A_FLOATS : d->b->at + pixel * d->b->step + column;
                gemm_panel_in_parts(next - v, &g, row_end - row);
            }
            v = next;
        }
    }
}
