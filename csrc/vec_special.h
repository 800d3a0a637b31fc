/* More elementary functions on vectors: log1p, expm1, erf, gelu, silu, sin, cos, and rounding. As in vec_math.h, largest
 * errors stand at each (bench/ulp.py), coefficients are printed by bench/polynomials.py. */
#ifndef TR_VEC_SPECIAL_H
#define TR_VEC_SPECIAL_H

#include "vec_math.h"

/* log(1 + x) = log(u + lost), where u is 1 + x as it rounds: log of parts, whose f gets what was lost. */
TR_INLINE vec_float vec_log1p(vec_float x) {
    vec_float u = 1.0f + x, lost = vec_select(x > 1.0f, 1.0f - (u - x), x - (u - 1.0f));
    vec_int bits = (vec_int)((vec_uint)u - 0x3f3504f3); /* sqrt(1/2) */
    vec_float k = __builtin_convertvector(bits >> 23, vec_float);
    vec_float inverse = (vec_float)((vec_uint)((TR_ROUND + 127) - vec_lesser(k, vec_splat(126))) << 23); /* 2^-k */
    vec_float f = ((vec_float)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f) + lost * inverse;
    vec_float y = vec_select(x == 0.0f, x, vec_log_of_parts(k, f));
    if (vec_any(~((x > -1.0f) & (x < vec_splat(INFINITY))))) {
        y = vec_select(x > -1.0f, vec_select(x < vec_splat(INFINITY), y, x), vec_splat(NAN));
        y = vec_select(x == -1.0f, vec_splat(-INFINITY), y);
        y = vec_select(x != x, x, y);
    }
    return y;
}

/* e^x - 1 = 2^n ((e^r - 1) + (1 - 2^-n)), with n and r as in exp; -1 below -20. */
TR_INLINE vec_float vec_expm1(vec_float x) {
    vec_float y = vec_lesser(vec_splat(89.0f), x);
    y = vec_greater(vec_splat(-20.0f), y);
    vec_float shifted = y * TR_LOG2_E + (TR_ROUND + 254), n = shifted - (TR_ROUND + 254);
    vec_float r = vec_exp_remainder(y, n), less = r + r * r * vec_exp_tail(r);
    vec_uint bits = (vec_uint)shifted, half = bits >> 1;
    vec_float inverse = (vec_float)((vec_uint)((TR_ROUND + 127) - vec_lesser(n, vec_splat(126))) << 23);
    y = (less + (1.0f - inverse)) * (vec_float)(half << 23) * (vec_float)((bits - half) << 23);
    return vec_select(x == 0.0f, x, y);
}

/* e^(-half a^2) for a >= 0 and half a power of two. The exponent is rounded once: what that loses is multiplied in. */
TR_INLINE vec_float vec_gauss(vec_float a, float half) {
    vec_float head = (vec_float)((vec_int)a & ~0xfff), square = half * head * head;
    vec_float rest = half * (a - head) * (a + head);
    vec_float exponent = -square - rest, lost = (-square - exponent) - rest;
    vec_float e = vec_exp_negative(exponent);
    return e + e * lost;
}

/* erfc(t) e^(t^2) for t >= 0, as u q(u) with u = 1 / (1 + t/2). */
TR_INLINE vec_float vec_erfc_scaled(vec_float t) {
    vec_float u = 1.0f / (1.0f + 0.5f * t);
    vec_float q = u * -0x1.e420d8p-5f + 0x1.238c74p-2f;
    q = q * u - 0x1.f33104p-2f;
    q = q * u + 0x1.1d1566p-2f;
    q = q * u - 0x1.b806aap-6f;
    q = q * u + 0x1.9f4ddp-3f;
    q = q * u + 0x1.f1d35p-3f;
    q = q * u + 0x1.2127e6p-2f;
    q = q * u + 0x1.20db36p-2f;
    return u * q;
}

/* erf: up to 1 it is x + x q(x^2), beyond 1 - erfc. */
TR_INLINE vec_float vec_erf(vec_float x) {
    vec_float a = vec_lesser(vec_splat(5.0f), vec_abs(x)), z = a * a;
    vec_float q = z * 0x1.496a34p-14f - 0x1.a3f7p-11f;
    q = q * z + 0x1.5405b2p-8f;
    q = q * z - 0x1.b7f90ep-6f;
    q = q * z + 0x1.ce2cf8p-4f;
    q = q * z - 0x1.81273ep-2f;
    q = q * z + 0x1.06eba8p-3f;
    vec_float y = a + a * q;
    vec_int beyond = a > 1.0f;
    if (vec_any(beyond))
        y = vec_select(beyond, 1.0f - vec_gauss(a, 1.0f) * vec_erfc_scaled(a), y);
    return (vec_float)((vec_int)y | ((vec_int)x & INT32_MIN));
}

