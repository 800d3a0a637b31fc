/* Elementary functions on vectors. They take every float: their largest errors, found by trying all 2^32 inputs
 * on every instruction set (bench/ulp.py), stand at each. Coefficients are printed by bench/polynomials.py. */
#ifndef TR_VEC_MATH_H
#define TR_VEC_MATH_H

#include "vec.h"

/* exp: x = n ln(2) + r with |r| <= ln(2)/2 (ln(2) in two parts of which the first times n is exact: Cody
 * and Waite, 1980), then 2^n (1 + r + r^2 q(r)). Adding 1.5 * 2^23 rounds to an integer and leaves it in
 * the low bits of the sum, from where a shift brings it to the exponent: added there too, the bias of the
 * exponent makes that a power of two. One power alone would miss 2^128 and the subnormals, so the result
 * is scaled in two steps. */
#define TR_ROUND 0x1.8p23f
#define TR_LOG2_E 0x1.715476p+0f
#define TR_LN2 0x1.62e43p-1f
#define TR_LN2_HIGH 0x1.62e4p-1f
#define TR_LN2_LOW 0x1.7f7d1cp-20f

/* (e^r - 1 - r) / r^2 for |r| <= ln(2)/2; it leaves a relative error of 0.07 * 2^-24 of e^r. */
TR_INLINE vec_float vec_exp_tail(vec_float r) {
    vec_float q = r * 0x1.6a2434p-10f + 0x1.1239e2p-7f;
    q = q * r + 0x1.5558f2p-5f;
    q = q * r + 0x1.555492p-3f;
    return q * r + 0x1.fffffcp-2f;
}

/* e^r for |r| <= ln(2)/2. */
TR_INLINE vec_float vec_exp_reduced(vec_float r) {
    vec_float q = vec_exp_tail(r);
#if TR_HAS_FMA /* the order with the smaller error depends on whether r (1 + r q) is rounded */
    return 1.0f + r * (1.0f + r * q);
#else
    return 1.0f + (r + r * r * q);
#endif
}

TR_INLINE vec_float vec_exp_remainder(vec_float x, vec_float n) {
    return (x - n * TR_LN2_HIGH) - n * TR_LN2_LOW;
}

#if TR_HAS_POWERS
TR_INLINE vec_float vec_exp_times_power(vec_float x) {
    vec_float n = (x * TR_LOG2_E + TR_ROUND) - TR_ROUND, y = vec_exp_reduced(vec_exp_remainder(x, n));
    return vec_times_power(y, n);
}
#endif

/* Error below 0.98 ulp, 0.90 with FMA. Twice the bias is added, and half of the sum goes to each of the
 * two powers. */
TR_INLINE vec_float vec_exp(vec_float x) {
    x = vec_lesser(vec_splat(89.0f), x);
    x = vec_greater(vec_splat(-104.0f), x);
#if TR_HAS_POWERS
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
#if TR_HAS_POWERS
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

/* tanh: |x| = n ln(2)/2 + h, so with t = tanh(h) and the power p = 2^n it is (p - 1 + (p + 1) t) / (p + 1 + (p - 1) t).
 * t is h + h z q(z) with z = h^2, whose q leaves a relative error of 0.004 * 2^-24. A multiple of 1/4 close to the
 * result, 0 where n is 0, is subtracted from the quotient exactly and added last: what is divided is small then, and so
 * are its rounding errors. From 10 on tanh is 1. Error below 1.9 ulp; 0.52 for |x| < ln(2)/4. */
TR_INLINE vec_float vec_tanh(vec_float x) {
    vec_float a = vec_lesser(vec_splat(10.0f), vec_abs(x));
    vec_float shifted = a * (2 * TR_LOG2_E) + TR_ROUND, n = shifted - TR_ROUND;
    vec_float h = a - n * (TR_LN2 / 2), z = h * h;
    vec_float q = z * -0x1.aff098p-5f + 0x1.1105ccp-3f;
    q = q * z - 0x1.55554ep-2f;
    vec_float t = h + h * z * q, close = vec_lesser(n * 0.25f, vec_splat(1.0f));
    vec_float power = (vec_float)(((vec_uint)shifted << 23) + (vec_uint)vec_splat(1.0f));
    vec_float less = power - 1.0f, more = power + 1.0f;
    vec_float y = close + ((less - close * more) + (more - close * less) * t) / (more + less * t);
    return (vec_float)((vec_int)y | ((vec_int)x & INT32_MIN));
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
