/* Convolution where each channel is a group of its own with one output: no product, but sums of weighted pixels. Vectors
 * lie along channels, which never meet; a worker takes vectors of channels, or lines of the output. */

/* Taps of a row of the kernel that are summed at a time. */
#define DEPTHWISE_TAPS 3

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

/* Windows of an image, as conv_window has them, for channels that never meet. */
typedef struct depthwise_sizes {
    int64_t n, h, w, channels, kh, kw, oh, ow, sh, sw, top, left, dh, dw;
} depthwise_sizes;

/* sum[q] = the weighted taps of window q of `pixels`, which lie `apart` floats apart, x being where the first begins. */
TR_INLINE void depthwise_sums(vec_float *sum, const int pixels, const int whole, const depthwise_sizes *s, const float *x,
                              int64_t apart, const float *kernel, int64_t kernel_step, const depthwise_taps *rows,
                              const depthwise_taps *columns, int64_t count) {
    TR_UNROLL for (int q = 0; q < pixels; q++)
        sum[q] = vec_splat(0);
    for (int64_t i = rows->first; i < rows->end; i++)
        for (int64_t j = columns->first; j < columns->end; j++) {
            const float *weight = kernel + (i * s->kw + j) * kernel_step;
            const float *tap = x + (i * s->dh * s->w + j * s->dw) * s->channels;
            vec_float by = whole ? vec_load(weight) : vec_load_part(weight, count, 0);
            TR_UNROLL for (int q = 0; q < pixels; q++)
                sum[q] += (whole ? vec_load(tap + q * apart) : vec_load_part(tap + q * apart, count, 0)) * by;
        }
}

/* Each window of x times the kernel, whose taps are kernel_step floats apart: lines of the output go to workers. Four
 * windows that lie within the image share what is loaded of the kernel. */
static void depthwise_lines(const tr_call *c, const tr_worker *w, const depthwise_sizes *s, const float *x,
                            const float *kernel, int64_t kernel_step) {
    enum { AT_ONCE = 4 };
    const int64_t channels = s->channels, apart = s->sw * channels;
    const int64_t inner = parts(s->left, s->sw), room = s->w - 1 - (s->kw - 1) * s->dw + s->left;
    const int64_t inner_end = room < 0 ? 0 : at_most(room / s->sw + 1, s->ow);
    const depthwise_taps all = {0, s->kw};
    int64_t line, line_end;
    tr_split(w, s->n * s->oh, 1, &line, &line_end);
    for (; line < line_end; line++) {
        const int64_t y = line % s->oh * s->sh - s->top, at = (line / s->oh * s->h + y) * s->w - s->left;
        const depthwise_taps rows = depthwise_taps_at(y, s->kh, s->dh, s->h);
        for (int64_t channel = 0; channel < channels; channel += TR_LANES) {
            const int64_t count = channels - channel;
            for (int64_t ox = 0; ox < s->ow;) {
                vec_float sum[AT_ONCE];
                const float *from = x + (at + ox * s->sw) * channels + channel;
                const int64_t to = (line * s->ow + ox) * channels;
                if (count >= TR_LANES && ox >= inner && ox + AT_ONCE <= inner_end) {
                    depthwise_sums(sum, AT_ONCE, 1, s, from, apart, kernel + channel, kernel_step, &rows, &all, count);
                    TR_UNROLL for (int q = 0; q < AT_ONCE; q++)
                        depthwise_put(c, sum[q], to + q * channels, channel, count);
                    ox += AT_ONCE;
                    continue;
                }
                const depthwise_taps columns = depthwise_taps_at(ox * s->sw - s->left, s->kw, s->dw, s->w);
                if (count >= TR_LANES)
                    depthwise_sums(sum, 1, 1, s, from, apart, kernel + channel, kernel_step, &rows, &columns, count);
                else
                    depthwise_sums(sum, 1, 0, s, from, apart, kernel + channel, kernel_step, &rows, &columns, count);
                depthwise_put(c, sum[0], to, channel, count);
                ox++;
            }
        }
    }
}

