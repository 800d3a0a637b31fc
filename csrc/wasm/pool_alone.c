/* pool.h for a machine without threads (WebAssembly): everything runs on the calling one. */
#include "pool.h"

static _Alignas(64) char workspace[TR_OWN_BYTES + TR_SHARED_BYTES];

void tr_barrier(const tr_worker *w) { (void)w; }
char *tr_workspace(void) { return workspace; }
int tr_available_cpus(void) { return 1; }

int tr_set_threads(int count) {
    (void)count;
    return 1;
}

int tr_get_threads(void) { return 1; }

int tr_pool_run(void (*walk)(void *list, const tr_worker *w), void *list, int most, int wake) {
    (void)walk, (void)list, (void)most, (void)wake;
    return 0;
}
