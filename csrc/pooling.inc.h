/* Pooling of NHWC images [n, h, w, c] over windows of kh x kw pixels to [n, oh, ow, c]: maxima, sums, and their gradients.
 *
 * Each channel of an image stands for itself, so vectors lie along channels, and a worker takes vectors of channels of
 * images. At a window it does all that it has of an image, so that memory is read and written as it lies. Beside the image there is nothing: a window has only the pixels that lie in it. With POOL_MEAN a sum is divided
 * by how many these are. Taps come in reading order, windows too, so sums have one order.
 *
 * The gradient of a maximum goes to the first tap that is one, which is found again: no index is kept. */
#define POOL_MEAN 1

typedef struct pool_sizes {
    int64_t n, h, w, c, kh, kw, oh, ow, sh, sw, top, left;
} pool_sizes;

TR_INLINE pool_sizes pool_sizes_of(const tr_call *call) {
    const int64_t *n = call->arg;
    return (pool_sizes){n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11]};
}

/* The pixels [y, y_end) x [x, x_end) of the image that a window has. */
typedef struct pool_window {
    int64_t y, y_end, x, x_end;
} pool_window;

TR_INLINE pool_window pool_window_at(const pool_sizes *s, int64_t oy, int64_t ox) {
    int64_t y = oy * s->sh - s->top, x = ox * s->sw - s->left;
    return (pool_window){at_least(y, 0), at_most(y + s->kh, s->h), at_least(x, 0), at_most(x + s->kw, s->w)};
}

TR_INLINE float pool_share(const pool_window *p) {
    int64_t pixels = at_least(p->y_end - p->y, 0) * at_least(p->x_end - p->x, 0);
    return 1.0f / (float)at_least(pixels, 1);
}

/* Units of work: a vector of channels of an image each. */
typedef struct pool_units {
    int64_t vectors, first; /* of channels: how many, and from which one on */
    int64_t unit, end;
} pool_units;

TR_INLINE pool_units pool_units_of(const pool_sizes *s, const tr_worker *w) {
    pool_units u = {.vectors = parts(s->c, TR_LANES)};
    if (w->column_end != TR_ALL_COLUMNS) {
        u.first = w->column / TR_LANES;
        u.vectors = parts(w->column_end, TR_LANES) - u.first;
    }
    tr_split(w, s->n * u.vectors, 1, &u.unit, &u.end);
    return u;
}

/* Those of one image: vectors [v, v_end) of its channels; where its pixels of x and of y begin. */
typedef struct pool_image {
    int64_t v, v_end, x, y;
} pool_image;

TR_INLINE pool_image pool_image_of(const pool_sizes *s, const pool_units *u) {
    int64_t image = u->unit / u->vectors, v = u->unit % u->vectors;
    return (pool_image){u->first + v, u->first + at_most(u->vectors, v + u->end - u->unit), image * s->h * s->w * s->c,
                        image * s->oh * s->ow * s->c};
}

/* What a unit reads and writes: pixels of x, and of y, from its first channel on, and how many channels it has; `all`
 * where these are all of them. */
typedef struct pool_place {
    int64_t x, y, channels;
    int all;
} pool_place;

/* How many floats may be read, or written in the order of the pixels of a row, from a pixel on that is the first of so
 * many: where a unit has all channels, lanes beside its own are those of the next pixel, whose turn comes. */
TR_INLINE int64_t pool_room(const pool_place *at, int64_t pixels) { return at->all ? pixels * at->channels : at->channels; }

TR_INLINE pool_place pool_place_of(const pool_sizes *s, const pool_image *of, int64_t v) {
    int64_t channel = v * TR_LANES;
    return (pool_place){of->x + channel, of->y + channel, at_most(TR_LANES, s->c - channel), s->c <= TR_LANES};
}

#define POOL_EACH_IMAGE(sizes, of, w)                                                \
    pool_units units = pool_units_of(&sizes, w);                                     \
    pool_image of;                                                                   \
    for (; units.unit < units.end && (of = pool_image_of(&sizes, &units), 1); units.unit += of.v_end - of.v)

/* Clears an image, of the channels that are done. */
TR_INLINE void pool_clear(float *x, const pool_sizes *s, const pool_image *of) {
    const int64_t first = of->v * TR_LANES, channels = at_most(of->v_end * TR_LANES, s->c) - first;
    float *to = x + of->x + first;
    if (channels == s->c)
        conv_zero(to, s->h * s->w * s->c);
    else
        for (int64_t i = 0; i < s->h * s->w; i++)
            conv_zero(to + i * s->c, channels);
}

#define POOL_EACH_WINDOW(sizes, of, window, place)                                                              \
    pool_window window;                                                                                         \
    pool_place place;                                                                                           \
    for (int64_t oy = 0; oy < (sizes).oh; oy++)                                                                 \
        for (int64_t ox = 0; ox < (sizes).ow && (window = pool_window_at(&sizes, oy, ox), 1); ox++)             \
            for (int64_t v = (of).v; v < (of).v_end && (place = pool_place_of(&sizes, &of, v), 1); v++)

#define POOL_EACH_TAP(p)                           \
    for (int64_t y = (p).y; y < (p).y_end; y++)    \
        for (int64_t x = (p).x; x < (p).x_end; x++)

