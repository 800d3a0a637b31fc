/* The unit of isa_avx2.c that holds the tiles of matmul. */
#define TR_BODY "isa_tiles.h"
#include "isa_avx2.c"
