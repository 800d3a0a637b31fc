/* What this machine can do, and OpenBLAS without Python around it. Built by roofline.py for the machine it runs on.
 *
 * The limits are loops that do nothing else: multiply-adds between registers, and streams over arrays that the caller
 * sizes to a level of the cache. `repeat` runs are timed as one. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
#define LANES (WIDTH / 4)
#define CHAINS 12 /* at least latency x ports of any core, few enough to stay in 16 registers */

typedef float vec __attribute__((vector_size(WIDTH), aligned(4), may_alias));
typedef float half __attribute__((vector_size(WIDTH / 2), aligned(4), may_alias));

/* Two operations per lane and chain in every round; the result depends on all of them. */
int64_t fma_operations(int64_t rounds) { return rounds * CHAINS * LANES * 2; }

float fma_chains(int64_t rounds, float scale, float shift)
{
    vec chain[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        for (int lane = 0; lane < LANES; lane++)
            chain[c][lane] = (float)(c + lane);
    for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            chain[c] = chain[c] * scale + shift;
    float total = 0;
    for (int c = 0; c < CHAINS; c++)
        for (int lane = 0; lane < LANES; lane++)
            total += chain[c][lane];
    return total;
}

#define BETWEEN_RUNS __asm__ volatile("" ::: "memory")

/* The streams, n a multiple of 8 vectors: a[n] is read, out[n] = scale, out[n] = a[n], out[n] = a[n] + scale * b[n]. */
#define UNROLLED(count) for (int64_t run = 0; run < repeat; run++, ({ BETWEEN_RUNS; })) \
    for (int64_t start = 0; start < n; start += count * lanes) \
        _Pragma("GCC unroll 8") for (int64_t u = 0, at = start; u < count; u++, at += lanes)

#define STREAMS(suffix, vector)                                                                             \
    float stream_read##suffix(const float *a, int64_t n, int64_t repeat)                                     \
    {                                                                                                        \
        enum { lanes = sizeof(vector) / 4 };                                                                 \
        vector sum[8] = {{0}};                                                                               \
        UNROLLED(8) sum[u] += *(const vector *)(a + at);                                                     \
        return (sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7])[0];                   \
    }                                                                                                        \
    void stream_write##suffix(float *out, float scale, int64_t n, int64_t repeat)                            \
    {                                                                                                        \
        enum { lanes = sizeof(vector) / 4 };                                                                 \
        vector value = scale - (vector){0};                                                                  \
        UNROLLED(4) *(vector *)(out + at) = value;                                                           \
    }                                                                                                        \
    void stream_copy##suffix(float *out, const float *a, int64_t n, int64_t repeat)                          \
    {                                                                                                        \
        enum { lanes = sizeof(vector) / 4 };                                                                 \
        UNROLLED(4) *(vector *)(out + at) = *(const vector *)(a + at);                                       \
    }                                                                                                        \
    void stream_triad##suffix(float *out, const float *a, const float *b, float scale, int64_t n, int64_t repeat) \
    {                                                                                                        \
        enum { lanes = sizeof(vector) / 4 };                                                                 \
        UNROLLED(4) *(vector *)(out + at) = *(const vector *)(a + at) + scale * *(const vector *)(b + at);   \
    }

/* By whole vectors, and by halves: beyond the second level cache some processors do better with these. */
STREAMS(, vec)
STREAMS(_by_halves, half)

/* The same with stores that bypass the caches, where the instruction set has them; out is 64-byte aligned. */
#if defined(__AVX__)
void stream_write_past_caches(float *out, float scale, int64_t n, int64_t repeat)
{
    for (int64_t run = 0; run < repeat; run++) {
        for (int64_t i = 0; i < n; i += 8)
            _mm256_stream_ps(out + i, _mm256_set1_ps(scale));
        _mm_sfence();
    }
}

void stream_copy_past_caches(float *out, const float *a, int64_t n, int64_t repeat)
{
    for (int64_t run = 0; run < repeat; run++) {
        for (int64_t i = 0; i < n; i += 8)
            _mm256_stream_ps(out + i, _mm256_loadu_ps(a + i));
        _mm_sfence();
    }
}

void stream_triad_past_caches(float *out, const float *a, const float *b, float scale, int64_t n, int64_t repeat)
{
    __m256 scales = _mm256_set1_ps(scale);
    for (int64_t run = 0; run < repeat; run++) {
        for (int64_t i = 0; i < n; i += 8)
            _mm256_stream_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_mul_ps(scales, _mm256_loadu_ps(b + i))));
        _mm_sfence();
    }
}
#else
void stream_write_past_caches(float *out, float scale, int64_t n, int64_t repeat) { stream_write(out, scale, n, repeat); }
void stream_copy_past_caches(float *out, const float *a, int64_t n, int64_t repeat) { stream_copy(out, a, n, repeat); }
void stream_triad_past_caches(float *out, const float *a, const float *b, float scale, int64_t n, int64_t repeat)
{
    stream_triad(out, a, b, scale, n, repeat);
}
#endif

/* Two threads on two CPUs hand n bytes to and fro: each changes every cache line of them, then raises its flag. The
 * caller is one; half of the time per round is what a wait costs that has to fetch what it was waited for. */
typedef struct exchange {
    char *bytes;
    int64_t n, rounds;
    int cpu;
    _Alignas(64) int64_t here;
    _Alignas(64) int64_t there;
} exchange;

static void change_lines(const exchange *e)
{
    for (int64_t i = 0; i < e->n; i += 64)
        e->bytes[i]++;
}

static void wait_for(const int64_t *flag, int64_t round)
{
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) < round) {
    }
}

static void *other_side(void *argument)
{
    exchange *e = argument;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(e->cpu, &cpus);
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
    for (int64_t round = 1; round <= e->rounds; round++) {
        wait_for(&e->here, round);
        change_lines(e);
        __atomic_store_n(&e->there, round, __ATOMIC_RELEASE);
    }
    return 0;
}

/* Returns 0, or -1 if there can be no second thread; the caller runs on another CPU than `cpu`. */
int exchange_rounds(char *bytes, int64_t n, int64_t rounds, int cpu)
{
    exchange e = {bytes, n, rounds, cpu, 0, 0};
    pthread_t other;
    if (pthread_create(&other, 0, other_side, &e))
        return -1;
    for (int64_t round = 1; round <= rounds; round++) {
        __atomic_store_n(&e.here, round, __ATOMIC_RELEASE);
        wait_for(&e.there, round);
        change_lines(&e);
    }
    pthread_join(other, 0);
    return 0;
}

/* cblas_sgemm with 64-bit sizes, row major: c[m, n] = op(a) op(b), `repeat` times. */
typedef void (*sgemm)(int order, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                      const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

void repeat_sgemm(sgemm gemm, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, const float *a,
                  const float *b, float *c, int64_t repeat)
{
    for (int64_t run = 0; run < repeat; run++)
        gemm(101, transpose_a ? 112 : 111, transpose_b ? 112 : 111, m, n, k, 1.0f, a, transpose_a ? m : k, b,
             transpose_b ? k : n, 0.0f, c, n);
}
