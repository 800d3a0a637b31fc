/* Vectors of TR_LANES floats on the vector extensions of GCC and Clang: the only layer between kernels and
 * the machine.
 *
 * Everything is always_inline: a vector never crosses a call, so no ABI rule about wide registers applies.
 * A comparison of vectors gives an int vector of 0 and -1 (a mask); `vec_select` chooses by one. Where the
 * extensions lack an operation (square root, widening) a loop over the lanes states it; both compilers
 * turn that into the one instruction. Where they do not (parts of vectors, maximum, scaling by a power of two,
 * stores past the caches) x86 has a builtin here, beside what all others run.
 *
 * The elementary functions take every float: their largest errors, found by trying all 2^32 inputs on
 * every instruction set (bench/ulp.py), stand at each. Coefficients are printed by bench/polynomials.py. */
#ifndef TR_VEC_H
#define TR_VEC_H

#include "kernel.h"

#define TR_BYTES (TR_LANES * 4)
#define TR_HALF (TR_LANES / 2)
#define TR_VECTOR(type, bytes) type __attribute__((vector_size(bytes)))
#define TR_MEMORY(type, bytes, align) type __attribute__((vector_size(bytes), aligned(align), may_alias))

/* Whether a * b + c is one instruction here. The generic code knows only what every processor of its kind
 * has. */
#define TR_HAS_FMA (TR_LANES > 4 || TR_HAS_ARM64)

typedef TR_VECTOR(float, TR_BYTES) vec_float;
typedef TR_VECTOR(int32_t, TR_BYTES) vec_int;
typedef TR_VECTOR(uint32_t, TR_BYTES) vec_uint;
typedef TR_VECTOR(int64_t, TR_BYTES) vec_long;  /* TR_HALF of them */
typedef TR_VECTOR(double, TR_BYTES) vec_double; /* TR_HALF of them */

/* The same in memory: at any address of an element, whatever type the object there has. */
typedef TR_MEMORY(float, TR_BYTES, 4) vec_float_memory;
typedef TR_MEMORY(double, TR_BYTES, 8) vec_double_memory;
typedef TR_MEMORY(int8_t, TR_LANES, 1) vec_bool_memory;

/* In a loop that is not worth vector code and its unrolled remainders. */
#define TR_SCALAR_LOOP __asm__ volatile("")

/* Before a loop over an array of vectors that are to be registers: its bounds are constants where it is inlined. */
#ifdef __clang__
#define TR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TR_UNROLL _Pragma("GCC unroll 16")
#endif

#define TR_NOINLINE static __attribute__((noinline))

/* Loads and stores. */

TR_INLINE vec_float vec_load(const float *p) { return *(const vec_float_memory *)p; }
TR_INLINE void vec_store(float *p, vec_float v) { *(vec_float_memory *)p = v; }
TR_INLINE vec_double vec_load_double(const double *p) { return *(const vec_double_memory *)p; }
TR_INLINE void vec_store_double(double *p, vec_double v) { *(vec_double_memory *)p = v; }

/* x - 0 and not 0 + x, which would turn -0 into 0; the compiler sees a plain broadcast. */
TR_INLINE vec_float vec_splat(float x) { return x - (vec_float){0}; }

/* Mask of the first `count` lanes. */
TR_INLINE vec_int vec_first(int64_t count) {
    vec_int lane;
    for (int i = 0; i < TR_LANES; i++)
        lane[i] = i;
    return lane < (int32_t)count;
}

/* Parts of vectors: the first `count` <= TR_LANES elements. A masked instruction touches no byte beyond them; the
 * loop over lanes is for processors without one, and for the address sanitizer, which sees into loops only. */
#if TR_HAS_X86 && TR_LANES >= 8 && !defined(__SANITIZE_ADDRESS__)
#define TR_MASKED_ACCESS 1
#else
#define TR_MASKED_ACCESS 0
#endif

/* The other lanes hold `padding`. */
TR_INLINE vec_float vec_load_part(const float *p, int64_t count, float padding) {
#if TR_MASKED_ACCESS && TR_LANES == 16
    return __builtin_ia32_loadups512_mask(p, vec_splat(padding), (uint16_t)((1u << count) - 1));
#elif TR_MASKED_ACCESS
    vec_int mask = vec_first(count);
    vec_int v = (vec_int)__builtin_ia32_maskloadps256((const vec_float *)p, mask);
    return (vec_float)(v | ((vec_int)vec_splat(padding) & ~mask));
#else
    vec_float v = vec_splat(padding);
    for (int i = 0; i < TR_LANES; i++)
        if (i < count)
            v[i] = p[i];
    return v;
#endif
}

