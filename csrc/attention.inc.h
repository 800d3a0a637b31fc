/* Attention, o = softmax(q k' scale + bias) v, and its gradients, each head of each batch for itself, without a matrix of
 * scores: a block of queries meets a block of keys at a time, and the softmax of a block is corrected when a later one has
 * a larger score (Milakov and Gimelshein, 2018; Dao et al., 2022). The logarithm of each query's sum is kept, from which
 * the gradients make the weights anew.
 *
 * Scores stand transposed, a row per key and a lane per query: the largest of a query, its sum and all that is done to a
 * score go down the lanes, and the products take them as they lie, the queries' lines one element apart. Only q and, to
 * the gradients, do are turned around, and only a block at a time (gemm_pack_turned_b).
 *
 * Blocks are cut from the first query and the first key on, and gradients of a key are added in the order of queries: the
 * order of a sum depends on sizes only. A worker does whole heads; where they do not go round, all share the rest by blocks. */

/* Queries and keys of a block: their scores and those of the gradient stay in the first cache, or close to it. */
#define ATTENTION_ROWS 32
#define ATTENTION_KEYS 128
#define ATTENTION_VECTORS (ATTENTION_ROWS / TR_LANES)
#define ATTENTION_BLOCK (ATTENTION_ROWS * ATTENTION_KEYS)

#define ATTENTION_CAUSAL 1

/* Where kernels.def has the sizes. */
enum {
    ATTENTION_OUTER,
    ATTENTION_HEADS,
    ATTENTION_TOKENS,
    ATTENTION_OF_KEYS,
    ATTENTION_DIM,
    ATTENTION_VALUE_DIM,
    ATTENTION_Q, /* of each operand how far apart batches, tokens and heads are */
    ATTENTION_K = ATTENTION_Q + 3,
    ATTENTION_V = ATTENTION_K + 3,
    ATTENTION_O = ATTENTION_V + 3,
    ATTENTION_BIAS = ATTENTION_O + 3, /* the same; keys are one apart */
    ATTENTION_OFFSET = ATTENTION_BIAS + 3,
};

/* The matrix of one head: rows `step` apart. */
typedef struct attention_matrix {
    float *at;
    int64_t step;
} attention_matrix;

typedef struct attention_head {
    attention_matrix q, k, v, o, bias; /* bias.at NULL: there is none */
    attention_matrix dq, dk, dv, go;   /* at NULL where the gradient is not asked for */
    float *lse;                        /* per query */
    int64_t tokens, keys, dim, value_dim;
    int64_t ahead; /* query i sees the keys below i + ahead */
    float scale;
    /* In the worker's workspace. */
    float *scores, *gradients, *turned; /* [ATTENTION_KEYS, ATTENTION_ROWS] */
    float *packed;                      /* for products */
} attention_head;

TR_INLINE attention_matrix attention_operand(void *at, const int64_t *step, int64_t batch, int64_t head) {
    return (attention_matrix){at ? (float *)at + batch * step[0] + head * step[2] : 0, step[1]};
}

/* Head `i` of a call whose inputs stand from pointer `in` on. */
static attention_head attention_head_of(const tr_call *c, const tr_worker *w, int in, int64_t i) {
    const int64_t *n = c->arg, batch = i / n[ATTENTION_HEADS], head = i % n[ATTENTION_HEADS];
    float *own = w->own;
    return (attention_head){
        .q = attention_operand(c->ptr[in], n + ATTENTION_Q, batch, head),
        .k = attention_operand(c->ptr[in + 1], n + ATTENTION_K, batch, head),
        .v = attention_operand(c->ptr[in + 2], n + ATTENTION_V, batch, head),
        .bias = attention_operand(c->ptr[in + 3], n + ATTENTION_BIAS, batch, head),
        .tokens = n[ATTENTION_TOKENS],
        .keys = n[ATTENTION_OF_KEYS],
        .dim = n[ATTENTION_DIM],
        .value_dim = n[ATTENTION_VALUE_DIM],
        .ahead = c->flags & ATTENTION_CAUSAL ? n[ATTENTION_OFFSET] + 1 : n[ATTENTION_OF_KEYS],
        .scale = (float)c->scalar[0],
        .scores = own,
        .gradients = own + ATTENTION_BLOCK,
        .turned = own + 2 * ATTENTION_BLOCK,
        .packed = own,
    };
}

