/* Random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011). A
 * counter-based generator: number i is a function of the key and i alone, so any worker can make any part of a stream. */

/* Takes the next n numbers of the stream: key = (seed, first), and the state moves on to a multiple of four. */
static int TR_K(random_key)(const tr_call *c, const tr_worker *w) {
    int64_t *key = c->ptr[0], *state = c->ptr[1];
    if (w->ith)
        return 0;
    key[0] = state[0], key[1] = state[1];
    state[1] += parts(c->arg[0], 4) * 4;
    return 0;
}

TR_INLINE vec_uint high_product(vec_uint a, uint32_t b) {
    vec_uint high;
    for (int i = 0; i < TR_LANES; i++)
        high[i] = (uint32_t)((uint64_t)a[i] * b >> 32);
    return high;
}

/* out[TR_LANES][4] = the four words of TR_LANES blocks in a row. */
TR_INLINE void philox(uint32_t *out, uint64_t seed, uint64_t block) {
    vec_uint a, b, c = {0}, d = {0};
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < TR_LANES; i++) {
        a[i] = (uint32_t)(block + (uint64_t)i);
        b[i] = (uint32_t)((block + (uint64_t)i) >> 32);
    }
    for (int round = 0; round < 10; round++) {
        vec_uint high_a = high_product(a, 0xD2511F53), low_a = a * 0xD2511F53;
        vec_uint high_c = high_product(c, 0xCD9E8D57), low_c = c * 0xCD9E8D57;
        a = high_c ^ b ^ key0, b = low_c;
        c = high_a ^ d ^ key1, d = low_a;
        key0 += 0x9E3779B9, key1 += 0xBB67AE85;
    }
    for (int i = 0; i < TR_LANES; i++) {
        out[4 * i] = a[i], out[4 * i + 1] = b[i];
        out[4 * i + 2] = c[i], out[4 * i + 3] = d[i];
    }
}

/* out = x / (1 - rate) where u >= rate, else 0, with u = the upper 24 bits of a word times 2^-24. */
static int TR_K(dropout)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0], keep = (float)(1 - c->scalar[0]);
    const float *x = c->ptr[1];
    const int64_t *key = c->ptr[2];
    int32_t least = (int32_t)ceil(c->scalar[0] * 0x1p24);
    int64_t begin, end;
    uint32_t words[4 * TR_LANES] __attribute__((aligned(TR_BYTES)));
    tr_split(w, c->arg[0], 64, &begin, &end);
    for (int64_t first = begin; first < end; first += 4 * TR_LANES) {
        philox(words, (uint64_t)key[0], ((uint64_t)key[1] + (uint64_t)first) / 4);
        for (int64_t k = 0, i = first; k < 4 && i < end; k++, i += TR_LANES) {
            vec_float v = i + TR_LANES <= end ? vec_load(x + i) : vec_load_part(x + i, end - i, 0);
            vec_int bits = (vec_int)(((const vec_uint *)words)[k] >> 8);
            v = (vec_float)((vec_int)(v / keep) & (bits >= least));
            store_up_to(out, v, i, end);
        }
    }
    return 0;
}