TR_INLINE void vec_store_part(float *p, vec_float v, int64_t count) {
#if TR_MASKED_ACCESS && TR_LANES == 16
    __builtin_ia32_storeups512_mask(p, v, (uint16_t)((1u << count) - 1));
#elif TR_MASKED_ACCESS
    __builtin_ia32_maskstoreps256((vec_float *)p, vec_first(count), v);
#else
    for (int i = 0; i < TR_LANES; i++)
        if (i < count)
            p[i] = v[i];
#endif
}

/* A whole vector where `count` allows it, else a part. */
TR_INLINE vec_float vec_load_up_to(const float *p, int64_t count, float padding) {
    return count >= TR_LANES ? vec_load(p) : vec_load_part(p, count, padding);
}

TR_INLINE void vec_store_up_to(float *p, vec_float v, int64_t count) {
    if (count >= TR_LANES)
        vec_store(p, v);
    else
        vec_store_part(p, v, count);
}

/* TR_HALF floats as doubles. Straight from memory it is one instruction, from a register it would be many. */
TR_INLINE vec_double vec_load_widened(const float *p) {
    vec_double v;
    for (int i = 0; i < TR_HALF; i++)
        v[i] = (double)p[i];
    return v;
}

/* TR_LANES bools as a mask. */
TR_INLINE vec_int vec_load_mask(const char *p) {
    vec_int v;
    for (int i = 0; i < TR_LANES; i++)
        v[i] = p[i];
    return v != 0;
}

/* A store that does not read the line into the cache first; p is aligned to TR_BYTES. Ends with
 * vec_stream_end. */
TR_INLINE void vec_stream(float *p, vec_float v) {
#if defined(__clang__)
    __builtin_nontemporal_store(v, (vec_float *)p);
#elif TR_HAS_X86 && TR_LANES == 16
    __builtin_ia32_movntps512(p, v);
#elif TR_HAS_X86 && TR_LANES == 8
    __builtin_ia32_movntps256(p, v);
#elif TR_HAS_X86
    __builtin_ia32_movntps(p, v);
#else
    *(vec_float *)p = v;
#endif
}

TR_INLINE void vec_stream_end(void) {
#if TR_HAS_X86
    __builtin_ia32_sfence();
#endif
}

/* Choice and order. */

TR_INLINE vec_float vec_select(vec_int mask, vec_float yes, vec_float no) {
    return (vec_float)((mask & (vec_int)yes) | (~mask & (vec_int)no));
}

/* a where a > b, else b: b where either is NaN. On x86 that is one instruction, which GCC does not find by itself. */
#if TR_HAS_X86 && !defined(__clang__) && TR_LANES == 16
TR_INLINE vec_float vec_greater(vec_float a, vec_float b) { return __builtin_ia32_maxps512_mask(a, b, a, -1, 4); }
TR_INLINE vec_float vec_lesser(vec_float a, vec_float b) { return __builtin_ia32_minps512_mask(a, b, a, -1, 4); }
#elif TR_HAS_X86 && !defined(__clang__) && TR_LANES == 8
TR_INLINE vec_float vec_greater(vec_float a, vec_float b) { return __builtin_ia32_maxps256(a, b); }
TR_INLINE vec_float vec_lesser(vec_float a, vec_float b) { return __builtin_ia32_minps256(a, b); }
#elif TR_HAS_X86 && !defined(__clang__)
TR_INLINE vec_float vec_greater(vec_float a, vec_float b) { return __builtin_ia32_maxps(a, b); }
TR_INLINE vec_float vec_lesser(vec_float a, vec_float b) { return __builtin_ia32_minps(a, b); }
#else
TR_INLINE vec_float vec_greater(vec_float a, vec_float b) { return vec_select(a > b, a, b); }
TR_INLINE vec_float vec_lesser(vec_float a, vec_float b) { return vec_select(a < b, a, b); }
#endif