/* to[m, n] (+)= a b; the workspace of `packed` holds the scores where a product packs nothing. */
TR_INLINE void attention_product(attention_matrix to, int does, gemm_operand a, gemm_operand b, int64_t m, int64_t n,
                                 int64_t k, float *packed) {
    const gemm_target all = {.out = to.at, .step = to.step, .does = does};
    const gemm_product d = {
        .to = gemm_target_at(&all, 0, 0, n),
        .a = &a,
        .b = &b,
        .pack_b = b.line != 1 ? gemm_pack_turned_b : gemm_pads_b(n) ? gemm_pack_stored_b : 0,
        .m = m,
        .n = n,
        .k = k,
        .height = m,
    };
    const gemm_area area = gemm_all(&d);
    if (m > 0 && n > 0)
        gemm_blocks(&d, &area, packed);
}

/* The operands of such a product: a matrix of a head as it lies or turned around, and a block of scores with a row per
 * key or per query. */
TR_INLINE gemm_operand attention_rows_of(attention_matrix x, int64_t row) {
    return (gemm_operand){x.at + row * x.step, x.step, 1};
}
TR_INLINE gemm_operand attention_columns_of(attention_matrix x, int64_t row) {
    return (gemm_operand){x.at + row * x.step, 1, x.step};
}
TR_INLINE gemm_operand attention_by_key(const float *scores) { return (gemm_operand){scores, ATTENTION_ROWS, 1}; }
TR_INLINE gemm_operand attention_by_query(const float *scores) { return (gemm_operand){scores, 1, ATTENTION_ROWS}; }
TR_INLINE attention_matrix attention_block(float *scores) { return (attention_matrix){scores, ATTENTION_ROWS}; }
TR_INLINE attention_matrix attention_from(attention_matrix x, int64_t row) {
    return (attention_matrix){x.at + row * x.step, x.step};
}

/* How many keys the queries below `row_end` see together. */
TR_INLINE int64_t attention_seen(const attention_head *h, int64_t row_end) {
    return at_most(at_least(row_end - 1 + h->ahead, 0), h->keys);
}

#define ATTENTION_EACH TR_UNROLL for (int v = 0; v < ATTENTION_VECTORS; v++)

/* The scores of `rows` queries from `row` on with `keys` keys from `key` on, -inf where one is not seen; largest[i] becomes
 * the largest of query i if that is larger. Lanes behind the rows hold anything. */
static void attention_scores(const attention_head *h, int64_t row, int64_t rows, int64_t key, int64_t keys,
                             float *largest) {
    const float *bias = 0;
    float *scores = h->scores;
    int64_t hidden = key + 1 - row - h->ahead; /* so many queries do not see the first key, one more the next */
    vec_float most[ATTENTION_VECTORS];
    vec_int lane[ATTENTION_VECTORS];
    attention_product(attention_block(scores), 0, attention_rows_of(h->k, key), attention_rows_of(h->q, row), keys, rows,
                      h->dim, h->packed);
    if (h->bias.at) {
        bias = h->turned;
        gemm_pack_transposed(h->turned, ATTENTION_ROWS, h->bias.at + row * h->bias.step + key, h->bias.step, keys, rows);
    }
    ATTENTION_EACH {
        most[v] = vec_load(largest + v * TR_LANES);
        for (int i = 0; i < TR_LANES; i++)
            lane[v][i] = v * TR_LANES + i;
    }
    for (int64_t j = 0; j < keys; j++, hidden++, scores += ATTENTION_ROWS) {
        ATTENTION_EACH {
            vec_float x = vec_load(scores + v * TR_LANES) * h->scale;
            if (bias)
                x += vec_load(bias + j * ATTENTION_ROWS + v * TR_LANES);
            if (hidden > 0)
                x = vec_select(lane[v] >= (int32_t)hidden, x, vec_splat(-INFINITY));
            vec_store(scores + v * TR_LANES, x);
            most[v] = vec_greater(x, most[v]);
        }
    }
    ATTENTION_EACH vec_store(largest + v * TR_LANES, most[v]);
}

