/* One ISA: every kernel body for every dtype, gathered in one table.
 *
 * A unit (baseline.c, avx2.c, avx512.c) defines ISA_NAME and ISA_TABLE and includes this file; its
 * compiler flags, set in setup.py, choose the instructions.  All functions are static: the units
 * hold the same names.  A new kernel is one body in one of the headers below, one member of
 * fc_kernels and one line in KERNELS; a new ISA is one unit and one line in dispatch.c.
 *
 * PARTS says which dtypes to compile, so that setup.py can have them compiled beside each other.
 */
#define FLOAT32 1
#define FLOAT64 2
#define INT64 4
#define INTEGERS 8 /* the other integers, and the table of all parts */
#ifndef PARTS
#define PARTS (FLOAT32 | FLOAT64 | INT64 | INTEGERS)
#endif

#include "kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

/* what the parts of a unit know of each other: names that differ from the other units' */
#define PASTED(isa, name) isa##_##name
#define PASTED_TOGETHER(isa, name) PASTED(isa, name)
#define OF_ISA(name) PASTED_TOGETHER(ISA_TABLE, name)
extern const fc_kernels OF_ISA(f32), OF_ISA(f64), OF_ISA(i64);
extern const fc_max_kernels OF_ISA(max_f32), OF_ISA(max_f64), OF_ISA(max_i64);

/* Register tiles: (rows, vectors) with accumulators, one row of vectors and a broadcast in
 * registers.  TAPS_VECTORS[h] is the widest tile of h rows. */
#define TILES_UPTO_1(M, h) M(h, 1)
#define TILES_UPTO_2(M, h) TILES_UPTO_1(M, h) M(h, 2)
#define TILES_UPTO_3(M, h) TILES_UPTO_2(M, h) M(h, 3)
#define TILES_UPTO_4(M, h) TILES_UPTO_3(M, h) M(h, 4)
#define TILES_UPTO_5(M, h) TILES_UPTO_4(M, h) M(h, 5)
#define TILES_UPTO_6(M, h) TILES_UPTO_5(M, h) M(h, 6)
#define TILES_UPTO_7(M, h) TILES_UPTO_6(M, h) M(h, 7)
#define TILES_UPTO_8(M, h) TILES_UPTO_7(M, h) M(h, 8)
#if defined(__AVX512F__) || defined(__aarch64__) /* 32 registers */
#define FOR_EACH_TAPS_TILE(M)                                                                      \
    TILES_UPTO_8(M, 1)                                                                             \
    TILES_UPTO_8(M, 2)                                                                             \
    TILES_UPTO_7(M, 3)                                                                             \
    TILES_UPTO_6(M, 4) TILES_UPTO_4(M, 5) TILES_UPTO_4(M, 6) TILES_UPTO_3(M, 7) TILES_UPTO_3(M, 8)
#define TAPS_VECTORS {0, 8, 8, 7, 6, 4, 4, 3, 3}
#define FOR_EACH_ROWS_TILE(M)                                                                      \
    TILES_UPTO_4(M, 1)                                                                             \
    TILES_UPTO_4(M, 2)                                                                             \
    TILES_UPTO_4(M, 3)                                                                             \
    TILES_UPTO_4(M, 4) TILES_UPTO_4(M, 5) TILES_UPTO_4(M, 6) TILES_UPTO_3(M, 7) TILES_UPTO_3(M, 8)
#define ROWS_VECTORS {0, 4, 4, 4, 4, 4, 4, 3, 3}
#define FOR_EACH_DOT_TILE(M)                                                                       \
    TILES_UPTO_4(M, 1)                                                                             \
    TILES_UPTO_4(M, 2)                                                                             \
    TILES_UPTO_4(M, 3)                                                                             \
    TILES_UPTO_4(M, 4) TILES_UPTO_4(M, 5) TILES_UPTO_4(M, 6) TILES_UPTO_3(M, 7) TILES_UPTO_3(M, 8)
#define DOT_ROWS {0, 8, 8, 8, 6}
#define MAX_ROWS 8
#else /* 16 registers */
#define FOR_EACH_TAPS_TILE(M)                                                                      \
    TILES_UPTO_6(M, 1) TILES_UPTO_4(M, 2) TILES_UPTO_3(M, 3) TILES_UPTO_3(M, 4)