/* Maximum and minimum: NaN where either is NaN. */
TR_INLINE vec_float vec_max(vec_float a, vec_float b) { return vec_select(a != a, a, vec_greater(a, b)); }
TR_INLINE vec_float vec_min(vec_float a, vec_float b) { return vec_select(a != a, a, vec_lesser(a, b)); }

/* x where y is above 0 or NaN, else 0: the gradient of a ReLU. Compared as integers, subnormal y count in any mode. */
TR_INLINE vec_float vec_where_positive(vec_float x, vec_float y) {
    return (vec_float)((vec_int)x & (((vec_int)y > 0) | (y != y)));
}

TR_INLINE vec_float vec_abs(vec_float x) { return (vec_float)((vec_int)x & 0x7fffffff); }

TR_INLINE vec_float vec_sqrt(vec_float x) {
    vec_float v;
    for (int i = 0; i < TR_LANES; i++)
        v[i] = __builtin_sqrtf(x[i]);
    return v;
}

/* Across lanes. Halves are added to halves, so the order depends on TR_LANES only. */

TR_INLINE int vec_any(vec_int mask) {
    int64_t any = 0;
    for (int i = 0; i < TR_HALF; i++)
        any |= ((vec_long)mask)[i];
    return any != 0;
}

/* Lane i takes lane i + by, cyclically. As a loop over lanes it would go through memory. */
#if TR_LANES == 16
#define VEC_ROTATION(by) VEC_TURN(0, by), VEC_TURN(4, by), VEC_TURN(8, by), VEC_TURN(12, by)
#elif TR_LANES == 8
#define VEC_ROTATION(by) VEC_TURN(0, by), VEC_TURN(4, by)
#else
#define VEC_ROTATION(by) VEC_TURN(0, by)
#endif
#define VEC_LANE(i) ((i) % TR_LANES)
#define VEC_TURN(i, by) VEC_LANE(i + by), VEC_LANE(i + 1 + by), VEC_LANE(i + 2 + by), VEC_LANE(i + 3 + by)
#ifdef __clang__
#define VEC_ROTATE(v, by) __builtin_shufflevector(v, v, VEC_ROTATION(by))
#else
#define VEC_ROTATE(v, by) __builtin_shuffle(v, (vec_int){VEC_ROTATION(by)})
#endif

TR_INLINE float vec_sum(vec_float v) {
#if TR_LANES >= 16
    v += VEC_ROTATE(v, 8);
#endif
#if TR_LANES >= 8
    v += VEC_ROTATE(v, 4);
#endif
    v += VEC_ROTATE(v, 2);
    v += VEC_ROTATE(v, 1);
    return v[0];
}

TR_INLINE double vec_sum_double(vec_double v) {
    for (int width = TR_HALF / 2; width; width /= 2)
        for (int i = 0; i < width; i++)
            v[i] += v[i + width];
    return v[0];
}

typedef vec_float vec_choice(vec_float a, vec_float b);

/* What is left when f (vec_max or vec_min) has chosen among all lanes. */
TR_INLINE float vec_across(vec_float v, vec_choice *f) {
#if TR_LANES >= 16
    v = f(v, VEC_ROTATE(v, 8));
#endif
#if TR_LANES >= 8
    v = f(v, VEC_ROTATE(v, 4));
#endif
    v = f(v, VEC_ROTATE(v, 2));
    return f(v, VEC_ROTATE(v, 1))[0];
}

/* Transposition. */

typedef TR_VECTOR(float, 16) quad;
typedef TR_MEMORY(float, 16, 4) quad_memory;

/* 4 x 4 floats; strides in elements. */
TR_INLINE void transpose_quad(float *out, int64_t out_stride, const float *in, int64_t in_stride) {
    quad a = *(const quad_memory *)in, b = *(const quad_memory *)(in + in_stride);
    quad c = *(const quad_memory *)(in + 2 * in_stride), d = *(const quad_memory *)(in + 3 * in_stride);
    *(quad_memory *)out = (quad){a[0], b[0], c[0], d[0]};
    *(quad_memory *)(out + out_stride) = (quad){a[1], b[1], c[1], d[1]};
    *(quad_memory *)(out + 2 * out_stride) = (quad){a[2], b[2], c[2], d[2]};
    *(quad_memory *)(out + 3 * out_stride) = (quad){a[3], b[3], c[3], d[3]};
}

