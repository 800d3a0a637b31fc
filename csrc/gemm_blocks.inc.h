/* A product of matrices in blocks of k, panels of columns and parts of rows, each panel as gemm_tile.inc.h does it; and
 * how workers share it. Where an operand comes from is its own affair: one that is not read in place has a function that
 * packs a part of it just before it is used, and all else stays as it is. */

/* Of a b that is packed all at once so many rows are read at a time, if it is not transposed. */
#define GEMM_ROWS_AT_ONCE 8

/* Of an a of many bytes so many rows at a time go over the panels. */
#define GEMM_PART_ROWS 120

/* A panel of more steps than that has two vectors if it is packed by itself, so that it is still in the first level cache
 * when it is used. */
#define GEMM_LONG 128

/* In a worker's own workspace: rows of a, whose step is no multiple of a page (such steps would put all rows of a tile
 * into the same few lines of the cache), then panels of b. */
#define GEMM_A_STEP (TR_GEMM_DEPTH + 16)
#define GEMM_A_FLOATS (GEMM_PART_ROWS * GEMM_A_STEP)
#define GEMM_MOST_VECTORS ((TR_OWN_BYTES / 4 - GEMM_A_FLOATS) / (TR_GEMM_DEPTH * TR_LANES))

/* An operand. Its lines are the rows of out for a, its columns for b; each has an element per step of k. What a packing
 * must know besides stands in a struct that begins with this one. */
typedef struct gemm_operand {
    const float *at;    /* element p of line i is at[i * line + p * step], if it lies in memory like this */
    int64_t line, step; /* b: either is 1 */
} gemm_operand;

/* Packs `depth` steps from `step` on of so many rows of a to `to` (GEMM_A_FLOATS; rows <= GEMM_PART_ROWS), and lets g read
 * them there. */
typedef void gemm_pack_a(gemm_panel *g, float *to, const gemm_operand *a, int64_t row, int64_t rows, int64_t step,
                         int64_t depth);

/* Packs the same of so many columns of b: to[p * to_step + j]. */
typedef void gemm_pack_b(float *to, int64_t to_step, const gemm_operand *b, int64_t column, int64_t columns, int64_t step,
                         int64_t depth);

typedef struct gemm_product {
    gemm_target to; /* [m, n] */
    const gemm_operand *a, *b;
    gemm_pack_a *pack_a; /* NULL: it is read in place */
    gemm_pack_b *pack_b; /* the same */
    int64_t m, n, k;
    int64_t height; /* so many rows of a at a time go over the panels: at most GEMM_PART_ROWS if they are packed */
    int large_b;    /* as much of b as there is room for is packed at once, else a panel at a time */
    int by_columns; /* workers share the columns, not the rows */
    int halves;     /* k is summed in two halves */
    tr_ahead *ahead;
} gemm_product;

/* Rows [row, row_end) of out, and of its columns the vectors [first, end), of which the last may be a part. */
typedef struct gemm_area {
    int64_t row, row_end, first, end;
} gemm_area;

/* Bytes to fetch ahead per step of k and tile: the fewer rows, the less time there is per byte of weights. More
 * than that gets in the way of the product's own operands. */
TR_INLINE int64_t gemm_ahead_step(int64_t m) { return m <= 64 ? 32 : 16; }

/* Columns of the vectors [v, next). */
TR_INLINE int64_t gemm_width(const gemm_product *d, int64_t v, int64_t next) {
    return at_most(next * TR_LANES, d->n) - v * TR_LANES;
}

/* Packs vectors [first, end) of columns of a block of k, panels of at most `most` one after the other; of a b that lies as
 * it is needed a few whole rows at a time. */
static void gemm_pack_panels(float *to, const gemm_product *d, int64_t most, int64_t first, int64_t end, int64_t step,
                             int64_t depth) {
    int64_t panels = gemm_parts(end - first, most), rows = d->b->line == 1 ? GEMM_ROWS_AT_ONCE : depth;
    for (int64_t p = 0; p < depth; p += rows)
        for (int64_t panel = 0, v = first; panel < panels; panel++) {
            int64_t next = first + gemm_cut(end - first, panel + 1, panels), to_step = (next - v) * TR_LANES;
            d->pack_b(to + (v - first) * TR_LANES * depth + p * to_step, to_step, d->b, v * TR_LANES,
                      gemm_width(d, v, next), step + p, at_most(rows, depth - p));
            v = next;
        }
}

/* A panel of so many vectors. A last one of which at most half would be used is left to the narrower instruction set,
 * which sums alike: its vector overlaps the one before. Where that must not be, as something is added to out, it is a
 * whole one. */
