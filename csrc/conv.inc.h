/* Convolution, NHWC by HWIO, as products whose left operand are windows (conv_window.inc.h); sums as in gemm.inc.h, k in
 * blocks, without halves. Each group of channels is a product of its own. In all three kernels the sizes are those of the
 * convolution: x [n, h, w, c], kernel [kh, kw, c / groups, o], y [n, oh, ow, o].
 *
 * conv2d: y = windows of x times kernel (+ y) (+ bias) (relu) (mask).
 * conv2d_to_input: dx = windows of dy times the kernel turned around in both of its axes, and the same epilogues.
 * conv2d_to_kernel: dkernel = windows of x, transposed, times dy (+ dkernel). */

/* The kernel as the right operand of the gradient of the input: step (tap, o), column c. Taps go backwards from the last
 * one, `ky` and `kx`, every so many rows and columns. */
typedef struct conv_turned_kernel {
    gemm_operand operand; /* at: from the first o of the group on; line: o of all groups */
    int64_t c, o;         /* of the group */
    int64_t kw;           /* of the kernel */
    int64_t ky, kx, every_ky, every_kx, in_row; /* in_row: how many taps of a row it has */
} conv_turned_kernel;

static void conv_pack_turned_kernel(float *to, int64_t to_step, const gemm_operand *b, int64_t column, int64_t columns,
                                    int64_t step, int64_t depth) {
    const conv_turned_kernel *k = (const conv_turned_kernel *)b;
    const int64_t end = step + depth;
    for (int64_t tap = step / k->o; tap * k->o < end; tap++) {
        int64_t first = at_least(tap * k->o, step), last = at_most((tap + 1) * k->o, end);
        int64_t ky = k->ky - tap / k->in_row * k->every_ky, kx = k->kx - tap % k->in_row * k->every_kx;
        const float *from = b->at + ((ky * k->kw + kx) * k->c + column) * b->line + first - tap * k->o;
        gemm_pack_transposed(to + (first - step) * to_step, to_step, from, b->line, last - first, columns);
    }
}

/* The windows of group `i` of x. */
static conv_window conv_windows_of_x(const float *x, const int64_t *n, int64_t i) {
    int64_t c = n[CONV_C] / n[CONV_GROUPS];
    return (conv_window){
        .operand = {x + i * c, n[CONV_C], 1},
        .h = n[CONV_H], .w = n[CONV_W], .c = c, .pixel = n[CONV_C],
        .kh = n[CONV_KH], .kw = n[CONV_KW], .dh = n[CONV_DH], .dw = n[CONV_DW],
        .oh = n[CONV_OH], .ow = n[CONV_OW], .sh = n[CONV_SH], .sw = n[CONV_SW],
        .top = n[CONV_TOP], .left = n[CONV_LEFT],
        .spread_h = 1, .spread_w = 1,
    };
}

/* The windows of group `i` of dy, one for each pixel of x. */
static conv_window conv_windows_of_dy(const float *dy, const int64_t *n, int64_t i) {
    int64_t o = n[CONV_O] / n[CONV_GROUPS];
    return (conv_window){
        .operand = {dy + i * o, n[CONV_O], 1},
        .h = n[CONV_OH], .w = n[CONV_OW], .c = o, .pixel = n[CONV_O],
        .kh = n[CONV_KH], .kw = n[CONV_KW], .dh = n[CONV_DH], .dw = n[CONV_DW],
        .oh = n[CONV_H], .ow = n[CONV_W], .sh = 1, .sw = 1,
        .top = (n[CONV_KH] - 1) * n[CONV_DH] - n[CONV_TOP], .left = (n[CONV_KW] - 1) * n[CONV_DW] - n[CONV_LEFT],
        .spread_h = n[CONV_SH], .spread_w = n[CONV_SW],
    };
}

/* The columns of a group of an output whose rows have `step` of them: its own `columns`, from `column` on. */
static gemm_target conv_target(const tr_call *c, int64_t step, int64_t column, int64_t columns) {
    const float *bias = c->ptr[3], *mask = c->ptr[4];
    gemm_target all = {
        .out = c->ptr[0],
        .step = step,
        .does = (c->flags & TR_ACCUMULATE ? GEMM_ADD : 0) | (bias ? GEMM_BIAS : 0) |
                (c->flags & TR_RELU ? GEMM_RELU : 0) | (mask ? GEMM_MASK : 0),
        .bias = bias,
        .mask = mask,
    };
    return gemm_target_at(&all, 0, column, columns);
}

/* To the gradient of the kernel an image of fewer pixels is a sum too short to be one by itself: if there are so many
 * columns, which pay for it, its windows are packed instead. */
#define CONV_LONG_IMAGE 64
#define CONV_PACKED_COLUMNS 64