/* out[c][r] = in[r][c]. */
TR_INLINE void transpose(float *out, int64_t out_stride, const float *in, int64_t in_stride, int64_t rows,
                         int64_t cols) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        int64_t c = 0;
        for (; c + 4 <= cols; c += 4)
            transpose_quad(out + c * out_stride + r, out_stride, in + r * in_stride + c, in_stride);
        for (; c < cols; c++)
            for (int64_t k = r; k < r + 4; k++)
                out[c * out_stride + k] = in[k * in_stride + c];
    }
    for (; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            TR_SCALAR_LOOP;
            out[c * out_stride + r] = in[r * in_stride + c];
        }
}

/* Elementary functions.
 *
 * exp: x = n ln(2) + r with |r| <= ln(2)/2 (ln(2) in two parts of which the first times n is exact: Cody
 * and Waite, 1980), then 2^n (1 + r + r^2 q(r)). Adding 1.5 * 2^23 rounds to an integer and leaves it in
 * the low bits of the sum, from where a shift brings it to the exponent: added there too, the bias of the
 * exponent makes that a power of two. One power alone would miss 2^128 and the subnormals, so the result
 * is scaled in two steps. */
#define TR_ROUND 0x1.8p23f
#define TR_LOG2_E 0x1.715476p+0f
#define TR_LN2 0x1.62e43p-1f
#define TR_LN2_HIGH 0x1.62e4p-1f
#define TR_LN2_LOW 0x1.7f7d1cp-20f

/* e^r for |r| <= ln(2)/2. The polynomial is (e^r - 1 - r) / r^2; it leaves a relative error of 0.07 *
 * 2^-24. */
TR_INLINE vec_float vec_exp_reduced(vec_float r) {
    vec_float q = r * 0x1.6a2434p-10f + 0x1.1239e2p-7f;
    q = q * r + 0x1.5558f2p-5f;
    q = q * r + 0x1.555492p-3f;
    q = q * r + 0x1.fffffcp-2f;
#if TR_HAS_FMA /* the order with the smaller error depends on whether r (1 + r q) is rounded */
    return 1.0f + r * (1.0f + r * q);
#else
    return 1.0f + (r + r * r * q);
#endif
}

TR_INLINE vec_float vec_exp_remainder(vec_float x, vec_float n) {
    return (x - n * TR_LN2_HIGH) - n * TR_LN2_LOW;
}

#if TR_HAS_X86 && TR_LANES == 16
/* AVX-512 multiplies by any power of two in one instruction. */
TR_INLINE vec_float vec_exp_times_power(vec_float x) {
    vec_float n = (x * TR_LOG2_E + TR_ROUND) - TR_ROUND, y = vec_exp_reduced(vec_exp_remainder(x, n));
    return __builtin_ia32_scalefps512_mask(y, n, y, -1, 4);
}
#endif

/* Error below 0.98 ulp, 0.90 with FMA. Twice the bias is added, and half of the sum goes to each of the
 * two powers. */
TR_INLINE vec_float vec_exp(vec_float x) {
    x = vec_lesser(vec_splat(89.0f), x);
    x = vec_greater(vec_splat(-104.0f), x);
#if TR_HAS_X86 && TR_LANES == 16
    return vec_exp_times_power(x);
#else
    vec_float shifted = x * TR_LOG2_E + (TR_ROUND + 254), n = shifted - (TR_ROUND + 254);
    vec_float y = vec_exp_reduced(vec_exp_remainder(x, n));
    vec_uint bits = (vec_uint)shifted, half = bits >> 1;
    return y * (vec_float)(half << 23) * (vec_float)((bits - half) << 23);
#endif
}

/* The same for x <= 0: a fixed second power, 2^-24, is enough. */
TR_INLINE vec_float vec_exp_negative(vec_float x) {
    x = vec_greater(vec_splat(-104.0f), x);
#if TR_HAS_X86 && TR_LANES == 16
    return vec_exp_times_power(x);
#else
    vec_float shifted = x * TR_LOG2_E + (TR_ROUND + 127 + 24), n = shifted - (TR_ROUND + 127 + 24);
    vec_float y = vec_exp_reduced(vec_exp_remainder(x, n));
    return y * (vec_float)((vec_uint)shifted << 23) * 0x1p-24f;
#endif
}

