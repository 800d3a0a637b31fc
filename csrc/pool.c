/* The thread pool: called once per list of calls, not once per kernel.
 *
 * A thread of the pool is in one of four states. It spins for SPIN_NS after its work, for the next list
 * usually comes soon, and then falls asleep: waking it costs about 50 us, a spinning one 0.2 us. Whoever runs
 * a list claims threads by compare-and-swap, so that a thread cannot fall asleep under its caller. One list
 * at a time has the pool; a list that finds it taken runs on its own thread alone, which gives the same
 * results.
 *
 * Threads are started when first wanted and never end. fork copies none of them, so a child never uses the
 * pool. */
#define _GNU_SOURCE
#include "pool.h"
#include "threads.h"

enum { MOST_WORKERS = 64 };
enum { SPIN_NS = 100000 };       /* twice the cost of a wake-up */
enum { SPINS_BEFORE_YIELD = 4000 }; /* about 50 us: by then who is waited for has lost its CPU */

enum state { SPINNING, ASLEEP, CLAIMED, CALLED };

struct tr_gate {
    _Alignas(64) int arrived;
    _Alignas(64) int phase;
};

typedef struct thread {
    _Alignas(64) int state; /* enum state; atomic */
    int ith;                /* in the list it is called for */
    int sleeps;             /* whether it must be signalled; valid while claimed */
    tr_mutex mutex;         /* for falling asleep only */
    tr_condition called;
} thread;

static struct {
    tr_mutex mutex; /* of the list that has the pool; guards all below but the atomics */
    thread threads[MOST_WORKERS - 1];
    int started;
    int limit;  /* workers at most, the caller included; 0: not asked yet; atomic */
    int forked; /* this process is a forked child; atomic */
    void (*walk)(void *list, const tr_worker *w);
    void *list;
    char *shared;
    int nth;
    tr_gate gates[MOST_WORKERS + 1]; /* one for each number of workers */
} pool = {.mutex = TR_MUTEX_INITIALIZER};

static int load(const int *x) { return __atomic_load_n(x, __ATOMIC_ACQUIRE); }
static void store(int *x, int value) { __atomic_store_n(x, value, __ATOMIC_RELEASE); }