/* Whether a b of n columns as it is stored is packed, panel by panel: one that is narrower than a vector and cannot be read
 * by parts; and one whose lines are wider than a panel, if that is read for so many rows. In place the lines of a panel
 * would lie as far apart as those of b, and share a few sets of the first level cache. */
TR_INLINE int conv_packs_panels(int64_t n, int64_t rows) {
    return gemm_pads_b(n) || (n > CONV_VECTORS * TR_LANES && rows >= GEMM_LARGE_ROWS);
}

/* The area of worker w: columns, or rows in units. */
static gemm_area conv_share(gemm_product *d, const tr_worker *w, int64_t units) {
    int64_t vectors = parts(d->n, TR_LANES);
    d->by_columns = vectors >= GEMM_VECTORS * w->nth && d->m < d->n * w->nth;
    gemm_area area = gemm_share(d, w);
    if (!d->by_columns)
        tr_split(w, units, 1, &area.row, &area.row_end);
    else
        area.row_end = units;
    return area;
}

/* The part of worker w of a product whose rows are windows, which go to `to`. */
static void conv_rows(gemm_product *d, const conv_window *a, const conv_lattice *to, const tr_worker *w) {
    const int is_image = conv_is_image(a), scattered = to->line_step > 1 || to->pixel_step > 1;
    const int strips = scattered || (!is_image && conv_has_strips(a));
    const gemm_area area = conv_share(d, w, strips ? d->m / at_least(a->ow, 1) : d->m);
    d->pack_a = is_image ? 0 : conv_pack_rows;
    if (area.row == area.row_end || area.first == area.end)
        return;
    if (strips)
        conv_strips(d, a, to, &area, w->own);
    else
        gemm_blocks(d, &area, w->own);
}

static int TR_K(conv2d)(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg;
    const int64_t o = n[CONV_O] / n[CONV_GROUPS];
#ifdef GEMM_NARROWER
    if (o <= TR_LANES / 2 && !conv_is_depthwise(n))
        return GEMM_NARROWER[TR_ID_conv2d](c, w);
#endif
    if (conv_is_depthwise(n)) {
        depthwise(c, w);
        return 0;
    }
    const conv_lattice to = {n[CONV_OH], n[CONV_OW], 0, 1, 0, 1};
    for (int64_t i = 0; i < n[CONV_GROUPS]; i++) {
        const conv_window a = conv_windows_of_x(c->ptr[1], n, i);
        const gemm_operand b = {(const float *)c->ptr[2] + i * o, 1, n[CONV_O]};
        gemm_product d = {
            .to = conv_target(c, n[CONV_O], i * o, o),
            .a = &a.operand,
            .b = &b,
            .m = n[CONV_N] * a.oh * a.ow,
            .n = o,
            .k = a.kh * a.kw * a.c,
            .height = GEMM_PART_ROWS,
            .large_b = 1,
            .ahead = gemm_ahead(c, w),
        };
        d.pack_b = d.n * d.k * 4 > GEMM_LARGE_BYTES || conv_packs_panels(d.n, d.m) ? gemm_pack_stored_b : 0;
        conv_rows(&d, &a, &to, w);
    }
    return 0;
}

/* Of a strided convolution the pixels of x whose row is `py` and column is `px` modulo the strides: only every sh-th row
 * and sw-th column of the kernel reaches them. What they sum are windows of dy, one pixel apart. */
static void conv_phase(conv_window *a, conv_turned_kernel *b, conv_lattice *to, const int64_t *n, int64_t py, int64_t px) {
    const int64_t sh = n[CONV_SH], sw = n[CONV_SW], y = py + n[CONV_TOP], x = px + n[CONV_LEFT], ky = y % sh, kx = x % sw;
    a->kh = ky < n[CONV_KH] ? (n[CONV_KH] - 1 - ky) / sh + 1 : 0;
    a->kw = kx < n[CONV_KW] ? (n[CONV_KW] - 1 - kx) / sw + 1 : 0;
    a->oh = py < n[CONV_H] ? (n[CONV_H] - 1 - py) / sh + 1 : 0;
    a->ow = px < n[CONV_W] ? (n[CONV_W] - 1 - px) / sw + 1 : 0;
    a->top = a->kh - 1 - y / sh;
    a->left = a->kw - 1 - x / sw;
    a->spread_h = a->spread_w = 1;
    b->ky = ky + (a->kh - 1) * sh, b->kx = kx + (a->kw - 1) * sw;
    b->every_ky = sh, b->every_kx = sw;
    b->in_row = at_least(a->kw, 1);
    *to = (conv_lattice){n[CONV_H], n[CONV_W], py, sh, px, sw};
}