/* The normal distribution: its density e^(-x^2/2) / sqrt(2 pi) at x, and how much of it lies below x. */
typedef struct vec_normal {
    vec_float density, below;
} vec_normal;

TR_INLINE vec_normal vec_normal_at(vec_float x) {
    vec_float a = vec_lesser(vec_splat(16.0f), vec_abs(x)), e = vec_gauss(a, 0.5f);
    vec_float tail = 0.5f * e * vec_erfc_scaled(a * 0x1.6a09e6p-1f);
    return (vec_normal){e * 0x1.988454p-2f, vec_select(x < 0.0f, tail, 1.0f - tail)};
}

/* x between -16 and 16, where gelu has reached 0 and x; NaN stays. */
TR_INLINE vec_float vec_within_16(vec_float x) {
    return vec_lesser(vec_splat(16.0f), vec_greater(vec_splat(-16.0f), x));
}

/* e^x for -700 <= x <= 0, with a relative error of 2^-28: as in vec_exp, but one power is enough. */
#define TR_ROUND_DOUBLE (0x1.8p52 + 1023)
TR_INLINE vec_double vec_exp_double(vec_double x) {
    vec_double shifted = x * 0x1.71547652b82fep+0 + TR_ROUND_DOUBLE;
    vec_double r = x - (shifted - TR_ROUND_DOUBLE) * 0x1.62e42fefa39efp-1;
    vec_double q = r * 0x1.6a2433c206ba4p-10 + 0x1.1239e2a769c6ap-7;
    q = q * r + 0x1.5558f17dd02abp-5;
    q = q * r + 0x1.555491541aa7ep-3;
    q = q * r + 0x1.fffffb9a570acp-2;
    return (1.0 + (r + r * r * q)) * (vec_double)((vec_long)shifted << 52);
}

/* How much of the normal distribution lies below -a, for 0 <= a <= 16: e^(-a^2/2) u p(u) with u = 1 / (1 + 0.3 a). */
TR_INLINE vec_double vec_normal_beyond(vec_double a) {
    vec_double u = 1.0 / (1.0 + 0.3 * a);
    vec_double p = u * -0x1.51facb563be31p-6 + 0x1.cca7c5faf3c5p-4;
    p = p * u - 0x1.d386d94e521f7p-3;
    p = p * u + 0x1.88f9f199995bcp-3;
    p = p * u - 0x1.45ab2422c158ep-4;
    p = p * u + 0x1.8a0e0b1831bc6p-4;
    p = p * u + 0x1.410345ba43a41p-4;
    p = p * u + 0x1.c38a536c115ep-4;
    p = p * u + 0x1.e9c39d5525bb2p-4;
    p = p * u + 0x1.ea3c9e5c0efaap-4;
    return vec_exp_double(a * a * -0.5) * (u * p);
}

/* sigmoid(-a) for 0 <= a <= 700. */
TR_INLINE vec_double vec_sigmoid_beyond(vec_double a) {
    vec_double e = vec_exp_double(-a);
    return e / (1.0 + e);
}

/* x share(x) for a share(x) = 1 - share(-x), of which `beyond` gives share(-a) and which is 0 from -far on: x or 0, less
 * |x| share(-|x|). In double precision, for what is left far below 0 is rounded once. */
TR_INLINE vec_float vec_gated(vec_float x, float far, vec_double (*beyond)(vec_double)) {
    float above[TR_LANES], size[TR_LANES], y[TR_LANES];
    vec_store(above, vec_greater(vec_splat(0), x)); /* NaN stays */
    vec_store(size, vec_lesser(vec_splat(far), vec_abs(x)));
    TR_UNROLL for (int half = 0; half < TR_LANES; half += TR_HALF) {
        vec_double a = vec_load_widened(size + half), value = vec_load_widened(above + half) - a * beyond(a);
        for (int i = 0; i < TR_HALF; i++)
            y[half + i] = (float)value[i];
    }
    return vec_load(y);
}

/* Error below 0.61 ulp. */
TR_INLINE vec_float vec_gelu(vec_float x) { return vec_gated(x, 16.0f, vec_normal_beyond); }

TR_INLINE vec_float vec_gelu_slope(vec_float x) {
    vec_normal normal = vec_normal_at(x);
    return normal.below + vec_within_16(x) * normal.density;
}

