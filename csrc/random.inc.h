/* Random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3;
 * SC 2011). A counter-based generator: number i is a function of the key and i alone, so any worker can
 * make any part of a stream. */

/* Takes the next n numbers of the stream: key = (seed, first), and the state moves on to a multiple of
 * four. */
static int TR_K(random_key)(const tr_call *c, const tr_worker *w) {
    int64_t *key = c->ptr[0], *state = c->ptr[1];
    if (w->ith)
        return 0;
    key[0] = state[0], key[1] = state[1];
    state[1] += parts(c->arg[0], 4) * 4;
    return 0;
}

enum { PHILOX_BLOCKS = 64 };

/* out[PHILOX_BLOCKS][4] = the words of so many blocks in a row. A plain loop: compilers know how to widen
 * a product. */
static void philox(uint32_t (*out)[4], uint64_t seed, uint64_t block) {
    for (int i = 0; i < PHILOX_BLOCKS; i++) {
        uint64_t index = block + (uint64_t)i;
        uint32_t a = (uint32_t)index, b = (uint32_t)(index >> 32), c = 0, d = 0;
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            uint64_t p = (uint64_t)a * 0xD2511F53, q = (uint64_t)c * 0xCD9E8D57;
            a = (uint32_t)(q >> 32) ^ b ^ key0, b = (uint32_t)q;
            c = (uint32_t)(p >> 32) ^ d ^ key1, d = (uint32_t)p;
            key0 += 0x9E3779B9, key1 += 0xBB67AE85;
        }
        out[i][0] = a, out[i][1] = b, out[i][2] = c, out[i][3] = d;
    }
}

/* out = u, the upper 24 bits of a word times 2^-24: uniform in [0, 1). */
static int TR_K(random_uniform)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const int64_t *key = c->ptr[1];
    int64_t begin, end;
    uint32_t words[PHILOX_BLOCKS][4] __attribute__((aligned(TR_BYTES)));
    tr_split(w, c->arg[0], 4 * PHILOX_BLOCKS, &begin, &end);
    for (int64_t first = begin; first < end; first += 4 * PHILOX_BLOCKS) {
        const uint32_t *word = words[0];
        philox(words, (uint64_t)key[0], ((uint64_t)key[1] + (uint64_t)first) / 4);
        for (int64_t i = first; i < at_most(end, first + 4 * PHILOX_BLOCKS); i++)
            out[i] = (float)(int32_t)(*word++ >> 8) * 0x1p-24f;
    }
    return 0;
}

/* out = x / (1 - rate) where u >= rate, else 0, with u = the upper 24 bits of a word times 2^-24. */
static int TR_K(dropout)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0], keep = (float)(1 - c->scalar[0]);
    const float *x = c->ptr[1];
    const int64_t *key = c->ptr[2];
    int32_t least = (int32_t)ceil(c->scalar[0] * 0x1p24);
    int64_t begin, end;
    uint32_t words[PHILOX_BLOCKS][4] __attribute__((aligned(TR_BYTES)));
    tr_split(w, c->arg[0], 4 * PHILOX_BLOCKS, &begin, &end);
    for (int64_t first = begin; first < end; first += 4 * PHILOX_BLOCKS) {
        const vec_uint *word = (const vec_uint *)words;
        philox(words, (uint64_t)key[0], ((uint64_t)key[1] + (uint64_t)first) / 4);
        for (int64_t i = first; i < at_most(end, first + 4 * PHILOX_BLOCKS); i += TR_LANES) {
            vec_float v = vec_load_up_to(x + i, end - i, 0);
            vec_int bits = (vec_int)(*word++ >> 8);
            v = (vec_float)((vec_int)(v / keep) & (bits >= least));
            vec_store_up_to(out + i, v, end - i);
        }
    }
    return 0;
}

/* Where the window of an image lies and which way round it is read: row y of it is row top + y_step * y of the image. */
typedef struct random_place {
    int64_t top, left, y_step, x_step;
} random_place;

/* Words 0 and 1 of the image's block say where the window begins, each place as likely, words 2 and 3 whether it is
 * flipped. */
static random_place random_place_of(const tr_call *c, int64_t image) {
    int64_t h = c->arg[1], w = c->arg[2], oh = c->arg[4], ow = c->arg[5];
    const int64_t *key = c->ptr[2];
    uint32_t words[PHILOX_BLOCKS][4] __attribute__((aligned(TR_BYTES)));
    philox(words, (uint64_t)key[0], (uint64_t)key[1] / 4 + (c->flags & TR_ALIKE ? 0 : (uint64_t)image));
    int64_t top = ((int64_t)(words[0][0] >> 8) * (h - oh + 1)) >> 24;
    int64_t left = ((int64_t)(words[0][1] >> 8) * (w - ow + 1)) >> 24;
    random_place p = {top, left, 1, 1};
    if (c->flags & TR_FLIP_ROWS && words[0][2] >> 31)
        p.top += oh - 1, p.y_step = -1;
    if (c->flags & TR_FLIP_COLUMNS && words[0][3] >> 31)
        p.left += ow - 1, p.x_step = -1;
    return p;
}

/* A row of `pixels` with c channels: pixel i of out is pixel i * step of x, or with `back` the other way round. */
static void move_pixels(float *out, const float *x, int64_t pixels, int64_t c, int64_t step, int back) {
    if (step == 1) {
        memcpy(out, x, (size_t)(pixels * c) * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < pixels; i++)
        memcpy(out + (back ? -i : i) * c, x + (back ? i : -i) * c, (size_t)c * sizeof(float));
}

/* y[n, oh, ow, c] = of each image x[n, h, w, c] a window that is drawn. */
static int TR_K(random_window)(const tr_call *call, const tr_worker *worker) {
    float *y = call->ptr[0];
    const float *x = call->ptr[1];
    int64_t h = call->arg[1], w = call->arg[2], c = call->arg[3], oh = call->arg[4], ow = call->arg[5], begin, end;
    tr_split(worker, call->arg[0] * oh, 1, &begin, &end);
    random_place p = {0, 0, 1, 1};
    for (int64_t r = begin; r < end; r++) {
        int64_t image = r / oh, row = r % oh;
        if (r == begin || row == 0)
            p = random_place_of(call, image);
        const float *from = x + ((image * h + p.top + p.y_step * row) * w + p.left) * c;
        move_pixels(y + r * ow * c, from, ow, c, p.x_step, 0);
    }
    return 0;
}

/* The transpose of random_window: x[n, h, w, c] = y where the window lies, 0 beside it. */
static int TR_K(random_window_grad)(const tr_call *call, const tr_worker *worker) {
    float *x = call->ptr[0];
    const float *y = call->ptr[1];
    int64_t h = call->arg[1], w = call->arg[2], c = call->arg[3], oh = call->arg[4], ow = call->arg[5], begin, end;
    tr_split(worker, call->arg[0] * h, 1, &begin, &end);
    random_place p = {0, 0, 1, 1};
    for (int64_t r = begin; r < end; r++) {
        int64_t image = r / h;
        if (r == begin || r % h == 0)
            p = random_place_of(call, image);
        int64_t row = (r % h - p.top) * p.y_step;
        float *to = x + r * w * c;
        memset(to, 0, (size_t)(w * c) * sizeof(float));
        if (row >= 0 && row < oh)
            move_pixels(to + p.left * c, y + (image * oh + row) * ow * c, ow, c, p.x_step, 1);
    }
    return 0;
}
