/* The unit of isa_avx512.c that holds the tiles of matmul. */
#define TR_BODY "isa_tiles.h"
#include "isa_avx512.c"