/* What is subtracted from scores before their exponential: 0 where all of them are -inf. */
TR_INLINE vec_float attention_shift(vec_float largest) {
    return vec_select(largest == vec_splat(-INFINITY), vec_splat(0), largest);
}

/* scores[j, i] = e^(score - shift[i]), and their sums are added to sum. */
static void attention_exponentials(float *scores, int64_t keys, const float *shift, float *sum) {
    vec_float total[ATTENTION_VECTORS], less[ATTENTION_VECTORS];
    ATTENTION_EACH {
        total[v] = vec_load(sum + v * TR_LANES);
        less[v] = vec_load(shift + v * TR_LANES);
    }
    for (int64_t j = 0; j < keys; j++, scores += ATTENTION_ROWS) {
        ATTENTION_EACH {
            vec_float e = vec_exp_negative(vec_load(scores + v * TR_LANES) - less[v]);
            vec_store(scores + v * TR_LANES, e);
            total[v] += e;
        }
    }
    ATTENTION_EACH vec_store(sum + v * TR_LANES, total[v]);
}

/* Row i of so many times factor[i]. */
static void attention_scale(attention_matrix x, int64_t rows, int64_t columns, const float *factor) {
    for (int64_t i = 0; i < rows; i++)
        scale_row(x.at + i * x.step, x.at + i * x.step, columns, factor[i]);
}

static void attention_zero(attention_matrix x, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; i++)
        memset(x.at + i * x.step, 0, (size_t)columns * sizeof(float));
}

/* o and lse of `rows` queries from `row` on. */
static void attention_forward(const attention_head *h, int64_t row, int64_t rows) {
    const attention_matrix o = attention_from(h->o, row);
    const int64_t seen = attention_seen(h, row + rows);
    float largest[ATTENTION_ROWS], shift[ATTENTION_ROWS], sum[ATTENTION_ROWS] = {0}, factor[ATTENTION_ROWS];
    ATTENTION_EACH vec_store(largest + v * TR_LANES, vec_splat(-INFINITY));
    if (seen == 0)
        attention_zero(o, rows, h->value_dim);
    for (int64_t key = 0; key < seen; key += ATTENTION_KEYS) {
        const int64_t keys = at_most(ATTENTION_KEYS, seen - key);
        ATTENTION_EACH vec_store(factor + v * TR_LANES, vec_load(largest + v * TR_LANES));
        attention_scores(h, row, rows, key, keys, largest);
        ATTENTION_EACH {
            vec_float less = attention_shift(vec_load(largest + v * TR_LANES));
            vec_float f = vec_exp_negative(vec_load(factor + v * TR_LANES) - less);
            vec_store(shift + v * TR_LANES, less);
            vec_store(factor + v * TR_LANES, f);
            vec_store(sum + v * TR_LANES, vec_load(sum + v * TR_LANES) * f);
        }
        attention_exponentials(h->scores, keys, shift, sum);
        if (key > 0)
            attention_scale(o, rows, h->value_dim, factor);
        attention_product(o, key > 0 ? GEMM_ADD : 0, attention_by_query(h->scores), attention_columns_of(h->v, key), rows,
                          h->value_dim, keys, h->packed);
    }
    ATTENTION_EACH {
        vec_float total = vec_load(sum + v * TR_LANES), most = vec_load(largest + v * TR_LANES);
        vec_int any = total != 0.0f;
        vec_store(factor + v * TR_LANES, vec_select(any, 1.0f / total, vec_splat(0)));
        vec_float lse = vec_select(any, most + vec_log(total), vec_splat(-INFINITY));
        if (v * TR_LANES < rows)
            vec_store_up_to(h->lse + row + v * TR_LANES, lse, rows - v * TR_LANES);
    }
    attention_scale(o, rows, h->value_dim, factor);
}

/* Whose turn it is when workers take blocks to and fro: later ones may be more work. */
TR_INLINE int64_t attention_turn(int64_t turn, const tr_worker *w) {
    return turn / w->nth % 2 ? w->nth - 1 - turn % w->nth : turn % w->nth;
}

