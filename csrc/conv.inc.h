/* Convolution, NHWC by HWIO, as products whose left operand are windows (conv_window.inc.h); sums as in gemm.inc.h, k in
 * blocks, without halves. Each group of channels is a product of its own. In all three kernels the sizes are those of the
 * convolution: x [n, h, w, c], kernel [kh, kw, c / groups, o], y [n, oh, ow, o].
 *
 * conv2d: y = windows of x times kernel (+ y) (+ bias) (relu) (mask).
 * conv2d_to_input: dx = windows of dy times the kernel turned around in both of its axes, and the same epilogues.
 * conv2d_to_kernel: dkernel = windows of x, transposed, times dy (+ dkernel). */

enum { CONV_N, CONV_H, CONV_W, CONV_C, CONV_KH, CONV_KW, CONV_O, CONV_OH, CONV_OW, CONV_SH, CONV_SW, CONV_TOP, CONV_LEFT,
       CONV_DH, CONV_DW, CONV_GROUPS };

/* The kernel as the right operand of the gradient of the input: step (tap, o), column c, last tap first. */
typedef struct conv_turned_kernel {
    gemm_operand operand; /* at: from the first o of the group on; line: o of all groups */
    int64_t taps, c, o;   /* c and o of the group */
} conv_turned_kernel;

static void conv_pack_turned_kernel(float *to, int64_t to_step, const gemm_operand *b, int64_t column, int64_t columns,
                                    int64_t step, int64_t depth) {
    const conv_turned_kernel *k = (const conv_turned_kernel *)b;
    const int64_t end = step + depth;
    for (int64_t tap = step / k->o; tap * k->o < end; tap++) {
        int64_t first = at_least(tap * k->o, step), last = at_most((tap + 1) * k->o, end);
        const float *from = b->at + ((k->taps - 1 - tap) * k->c + column) * b->line + first - tap * k->o;
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

static void conv_work(gemm_product *d, const tr_worker *w) {
    int64_t vectors = parts(d->n, TR_LANES);
    d->by_columns = vectors >= GEMM_VECTORS * w->nth && d->m < d->n * w->nth;
    gemm_area area = gemm_share(d, w);
    if (area.row < area.row_end && area.first < area.end)
        gemm_blocks(d, &area, w->own);
}

static int TR_K(conv2d)(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg;
    const int64_t o = n[CONV_O] / n[CONV_GROUPS];
#ifdef GEMM_NARROWER
    if (o <= TR_LANES / 2)
        return GEMM_NARROWER[TR_ID_conv2d](c, w);
#endif
    for (int64_t i = 0; i < n[CONV_GROUPS]; i++) {
        const conv_window a = conv_windows_of_x(c->ptr[1], n, i);
        const gemm_operand b = {(const float *)c->ptr[2] + i * o, 1, n[CONV_O]};
        gemm_product d = {
            .to = conv_target(c, n[CONV_O], i * o, o),
            .a = &a.operand,
            .b = &b,
            .pack_a = conv_is_image(&a) ? 0 : conv_pack_rows,
            .m = n[CONV_N] * a.oh * a.ow,
            .n = o,
            .k = a.kh * a.kw * a.c,
            .height = GEMM_PART_ROWS,
            .large_b = 1,
            .ahead = gemm_ahead(c, w),
        };
        d.pack_b = d.n * d.k * 4 > GEMM_LARGE_BYTES || gemm_pads_b(d.n) ? gemm_pack_stored_b : 0;
        conv_work(&d, w);
    }
    return 0;
}

static int TR_K(conv2d_to_input)(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg;
    const int64_t channels = n[CONV_C] / n[CONV_GROUPS], o = n[CONV_O] / n[CONV_GROUPS];
#ifdef GEMM_NARROWER
    if (channels <= TR_LANES / 2)
        return GEMM_NARROWER[TR_ID_conv2d_to_input](c, w);
#endif
    for (int64_t i = 0; i < n[CONV_GROUPS]; i++) {
        const conv_window a = conv_windows_of_dy(c->ptr[1], n, i);
        const conv_turned_kernel b = {
            .operand = {(const float *)c->ptr[2] + i * o, n[CONV_O], 1},
            .taps = a.kh * a.kw, .c = channels, .o = o,
        };
        gemm_product d = {
            .to = conv_target(c, n[CONV_C], i * channels, channels),
            .a = &a.operand,
            .b = &b.operand,
            .pack_a = conv_is_image(&a) ? 0 : conv_pack_rows,
            .pack_b = conv_pack_turned_kernel,
            .m = n[CONV_N] * a.oh * a.ow,
            .n = channels,
            .k = a.kh * a.kw * o,
            .height = GEMM_PART_ROWS,
            .large_b = 1,
            .ahead = gemm_ahead(c, w),
        };
        conv_work(&d, w);
    }
    return 0;
}

static int TR_K(conv2d_to_kernel)(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg;
    const int64_t o = n[CONV_O] / n[CONV_GROUPS];
#ifdef GEMM_NARROWER
    if (o <= TR_LANES / 2)
        return GEMM_NARROWER[TR_ID_conv2d_to_kernel](c, w);
#endif
    for (int64_t i = 0; i < n[CONV_GROUPS]; i++) {
        conv_window a = conv_windows_of_x(c->ptr[1], n, i);
        const gemm_operand b = {(const float *)c->ptr[2] + i * o, 1, n[CONV_O]};
        const int is_image = conv_is_image(&a);
        a.operand.line = 1;
        a.operand.step = n[CONV_C];
        gemm_product d = {
            .to = conv_target(c, n[CONV_O], i * o, o),
            .a = &a.operand,
            .b = &b,
            .pack_a = is_image ? 0 : conv_pack_columns,
            .pack_b = gemm_pads_b(o) ? gemm_pack_stored_b : 0,
            .m = a.kh * a.kw * a.c,
            .n = o,
            .k = n[CONV_N] * a.oh * a.ow,
            .height = GEMM_PART_ROWS,
            .ahead = gemm_ahead(c, w),
        };
        conv_work(&d, w);
    }
    return 0;
}