/* log(2^k (1 + f)) for 1 + f in sqrt(1/2)..sqrt(2): k ln(2) + f - f^2/2 + f^3 p(f), the small parts added
 * first. */
TR_INLINE vec_float vec_log_of_parts(vec_float k, vec_float f) {
    vec_float p = f * -0x1.38b578p-4f + 0x1.055b68p-3f;
    p = p * f - 0x1.0d8542p-3f;
    p = p * f + 0x1.22da1ep-3f;
    p = p * f - 0x1.547244p-3f;
    p = p * f + 0x1.99a008p-3f;
    p = p * f - 0x1.000226p-2f;
    p = p * f + 0x1.555554p-2f;
    vec_float square = f * f;
    vec_float small = k * TR_LN2_LOW + square * (f * p);
    return k * TR_LN2_HIGH + (f + (small - 0.5f * square));
}

/* log(x) + offset ln(2) for a normal x. */
TR_INLINE vec_float vec_log_normal(vec_float x, int32_t offset) {
    vec_int bits = (vec_int)((vec_uint)x - 0x3f3504f3); /* sqrt(1/2) */
    vec_float k = __builtin_convertvector((bits >> 23) + offset, vec_float);
    return vec_log_of_parts(k, (vec_float)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f);
}

/* Error below 0.87 ulp. Whether any x is subnormal, 0, negative, infinite or NaN takes one unsigned
 * comparison. */
TR_INLINE vec_float vec_log(vec_float x) {
    vec_float y = vec_log_normal(x, 0);
    if (vec_any((vec_int)((vec_uint)x - 0x00800000u >= 0x7f000000u))) {
        y = vec_select(x < FLT_MIN, vec_log_normal(x * 0x1p23f, -23), y);
        y = vec_select(x < vec_splat(INFINITY), y, x); /* inf and NaN */
        y = vec_select(x == 0.0f, vec_splat(-INFINITY), y);
        y = vec_select(x < 0.0f, vec_splat(NAN), y);
    }
    return y;
}

/* log(1 + e) for 0 <= e <= 1. */
TR_INLINE vec_float vec_log1p_unit(vec_float e) {
    vec_int upper = e > 0x1.a827ap-2f; /* 1 + e > sqrt(2): halve it; e - 1 is exact there */
    vec_float f = vec_select(upper, 0.5f * e - 0.5f, e);
    return vec_log_of_parts((vec_float)(upper & (vec_int)vec_splat(1.0f)), f);
}

/* tanh: from |x| = 0.55 up (1 - e) / (1 + e) with e = e^(-2|x|); below it x + x z p(z) with z = x^2, whose
 * p leaves a relative error of 0.64 * 2^-24. e has its polynomial in h = |x| - n ln(2)/2, so r = -2h, and
 * one part of ln(2) is precise enough. The exponent is added as an integer; below 2^-126 that would wrap,
 * so e is 0 there, and tanh is 1 long before. NaN takes the way of the small. Error below 1.57 ulp. */
TR_INLINE vec_float vec_tanh(vec_float x) {
    vec_float a = vec_abs(x), shifted = a * (-2 * TR_LOG2_E) + TR_ROUND, n = shifted - TR_ROUND;
    vec_float h = a + n * (TR_LN2 / 2);
    vec_float q = h * 0x1.6a2434p-4f - 0x1.1239e2p-2f;
    q = q * h + 0x1.5558f2p-1f;
    q = q * h - 0x1.555492p+0f;
    q = q * h + 0x1.fffffcp+0f;
    vec_int normal = (vec_int)shifted >= (vec_int)vec_splat(TR_ROUND - 126);
    vec_uint bits = (vec_uint)(1.0f + h * (h * q - 2.0f)) + ((vec_uint)shifted << 23);
    vec_float e = (vec_float)((vec_int)bits & normal);
    vec_float large = (1.0f - e) / (1.0f + e);
    vec_float z = x * x, p = z * 0x1.0d5036p-6f - 0x1.af7cccp-5f;
    p = p * z + 0x1.10cef6p-3f;
    p = p * z - 0x1.555452p-2f;
    vec_float either = vec_select(a >= 0.55f, large, x + x * (z * p));
    return (vec_float)((vec_int)either | ((vec_int)x & INT32_MIN)); /* the small way loses the sign of -0 */
}

