/* Runs kernels of the core on every instruction set of this machine against plain loops in double, without
 * Python: for sanitizers, and for other processors under emulation.
 *
 * Every operand lies in a block of its own of exactly its size, one float off the alignment of malloc, so
 * that a sanitizer sees each access beyond it. Accuracy in ulps is tested from Python; here 1e-5 of the
 * magnitude is enough. */
#include "cases.h"
#include "matmul.h"

static double sign(double x) { return (x > 0) - (x < 0); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double relu(double x) { return x > 0 ? x : 0; }
static double softplus(double x) { return x > 30 ? x : log1p(exp(x)); }
static double square(double x) { return x * x; }
static double reciprocal(double x) { return 1 / x; }
static double negative(double x) { return -x; }

static const struct {
    int kernel;
    double (*function)(double);
    double low, high;
} unary[] = {
    {TR_ID_neg, negative, -9, 9}, {TR_ID_exp, exp, -20, 20},           {TR_ID_log, log, 0, 9},
    {TR_ID_sqrt, sqrt, 0, 9},     {TR_ID_abs, fabs, -9, 9},            {TR_ID_sign, sign, -9, 9},
    {TR_ID_tanh, tanh, -9, 9},    {TR_ID_sigmoid, sigmoid, -30, 30},   {TR_ID_relu, relu, -9, 9},
    {TR_ID_square, square, -9, 9}, {TR_ID_softplus, softplus, -40, 40}, {TR_ID_reciprocal, reciprocal, 0.1, 9},
};

static void test_unary(int64_t n) {
    for (size_t u = 0; u < sizeof unary / sizeof unary[0]; u++) {
        tr_call call = call_of(unary[u].kernel, 0);
        float *x = floats(n, unary[u].low, unary[u].high), *out = operand(n, sizeof(float));
        call.ptr[0] = out, call.ptr[1] = x, call.arg[0] = n;
        check_status(&call, -1);
        for (int64_t i = 0; i < n; i++) {
            double expected = unary[u].function(x[i]);
            check(&call, "out", i, out[i], expected, fabs(expected) + 1e-30);
        }
        end_case();
    }
}

static double add(double a, double b) { return a + b; }
static double subtract(double a, double b) { return a - b; }
static double multiply(double a, double b) { return a * b; }
static double divide(double a, double b) { return a / b; }

static const struct {
    int kernel;
    double (*function)(double, double);
} binary[] = {
    {TR_ID_add, add}, {TR_ID_sub, subtract}, {TR_ID_mul, multiply},  {TR_ID_div, divide},
    {TR_ID_pow, pow}, {TR_ID_maximum, fmax}, {TR_ID_minimum, fmin},
};

/* How many items an operand of this mode has, and which of them stands at (row, column). */
static int64_t mode_size(int mode, int64_t rows, int64_t cols) {
    return mode == 0 ? rows * cols : mode == 1 ? cols : mode == 2 ? rows : 1;
}
static int64_t mode_index(int mode, int64_t row, int64_t column, int64_t cols) {
    return mode == 0 ? row * cols + column : mode == 1 ? column : mode == 2 ? row : 0;
}

static void test_binary(int64_t rows, int64_t cols) {
    for (size_t b = 0; b < sizeof binary / sizeof binary[0]; b++)
        for (int modes = 0; modes < 16; modes++) {
            int left = modes & 3, right = modes >> 2;
            tr_call call = call_of(binary[b].kernel, modes);
            float *x = floats(mode_size(left, rows, cols), 0.5, 4), *y = floats(mode_size(right, rows, cols), 0.5, 4);
            float *out = operand(rows * cols, sizeof(float));
            call.ptr[0] = out, call.ptr[1] = x, call.ptr[2] = y, call.arg[0] = rows, call.arg[1] = cols;
            check_status(&call, -1);
            for (int64_t i = 0; i < rows * cols; i++) {
                double u = x[mode_index(left, i / cols, i % cols, cols)];
                double v = y[mode_index(right, i / cols, i % cols, cols)];
                double expected = binary[b].function(u, v);
                check(&call, "out", i, out[i], expected, fabs(u) + fabs(expected));
            }
            end_case();
        }
}

static void test_reductions(int64_t outer, int64_t n, int64_t inner) {
    static const int kernels[] = {TR_ID_sum, TR_ID_max, TR_ID_min};
    for (int r = 0; r < 3; r++) {
        tr_call call = call_of(kernels[r], 0);
        float *x = floats(outer * n * inner, -1, 1), *out = operand(outer * inner, sizeof(float));
        call.ptr[0] = out, call.ptr[1] = x, call.arg[0] = outer, call.arg[1] = n, call.arg[2] = inner;
        call.scalar[0] = 0.5;
        check_status(&call, -1);
        for (int64_t o = 0; o < outer * inner; o++) {
            double result = r == 0 ? 0 : r == 1 ? -INFINITY : INFINITY;
            for (int64_t i = 0; i < n; i++) {
                double v = x[(o / inner * n + i) * inner + o % inner];
                result = r == 0 ? result + 0.5 * v : r == 1 ? fmax(result, v) : fmin(result, v);
            }
            check(&call, "out", o, out[o], result, 1 + sqrt(n));
        }
        end_case();
    }
}

static void test_classifier(int64_t rows, int64_t cols) {
    tr_call call = call_of(TR_ID_softmax_cross_entropy, 0);
    float *x = floats(rows * cols, -5, 5), *p = operand(rows * cols, sizeof(float)), *loss = operand(1, sizeof(float));
    int64_t *label = operand(rows, sizeof(int64_t));
    for (int64_t r = 0; r < rows; r++)
        label[r] = (int64_t)uniform(0, (double)cols);
    void *pointers[] = {loss, p, x, label};
    memcpy(call.ptr, pointers, sizeof pointers);
    call.arg[0] = rows, call.arg[1] = cols;
    check_status(&call, -1);
    double total = 0;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t j = 0; j < cols; j++)
            sum += exp(x[r * cols + j]);
        for (int64_t j = 0; j < cols; j++)
            check(&call, "probabilities", r * cols + j, p[r * cols + j], exp(x[r * cols + j]) / sum, 1);
        total += log(sum) - x[r * cols + label[r]];
    }
    check(&call, "loss", 0, loss[0], total / (double)rows, 10);

    tr_call labels = call_of(TR_ID_check_labels, 0);
    labels.ptr[0] = label, labels.arg[0] = rows, labels.arg[1] = cols;
    check_status(&labels, -1);
    label[rows / 2] = cols;
    check_status(&labels, 0);
    end_case();
}