/* Whether workers share heads, not blocks of them: where heads go round, or nearly. */
TR_INLINE int attention_by_heads(int64_t heads, int nth) { return heads % nth == 0 || heads >= 8 * nth; }

static int TR_K(attention)(const tr_call *c, const tr_worker *w) {
    const int64_t *n = c->arg, heads = n[ATTENTION_OUTER] * n[ATTENTION_HEADS], tokens = n[ATTENTION_TOKENS];
    const int64_t blocks = parts(tokens, ATTENTION_ROWS), by_heads = attention_by_heads(heads, w->nth);
    int64_t begin = 0, end = heads, turn = 0;
    if (by_heads)
        tr_split(w, heads, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        attention_head h = attention_head_of(c, w, 2, i);
        h.o = attention_operand(c->ptr[0], n + ATTENTION_O, i / n[ATTENTION_HEADS], i % n[ATTENTION_HEADS]);
        h.lse = (float *)c->ptr[1] + i * tokens;
        for (int64_t b = 0; b < blocks; b++, turn++) {
            if (by_heads || attention_turn(turn, w) == w->ith)
                attention_forward(&h, b * ATTENTION_ROWS, at_most(ATTENTION_ROWS, tokens - b * ATTENTION_ROWS));
        }
    }
    return 0;
}

/* along[i] = the inner product of row i of go and of o: the mean of the gradients of query i's weights. */
static void attention_along(const attention_head *h, int64_t row, int64_t rows, float *along) {
    for (int64_t i = 0; i < rows; i++) {
        const float *g = h->go.at + (row + i) * h->go.step, *o = h->o.at + (row + i) * h->o.step;
        vec_float sum = {0};
        for (int64_t j = 0; j < h->value_dim; j += TR_LANES)
            sum += vec_load_up_to(g + j, h->value_dim - j, 0) * vec_load_up_to(o + j, h->value_dim - j, 0);
        along[i] = vec_sum(sum);
    }
}

/* The gradients of weights become those of the products of q and k. */
static void attention_through_softmax(float *gradients, const float *weights, int64_t keys, const float *along,
                                      float scale) {
    vec_float less[ATTENTION_VECTORS];
    ATTENTION_EACH less[v] = vec_load(along + v * TR_LANES);
    for (int64_t j = 0; j < keys * ATTENTION_ROWS; j += ATTENTION_ROWS)
        ATTENTION_EACH {
            const int64_t at = j + v * TR_LANES;
            vec_store(gradients + at, (vec_load(gradients + at) - less[v]) * (vec_load(weights + at) * scale));
        }
}

/* What `rows` queries and `keys` keys add to the gradients of both. */
static void attention_backward(const attention_head *h, int64_t row, int64_t rows, int64_t key, int64_t keys) {
    float unused[ATTENTION_ROWS] = {0}, shift[ATTENTION_ROWS] = {0}, along[ATTENTION_ROWS] = {0};
    memcpy(shift, h->lse + row, (size_t)rows * sizeof(float));
    ATTENTION_EACH vec_store(shift + v * TR_LANES, attention_shift(vec_load(shift + v * TR_LANES)));
    attention_scores(h, row, rows, key, keys, unused);
    attention_exponentials(h->scores, keys, shift, unused);
    if (h->dv.at)
        attention_product(attention_from(h->dv, key), GEMM_ADD, attention_by_key(h->scores),
                          attention_columns_of(h->go, row), keys, h->value_dim, rows, h->packed);
    if (!h->dq.at && !h->dk.at)
        return;
    attention_along(h, row, rows, along);
    attention_product(attention_block(h->gradients), 0, attention_rows_of(h->v, key), attention_rows_of(h->go, row), keys,
                      rows, h->value_dim, h->packed);
    attention_through_softmax(h->gradients, h->scores, keys, along, h->scale);
    if (h->dq.at)
        attention_product(attention_from(h->dq, row), GEMM_ADD, attention_by_query(h->gradients),
                          attention_columns_of(h->k, key), rows, h->dim, keys, h->packed);
    if (h->dk.at)
        attention_product(attention_from(h->dk, key), GEMM_ADD, attention_by_key(h->gradients),
                          attention_columns_of(h->q, row), keys, h->dim, rows, h->packed);
}

