/* A product of matrices in blocks of k, panels of columns and parts of rows, each panel as gemm_tile.inc.h does it; and
 * when what is packed. gemm.inc.h says in which order an element is summed. */

#define GEMM_TRANSPOSE_A 1
#define GEMM_TRANSPOSE_B 2

/* A b of more bytes is large, if out has at least that many rows: fewer do not pay for packing it. */
#define GEMM_LARGE_BYTES (256 << 10)
#define GEMM_LARGE_ROWS 64
#define GEMM_ROWS_AT_ONCE 8

/* Of an a of more bytes so many rows at a time go over the panels. A transposed one is packed for so many columns: its
 * rows lie across as many pages as there are steps. */
#define GEMM_LARGE_A_BYTES (1 << 20)
#define GEMM_PART_ROWS 120
#define GEMM_PACK_A_COLUMNS 256

/* A panel of more steps than that has two vectors if it is packed by itself, so that it is still in the first level cache
 * when it is used. */
#define GEMM_LONG 128

/* So shallow a product over so wide a matrix does little but store its result: all columns of a few rows before the
 * next rows, since each row of a panel of columns would be on another page. */
#define GEMM_SHALLOW_DEPTH 32
#define GEMM_SHALLOW_COLUMNS 512
#define GEMM_SHALLOW_ROWS(k) ((k) <= 2 ? GEMM_ROWS(GEMM_VECTORS) : 4 * GEMM_ROWS(GEMM_VECTORS))

/* In a worker's own workspace: rows of a, whose step is no multiple of a page (such steps would put all rows of a tile
 * into the same few lines of the cache), then panels of b. */
#define GEMM_A_STEP (TR_GEMM_DEPTH + 16)
#define GEMM_A_FLOATS (GEMM_PART_ROWS * GEMM_A_STEP)
#define GEMM_MOST_VECTORS ((TR_OWN_BYTES / 4 - GEMM_A_FLOATS) / (TR_GEMM_DEPTH * TR_LANES))

typedef struct gemm_product {
    float *out;         /* [m, n] */
    const float *a, *b; /* stored [m, k] or, turned, [k, m]; [k, n] or, turned, [n, k] */
    const float *bias;  /* [n], or NULL */
    const float *mask;  /* [m, n], or NULL */
    int64_t m, n, k;
    int turned_a, turned_b, add, relu;
    int pack_a, pack_b, large_b;
    int64_t height; /* so many rows of a at a time go over the panels */
    int halves; /* k is summed in two halves */
    int half;   /* this is one of them only */
    tr_ahead *ahead;
} gemm_product;

/* How many parts of at most `most` a total has, and where part i begins when they are equal. A division costs as much as
 * a small tile. */
TR_INLINE int64_t gemm_parts(int64_t total, int64_t most) { return total <= most ? 1 : parts(total, most); }
TR_INLINE int64_t gemm_cut(int64_t total, int64_t i, int64_t parts) {
    return parts == 1 ? total * i : total * i / parts;
}

/* Bytes to fetch ahead per step of k and tile: the fewer rows, the less time there is per byte of weights. More
 * than that gets in the way of the product's own operands. */
TR_INLINE int64_t gemm_ahead_step(int64_t m) { return m <= 64 ? 32 : 16; }

/* Where two workers cut k: as they cut columns. */
TR_INLINE int64_t gemm_first_half(int64_t k) { return parts(parts(k, TR_SHARE_UNIT), 2) * TR_SHARE_UNIT; }

TR_INLINE int gemm_in_halves(const tr_call *c) {
    return !(c->flags & (GEMM_TRANSPOSE_A | GEMM_TRANSPOSE_B)) && c->arg[2] >= TR_GEMM_HALVES_FROM &&
           c->arg[2] <= TR_GEMM_DEPTH;
}

/* Columns of the vectors [v, next), of which the last may be a part. */
TR_INLINE int64_t gemm_width(const gemm_product *d, int64_t v, int64_t next) {
    return at_most(next * TR_LANES, d->n) - v * TR_LANES;
}

