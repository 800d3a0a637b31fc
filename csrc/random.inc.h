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
