/* Which compiled instruction set runs: detected once (processor and operating system), overridable. */
#include "dispatch.h"

static int always(void) { return 1; }

#if TR_HAS_X86
/* The compiler's own detection asks XGETBV too: registers that the system does not save count as absent. */
static int has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

static const struct {
    const char *name;
    const tr_kernel_fn *table;
    int (*supported)(void);
} isas[] = {
    {"generic", tr_table_generic, always},
#if TR_HAS_X86
    {"avx2", tr_table_avx2, has_avx2},
    {"avx512", tr_table_avx512, has_avx512},
#elif TR_HAS_ARM64
    {"neon", tr_table_neon, always},
#endif
};

enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

static int current; /* index into isas; atomic, since any thread may select while others run */

int tr_widens_by_halves;

__attribute__((constructor)) static void select_best(void) {
    for (int isa = 0; isa < ISA_COUNT; isa++)
        tr_isa_select(isa);
#if TR_HAS_X86
    tr_widens_by_halves = __builtin_cpu_is("amd"); /* Zen 4: 1.6 times as fast */
#endif
}

int tr_isa_count(void) { return ISA_COUNT; }

const char *tr_isa_name(int isa) { return isa >= 0 && isa < ISA_COUNT ? isas[isa].name : 0; }

int tr_isa_supported(int isa) { return isa >= 0 && isa < ISA_COUNT && isas[isa].supported(); }

int tr_isa_current(void) { return __atomic_load_n(&current, __ATOMIC_RELAXED); }

int tr_isa_select(int isa) {
    if (!tr_isa_supported(isa))
        return -1;
    __atomic_store_n(&current, isa, __ATOMIC_RELAXED);
    return 0;
}

const tr_kernel_fn *tr_kernel_table(void) { return isas[tr_isa_current()].table; }

static const struct {
    const char *name, *outs, *ins, *args, *scalars, *flush;
} kernels[TR_KERNEL_COUNT] = {
#define TR_KERNEL(name, outs, ins, args, scalars, flush, cost, cold) {#name, outs, ins, args, scalars, #flush},
#include "kernels.def"
#undef TR_KERNEL
};

static int known(int kernel) { return kernel >= 0 && kernel < TR_KERNEL_COUNT; }

int tr_kernel_count(void) { return TR_KERNEL_COUNT; }
const char *tr_kernel_name(int kernel) { return known(kernel) ? kernels[kernel].name : 0; }
const char *tr_kernel_outs(int kernel) { return known(kernel) ? kernels[kernel].outs : 0; }
const char *tr_kernel_ins(int kernel) { return known(kernel) ? kernels[kernel].ins : 0; }
const char *tr_kernel_args(int kernel) { return known(kernel) ? kernels[kernel].args : 0; }
const char *tr_kernel_scalars(int kernel) { return known(kernel) ? kernels[kernel].scalars : 0; }
const char *tr_kernel_flush(int kernel) { return known(kernel) ? kernels[kernel].flush : 0; }