/* The tanh form, x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)). */
#define TR_GELU_SCALE 0x1.988454p+0f
#define TR_GELU_CUBE 0x1.6e4e26p-5f

TR_INLINE vec_float vec_gelu_tanh(vec_float x) {
    vec_float y = vec_greater(vec_splat(-16.0f), x), near = vec_within_16(x);
    return y * vec_sigmoid(TR_GELU_SCALE * near * (1.0f + TR_GELU_CUBE * near * near));
}

TR_INLINE vec_float vec_gelu_tanh_slope(vec_float x) {
    vec_float y = vec_within_16(x), z = y * y;
    vec_float s = vec_sigmoid(TR_GELU_SCALE * y * (1.0f + TR_GELU_CUBE * z));
    return s + y * s * (1.0f - s) * (TR_GELU_SCALE * (1.0f + 3 * TR_GELU_CUBE * z));
}

/* Error below 0.56 ulp. */
TR_INLINE vec_float vec_silu(vec_float x) { return vec_gated(x, 200.0f, vec_sigmoid_beyond); }

TR_INLINE vec_float vec_silu_slope(vec_float x) {
    vec_float y = vec_lesser(vec_splat(1000.0f), vec_greater(vec_splat(-1000.0f), x)), s = vec_sigmoid(y);
    return s + s * (1.0f - s) * y;
}

/* sin(x + quarters pi/2), in double precision: x = n pi/2 + r with |r| <= pi/4, pi/2 in two parts of which the first
 * times n is exact. From 2^20 on, and where x is not finite, the C library does it. */
#define TR_HALF_PI_HIGH 0x1.921fb544p+0
#define TR_HALF_PI_LOW 0x1.0b4611a626331p-34
#define TR_INTEGER(x) (((x) + 0x1.8p52) - 0x1.8p52)

TR_INLINE vec_float vec_sine(vec_float x, double quarters) {
    vec_int near = vec_abs(x) < 0x1p20f;
    float a[TR_LANES], y[TR_LANES];
    vec_store(a, vec_select(near, x, vec_splat(0)));
    for (int i = 0; i < TR_LANES; i++) { /* compilers make vectors of this */
        double v = (double)a[i], n = TR_INTEGER(v * 0x1.45f306dc9c883p-1);
        double r = (v - n * TR_HALF_PI_HIGH) - n * TR_HALF_PI_LOW, z = r * r;
        double s = z * 0x1.6cd838e13659bp-19 - 0x1.a00f9d23dbecep-13;
        s = s * z + 0x1.11110895ab4e4p-7;
        s = s * z - 0x1.5555554cb9105p-3;
        double c = z * -0x1.242abe53b52f2p-22 + 0x1.a0111fb63951dp-16;
        c = c * z - 0x1.6c16b89822b27p-10;
        c = c * z + 0x1.5555554f4dabdp-5;
        s = r + r * z * s;
        c = (1 - 0.5 * z) + z * z * c;
        double m = n + quarters, quadrant = m - 4 * TR_INTEGER(m * 0.25); /* 0, 1, 2 or -2, -1 */
        double value = ((quadrant == 1) | (quadrant == -1)) ? c : s;
        y[i] = (float)(((quadrant < 0) | (quadrant == 2)) ? -value : value);
    }
    vec_float result = vec_load(y);
    if (vec_any(~near)) {
        float far[TR_LANES];
        vec_store(far, x);
        for (int i = 0; i < TR_LANES; i++)
            if (!near[i])
                y[i] = (float)(quarters == 0 ? sin((double)far[i]) : cos((double)far[i]));
        result = vec_load(y);
    }
    return result;
}

TR_INLINE vec_float vec_sin(vec_float x) { return vec_select(x == 0.0f, x, vec_sine(x, 0)); }
TR_INLINE vec_float vec_cos(vec_float x) { return vec_sine(x, 1); }

/* To an integer, halves to the even one: adding 2^23 leaves no room for a fraction. The sign of a zero is that of x. */
TR_INLINE vec_float vec_round(vec_float x) {
    vec_float a = vec_abs(x), whole = (a + 0x1p23f) - 0x1p23f;
    return (vec_float)((vec_int)vec_select(a < 0x1p23f, whole, a) | ((vec_int)x & INT32_MIN));
}

TR_INLINE vec_float vec_floor(vec_float x) {
    vec_float whole = vec_round(x), one = vec_splat(1.0f);
    return vec_select(whole > x, whole - one, whole);
}

TR_INLINE vec_float vec_ceil(vec_float x) { return -vec_floor(-x); }

#endif
