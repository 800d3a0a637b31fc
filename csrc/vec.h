/* Vectors of TR_LANES floats, of which the machine has TR_REGISTERS, on the vector extensions of GCC and Clang: the only
 * layer between kernels and the machine.
 *
 * Everything is always_inline: a vector never crosses a call, so no ABI rule about wide registers applies.
 * A comparison of vectors gives an int vector of 0 and -1 (a mask); `vec_select` chooses by one. Where the
 * extensions lack an operation (square root, widening) a loop over the lanes states it; both compilers
 * turn that into the one instruction. Where they do not (parts of vectors, vectors of parts, maximum, scaling by a power
 * of two, stores past the caches) x86 has a builtin here, and nowhere else, beside what all others run.
 */
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

#if TR_LANES == 8
/* Four lanes and two: a masked store of eight takes AMD's processors a dozen cycles, these one each. */
typedef TR_VECTOR(float, 16) vec_quad;
typedef struct __attribute__((packed, may_alias)) vec_quad_memory { vec_quad v; } vec_quad_memory;
typedef struct __attribute__((packed, may_alias)) vec_pair_memory { double v; } vec_pair_memory;

TR_INLINE void vec_store_pieces(float *p, vec_float v, int64_t count) {
    union { vec_float v; vec_quad quad[2]; } of = {v};
    vec_quad low = of.quad[0];
    if (count & 8) {
        vec_store(p, v);
        return;
    }
    if (count & 4) {
        ((vec_quad_memory *)p)->v = low;
        low = of.quad[1];
        p += 4;
    }
    union { vec_quad v; double pair[2]; float lane[4]; } rest = {low};
    if (count & 2)
        ((vec_pair_memory *)p)->v = rest.pair[0];
    if (count & 1)
        p[count & 2] = count & 2 ? rest.lane[2] : rest.lane[0];
}
#endif

TR_INLINE void vec_store_part(float *p, vec_float v, int64_t count) {
#if TR_MASKED_ACCESS && TR_LANES == 16
    __builtin_ia32_storeups512_mask(p, v, (uint16_t)((1u << count) - 1));
#elif TR_MASKED_ACCESS
    vec_store_pieces(p, v, count);
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

#if TR_LANES == 16
/* The same of half a vector; see tr_widens_by_halves. */
typedef TR_VECTOR(double, 32) vec_half_double;

TR_INLINE vec_half_double vec_load_half_widened(const float *p) {
    vec_half_double v;
    for (int i = 0; i < 4; i++)
        v[i] = (double)p[i];
    return v;
}
#endif

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

#if TR_HAS_X86 && TR_LANES == 16
#define TR_HAS_POWERS 1
/* x * 2^n for a whole n, however large: rounded once. */
TR_INLINE vec_float vec_times_power(vec_float x, vec_float n) { return __builtin_ia32_scalefps512_mask(x, n, x, -1, 4); }
#else
#define TR_HAS_POWERS 0
#endif

TR_INLINE vec_float vec_sqrt(vec_float x) {
    vec_float v;
    for (int i = 0; i < TR_LANES; i++)
        v[i] = __builtin_sqrtf(x[i]);
    return v;
}

/* Across lanes. Halves are added to halves, so the order depends on TR_LANES only. */

TR_INLINE int vec_any(vec_int mask) {
#if TR_HAS_X86 && TR_LANES == 16
    return __builtin_ia32_cvtd2mask512(mask) != 0;
#elif TR_HAS_X86 && TR_LANES == 8
    return __builtin_ia32_movmskps256((vec_float)mask) != 0;
#else
    int64_t any = 0;
    for (int i = 0; i < TR_HALF; i++)
        any |= ((vec_long)mask)[i];
    return any != 0;
#endif
}

/* Lanes of a and, from TR_LANES on, of b in any order. As a loop over lanes it would go through memory. */
#ifdef __clang__
#define VEC_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define VEC_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vec_int){__VA_ARGS__})
#endif

/* Lane i takes lane i + by, cyclically. */
#if TR_LANES == 16
#define VEC_ROTATION(by) VEC_TURN(0, by), VEC_TURN(4, by), VEC_TURN(8, by), VEC_TURN(12, by)
#elif TR_LANES == 8
#define VEC_ROTATION(by) VEC_TURN(0, by), VEC_TURN(4, by)
#else
#define VEC_ROTATION(by) VEC_TURN(0, by)
#endif
#define VEC_LANE(i) ((i) % TR_LANES)
#define VEC_TURN(i, by) VEC_LANE(i + by), VEC_LANE(i + 1 + by), VEC_LANE(i + 2 + by), VEC_LANE(i + 3 + by)
#define VEC_ROTATE(v, by) VEC_SHUFFLE(v, v, VEC_ROTATION(by))

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

/* What is left when f has chosen among all lanes. */
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

/* A vector of quads, `step` elements apart. */
TR_INLINE vec_float vec_load_quads(const float *p, int64_t step) {
    vec_float v;
#if TR_HAS_X86 && TR_LANES == 16 && !defined(__clang__)
    v = __builtin_ia32_ps512_ps(*(const quad_memory *)p);
    v = __builtin_ia32_insertf32x4_mask(v, *(const quad_memory *)(p + step), 1, v, -1);
    v = __builtin_ia32_insertf32x4_mask(v, *(const quad_memory *)(p + 2 * step), 2, v, -1);
    v = __builtin_ia32_insertf32x4_mask(v, *(const quad_memory *)(p + 3 * step), 3, v, -1);
#elif TR_HAS_X86 && TR_LANES == 8 && !defined(__clang__)
    v = __builtin_ia32_ps256_ps(*(const quad_memory *)p);
    v = __builtin_ia32_vinsertf128_ps256(v, *(const quad_memory *)(p + step), 1);
#else
    for (int i = 0; i < TR_LANES; i++) /* compilers see the loads of whole quads */
        v[i] = p[i / 4 * step + i % 4];
#endif
    return v;
}

#if TR_LANES == 16
typedef TR_MEMORY(float, 32, 4) vec_half_memory;

/* The same of two halves. */
TR_INLINE vec_float vec_load_halves(const float *p, int64_t step) {
#if TR_HAS_X86 && !defined(__clang__)
    vec_float v = __builtin_ia32_ps512_256ps(*(const vec_half_memory *)p);
    return __builtin_ia32_insertf32x8_mask(v, *(const vec_half_memory *)(p + step), 1, v, -1);
#else
    vec_float v;
    for (int i = 0; i < TR_LANES; i++)
        v[i] = p[i / 8 * step + i % 8];
    return v;
#endif
}
#endif

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

#endif