static void test_batchnorm(int64_t rows, int64_t cols) {
    tr_call call = call_of(TR_ID_batchnorm, 0);
    float *x = floats(rows * cols, 90, 110), *y = operand(rows * cols, sizeof(float));
    float *mean = operand(cols, sizeof(float)), *variance = operand(cols, sizeof(float));
    float *gamma = floats(cols, 0.5, 2), *beta = floats(cols, -1, 1);
    void *pointers[] = {y, mean, variance, x, gamma, beta};
    memcpy(call.ptr, pointers, sizeof pointers);
    call.arg[0] = rows, call.arg[1] = cols, call.scalar[0] = 1e-3;
    check_status(&call, -1);
    for (int64_t j = 0; j < cols; j++) {
        double m = 0, v = 0;
        for (int64_t i = 0; i < rows; i++)
            m += x[i * cols + j] / (double)rows;
        for (int64_t i = 0; i < rows; i++)
            v += (x[i * cols + j] - m) * (x[i * cols + j] - m) / (double)rows;
        check(&call, "mean", j, mean[j], m, 100);
        check(&call, "variance", j, variance[j], v, 100);
        for (int64_t i = 0; i < rows; i++) {
            double expected = (x[i * cols + j] - m) / sqrt(v + 1e-3) * gamma[j] + beta[j];
            check(&call, "y", i * cols + j, y[i * cols + j], expected, 100);
        }
    }
    end_case();
}