/* Head `i` of a gradient, with all that it reads and writes. */
static attention_head attention_grad_head(const tr_call *c, const tr_worker *w, int64_t i) {
    const int64_t *n = c->arg, batch = i / n[ATTENTION_HEADS], head = i % n[ATTENTION_HEADS];
    attention_head h = attention_head_of(c, w, 3, i);
    h.dq = attention_operand(c->ptr[0], n + ATTENTION_Q, batch, head);
    h.dk = attention_operand(c->ptr[1], n + ATTENTION_K, batch, head);
    h.dv = attention_operand(c->ptr[2], n + ATTENTION_V, batch, head);
    h.lse = (float *)c->ptr[7] + i * h.tokens;
    h.o = attention_operand(c->ptr[8], n + ATTENTION_O, batch, head);
    h.go = attention_operand(c->ptr[9], n + ATTENTION_O, batch, head);
    return h;
}

/* What the queries [row, row_end) and the keys [key, key_end) bring to the gradients that h has, which are 0 there. A block
 * of keys meets all queries before the next one: what is added to its gradients stays in the cache. Every element is
 * summed in the order of the blocks it meets, whoever does them. */
static void attention_grad_area(const attention_head *h, int64_t row, int64_t row_end, int64_t key, int64_t key_end) {
    if (h->dq.at)
        attention_zero(attention_from(h->dq, row), row_end - row, h->dim);
    if (h->dk.at)
        attention_zero(attention_from(h->dk, key), key_end - key, h->dim);
    if (h->dv.at)
        attention_zero(attention_from(h->dv, key), key_end - key, h->value_dim);
    for (; key < key_end; key += ATTENTION_KEYS)
        for (int64_t r = row; r < row_end; r += ATTENTION_ROWS) {
            int64_t rows = at_most(ATTENTION_ROWS, row_end - r), seen = attention_seen(h, r + rows);
            if (seen > key)
                attention_backward(h, r, rows, key, at_most(at_most(ATTENTION_KEYS, key_end - key), seen - key));
        }
}

/* This worker's blocks of a head that all share: of keys for their gradients, then of queries for theirs, which takes the
 * scores twice, and no sums of two workers. To and fro, as blocks of causal attention meet more and more others. */
static void attention_grad_blocks(const attention_head *h, const tr_worker *w) {
    const attention_matrix none = {0};
    attention_head of_keys = *h, of_queries = *h;
    of_keys.dq = none;
    of_queries.dk = of_queries.dv = none;
    for (int64_t turn = 0, key = 0; (h->dk.at || h->dv.at) && key < h->keys; key += ATTENTION_KEYS, turn++)
        if (attention_turn(turn, w) == w->ith)
            attention_grad_area(&of_keys, 0, h->tokens, key, at_most(key + ATTENTION_KEYS, h->keys));
    for (int64_t turn = 0, row = 0; h->dq.at && row < h->tokens; row += ATTENTION_ROWS, turn++)
        if (attention_turn(turn, w) == w->ith)
            attention_grad_area(&of_queries, row, at_most(row + ATTENTION_ROWS, h->tokens), 0, h->keys);
}

static int TR_K(attention_grad)(const tr_call *c, const tr_worker *w) {
    const int64_t heads = c->arg[ATTENTION_OUTER] * c->arg[ATTENTION_HEADS];
    const int64_t whole = attention_by_heads(heads, w->nth) ? heads : heads - heads % w->nth;
    int64_t begin, end;
    tr_split(w, whole, 1, &begin, &end);
    for (; begin < end; begin++) {
        attention_head h = attention_grad_head(c, w, begin);
        attention_grad_area(&h, 0, h.tokens, 0, h.keys);
    }
    for (int64_t i = whole; i < heads; i++) {
        attention_head h = attention_grad_head(c, w, i);
        attention_grad_blocks(&h, w);
    }
    return 0;
}