/* Whether each phase of a strided convolution can be summed by itself, in strips. */
static int conv_has_phases(const conv_window *a) {
    conv_window phase = *a;
    phase.spread_h = phase.spread_w = 1;
    return conv_has_strips(&phase);
}

static int TR_K(conv2d_to_input)(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg;
    const int64_t channels = n[CONV_C] / n[CONV_GROUPS], o = n[CONV_O] / n[CONV_GROUPS];
    const int scattered = conv_is_scattered(n);
#ifdef GEMM_NARROWER
    if (channels <= TR_LANES / 2 && !conv_is_depthwise(n) && !scattered)
        return GEMM_NARROWER[TR_ID_conv2d_to_input](c, w);
#endif
    if (conv_is_depthwise(n)) {
        depthwise_to_input(c, w);
        return 0;
    }
    for (int64_t i = 0; i < n[CONV_GROUPS]; i++) {
        const gemm_target target = conv_target(c, n[CONV_C], i * channels, channels);
        if (scattered) {
            conv_scattered_to_input(c, w, i, &target);
            continue;
        }
        conv_window a = conv_windows_of_dy(c->ptr[1], n, i);
        conv_turned_kernel b = {
            .operand = {(const float *)c->ptr[2] + i * o, n[CONV_O], 1},
            .c = channels, .o = o, .kw = a.kw,
            .ky = a.kh - 1, .kx = a.kw - 1, .every_ky = 1, .every_kx = 1, .in_row = a.kw,
        };
        const int phases = (a.spread_h > 1 || a.spread_w > 1) && conv_has_phases(&a);
        conv_lattice to = {n[CONV_H], n[CONV_W], 0, 1, 0, 1};
        gemm_product d = {
            .to = target,
            .a = &a.operand,
            .b = &b.operand,
            .pack_b = conv_pack_turned_kernel,
            .n = channels,
            .height = GEMM_PART_ROWS,
            .large_b = 1,
            .ahead = gemm_ahead(c, w),
        };
        /* further phases, of strides beyond the image, have no pixels */
        const int64_t rows = phases ? at_most(n[CONV_SH], n[CONV_H]) : 1, columns = phases ? at_most(n[CONV_SW], n[CONV_W]) : 1;
        for (int64_t p = 0; p < rows * columns; p++) {
            if (phases)
                conv_phase(&a, &b, &to, n, p / columns, p % columns);
            d.m = n[CONV_N] * a.oh * a.ow;
            d.k = a.kh * a.kw * o;
            if (d.m > 0)
                conv_rows(&d, &a, &to, w);
        }
    }
    return 0;
}

/* The same for the gradient of the kernel: its rows, and columns. */
static void conv_columns(gemm_product *d, const conv_window *a, const tr_worker *w) {
    const int strips = conv_has_strips(a) && a->ow <= 4 * TR_GEMM_DEPTH &&
                       (a->oh * a->ow >= CONV_LONG_IMAGE || (!conv_is_image(a) && d->n < CONV_PACKED_COLUMNS));
    const gemm_area area = conv_share(d, w, d->m);
    if (area.row == area.row_end || area.first == area.end)
        return;
    if (strips && d->k > 0) {
        d->pack_b = conv_packs_panels(d->n, d->m) ? gemm_pack_stored_b : 0;
        conv_strips_to_kernel(d, a, &area, w->own);
    } else {
        gemm_blocks(d, &area, w->own);
    }
}

static int TR_K(conv2d_to_kernel)(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg;
    const int64_t o = n[CONV_O] / n[CONV_GROUPS];
#ifdef GEMM_NARROWER
    if (o <= TR_LANES / 2 && !conv_is_depthwise(n))
        return GEMM_NARROWER[TR_ID_conv2d_to_kernel](c, w);
#endif
    if (conv_is_depthwise(n)) {
        depthwise_to_kernel(c, w);
        return 0;
    }
    for (int64_t i = 0; i < n[CONV_GROUPS]; i++) {
        conv_window a = conv_windows_of_x(c->ptr[1], n, i);
        const gemm_operand b = {(const float *)c->ptr[2] + i * o, 1, n[CONV_O]};
        a.operand.line = 1;
        a.operand.step = n[CONV_C];
        gemm_product d = {
            .to = conv_target(c, n[CONV_O], i * o, o),
            .a = &a.operand,
            .b = &b,
            .pack_a = conv_is_image(&a) ? 0 : conv_pack_columns,
            .pack_b = gemm_pads_b(o) ? gemm_pack_stored_b : 0,
            .m = a.kh * a.kw * a.c,
            .n = o,
            .k = n[CONV_N] * a.oh * a.ow,
            .height = GEMM_PART_ROWS,
            .ahead = gemm_ahead(c, w),
        };
        conv_columns(&d, &a, w);
    }
    return 0;
}