static void test_copy(int64_t rows, int64_t cols) { /* a transpose */
    tr_call call = call_of(TR_ID_copy, 4);
    float *x = floats(rows * cols, -1, 1), *out = operand(rows * cols, sizeof(float));
    call.ptr[0] = out, call.ptr[1] = x;
    call.arg[0] = 2, call.arg[1] = cols, call.arg[2] = rows;
    call.arg[7] = rows, call.arg[8] = 1, call.arg[13] = 1, call.arg[14] = cols;
    check_status(&call, -1);
    for (int64_t i = 0; i < rows * cols; i++)
        check(&call, "out", i, out[i], x[i % rows * cols + i / rows], 0);
    end_case();
}

static void test_adam(int64_t n) {
    tr_call call = call_of(TR_ID_adam, 0);
    double *hyper = operand(8, sizeof(double));
    const double values[8] = {0.1, 0.9, 0.99, 1e-8, 0, 1, 3, 0};
    memcpy(hyper, values, sizeof values);
    float *p0 = floats(n, -1, 1), *m0 = floats(n, -1, 1), *v0 = floats(n, 0, 1), *g = floats(n, -1, 1);
    float *p = copy_of(p0, n, sizeof(float)), *m = copy_of(m0, n, sizeof(float)), *v = copy_of(v0, n, sizeof(float));
    void *pointers[] = {p, m, v, g, hyper};
    memcpy(call.ptr, pointers, sizeof pointers);
    call.arg[0] = n;
    check_status(&call, -1);
    for (int64_t i = 0; i < n; i++) {
        double first = 0.9 * m0[i] + 0.1 * g[i], second = 0.99 * v0[i] + 0.01 * g[i] * g[i];
        double step = 0.1 / (1 - 0.729) * first / (sqrt(second) / sqrt(1 - 0.970299) + 1e-8);
        check(&call, "m", i, m[i], first, 1);
        check(&call, "v", i, v[i], second, 1);
        check(&call, "p", i, p[i], p0[i] - step, 1 + fabs(step));
    }
    end_case();
}

static void test_inspection(int64_t n) {
    tr_call call = call_of(TR_ID_stats, 0), dot = call_of(TR_ID_dot, 0), finite = call_of(TR_ID_check_finite, 0);
    float *x = floats(n, -2, 1), *y = floats(n, -1, 1);
    double *out = operand(8, sizeof(double)), sum = 0, squares = 0, most = 0, product = 0;
    call.ptr[0] = dot.ptr[0] = out, call.ptr[1] = dot.ptr[1] = finite.ptr[0] = x, dot.ptr[2] = y;
    call.arg[0] = dot.arg[0] = finite.arg[0] = n;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i], squares += (double)x[i] * x[i], product += (double)x[i] * y[i];
        most = fmax(most, fabs(x[i]));
    }
    check_status(&call, -1);
    check(&call, "sum", 0, out[0], sum, 1 + sqrt(n));
    check(&call, "squares", 0, out[1], squares, 1 + n);
    check(&call, "max", 0, out[2], most, 0);
    check(&call, "nans", 0, out[4], 0, 0);
    check_status(&dot, -1);
    check(&dot, "dot", 0, out[0], product, 1 + sqrt(n));
    check_status(&finite, -1);
    if (n > 0) {
        x[n - 1] = INFINITY;
        check_status(&finite, 0);
    }
    end_case();
}

static const int64_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static int64_t any_size(void) { return sizes[(int)uniform(0, SIZES)]; }

