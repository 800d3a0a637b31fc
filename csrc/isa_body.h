/* The body of every isa_*.c: all kernels, compiled for TR_ISA, and the table of them in the order of
 * kernels.def. */
#include "vec.h"
#include "vec_math.h"
#include "vec_special.h"

#include "elementwise.inc.h"
#include "functions.inc.h"
#include "integers.inc.h"
#include "gather.inc.h"
#include "movement.inc.h"
#include "reduce.inc.h"
#include "extreme.inc.h"
#include "softmax.inc.h"
#include "norm.inc.h"
#include "norm_grad.inc.h"
#include "norm_groups.inc.h"
#include "norm_groups_grad.inc.h"
#include "gemm.inc.h"
#include "gemm_batched.inc.h"
#include "conv_window.inc.h"
#include "conv_strips.inc.h"
#include "conv_scattered.inc.h"
#include "conv_depthwise.inc.h"
#include "conv.inc.h"
#include "attention.inc.h"
#include "pooling.inc.h"
#include "random.inc.h"
#include "optim.inc.h"
#include "inspect.inc.h"

const tr_kernel_fn TR_K(tr_table)[TR_KERNEL_COUNT] = {
#define TR_KERNEL(name, ...) TR_K(name),
#include "kernels.def"
#undef TR_KERNEL
};
