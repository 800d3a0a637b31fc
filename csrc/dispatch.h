/* dispatch.c for run.c: the kernels of the instruction set in force, by kernel id. */
#ifndef TR_DISPATCH_H
#define TR_DISPATCH_H

#include "kernel.h"

const tr_kernel_fn *tr_kernel_table(void);

#endif