#define TAPS_VECTORS {0, 6, 4, 3, 3, 0, 0, 0, 0}
#define FOR_EACH_ROWS_TILE(M)                                                                      \
    TILES_UPTO_3(M, 1) TILES_UPTO_3(M, 2) TILES_UPTO_3(M, 3) TILES_UPTO_3(M, 4)
#define ROWS_VECTORS {0, 3, 3, 3, 3, 0, 0, 0, 0}
#define FOR_EACH_DOT_TILE(M)                                                                       \
    TILES_UPTO_3(M, 1)                                                                             \
    TILES_UPTO_3(M, 2)                                                                             \
    TILES_UPTO_3(M, 3)                                                                             \
    TILES_UPTO_2(M, 4) TILES_UPTO_2(M, 5) TILES_UPTO_1(M, 6) TILES_UPTO_1(M, 7) TILES_UPTO_1(M, 8)
#define DOT_ROWS {0, 8, 5, 3, 0}
#define MAX_ROWS 4
#endif

#define FLOATS_ALONE                                                                               \
    .winograd_weights = NAME(winograd_weights), .winograd_input = NAME(winograd_input),            \
    .winograd_output = NAME(winograd_output), .winograd_gradient = NAME(winograd_gradient),        \
    .winograd_kernel = NAME(winograd_kernel), .strips_input = NAME(strips_input),                  \
    .strips_weights = NAME(strips_weights), .strips_output = NAME(strips_output),                  \
    .update = {[FC_SGD] = NAME(sgd), [FC_RMSPROP] = NAME(rmsprop), [FC_ADAM] = NAME(adam)}
#define TAPS_ENTRY(h, v) [h][v] = NAME(taps_##h##x##v),
#define ROWS_ENTRY(h, v) [h][v] = NAME(rows_##h##x##v),
#define DOT_ENTRY(h, f) [h][f] = NAME(dot_##h##x##f),
#define KERNELS                                                                                    \
    {.itemsize = sizeof(T),                                                                        \
     .lanes = VL,                                                                                  \
     .max_rows = MAX_ROWS,                                                                         \
     .taps_vectors = TAPS_VECTORS,                                                                 \
     .rows_vectors = ROWS_VECTORS,                                                                 \
     .dot_rows = DOT_ROWS,                                                                         \
     .taps = {FOR_EACH_TAPS_TILE(TAPS_ENTRY)},                                                     \
     .rows = {FOR_EACH_ROWS_TILE(ROWS_ENTRY)},                                                     \
     .dot = {FOR_EACH_DOT_TILE(DOT_ENTRY)},                                                        \
     .pack_pixels = NAME(pack_pixels),                                                             \
     .scatter = NAME(scatter),                                                                     \
     .transpose = NAME(transpose),                                                                 \
     .scatter_add = NAME(scatter_add),                                                             \
     .copy = NAME(copy),                                                                           \
     .copy_padded = NAME(copy_padded),                                                             \
     .sum = NAME(sum),                                                                             \
     .sum_rows = NAME(sum_rows),                                                                   \
     .relu_gradient = NAME(relu_gradient),                                                         \
     .depthwise = NAME(depthwise),                                                                 \
     .depthwise_planes = NAME(depthwise_planes),                                                   \
     .depthwise_gradient = NAME(depthwise_gradient),                                               \
     .spread_groups = NAME(spread_groups),                                                         \
     .sum_windows = NAME(sum_windows),                                                             \
     .divide = NAME(divide),                                                                       \
     .spread = NAME(spread),                                                                       \
     .spread_means = VECTOR_BYTES > 16 ? NAME(spread_means) : NULL,                                \
     .sum_shares = NAME(sum_shares),                                                               \
     .share_windows = NAME(share_windows),                                                         \
     .share_pairs = NAME(share_pairs),                                                             \
     .scatter_shares = NAME(scatter_shares),                                                       \
     FLOATS_ALONE}
#define MAX_KERNELS                                                                                \
    {.itemsize = sizeof(T),                                                                        \
     .fill_lowest = NAME(fill_lowest),                                                             \
     .start = NAME(start),                                                                         \
     .fold = NAME(fold),                                                                           \
     .max_windows = NAME(max_windows),                                                             \
     .max_codes = NAME(max_codes),                                                                 \
     .scatter_indices = NAME(scatter_indices),                                                     \
     .gather_indices = GATHER}