static void gemm_panel_in_parts(int64_t vectors, gemm_panel *g, int64_t rows) {
#ifdef GEMM_NARROWER
    enum { NARROW_LANES = TR_LANES / 2, FEWEST_ROWS = 8 }; /* fewer would wait for each sum */
    int64_t whole = (vectors - 1) * TR_LANES, rest = g->to.columns - whole, at = g->to.columns - NARROW_LANES;
    if (vectors > 1 && rows >= FEWEST_ROWS && (rest == NARROW_LANES || (rest < NARROW_LANES && !(g->to.does & GEMM_ADD)))) {
        const gemm_target to = g->to;
        g->to = gemm_target_at(&to, 0, 0, whole);
        TR_K(gemm_panel_run)(vectors - 1, g, rows);
        g->to = gemm_target_at(&to, 0, at, NARROW_LANES);
        g->b += at;
        GEMM_NARROWER_PANEL(1, g, rows);
        return;
    }
#endif
    TR_K(gemm_panel_run)(vectors, g, rows);
}

/* Some steps of an area, whose panels of b are packed if they are to be. */
static void gemm_panels(const gemm_product *d, const gemm_area *area, const gemm_steps *s, float *own) {
    const gemm_operand *a = d->a, *b = d->b;
    int64_t rows = area->row_end - area->row, vectors = area->end - area->first, depth = s->depth + s->rest;
    int does = gemm_does_in(d->to.does, s);
    gemm_panel g = {
        .a = a->at + area->row * a->line + s->step * a->step,
        .a_row = a->line,
        .a_step = a->step,
        .depth = s->depth,
        .rest = s->rest,
        .ahead = d->ahead,
        .ahead_step = gemm_ahead_step(d->m),
    };
    if (d->pack_a)
        d->pack_a(&g, own, a, area->row, rows, s->step, depth);
    int64_t panels = gemm_parts(vectors, GEMM_VECTORS);
    for (int64_t panel = 0, v = area->first; panel < panels; panel++) {
        int64_t next = area->first + gemm_cut(vectors, panel + 1, panels), column = v * TR_LANES;
        g.to = gemm_target_at(&d->to, area->row, column, gemm_width(d, v, next));
        g.to.does = does;
        g.b = d->pack_b ? own + GEMM_A_FLOATS + (v - area->first) * TR_LANES * depth : b->at + s->step * b->step + column;
        g.b_step = d->pack_b ? (next - v) * TR_LANES : b->step;
        gemm_panel_in_parts(next - v, &g, rows);
        v = next;
    }
}

/* The same in parts: as many columns at a time as are packed at once, and of these as many rows as go over them. */
static void gemm_block(const gemm_product *d, const gemm_area *area, const gemm_steps *s, float *own) {
    int64_t depth = s->depth + s->rest, rows = area->row_end - area->row, vectors = area->end - area->first;
    int64_t most = !d->pack_b ? vectors : d->large_b ? GEMM_MOST_VECTORS : depth > GEMM_LONG ? 2 : GEMM_VECTORS;
    int64_t widths = gemm_parts(vectors, most), heights = gemm_parts(rows, d->height);
    for (int64_t i = 0; i < widths; i++) {
        gemm_area part = {.first = area->first + gemm_cut(vectors, i, widths),
                          .end = area->first + gemm_cut(vectors, i + 1, widths)};
        if (d->pack_b)
            gemm_pack_panels(own + GEMM_A_FLOATS, d, GEMM_VECTORS, part.first, part.end, s->step, depth);
        for (int64_t j = 0; j < heights; j++) {
            part.row = area->row + gemm_cut(rows, j, heights);
            part.row_end = area->row + gemm_cut(rows, j + 1, heights);
            gemm_panels(d, &part, s, own);
        }
    }
}

/* An area over all of k. */
static void gemm_blocks(const gemm_product *d, const gemm_area *area, float *own) {
    for (int64_t i = 0, blocks = gemm_blocks_of(d->k); i < blocks; i++) {
        gemm_steps steps = gemm_steps_of(d->k, d->halves, i);
        gemm_block(d, area, &steps, own);
    }
}

/* All of out. */
TR_INLINE gemm_area gemm_all(const gemm_product *d) { return (gemm_area){0, d->m, 0, parts(d->n, TR_LANES)}; }

/* The area of worker w. A share has two vectors of columns or more, so that the overlapping last one stays inside it. */
static gemm_area gemm_share(const gemm_product *d, const tr_worker *w) {
    gemm_area area = gemm_all(d);
    if (w->by_rows) {
        area.row = w->column;
        area.row_end = w->column_end;
    } else if (w->column_end != TR_ALL_COLUMNS) {
        area.first = w->column / TR_LANES;
        area.end = w->column_end / TR_LANES;
    } else if (d->by_columns) {
        int64_t vectors = area.end;
        area.first = gemm_cut(vectors, w->ith, w->nth);
        area.end = gemm_cut(vectors, w->ith + 1, w->nth);
    } else {
        tr_split(w, d->m, 1, &area.row, &area.row_end);
    }
    return area;
}
