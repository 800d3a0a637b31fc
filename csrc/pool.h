/* The threads behind tr_run, and the workspace of every thread that runs kernels. */
#ifndef TR_POOL_H
#define TR_POOL_H

#include "kernel.h"

/* Runs walk(list, w) on the calling thread as worker 0 and on up to most - 1 pool threads at the same time;
 * returns 1 when all have returned. With `wake` sleeping threads are woken, else only those that still spin
 * take part. Returns 0, and has run nothing, if the caller would be alone: another thread has the pool,
 * nobody spins, or this is a forked child. */
int tr_pool_run(void (*walk)(void *list, const tr_worker *w), void *list, int most, int wake);

/* TR_OWN_BYTES + TR_SHARED_BYTES of the calling thread, 64-aligned; NULL if memory ran out. */
char *tr_workspace(void);

/* CPUs that this process may use: affinity and cgroup quota count; cpus.c. */
int tr_available_cpus(void);

#endif
