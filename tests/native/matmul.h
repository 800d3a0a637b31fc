/* Cases of matmul: against sums in double precision, and bit for bit in the order that csrc/gemm_steps.inc.h promises. */

static void test_matmul(int64_t m, int64_t n, int64_t k, int flags, int with_more) {
    tr_call call = call_of(TR_ID_matmul, flags);
    float *a = floats(m * k, -1, 1), *b = floats(k * n, -1, 1), *bias = with_more ? floats(n, -1, 1) : 0;
    float *start = floats(m * n, -1, 1), *out = copy_of(start, m * n, sizeof(float));
    float *mask = with_more ? floats(m * n, -1, 1) : 0;
    void *pointers[] = {out, a, b, bias, mask};
    memcpy(call.ptr, pointers, sizeof pointers);
    call.arg[0] = m, call.arg[1] = n, call.arg[2] = k;
    check_status(&call, -1);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = flags & TR_ACCUMULATE ? start[i * n + j] : 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)a[flags & 1 ? p * m + i : i * k + p] * b[flags & 2 ? j * k + p : p * n + j];
            if (bias)
                sum += bias[j];
            if (flags & TR_RELU && sum < 0)
                sum = 0;
            if (mask && mask[i * n + j] <= 0)
                sum = 0;
            check(&call, "out", i * n + j, out[i * n + j], sum, 1 + 0.3 * sqrt(k));
        }
    end_case();
}

/* Whether a * b + c is one rounding in the instruction set in force. */
static int fuses(void) {
#if defined(__aarch64__)
    return 1;
#else
    return strcmp(tr_isa_name(tr_isa_current()), "generic") != 0;
#endif
}

/* The sum of the products [step, end) of k, in the order that gemm_steps.inc.h promises. */
static float sum_in_order(const float *a, int64_t a_step, const float *b, int64_t b_step, int64_t step, int64_t end) {
    float sum = 0;
    int fused = fuses();
    for (int64_t p = step; p < end; p++) {
        volatile float product = a[p * a_step] * b[p * b_step]; /* volatile: not to be fused here */
        sum = fused ? fmaf(a[p * a_step], b[p * b_step], sum) : sum + product;
    }
    return sum;
}

/* Every way of matmul sums in the same order, bit for bit. */
static void test_order(int64_t m, int64_t n, int64_t k, int flags) {
    tr_call call = call_of(TR_ID_matmul, flags);
    float *a = floats(m * k, -1, 1), *b = floats(k * n, -1, 1), *bias = floats(n, -1, 1), *mask = floats(m * n, -1, 1);
    float *start = floats(m * n, -1, 1), *out = copy_of(start, m * n, sizeof(float));
    void *pointers[] = {out, a, b, bias, mask};
    memcpy(call.ptr, pointers, sizeof pointers);
    call.arg[0] = m, call.arg[1] = n, call.arg[2] = k;
    check_status(&call, -1);
    int64_t a_row = flags & 1 ? 1 : k, a_step = flags & 1 ? m : 1, b_column = flags & 2 ? k : 1, b_step = flags & 2 ? 1 : n;
    int64_t blocks = k > TR_GEMM_DEPTH ? (k + TR_GEMM_DEPTH - 1) / TR_GEMM_DEPTH : 1;
    int64_t units = (k + TR_SHARE_UNIT - 1) / TR_SHARE_UNIT, half = (units + 1) / 2 * TR_SHARE_UNIT;
    int halves = !(flags & 3) && k >= TR_GEMM_HALVES_FROM && k <= TR_GEMM_DEPTH;
    for (int64_t i = 0; i < m; i += 1 + m / 40) /* rows of every kind of tile */
        for (int64_t j = 0; j < n; j++) {
            const float *row = a + i * a_row, *column = b + j * b_column;
            float sum = flags & TR_ACCUMULATE ? start[i * n + j] : 0;
            for (int64_t block = 0; block < blocks; block++) {
                int64_t step = k * block / blocks, end = k * (block + 1) / blocks;
                float part = sum_in_order(row, a_step, column, b_step, step, halves ? half : end);
                if (halves)
                    part += sum_in_order(row, a_step, column, b_step, half, end);
                sum = block > 0 || flags & TR_ACCUMULATE ? sum + part : part;
            }
            sum += bias[j];
            sum = flags & TR_RELU && sum < 0 ? 0 : sum;
            check(&call, "in order", i * n + j, out[i * n + j], mask[i * n + j] > 0 ? sum : 0, 0);
        }
    end_case();
}

/* A long dot product is as good as its inputs: equal terms do not lose their end. Of a row, a column, and several. */
static void test_long_dots(void) {
    static const int64_t ks[] = {512, 513, 1024, 4099, 1000003};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++)
        for (int64_t rows = 1; rows < 7; rows += 5) {
            tr_call call = call_of(TR_ID_matmul, 0);
            int64_t k = ks[i];
            float *a = floats(rows * k, 0.1, 0.1), *b = floats(k, 1, 1), *out = floats(rows, 0, 0);
            void *pointers[] = {out, a, b, 0, 0};
            memcpy(call.ptr, pointers, sizeof pointers);
            call.arg[0] = rows, call.arg[1] = 1, call.arg[2] = k;
            check_status(&call, -1);
            for (int64_t r = 0; r < rows; r++)
                check(&call, "long dot", r, out[r], (double)k * 0.1f, 0.05 * k); /* 5e-6 of it */
            end_case();
        }
}

/* One tile, panels with a narrow end, blocks of k, a large b in two packings, parts of an a that is packed where it is
 * transposed, one row of a large b in one and in two goes, an outer product. */
static void test_orders(void) {
    test_long_dots();
    static const int64_t shapes[][3] = {{5, 20, 9},      {9, 24, 130},    {33, 33, 33},  {17, 70, 600},  {66, 900, 130},
                                        {270, 270, 980}, {1, 1110, 300}, {1, 4200, 70}, {401, 515, 1}, {12, 100, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int flags = 0; flags < 4; flags++)
            if (shapes[i][0] > 1 || !(flags & 2)) /* dot products have an order of their own */
                test_order(shapes[i][0], shapes[i][1], shapes[i][2], flags | (i & 1 ? TR_ACCUMULATE : TR_RELU));
}
