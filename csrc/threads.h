/* What pool.c needs of the system: threads, a lock, a condition, memory that belongs to a thread, and time. POSIX, and
 * Windows by its own functions: no library of threads comes with a wheel. */
#ifndef TR_THREADS_H
#define TR_THREADS_H

#include <stdint.h>
#include <stdlib.h>

#ifdef _WIN32

#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>

typedef SRWLOCK tr_mutex;
#define TR_MUTEX_INITIALIZER SRWLOCK_INIT
static inline void tr_mutex_init(tr_mutex *m) { InitializeSRWLock(m); }
static inline void tr_mutex_lock(tr_mutex *m) { AcquireSRWLockExclusive(m); }
static inline int tr_mutex_try(tr_mutex *m) { return TryAcquireSRWLockExclusive(m); }
static inline void tr_mutex_unlock(tr_mutex *m) { ReleaseSRWLockExclusive(m); }

typedef CONDITION_VARIABLE tr_condition;
static inline void tr_condition_init(tr_condition *c) { InitializeConditionVariable(c); }
static inline void tr_condition_wait(tr_condition *c, tr_mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static inline void tr_condition_signal(tr_condition *c) { WakeConditionVariable(c); }

/* Runs live(self) on a thread of its own that nobody waits for; 0 if the system gives none. */
static inline int tr_start_thread(DWORD(WINAPI *live)(void *), void *self) {
    HANDLE thread = CreateThread(0, 0, live, self, 0, 0);
    if (thread)
        CloseHandle(thread);
    return thread != 0;
}
#define TR_LIVE(name, argument) static DWORD WINAPI name(void *argument)

static inline int tr_at_fork(void (*child)(void)) { return (void)child, 1; } /* there is no fork */

static inline void *tr_aligned_new(size_t bytes) { return _aligned_malloc(bytes, 64); }
static inline void tr_aligned_free(void *memory) { _aligned_free(memory); }

/* A pointer per thread, freed when its thread ends. */
typedef DWORD tr_key;
static void WINAPI tr_key_free(void *memory) { tr_aligned_free(memory); }
static inline int tr_key_new(tr_key *key) { return (*key = FlsAlloc(tr_key_free)) != FLS_OUT_OF_INDEXES; }
static inline void *tr_key_get(tr_key key) { return FlsGetValue(key); }
static inline int tr_key_set(tr_key key, void *memory) { return FlsSetValue(key, memory); }

static inline void tr_yield(void) { SwitchToThread(); }

static inline int64_t tr_nanoseconds(void) {
    LARGE_INTEGER now, second;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&second);
    return now.QuadPart / second.QuadPart * 1000000000 + now.QuadPart % second.QuadPart * 1000000000 / second.QuadPart;
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

typedef pthread_mutex_t tr_mutex;
#define TR_MUTEX_INITIALIZER PTHREAD_MUTEX_INITIALIZER
static inline void tr_mutex_init(tr_mutex *m) { pthread_mutex_init(m, 0); }
static inline void tr_mutex_lock(tr_mutex *m) { pthread_mutex_lock(m); }
static inline int tr_mutex_try(tr_mutex *m) { return !pthread_mutex_trylock(m); }
static inline void tr_mutex_unlock(tr_mutex *m) { pthread_mutex_unlock(m); }

typedef pthread_cond_t tr_condition;
static inline void tr_condition_init(tr_condition *c) { pthread_cond_init(c, 0); }
static inline void tr_condition_wait(tr_condition *c, tr_mutex *m) { pthread_cond_wait(c, m); }
static inline void tr_condition_signal(tr_condition *c) { pthread_cond_signal(c); }

/* Runs live(self) on a thread of its own that nobody waits for; 0 if the system gives none. Signals are for the threads
 * of the program. */
static inline int tr_start_thread(void *(*live)(void *), void *self) {
    sigset_t all, before;
    pthread_t id;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = !pthread_create(&id, 0, live, self);
    if (started)
        pthread_detach(id);
    pthread_sigmask(SIG_SETMASK, &before, 0);
    return started;
}
#define TR_LIVE(name, argument) static void *name(void *argument)

static inline int tr_at_fork(void (*child)(void)) { return !pthread_atfork(0, 0, child); }

static inline void *tr_aligned_new(size_t bytes) { return aligned_alloc(64, bytes); }
static inline void tr_aligned_free(void *memory) { free(memory); }

/* A pointer per thread, freed when its thread ends. */
typedef pthread_key_t tr_key;
static inline int tr_key_new(tr_key *key) { return !pthread_key_create(key, tr_aligned_free); }
static inline void *tr_key_get(tr_key key) { return pthread_getspecific(key); }
static inline int tr_key_set(tr_key key, void *memory) { return !pthread_setspecific(key, memory); }

static inline void tr_yield(void) { sched_yield(); }

static inline int64_t tr_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#endif

#endif
