/* The body of every isa_*_tiles.c: the register tiles of matmul, compiled for TR_ISA. They take as long to compile as all
 * the kernels of isa_body.h. */
#include "vec.h"

#include "ahead.h"
#include "gemm_steps.inc.h"
#include "gemm_finish.inc.h"
#include "gemm_panel.inc.h"
#include "gemm_tile.inc.h"