static void depthwise(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg;
    const depthwise_sizes s = {n[CONV_N], n[CONV_H], n[CONV_W], n[CONV_C], n[CONV_KH], n[CONV_KW], n[CONV_OH], n[CONV_OW],
                               n[CONV_SH], n[CONV_SW], n[CONV_TOP], n[CONV_LEFT], n[CONV_DH], n[CONV_DW]};
    depthwise_lines(c, w, &s, c->ptr[1], c->ptr[2], s.channels);
}

/* Of a convolution with strides: each pixel of x looks for the windows that had it. */
static void depthwise_to_strided_input(const tr_call *c, const tr_worker *w) {
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

/* Without strides it is the windows of dy, and the kernel turned around. */
static void depthwise_to_input(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg, taps = n[CONV_KH] * n[CONV_KW];
    const depthwise_sizes s = {n[CONV_N], n[CONV_OH], n[CONV_OW], n[CONV_C], n[CONV_KH], n[CONV_KW], n[CONV_H], n[CONV_W],
                               1, 1, (n[CONV_KH] - 1) * n[CONV_DH] - n[CONV_TOP],
                               (n[CONV_KW] - 1) * n[CONV_DW] - n[CONV_LEFT], n[CONV_DH], n[CONV_DW]};
    if (n[CONV_SH] > 1 || n[CONV_SW] > 1)
        depthwise_to_strided_input(c, w);
    else
        depthwise_lines(c, w, &s, c->ptr[1], (const float *)c->ptr[2] + (taps - 1) * s.channels, -s.channels);
}

/* The `taps` taps from column j on of row i of the kernel, for a vector of channels. A line of pixels at a time is summed by
 * itself, then added. */
TR_INLINE void depthwise_taps_of_kernel(const tr_call *c, const int taps, int64_t i, int64_t j, int64_t channel) {
    const int64_t *n = c->arg, channels = n[CONV_C], count = channels - channel;
    const float *x = (const float *)c->ptr[1] + channel, *dy = (const float *)c->ptr[2] + channel;
    vec_float total[DEPTHWISE_TAPS];
    TR_UNROLL for (int t = 0; t < taps; t++)
        total[t] = vec_splat(0);
    for (int64_t line = 0; line < n[CONV_N] * n[CONV_OH]; line++) {
        int64_t image = line / n[CONV_OH], y = line % n[CONV_OH] * n[CONV_SH] - n[CONV_TOP] + i * n[CONV_DH];
        if (y < 0 || y >= n[CONV_H])
            continue;
        vec_float sum[DEPTHWISE_TAPS];
        TR_UNROLL for (int t = 0; t < taps; t++)
            sum[t] = vec_splat(0);
        for (int64_t ox = 0; ox < n[CONV_OW]; ox++) {
            const int64_t column = ox * n[CONV_SW] - n[CONV_LEFT] + j * n[CONV_DW];
            const vec_float by = vec_load_up_to(dy + (line * n[CONV_OW] + ox) * channels, count, 0);
            TR_UNROLL for (int t = 0; t < taps; t++) {
                const int64_t at = column + t * n[CONV_DW];
                if (at >= 0 && at < n[CONV_W])
                    sum[t] += vec_load_up_to(x + ((image * n[CONV_H] + y) * n[CONV_W] + at) * channels, count, 0) * by;
            }
        }
        TR_UNROLL for (int t = 0; t < taps; t++)
            total[t] += sum[t];
    }
    TR_UNROLL for (int t = 0; t < taps; t++)
        depthwise_put(c, total[t], (i * n[CONV_KW] + j + t) * channels, channel, count);
}

/* A row of the kernel of a vector of channels is one unit of work, as many taps of it at a time as share what is read. */
static void depthwise_to_kernel(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg, vectors = parts(n[CONV_C], TR_LANES), kw = n[CONV_KW];
    int64_t unit, end;
    tr_split(w, n[CONV_KH] * vectors, 1, &unit, &end);
    for (; unit < end; unit++) {
        const int64_t i = unit / vectors, channel = unit % vectors * TR_LANES;
        int64_t j = 0;
        for (; j + DEPTHWISE_TAPS <= kw; j += DEPTHWISE_TAPS)
            depthwise_taps_of_kernel(c, DEPTHWISE_TAPS, i, j, channel);
        for (; j < kw; j++)
            depthwise_taps_of_kernel(c, 1, i, j, channel);
    }
}