static void test_all(int matmuls) {
    for (int i = 0; i < matmuls; i++) {
        int flags = (i & 3) | (i & 4 ? TR_ACCUMULATE : 0) | (i & 8 ? TR_RELU : 0);
        test_matmul(any_size(), any_size(), any_size(), flags, i & 16);
    }
    for (int i = 0; i < SIZES; i++) {
        int64_t n = sizes[i], other = any_size();
        test_unary(n);
        test_adam(n);
        test_inspection(n);
        test_binary(n, other % 20);
        test_reductions(other % 5, n + 1, any_size() % 40);
        test_copy(n, other);
        test_classifier(other + 1, n + 1);
        test_batchnorm(other + 1, n);
    }
}

/* Sizes that fill blocks, that are packed, and that are split over workers. */
static void test_large(void) {
    for (int flags = 0; flags < 4; flags++) {
        test_matmul(130, 150, 1100, flags, 1);
        test_matmul(1, 1000, 600, flags | TR_ACCUMULATE, 0);
        test_matmul(700, 1, 600, flags, 1);
        test_matmul(270, 2, 40, flags | TR_RELU, 1);
        test_matmul(530, 270, 520, flags, 0);
        test_matmul(70, 900, 130, flags | TR_ACCUMULATE, 1);
        test_matmul(1, 1110, 300, flags | TR_RELU, 1);
        test_matmul(401, 515, 1, flags, flags & 1);
    }
    test_unary(70000);
    test_binary(300, 70);
    test_reductions(3, 300, 80);
    test_reductions(1, 70000, 1);
    test_classifier(900, 10);
    test_batchnorm(300, 70);
    test_copy(300, 200);
    test_adam(70000);
    test_inspection(70000);
}

extern int tr_widens_by_halves; /* csrc/kernel.h */

/* What a processor is taken for changes no bit. */
static void test_widening(int64_t n) {
    int as_found = tr_widens_by_halves;
    tr_call call = call_of(TR_ID_dot, 0);
    double *out = operand(1, sizeof(double));
    call.ptr[0] = out, call.ptr[1] = floats(n, -2, 1), call.ptr[2] = floats(n, -1, 1);
    call.arg[0] = n;
    for (int same = 0; same < 2; same++) {
        tr_widens_by_halves = 0;
        check_status(&call, -1);
        double whole = *out;
        tr_widens_by_halves = 1;
        check_status(&call, -1);
        check(&call, "dot by halves", n, *out, whole, 0);
        call.ptr[2] = call.ptr[1];
    }
    tr_widens_by_halves = as_found;
    end_case();
}

static void *test_large_at_once(void *unused) {
    test_large();
    return unused;
}

/* A planned list, as a captured step makes it, again and again: by columns and by rows with the waits that it needs, between
 * a call that wakes all workers and one that is for worker 0. */
enum { PLANNED_ROWS = 40, PLANNED_CALLS = 11, PLANNED_ROUNDS = 30 };

