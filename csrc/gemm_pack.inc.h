/* Packing: a part of an operand is copied, or transposed, so that a panel reads it in the order in which it needs it. */

/* to[p, j] = from[p, j]; columns below one vector are filled up with zeros to to_step. */
static void gemm_pack(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t depth,
                      int64_t columns) {
    for (int64_t p = 0; p < depth; p++, to += to_step, from += from_step) {
        int64_t j = 0;
        for (; j + TR_LANES <= columns; j += TR_LANES)
            vec_store(to + j, vec_load(from + j));
        if (j < columns && columns >= TR_LANES)
            vec_store(to + columns - TR_LANES, vec_load(from + columns - TR_LANES));
        else
            for (; j < to_step; j++)
                to[j] = j < columns ? from[j] : 0.0f;
    }
}

/* Transposing: to[p, j] = from[j, p] for TR_LANES columns j and four steps p. Each 128-bit part of a vector
 * loads four steps of one column; a 4 x 4 transpose inside the parts does the rest. */
#if TR_LANES == 4
#define GEMM_ZIP_LOW(a, b) VEC_SHUFFLE(a, b, 0, 4, 1, 5)
#define GEMM_ZIP_HIGH(a, b) VEC_SHUFFLE(a, b, 2, 6, 3, 7)
#define GEMM_PAIR_LOW(a, b) VEC_SHUFFLE(a, b, 0, 1, 4, 5)
#define GEMM_PAIR_HIGH(a, b) VEC_SHUFFLE(a, b, 2, 3, 6, 7)
#elif TR_LANES == 8
#define GEMM_ZIP_LOW(a, b) VEC_SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define GEMM_ZIP_HIGH(a, b) VEC_SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define GEMM_PAIR_LOW(a, b) VEC_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define GEMM_PAIR_HIGH(a, b) VEC_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define GEMM_ZIP_LOW(a, b) VEC_SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define GEMM_ZIP_HIGH(a, b) VEC_SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define GEMM_PAIR_LOW(a, b) VEC_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define GEMM_PAIR_HIGH(a, b) VEC_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#endif

/* The 4 x 4 transpose inside the parts: from four columns in each to four steps in each, in place. */
TR_INLINE void gemm_turn_parts(vec_float v[4]) {
    vec_float low01 = GEMM_ZIP_LOW(v[0], v[1]), high01 = GEMM_ZIP_HIGH(v[0], v[1]);
    vec_float low23 = GEMM_ZIP_LOW(v[2], v[3]), high23 = GEMM_ZIP_HIGH(v[2], v[3]);
    v[0] = GEMM_PAIR_LOW(low01, low23);
    v[1] = GEMM_PAIR_HIGH(low01, low23);
    v[2] = GEMM_PAIR_LOW(high01, high23);
    v[3] = GEMM_PAIR_HIGH(high01, high23);
}

TR_INLINE void gemm_transpose(float *to, int64_t to_step, const float *from, int64_t from_step) {
    vec_float v[4];
    TR_UNROLL for (int i = 0; i < 4; i++)
        v[i] = vec_load_quads(from + i * from_step, 4 * from_step);
    gemm_turn_parts(v);
    TR_UNROLL for (int p = 0; p < 4; p++)
        vec_store(to + p * to_step, v[p]);
}

#if TR_LANES == 16
/* The same for eight steps, which takes a fifth less shuffling: each half of a vector loads eight steps of one column,
 * the transposes leave four steps in the even parts and four in the odd ones. */
#define GEMM_EVEN_PARTS(a, b) VEC_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define GEMM_ODD_PARTS(a, b) VEC_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)

TR_INLINE void gemm_transpose_eight(float *to, int64_t to_step, const float *from, int64_t from_step) {
    vec_float step[2][4]; /* of the columns 0..7 and 8..15 */
    TR_UNROLL for (int h = 0; h < 2; h++) {
        TR_UNROLL for (int i = 0; i < 4; i++)
            step[h][i] = vec_load_halves(from + (8 * h + i) * from_step, 4 * from_step);
        gemm_turn_parts(step[h]);
    }
    TR_UNROLL for (int p = 0; p < 4; p++) {
        vec_store(to + p * to_step, GEMM_EVEN_PARTS(step[0][p], step[1][p]));
        vec_store(to + (4 + p) * to_step, GEMM_ODD_PARTS(step[0][p], step[1][p]));
    }
}
#endif

/* to[p, j] = from[j, p]: columns from_step apart. Edges are overlapped. */
static void gemm_pack_transposed(float *to, int64_t to_step, const float *from, int64_t from_step, int64_t depth,
                                 int64_t columns) {
    if (columns < TR_LANES || depth < 4) {
        transpose(to, to_step, from, from_step, columns, depth); /* lanes behind the columns are never stored */
        return;
    }
    for (int64_t j = 0; j < columns; j += TR_LANES) {
        int64_t column = j + TR_LANES <= columns ? j : columns - TR_LANES;
        int64_t p = 0;
#if TR_LANES == 16
        for (; p + 8 <= depth; p += 8)
            gemm_transpose_eight(to + p * to_step + column, to_step, from + column * from_step + p, from_step);
#endif
        for (; p < depth; p += 4) {
            int64_t step = p + 4 <= depth ? p : depth - 4;
            gemm_transpose(to + step * to_step + column, to_step, from + column * from_step + step, from_step);
        }
    }
}