#define GATHER (VECTOR_BYTES > 16 ? NAME(gather_indices) : NULL)

#if PARTS & FLOAT32
#define NAME(name) name##_f32
#define T float
#define T_BYTES 4
#define SUM_T float
#define LOWEST (-__builtin_inff())
#define INTEGER 0
#include "conv_kernels.h"
#include "maximum.h"
const fc_kernels OF_ISA(f32) = KERNELS;
const fc_max_kernels OF_ISA(max_f32) = MAX_KERNELS;
#include "next_dtype.h"
#endif

#if PARTS & FLOAT64
#define NAME(name) name##_f64
#define T double
#define T_BYTES 8
#define SUM_T double
#define LOWEST (-__builtin_inf())
#define INTEGER 0
#include "conv_kernels.h"
#include "maximum.h"
const fc_kernels OF_ISA(f64) = KERNELS;
const fc_max_kernels OF_ISA(max_f64) = MAX_KERNELS;
#include "next_dtype.h"
#endif

#if PARTS & INT64
#undef FLOATS_ALONE /* what makes fractions */
#define FLOATS_ALONE .winograd_weights = NULL
#define NAME(name) name##_i64
#define T int64_t
#define T_BYTES 8
#define SUM_T uint64_t
#define LOWEST INT64_MIN
#define INTEGER 1
#include "conv_kernels.h"
#include "maximum.h"
const fc_kernels OF_ISA(i64) = KERNELS;
const fc_max_kernels OF_ISA(max_i64) = MAX_KERNELS;
#include "next_dtype.h"
#endif

#if PARTS & INTEGERS
#undef GATHER
#define GATHER NULL
#define NAME(name) name##_i8
#define T int8_t
#define SUM_T uint8_t
#define LOWEST INT8_MIN
#include "windows.h"
#include "maximum.h"
static const fc_max_kernels max_i8 = MAX_KERNELS;
#include "next_dtype.h"

#define NAME(name) name##_i16
#define T int16_t
#define SUM_T uint16_t
#define LOWEST INT16_MIN
#include "windows.h"
#include "maximum.h"
static const fc_max_kernels max_i16 = MAX_KERNELS;
#include "next_dtype.h"

#define NAME(name) name##_i32
#define T int32_t
#define SUM_T uint32_t
#define LOWEST INT32_MIN
#include "windows.h"
#include "maximum.h"
static const fc_max_kernels max_i32 = MAX_KERNELS;
#include "next_dtype.h"

#define NAME(name) name##_u8
#define T uint8_t
#define SUM_T uint8_t
#define LOWEST 0
#include "windows.h"
#include "maximum.h"
static const fc_max_kernels max_u8 = MAX_KERNELS;
#include "next_dtype.h"

#define NAME(name) name##_u16
#define T uint16_t
#define SUM_T uint16_t
#define LOWEST 0
#include "windows.h"
#include "maximum.h"
static const fc_max_kernels max_u16 = MAX_KERNELS;
#include "next_dtype.h"

#define NAME(name) name##_u32
#define T uint32_t
#define SUM_T uint32_t
#define LOWEST 0
#include "windows.h"
#include "maximum.h"
static const fc_max_kernels max_u32 = MAX_KERNELS;
#include "next_dtype.h"

#define NAME(name) name##_u64
#define T uint64_t
#define SUM_T uint64_t
#define LOWEST 0
#include "windows.h"
#include "maximum.h"
static const fc_max_kernels max_u64 = MAX_KERNELS;
#include "next_dtype.h"

const fc_isa ISA_TABLE = {
    .name = ISA_NAME,
    .conv = {[FC_FLOAT32] = &OF_ISA(f32), [FC_FLOAT64] = &OF_ISA(f64), [FC_INT64] = &OF_ISA(i64)},
    .pool = {[FC_POOL_FLOAT32] = &OF_ISA(max_f32),
             [FC_POOL_FLOAT64] = &OF_ISA(max_f64),
             [FC_POOL_INT8] = &max_i8,
             [FC_POOL_INT16] = &max_i16,
             [FC_POOL_INT32] = &max_i32,
             [FC_POOL_INT64] = &OF_ISA(max_i64),
             [FC_POOL_UINT8] = &max_u8,
             [FC_POOL_UINT16] = &max_u16,
             [FC_POOL_UINT32] = &max_u32,
             [FC_POOL_UINT64] = &max_u64},
};
#endif
