/* Fetching ahead: while a matmul computes, it asks the second level cache for what the next calls will read.
 *
 * A net whose parameters and activations outgrow that cache meets each of them again after everything else has passed
 * through it. The list of calls says what comes next, and a matmul leaves the memory idle: so each tile of it asks for
 * some lines of the operands of the calls behind it. Values are never touched, so results cannot change. */
#ifndef TR_AHEAD_H
#define TR_AHEAD_H

#include "facts.h"

enum { AHEAD_CALLS = 12 }; /* what is fetched earlier would be gone again */

/* Where fetching stands: at `at` of operand `operand` - 1 of `call`. `end` is the end of the list, `limit` the call
 * before which it stops for now. */
typedef struct tr_ahead {
    const tr_call *call, *limit, *end;
    int operand;
    const char *at, *stop;
} tr_ahead;

/* A matmul begins: nothing up to it is ahead any longer. */
TR_INLINE void tr_ahead_begin(tr_ahead *a, const tr_call *c) {
    a->limit = a->end - c > AHEAD_CALLS ? c + AHEAD_CALLS + 1 : a->end;
    if (a->call <= c) {
        a->call = c + 1;
        a->operand = 0;
        a->at = a->stop = 0;
    }
}

/* Where the next `bytes` to fetch are (some of them may lie behind the operand); NULL: there are none. */
TR_INLINE const char *tr_fetch_ahead(tr_ahead *a, int64_t bytes) {
    while (a->at >= a->stop) {
        if (a->operand == TR_POINTERS)
            a->call++, a->operand = 0;
        if (a->call >= a->limit)
            return 0;
        int64_t size = a->call->ptr[a->operand] ? tr_cold_bytes(a->call, a->operand) : 0;
        a->at = a->call->ptr[a->operand++];
        a->stop = a->at + size;
    }
    const char *at = a->at;
    a->at += bytes;
    return at;
}

#endif