static int64_t run_planned(float *x, float *y, float *z, float *weights, float *gradient, float *moments, float *big,
                           double *hyper, int columns) {
    static _Thread_local tr_call list[PLANNED_CALLS * PLANNED_ROUNDS + 1];
    int n = columns, m = PLANNED_ROWS, by = TR_BY_COLUMNS | n << TR_COUNT_SHIFT, rows = TR_BY_ROWS | n << TR_COUNT_SHIFT;
    const struct {
        int kernel, flags, share;
        void *ptr[8];
        int64_t arg[3];
    } calls[PLANNED_CALLS] = {
        {TR_ID_matmul, 0, by | TR_WAIT, {y, x, weights}, {m, n, n}},
        {TR_ID_batchnorm, TR_RELU, by, {z, moments, moments + n, y}, {m, n}},
        {TR_ID_add, 0, by, {y, z, y}, {1, m * n}},
        {TR_ID_matmul, 1, by, {gradient, x, y}, {n, n, m}},
        {TR_ID_sum, 0, by, {moments, y}, {1, m, n}},
        {TR_ID_matmul, 2, by | TR_WAIT, {z, y, weights}, {m, n, n}},
        {TR_ID_sgd, 0, by | TR_WAIT, {weights, 0, gradient, hyper}, {n * n}},
        {TR_ID_tanh, 0, by, {x, z}, {m * n}},
        {TR_ID_matmul, 1, rows | TR_WAIT, {gradient, x, y}, {n, n, m}},
        {TR_ID_sgd, 0, rows, {weights, 0, gradient, hyper}, {n * n}},
        {TR_ID_stats, 0, TR_ALONE | TR_WAIT, {moments + 2 * n, z}, {m * n}},
    };
    tr_call *at = list;
    *at = call_of(TR_ID_matmul, 0);
    at->share = TR_TOGETHER;
    at->ptr[0] = big, at->ptr[1] = big + 200 * 200, at->ptr[2] = big + 2 * 200 * 200;
    at->arg[0] = at->arg[1] = at->arg[2] = 200;
    for (int i = 0; i < PLANNED_CALLS * PLANNED_ROUNDS; i++) {
        *++at = call_of(calls[i % PLANNED_CALLS].kernel, calls[i % PLANNED_CALLS].flags);
        at->share = calls[i % PLANNED_CALLS].share;
        memcpy(at->ptr, calls[i % PLANNED_CALLS].ptr, sizeof calls[0].ptr);
        memcpy(at->arg, calls[i % PLANNED_CALLS].arg, sizeof calls[0].arg);
        at->scalar[0] = at->kernel == TR_ID_sum ? 1 : 1e-3;
    }
    return tr_run((const char *)list, at - list + 1);
}

static void test_planned(int columns) {
    int64_t n = columns, sizes[7] = {PLANNED_ROWS * n, PLANNED_ROWS * n, PLANNED_ROWS * n, n * n, n * n, 2 * n + 16, 120000};
    float *one[7], *many[7];
    double *hyper = operand(8, sizeof(double));
    for (int i = 0; i < 8; i++)
        hyper[i] = 0.01;
    for (int i = 0; i < 7; i++) {
        one[i] = floats(sizes[i], -0.1, 0.1);
        many[i] = copy_of(one[i], sizes[i], sizeof(float));
    }
    int threads = tr_get_threads();
    tr_set_threads(1);
    int64_t status = run_planned(one[0], one[1], one[2], one[3], one[4], one[5], one[6], hyper, columns);
    tr_set_threads(threads);
    int64_t other = run_planned(many[0], many[1], many[2], many[3], many[4], many[5], many[6], hyper, columns);
    tr_call call = call_of(TR_ID_matmul, 0);
    check(&call, "planned list", 0, (double)other, (double)status, 0);
    for (int i = 0; i < 7; i++)
        for (int64_t j = 0; j < sizes[i]; j++)
            check(&call, "planned list", j, many[i][j], one[i][j], 0);
    end_case();
}

int main(void) {
    for (int isa = 0; isa < tr_isa_count(); isa++) {
        if (tr_isa_select(isa))
            continue;
        long before = wrong;
        tr_set_threads(1);
        test_all(640);
        test_large();
        test_orders();
        for (int i = 0; i < SIZES; i++)
            test_widening(sizes[i] * 331);
        tr_set_threads(3);
        test_orders();
        test_large();
        for (int i = 0; i < 5; i++) {
            test_planned(64);
            test_planned(32);
            test_planned(80);
        }
        pthread_t callers[3];
        for (int i = 0; i < 3; i++)
            pthread_create(&callers[i], 0, test_large_at_once, 0);
        for (int i = 0; i < 3; i++)
            pthread_join(callers[i], 0);
        printf("%s: %s\n", tr_isa_name(isa), wrong == before ? "right" : "WRONG");
    }
    printf("%ld values, %ld wrong\n", checked, wrong);
    return wrong != 0;
}