/* Packs vectors [first, end) of columns of a block of k, panel after panel. */
static void gemm_pack_panels(float *to, const gemm_product *d, int64_t first, int64_t end, int64_t step, int64_t depth) {
    int64_t panels = gemm_parts(end - first, GEMM_VECTORS), rows = d->turned_b ? depth : GEMM_ROWS_AT_ONCE;
    for (int64_t p = 0; p < depth; p += rows)
        for (int64_t panel = 0, v = first; panel < panels; panel++) {
            int64_t next = first + gemm_cut(end - first, panel + 1, panels), to_step = (next - v) * TR_LANES;
            float *packed = to + (v - first) * TR_LANES * depth + p * to_step;
            if (d->turned_b)
                gemm_pack_transposed(packed, to_step, d->b + v * TR_LANES * d->k + step, d->k, depth,
                                     gemm_width(d, v, next));
            else
                gemm_pack(packed, to_step, d->b + (step + p) * d->n + v * TR_LANES, d->n, at_most(rows, depth - p),
                          gemm_width(d, v, next));
            v = next;
        }
}

/* Steps [step, step + depth) of k of rows [row, row_end) and vectors [first, end) of columns, which are packed if they
 * are to be. */
static void gemm_panels(const gemm_product *d, int64_t row, int64_t row_end, int64_t first, int64_t end, int64_t step,
                        int64_t depth, float *own) {
    int ends = step + depth == d->k;
    gemm_panel g = {
        .a = d->turned_a ? d->a + step * d->m + row : d->a + row * d->k + step,
        .out_step = d->n,
        .a_row = d->turned_a ? 1 : d->k,
        .a_step = d->turned_a ? d->m : 1,
        .depth = d->halves ? gemm_first_half(depth) : depth,
        .rest = d->halves ? depth - gemm_first_half(depth) : 0,
        .add = d->add || (step > 0 && !d->half),
        .relu = d->relu && ends,
        .ahead = d->ahead,
        .ahead_step = gemm_ahead_step(d->m),
    };
    if (d->pack_a) {
        gemm_pack_transposed(own, GEMM_A_STEP, g.a, d->m, row_end - row, depth);
        g.a = own;
        g.a_row = GEMM_A_STEP;
        g.a_step = 1;
    }
    int64_t panels = gemm_parts(end - first, GEMM_VECTORS);
    for (int64_t panel = 0, v = first; panel < panels; panel++) {
        int64_t next = first + gemm_cut(end - first, panel + 1, panels), column = v * TR_LANES;
        g.out = d->out + row * d->n + column;
        g.mask = d->mask && ends ? d->mask + row * d->n + column : 0;
        g.columns = gemm_width(d, v, next);
        g.bias = d->bias && ends ? d->bias + column : 0;
        g.more = g.add || g.bias || g.relu || g.mask;
        g.last = g.columns > TR_LANES ? g.columns - TR_LANES : 0;
        g.b = d->pack_b ? own + GEMM_A_FLOATS + (v - first) * TR_LANES * depth : d->b + step * d->n + column;
        g.b_step = d->pack_b ? (next - v) * TR_LANES : d->n;
        gemm_panel_in_parts(next - v, &g, row_end - row);
        v = next;
    }
}

/* The same in parts: as many columns at a time as are packed at once, and of these as many rows as go over them. */
static void gemm_block(const gemm_product *d, int64_t row, int64_t row_end, int64_t first, int64_t end, int64_t step,
                       int64_t depth, float *own) {
    int64_t most = !d->pack_b ? end : d->large_b ? GEMM_MOST_VECTORS : depth > GEMM_LONG ? 2 : GEMM_VECTORS;
    int64_t widths = gemm_parts(end - first, most), heights = gemm_parts(row_end - row, d->height);
    for (int64_t i = 0; i < widths; i++) {
        int64_t left = first + gemm_cut(end - first, i, widths), right = first + gemm_cut(end - first, i + 1, widths);
        if (d->pack_b)
            gemm_pack_panels(own + GEMM_A_FLOATS, d, left, right, step, depth);
        for (int64_t j = 0; j < heights; j++)
            gemm_panels(d, row + gemm_cut(row_end - row, j, heights), row + gemm_cut(row_end - row, j + 1, heights),
                        left, right, step, depth, own);
    }
}

/* Rows [row, row_end) and vectors [first, end) of columns, over all of k. */
static void gemm_blocks(const gemm_product *d, int64_t row, int64_t row_end, int64_t first, int64_t end, float *own) {
    int64_t blocks = gemm_parts(d->k, TR_GEMM_DEPTH);
    for (int64_t i = 0; i < blocks; i++) {
        int64_t step = gemm_cut(d->k, i, blocks), next = gemm_cut(d->k, i + 1, blocks);
        gemm_block(d, row, row_end, first, end, step, next - step, own);
    }
}
