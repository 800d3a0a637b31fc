static int TR_K(matmul)(const tr_call *c, const tr_worker *w) {
    float *out = c->ptr[0];
    const float *a = c->ptr[1], *b = c->ptr[2], *bias = c->ptr[3];
    int64_t m = c->arg[0], n = c->arg[1], k = c->arg[2], begin, end;
    int64_t ai = c->flags & 1 ? 1 : k, ap = c->flags & 1 ? m : 1;
    int64_t bp = c->flags & 2 ? 1 : n, bj = c->flags & 2 ? k : 1;
    tr_split(w, m, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += a[i * ai + p * ap] * b[p * bp + j * bj];
            if (c->flags & TR_ACCUMULATE)
                sum += out[i * n + j];
            if (bias)
                sum += bias[j];
            if ((c->flags & TR_RELU) && sum < 0)
                sum = 0;
            out[i * n + j] = sum;
        }
    return 0;
}
