/* The unit of isa_neon.c that holds the tiles of matmul. */
#define TR_BODY "isa_tiles.h"
#include "isa_neon.c"