/* The maximum of a window, per channel. */
TR_INLINE vec_float pool_most(const float *in, const pool_sizes *s, const pool_place *at, const pool_window *p) {
    vec_float most = vec_splat(-INFINITY);
    POOL_EACH_TAP(*p)
        most = vec_max(most, vec_load_up_to(in + at->x + (y * s->w + x) * s->c, pool_room(at, s->w - x), 0));
    return most;
}

static int TR_K(pool_max)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *in = c->ptr[1];
    const pool_sizes s = pool_sizes_of(c);
    POOL_EACH_IMAGE(s, of, w) {
        POOL_EACH_WINDOW(s, of, p, at) {
            vec_store_up_to(out + at.y + (oy * s.ow + ox) * s.c, pool_most(in, &s, &at, &p), pool_room(&at, s.ow - ox));
        }
    }
    return 0;
}

/* Where a tap of a window is its maximum: NaN is one, of those that have any. */
TR_INLINE vec_int pool_is_most(vec_float tap, vec_float most) { return (tap == most) | (tap != tap); }

/* dx = each g at the first maximum of its window. */
static int TR_K(pool_max_grad)(const tr_call *c, const tr_worker *w) {
    float *dx = c->ptr[0];
    const float *g = c->ptr[1], *in = c->ptr[2];
    const pool_sizes s = pool_sizes_of(c);
    const int apart = s.kh <= s.sh && s.kw <= s.sw; /* no pixel is in two windows */
    POOL_EACH_IMAGE(s, of, w) {
        pool_clear(dx, &s, &of);
        POOL_EACH_WINDOW(s, of, p, at) {
            const int64_t to = at.y + (oy * s.ow + ox) * s.c;
            vec_float most = pool_most(in, &s, &at, &p), gradient = vec_load_up_to(g + to, at.channels, 0);
            vec_int left = (vec_int){0} == 0;
            POOL_EACH_TAP(p) {
                const int64_t from = at.x + (y * s.w + x) * s.c, room = pool_room(&at, s.w - x);
                vec_int first = pool_is_most(vec_load_up_to(in + from, room, 0), most) & left;
                vec_float sum = vec_splat(0) + (vec_float)((vec_int)gradient & first); /* 0 in lanes beside the channels */
                vec_store_up_to(dx + from, apart ? sum : vec_load_up_to(dx + from, room, 0) + sum, room);
                left &= ~first;
            }
        }
    }
    return 0;
}

/* out = of each window the value that stands where its first maximum is: the other way round. */
static int TR_K(pool_max_pick)(const tr_call *c, const tr_worker *w) {
    float *picked = c->ptr[0];
    const float *values = c->ptr[1], *in = c->ptr[2];
    const pool_sizes s = pool_sizes_of(c);
    POOL_EACH_IMAGE(s, of, w) {
        POOL_EACH_WINDOW(s, of, p, at) {
            const int64_t to = at.y + (oy * s.ow + ox) * s.c;
            vec_float most = pool_most(in, &s, &at, &p);
            vec_int left = (vec_int){0} == 0, value = {0};
            POOL_EACH_TAP(p) {
                const int64_t from = at.x + (y * s.w + x) * s.c, room = pool_room(&at, s.w - x);
                vec_int first = pool_is_most(vec_load_up_to(in + from, room, 0), most) & left;
                value |= (vec_int)vec_load_up_to(values + from, room, 0) & first;
                left &= ~first;
            }
            vec_store_up_to(picked + to, (vec_float)value, pool_room(&at, s.ow - ox));
        }
    }
    return 0;
}

static int TR_K(pool_sum)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *in = c->ptr[1];
    const pool_sizes s = pool_sizes_of(c);
    const int mean = c->flags & POOL_MEAN;
    POOL_EACH_IMAGE(s, of, w) {
        POOL_EACH_WINDOW(s, of, p, at) {
            vec_float sum = vec_splat(0);
            POOL_EACH_TAP(p)
                sum += vec_load_up_to(in + at.x + (y * s.w + x) * s.c, pool_room(&at, s.w - x), 0);
            if (mean)
                sum *= pool_share(&p);
            vec_store_up_to(out + at.y + (oy * s.ow + ox) * s.c, sum, pool_room(&at, s.ow - ox));
        }
    }
    return 0;
}

/* x = to each pixel the sum of the y of the windows that have it: the gradient of pool_sum, and nearest upsampling. */
static int TR_K(pool_spread)(const tr_call *c, const tr_worker *w) {
    float *to = c->ptr[0];
    const float *from = c->ptr[1];
    const pool_sizes s = pool_sizes_of(c);
    const int mean = c->flags & POOL_MEAN;
    POOL_EACH_IMAGE(s, of, w) {
        pool_clear(to, &s, &of);
        POOL_EACH_WINDOW(s, of, p, at) {
            vec_float value = vec_load_up_to(from + at.y + (oy * s.ow + ox) * s.c, at.channels, 0);
            if (mean)
                value *= pool_share(&p);
            POOL_EACH_TAP(p) {
                float *pixel = to + at.x + (y * s.w + x) * s.c;
                int64_t room = pool_room(&at, s.w - x);
                vec_store_up_to(pixel, vec_load_up_to(pixel, room, 0) + value, room); /* 0 in lanes beside the channels */
            }
        }
    }
    return 0;
}