static int change(int *x, int from, int to) {
    return __atomic_compare_exchange_n(x, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void pause_cpu(void) {
#if TR_HAS_X86
    __asm__ volatile("pause");
#elif TR_HAS_ARM64
    __asm__ volatile("yield");
#endif
}

/* Waits for *x to differ from `value`. On a crowded machine the one waited for may have no CPU: then give
 * way. */
static void wait_while(const int *x, int value) {
    for (int spins = 0; load(x) == value; spins++)
        if (spins < SPINS_BEFORE_YIELD)
            pause_cpu();
        else
            tr_yield();
}

void tr_barrier(const tr_worker *w) {
    if (w->nth == 1)
        return;
    tr_gate *gate = &w->gate[w->nth];
    int phase = load(&gate->phase);
    if (__atomic_add_fetch(&gate->arrived, 1, __ATOMIC_ACQ_REL) == w->nth) {
        store(&gate->arrived, 0);
        store(&gate->phase, phase + 1);
    } else {
        wait_while(&gate->phase, phase);
    }
}

/* Workspace. */

static tr_key workspace_key;
static int workspace_works;

__attribute__((constructor)) static void make_workspace_key(void) { workspace_works = tr_key_new(&workspace_key); }

char *tr_workspace(void) {
    if (!workspace_works)
        return 0;
    char *space = tr_key_get(workspace_key);
    if (space)
        return space;
    space = tr_aligned_new(TR_OWN_BYTES + TR_SHARED_BYTES);
    if (space && !tr_key_set(workspace_key, space)) {
        tr_aligned_free(space);
        space = 0;
    }
    return space;
}

/* The threads. */

static void wait_for_call(thread *t) {
    int64_t end = tr_nanoseconds() + SPIN_NS;
    for (int spins = 1; load(&t->state) != CALLED; spins++) {
        pause_cpu();
        if (spins % 64 == 0 && tr_nanoseconds() > end && change(&t->state, SPINNING, ASLEEP)) {
            tr_mutex_lock(&t->mutex);
            while (load(&t->state) != CALLED)
                tr_condition_wait(&t->called, &t->mutex);
            tr_mutex_unlock(&t->mutex);
        }
    }
}

static tr_worker worker_of(int ith, int nth, char *own, char *shared) {
    return (tr_worker){
        .ith = ith, .nth = nth, .own = own, .shared = shared, .gate = pool.gates, .column_end = TR_ALL_COLUMNS};
}

TR_LIVE(live, self) {
    thread *t = self;
    char *own = tr_workspace();
    if (!own)
        return 0; /* stays CLAIMED for ever, so nobody calls it */
    store(&t->state, SPINNING);
    for (;;) {
        wait_for_call(t);
        tr_worker w = worker_of(t->ith, pool.nth, own, pool.shared);
        pool.walk(pool.list, &w);
        store(&t->state, SPINNING);
    }
}

static void enter_child(void) { store(&pool.forked, 1); }

/* Starts threads until there are `count`, or the system gives no more. */
static void start_threads(int count) {
    if (pool.started == 0 && count > 0 && !tr_at_fork(enter_child))
        return;
    for (; pool.started < count; pool.started++) {
        thread *t = &pool.threads[pool.started];
        tr_mutex_init(&t->mutex);
        tr_condition_init(&t->called);
        store(&t->state, CLAIMED);
        if (!tr_start_thread(live, t))
            break;
    }
}

static int claim(thread *t, int wake) {
    for (int spins = 0; load(&t->state) == CALLED && spins < 100; spins++)
        pause_cpu();
    t->sleeps = 0;
    if (change(&t->state, SPINNING, CLAIMED))
        return 1;
    if (!wake || !change(&t->state, ASLEEP, CLAIMED))
        return 0;
    t->sleeps = 1;
    return 1;
}

static void call(thread *t, int ith) {
    t->ith = ith;
    if (!t->sleeps) {
        store(&t->state, CALLED);
        return;
    }
    tr_mutex_lock(&t->mutex);
    store(&t->state, CALLED);
    tr_condition_signal(&t->called);
    tr_mutex_unlock(&t->mutex);
}

int tr_pool_run(void (*walk)(void *list, const tr_worker *w), void *list, int most, int wake) {
    thread *team[MOST_WORKERS];
    char *space = tr_workspace();
    int nth = 1, limit = tr_get_threads();
    if (most > limit)
        most = limit;
    if (most < 2 || !space || !tr_mutex_try(&pool.mutex))
        return 0;
    if (wake)
        start_threads(most - 1);
    for (int i = 0; i < pool.started && nth < most; i++)
        if (claim(&pool.threads[i], wake))
            team[nth++] = &pool.threads[i];
    if (nth > 1) {
        tr_worker self = worker_of(0, nth, space, space + TR_OWN_BYTES);
        pool.walk = walk;
        pool.list = list;
        pool.shared = self.shared;
        pool.nth = nth;
        for (int ith = 1; ith < nth; ith++)
            call(team[ith], ith);
        walk(list, &self);
        for (int ith = 1; ith < nth; ith++)
            wait_while(&team[ith]->state, CALLED);
    }
    tr_mutex_unlock(&pool.mutex);
    return nth > 1;
}

int tr_set_threads(int count) {
    if (count <= 0)
        count = tr_available_cpus();
    store(&pool.limit, count < MOST_WORKERS ? count : MOST_WORKERS);
    return tr_get_threads();
}

int tr_get_threads(void) {
    if (load(&pool.forked))
        return 1;
    int limit = load(&pool.limit);
    return limit ? limit : tr_set_threads(0);
}
