/* Walks a list of calls, on one thread or on all workers of the pool at once.
 *
 * Every worker walks the whole list. In a planned list (tinyres/capture/workers.py) each call says how it is
 * shared and where all must wait. Else a call is split over as many workers as its estimated cost is worth;
 * those beyond its width skip it, and between two calls there is a barrier unless both ran on worker 0 alone,
 * so a chain of small calls costs nothing. How a list is spread never changes its results. */
#include "ahead.h"
#include "dispatch.h"
#include "flush.h"
#include "pool.h"

enum { SPLIT_NS = 4000 };  /* work that pays for one more worker: some barriers, and lines from another core's cache */
enum { WAKE_NS = 200000 }; /* work that pays for waking one: about 50 us, sometimes 150 */

typedef struct list {
    const tr_call *calls;
    const tr_kernel_fn *table;
    int64_t count;
    int64_t failed; /* the first call that failed, or count; atomic */
} list;

static int width_of(const tr_call *c, int most) {
    double worth = tr_cost(c) / SPLIT_NS;
    return worth < 2 ? 1 : worth < most ? (int)worth : most;
}

static int known(const tr_call *c) { return c->kernel >= 0 && c->kernel < TR_KERNEL_COUNT; }

enum { WAYS = TR_WAIT - 1 };

static int way_of(const tr_call *c) { return c->share & WAYS; }

static void note_failure(list *l, int64_t i) {
    int64_t first = __atomic_load_n(&l->failed, __ATOMIC_RELAXED);
    while (i < first && !__atomic_compare_exchange_n(&l->failed, &first, i, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

/* The two ways in which a thread does arithmetic, and which of them is set. */
typedef struct modes {
    tr_float_mode mode[2]; /* as the thread came, and flushing */
    int flushing;
} modes;

TR_INLINE modes enter(void) {
    tr_float_mode before = tr_mode();
    return (modes){{before, tr_flushing(before)}, 0};
}

TR_INLINE void flush_if(modes *m, int flushing) {
    if (flushing != m->flushing)
        tr_set_mode(m->mode[m->flushing = flushing]);
}

TR_INLINE int run_call(const tr_kernel_fn *table, const tr_call *c, const tr_worker *w, modes *m) {
    flush_if(m, tr_flushes(c));
    return table[c->kernel](c, w);
}

/* What one of several workers does. A call that fails on worker 0 alone is seen by the others at the next
 * barrier, which stands before the next call that they could take part in; until there worker 0 skips too. In a
 * planned list that barrier is the planner's: it lets everybody wait behind each value check. */
static void walk(void *argument, const tr_worker *team) {
    list *l = argument;
    int before = 1, stopped = 0;
    int64_t count = 0; /* of columns or rows, for which `alone` has its own */
    modes m = enter();
    tr_worker split = *team, alone = *team; /* alone: with its own columns, and no workspace of others */
    alone.ith = 0, alone.nth = 1;
    alone.shared = (char *)team->own + TR_OWN_BYTES;
    for (int64_t i = 0; i < l->count; i++) {
        const tr_call *c = &l->calls[i];
        int way = way_of(c), width = way == 0 ? width_of(c, team->nth) : way == TR_TOGETHER ? team->nth : 1;
        if (i > 0 && (width > 1 || before > 1 || c->share & TR_WAIT)) {
            tr_barrier(team);
            if (__atomic_load_n(&l->failed, __ATOMIC_ACQUIRE) < i)
                break;
        }
        before = width;
        split.nth = width;
        int apart = way == TR_BY_COLUMNS || way == TR_BY_ROWS;
        if (apart && c->share >> TR_COUNT_SHIFT != count) {
            count = c->share >> TR_COUNT_SHIFT;
            tr_split(team, count, TR_SHARE_UNIT, &alone.column, &alone.column_end);
        }
        alone.by_rows = way == TR_BY_ROWS;
        if (stopped || (apart ? alone.column == alone.column_end : team->ith >= width))
            continue;
        stopped = run_call(l->table, c, apart ? &alone : &split, &m);
        if (stopped)
            note_failure(l, i);
    }
    flush_if(&m, 0);
}

static int64_t walk_alone(const tr_call *calls, int64_t count, const tr_kernel_fn *table) {
    char *space = tr_workspace();
    tr_ahead ahead = {.call = calls, .end = calls + count};
    tr_worker w = {.nth = 1,
                   .own = space,
                   .shared = space ? space + TR_OWN_BYTES : 0,
                   .ahead = count > 1 ? &ahead : 0,
                   .column_end = TR_ALL_COLUMNS};
    modes m = enter();
    int64_t i = 0;
    while (i < count && space && known(&calls[i]) && !run_call(table, &calls[i], &w, &m))
        i++;
    flush_if(&m, 0);
    return i < count ? i : -1;
}

int64_t tr_run(const char *bytes, int64_t count) {
    list l = {(const tr_call *)bytes, tr_kernel_table(), count, count};
    int limit = tr_get_threads(), widest = 1;
    if (limit > 1) {
        double work = 0; /* what several workers can share */
        for (int64_t i = 0; i < count; i++) {
            const tr_call *c = &l.calls[i];
            if (!known(c)) { /* walk up to it and report it */
                l.count = l.failed = i;
                break;
            }
            if (c->flags & TR_HALF_OF_K)
                limit = at_most(limit, 2); /* it was planned for two */
            if (way_of(c) && work > WAKE_NS)
                continue;
            int width = way_of(c) == 0 ? width_of(c, limit) : way_of(c) == TR_ALONE ? 1 : limit;
            if (width > widest)
                widest = width;
            if (width > 1)
                work += tr_cost(c);
        }
        widest = at_most(widest, limit);
        if (widest > 1 && tr_pool_run(walk, &l, widest, work > WAKE_NS))
            return l.failed < count ? l.failed : -1;
    }
    return walk_alone(l.calls, count, l.table);
}

int64_t tr_sizeof_call(void) { return sizeof(tr_call); }

double tr_call_cost(const char *call) {
    const tr_call *c = (const tr_call *)call;
    return known(c) ? tr_cost(c) : 0;
}