/* -|x|. */
TR_INLINE vec_float vec_minus_abs(vec_float x) { return (vec_float)((vec_int)x | INT32_MIN); }

/* sigmoid: with e = e^-|x| and t = e / (1 + e) it is 1 - t or, for negative x, t = e - e t: as a
 * correction to 1 or e, t hardly carries its own rounding errors over. Error below 1.9 ulp. */
TR_INLINE vec_float vec_sigmoid(vec_float x) {
    vec_float e = vec_exp_negative(vec_minus_abs(x)), t = e / (1.0f + e);
    vec_float whole = vec_select(x < 0.0f, e, vec_splat(1.0f));
    return whole - whole * t;
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). Error below 1.9 ulp. */
TR_INLINE vec_float vec_softplus(vec_float x) {
    return vec_greater(vec_splat(0.0f), x) + vec_log1p_unit(vec_exp_negative(vec_minus_abs(x)));
}

/* a^b. For a > 0 and both finite: 2^(b log2(a)) in double precision, with a = 2^k m, m in
 * sqrt(1/2)..sqrt(2), and log2(m) a polynomial in s = (m - 1) / (m + 1). The logarithm is right to 2^-37,
 * so the error stays close to 0.5 ulp. All other operands (negative bases, zeros, infinities, NaN) go to
 * the C library, one by one. */
TR_INLINE vec_float vec_pow(vec_float a, vec_float b) {
    vec_int plain = (a > 0.0f) & (a < vec_splat(INFINITY)) & (vec_abs(b) < vec_splat(INFINITY));
    if (TR_LANES == 4) /* with two doubles to a vector the library is faster */
        plain = (vec_int){0};
    vec_int subnormal = a < FLT_MIN;
    vec_float scaled = vec_select(plain, vec_select(subnormal, a * 0x1p23f, a), vec_splat(1.0f));
    vec_int bits = (vec_int)scaled - 0x3f3504f3, exponent = (bits >> 23) + (plain & subnormal & -23);
    float k[TR_LANES], m[TR_LANES], y[TR_LANES], n[TR_LANES], p[TR_LANES];
    vec_store(k, __builtin_convertvector(exponent, vec_float));
    vec_store(m, (vec_float)((bits & 0x7fffff) + 0x3f3504f3));
    vec_store(y, vec_select(plain, b, vec_splat(0)));
    for (int i = 0; i < TR_LANES; i++) { /* compilers make vectors of this */
        double s = ((double)m[i] - 1) / ((double)m[i] + 1), z = s * s;
        double q = z * 0x1.5ce7cd9139f0cp-2 + 0x1.a58d8fc0aa828p-2;
        q = q * z + 0x1.27777fda66c82p-1;
        q = q * z + 0x1.ec709d12e1553p-1;
        q = q * z + 0x1.71547652bede5p+1;
        double t = (k[i] + s * q) * y[i];
        t = t < 200 ? t : 200;
        t = t > -200 ? t : -200;
        double whole = t + 0x1.8p52 - 0x1.8p52, r = t - whole;
        double e = r * 0x1.41d333a1fbff9p-13 + 0x1.5f456a867c735p-10;
        e = e * r + 0x1.3b2dbbc0aa7a3p-7;
        e = e * r + 0x1.c6aed4b95c606p-5;
        e = e * r + 0x1.ebfbdadcb136fp-3;
        e = e * r + 0x1.62e430c7e91afp-1;
        e = e * r + 0x1.00000002614ffp+0;
        n[i] = (float)whole;
        p[i] = (float)e;
    }
    vec_uint power = (vec_uint)(vec_load(n) + (TR_ROUND + 254)), half = power >> 1;
    vec_float result = vec_load(p) * (vec_float)(half << 23) * (vec_float)((power - half) << 23);
    if (vec_any(~plain)) {
        float x[TR_LANES], z[TR_LANES];
        vec_store(x, a);
        vec_store(y, b);
        vec_store(z, result);
        for (int i = 0; i < TR_LANES; i++)
            if (!plain[i])
                z[i] = powf(x[i], y[i]);
        result = vec_load(z);
    }
    return result;
}

#endif
