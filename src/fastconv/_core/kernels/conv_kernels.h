/* The bodies of one dtype's fc_kernels, in the order they build on each other. */
#include "simd.h"
#include "bytes.h"
#include "tiles.h"
#include "interleave.h"
#include "move.h"
#include "window.h"
#include "winograd.h"
#include "shares.h"
