/* Convolution where each channel is a group of its own with one output: no product, but sums of weighted pixels. Vectors
 * lie along channels, which never meet; a worker takes vectors of channels, or lines of the output. */
enum { CONV_N, CONV_H, CONV_W, CONV_C, CONV_KH, CONV_KW, CONV_O, CONV_OH, CONV_OW, CONV_SH, CONV_SW, CONV_TOP, CONV_LEFT,
       CONV_DH, CONV_DW, CONV_GROUPS };

TR_INLINE int conv_is_depthwise(const int64_t *n) {
    return n[CONV_GROUPS] > 1 && n[CONV_GROUPS] == n[CONV_C] && n[CONV_C] == n[CONV_O];
}

/* The taps [first, end) of `count` that lie in an image of this size, the first of them at `at`. */
typedef struct depthwise_taps {
    int64_t first, end;
} depthwise_taps;

TR_INLINE depthwise_taps depthwise_taps_at(int64_t at, int64_t count, int64_t apart, int64_t size) {
    return (depthwise_taps){at < 0 ? parts(-at, apart) : 0, at_most(count, at < size ? (size - 1 - at) / apart + 1 : 0)};
}

/* A vector of sums to its place, through the epilogues. */
TR_INLINE void depthwise_put(const tr_call *c, vec_float sum, int64_t at, int64_t channel, int64_t count) {
    float *out = (float *)c->ptr[0] + at + channel;
    const float *bias = c->ptr[3], *mask = c->ptr[4];
    if (c->flags & TR_ACCUMULATE)
        sum = vec_load_up_to(out, count, 0) + sum;
    if (bias)
        sum += vec_load_up_to(bias + channel, count, 0);
    if (c->flags & TR_RELU)
        sum = vec_greater(vec_splat(0), sum); /* NaN stays */
    if (mask)
        sum = vec_where_positive(sum, vec_load_up_to(mask + at + channel, count, 0));
    vec_store_up_to(out, sum, count);
}

static void depthwise(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg, channels = n[CONV_C];
    const float *x = c->ptr[1], *kernel = c->ptr[2];
    int64_t line, line_end;
    tr_split(w, n[CONV_N] * n[CONV_OH], 1, &line, &line_end);
    for (; line < line_end; line++) {
        int64_t y = line % n[CONV_OH] * n[CONV_SH] - n[CONV_TOP], image = line / n[CONV_OH];
        depthwise_taps rows = depthwise_taps_at(y, n[CONV_KH], n[CONV_DH], n[CONV_H]);
        for (int64_t ox = 0; ox < n[CONV_OW]; ox++) {
            int64_t left = ox * n[CONV_SW] - n[CONV_LEFT];
            depthwise_taps columns = depthwise_taps_at(left, n[CONV_KW], n[CONV_DW], n[CONV_W]);
            for (int64_t channel = 0; channel < channels; channel += TR_LANES) {
                int64_t count = channels - channel;
                vec_float sum = vec_splat(0);
                for (int64_t i = rows.first; i < rows.end; i++)
                    for (int64_t j = columns.first; j < columns.end; j++) {
                        int64_t pixel = (image * n[CONV_H] + y + i * n[CONV_DH]) * n[CONV_W] + left + j * n[CONV_DW];
                        sum += vec_load_up_to(x + pixel * channels + channel, count, 0) *
                               vec_load_up_to(kernel + (i * n[CONV_KW] + j) * channels + channel, count, 0);
                    }
                depthwise_put(c, sum, (line * n[CONV_OW] + ox) * channels, channel, count);
            }
        }
    }
}

static void depthwise_to_input(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg, channels = n[CONV_C];
    const float *dy = c->ptr[1], *kernel = c->ptr[2];
    int64_t line, line_end;
    tr_split(w, n[CONV_N] * n[CONV_H], 1, &line, &line_end);
    for (; line < line_end; line++) {
        int64_t image = line / n[CONV_H], y = line % n[CONV_H] + n[CONV_TOP];
        for (int64_t x = 0; x < n[CONV_W]; x++)
            for (int64_t channel = 0; channel < channels; channel += TR_LANES) {
                int64_t count = channels - channel;
                vec_float sum = vec_splat(0);
                for (int64_t i = n[CONV_KH] - 1; i >= 0; i--) {
                    int64_t oy = conv_source(y - i * n[CONV_DH], n[CONV_SH], n[CONV_OH]);
                    for (int64_t j = n[CONV_KW] - 1; oy >= 0 && j >= 0; j--) {
                        int64_t ox = conv_source(x + n[CONV_LEFT] - j * n[CONV_DW], n[CONV_SW], n[CONV_OW]);
                        if (ox < 0)
                            continue;
                        int64_t pixel = (image * n[CONV_OH] + oy) * n[CONV_OW] + ox;
                        sum += vec_load_up_to(dy + pixel * channels + channel, count, 0) *
                               vec_load_up_to(kernel + (i * n[CONV_KW] + j) * channels + channel, count, 0);
                    }
                }
                depthwise_put(c, sum, (line * n[CONV_W] + x) * channels, channel, count);
            }
    }
}

/* A line of pixels at a time is summed by itself, then added. */
static void depthwise_to_kernel(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg, channels = n[CONV_C], taps = n[CONV_KH] * n[CONV_KW];
    const float *x = c->ptr[1], *dy = c->ptr[2];
    int64_t unit, end, vectors = parts(channels, TR_LANES);
    tr_split(w, taps * vectors, 1, &unit, &end);
    for (; unit < end; unit++) {
        int64_t tap = unit / vectors, channel = unit % vectors * TR_LANES, count = channels - channel;
        int64_t i = tap / n[CONV_KW], j = tap % n[CONV_KW];
        vec_float total = vec_splat(0);
        for (int64_t line = 0; line < n[CONV_N] * n[CONV_OH]; line++) {
            int64_t image = line / n[CONV_OH], y = line % n[CONV_OH] * n[CONV_SH] - n[CONV_TOP] + i * n[CONV_DH];
            if (y < 0 || y >= n[CONV_H])
                continue;
            vec_float sum = vec_splat(0);
            for (int64_t ox = 0; ox < n[CONV_OW]; ox++) {
                int64_t column = ox * n[CONV_SW] - n[CONV_LEFT] + j * n[CONV_DW];
                if (column < 0 || column >= n[CONV_W])
                    continue;
                int64_t pixel = (image * n[CONV_H] + y) * n[CONV_W] + column;
                sum += vec_load_up_to(x + pixel * channels + channel, count, 0) *
                       vec_load_up_to(dy + (line * n[CONV_OW] + ox) * channels + channel, count, 0);
            }
            total += sum;
        }
        depthwise_put(c, total, tap * channels, channel, count);
    }
}
