/* Vectors of T: included once for every dtype, after T, NAME and INTEGER (1 for integers) are defined.
 *
 * GCC and Clang vector extensions do the arithmetic; only masked access to the edge of an array
 * needs intrinsics, and where the ISA has none, a copy through the stack does it.
 */
#undef VL
#undef vec
#undef unaligned_vec
#define VL ((ptrdiff_t)(VECTOR_BYTES / sizeof(T)))
#define vec NAME(vec)
#define unaligned_vec NAME(unaligned_vec)
typedef T vec __attribute__((vector_size(VECTOR_BYTES)));
typedef T unaligned_vec
    __attribute__((vector_size(VECTOR_BYTES), aligned(__alignof__(T)), may_alias));

INLINE vec NAME(load)(const T *from) {
    return *(const unaligned_vec *)from;
}

INLINE void NAME(store)(T *to, vec value) {
    *(unaligned_vec *)to = value;
}

/* s - 0, not 0 + s: the compiler may drop the former for every s, and 0 + (-0) is +0 */
INLINE vec NAME(broadcast)(T scalar) {
    return scalar - (vec){0};
}

#if defined(__AVX512F__)
#undef LANE_MASK
#undef EVEN_LANES
#define LANE_MASK(count) ((1u << (count)) - 1u)
#define EVEN_LANES 0x5555u
INLINE vec NAME(load_mask)(const T *from, unsigned mask) {
    if (sizeof(T) == 4)
        return (vec)_mm512_maskz_loadu_epi32((__mmask16)mask, from);
    return (vec)_mm512_maskz_loadu_epi64((__mmask8)mask, from);
}
INLINE void NAME(store_mask)(T *to, vec value, unsigned mask) {
    if (sizeof(T) == 4)
        _mm512_mask_storeu_epi32(to, (__mmask16)mask, (__m512i)value);
    else
        _mm512_mask_storeu_epi64(to, (__mmask8)mask, (__m512i)value);
}
/* lanes low..high-1 alone, lane q at from[q]: the others' addresses are not touched */
INLINE vec NAME(load_lanes)(const T *from, ptrdiff_t low, ptrdiff_t high) {
    return NAME(load_mask)(from, LANE_MASK(high) & ~LANE_MASK(low));
}
INLINE void NAME(store_lanes)(T *to, vec value, ptrdiff_t low, ptrdiff_t high) {
    NAME(store_mask)(to, value, LANE_MASK(high) & ~LANE_MASK(low));
}
/* every other lane below `high` */
INLINE void NAME(store_even)(T *to, vec value, ptrdiff_t high) {
    NAME(store_mask)(to, value, EVEN_LANES & LANE_MASK(high));
}
#elif defined(__AVX2__)
/* all bits of the lanes below `count` */
INLINE __m256i NAME(lane_mask)(ptrdiff_t count) {
    if (sizeof(T) == 4)
        return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)count), _mm256_setr_epi64x(0, 1, 2, 3));
}
INLINE vec NAME(load_mask)(const T *from, __m256i mask) {
    if (sizeof(T) == 4)
        return (vec)_mm256_maskload_epi32((const int *)from, mask);
    return (vec)_mm256_maskload_epi64((const long long *)from, mask);
}
INLINE void NAME(store_mask)(T *to, vec value, __m256i mask) {
    if (sizeof(T) == 4)
        _mm256_maskstore_epi32((int *)to, mask, (__m256i)value);
    else
        _mm256_maskstore_epi64((long long *)to, mask, (__m256i)value);
}
/* lanes low..high-1 alone, lane q at from[q]: the others' addresses are not touched */
INLINE vec NAME(load_lanes)(const T *from, ptrdiff_t low, ptrdiff_t high) {
    return NAME(load_mask)(from, _mm256_andnot_si256(NAME(lane_mask)(low), NAME(lane_mask)(high)));
}
INLINE void NAME(store_lanes)(T *to, vec value, ptrdiff_t low, ptrdiff_t high) {
    NAME(store_mask)(to, value, _mm256_andnot_si256(NAME(lane_mask)(low), NAME(lane_mask)(high)));
}
/* every other lane below `high` */
INLINE void NAME(store_even)(T *to, vec value, ptrdiff_t high) {
    const __m256i even = sizeof(T) == 4 ? _mm256_setr_epi32(-1, 0, -1, 0, -1, 0, -1, 0)
                                        : _mm256_setr_epi32(-1, -1, 0, 0, -1, -1, 0, 0);
    NAME(store_mask)(to, value, _mm256_and_si256(even, NAME(lane_mask)(high)));
}
#else
/* lanes low..high-1 alone, lane q at from[q]: the others' addresses are not touched */
INLINE vec NAME(load_lanes)(const T *from, ptrdiff_t low, ptrdiff_t high) {
    vec value = {0};
    for (ptrdiff_t q = low; q < high; q++)
        value[q] = from[q];
    return value;
}
INLINE void NAME(store_lanes)(T *to, vec value, ptrdiff_t low, ptrdiff_t high) {
    for (ptrdiff_t q = low; q < high; q++)
        to[q] = value[q];
}
/* every other lane below `high` */
INLINE void NAME(store_even)(T *to, vec value, ptrdiff_t high) {
    for (ptrdiff_t q = 0; q < high; q += 2)
        to[q] = value[q];
}
#endif

INLINE vec NAME(load_part)(const T *from, ptrdiff_t count) {
    return NAME(load_lanes)(from, 0, count);
}

INLINE void NAME(store_part)(T *to, vec value, ptrdiff_t count) {
    NAME(store_lanes)(to, value, 0, count);
}

/* `count` may be a whole vector or more */
INLINE vec NAME(load_upto)(const T *from, ptrdiff_t count) {
    return count >= VL ? NAME(load)(from) : NAME(load_part)(from, count);
}

INLINE void NAME(store_upto)(T *to, vec value, ptrdiff_t count) {
    if (count >= VL)
        NAME(store)(to, value);
    else
        NAME(store_part)(to, value, count);
}

/* relu that lets NaN through */
INLINE vec NAME(relu)(vec value) {
#if INTEGER
    return value & ~(value < 0);
#else
    typedef __typeof__(value < 0) mask;
    return (vec)((mask)value & ~(value < 0));
#endif
}

/* `value` with what the epilogue adds; `held` is what the outputs hold if they are accumulated */
INLINE vec NAME(finish)(vec value, vec held, ptrdiff_t i, ptrdiff_t j, ptrdiff_t count,
                        const fc_epilogue *epilogue) {
    if (epilogue->accumulate)
        value += held;
    if (epilogue->row_bias)
        value += NAME(broadcast)(((const T *)epilogue->row_bias)[i]);
    if (epilogue->column_bias)
        value += NAME(load_upto)((const T *)epilogue->column_bias + j, count);
    if (epilogue->relu)
        value = NAME(relu)(value);
    return value;
}

/* the same for `count` outputs at c, where they are stored */
INLINE void NAME(finish_at)(vec value, T *c, ptrdiff_t i, ptrdiff_t j, ptrdiff_t count,
                            const fc_epilogue *epilogue) {
    const vec held = epilogue->accumulate ? NAME(load_upto)(c, count) : (vec){0};
    NAME(store_upto)(c, NAME(finish)(value, held, i, j, count, epilogue), count);
}

#if !defined(__clang__) && __GNUC__ < 12
#error "fastconv needs GCC 12 or newer, or Clang"
#endif

/* `number` of each lane: which lane of two joined vectors goes there */
#undef LANES
#if VECTOR_BYTES / T_BYTES == 16
#define LANES(number)                                                                              \
    number(0), number(1), number(2), number(3), number(4), number(5), number(6), number(7),        \
        number(8), number(9), number(10), number(11), number(12), number(13), number(14),          \
        number(15)
#elif VECTOR_BYTES / T_BYTES == 8
#define LANES(number)                                                                              \
    number(0), number(1), number(2), number(3), number(4), number(5), number(6), number(7)
#elif VECTOR_BYTES / T_BYTES == 4
#define LANES(number) number(0), number(1), number(2), number(3)
#else
#define LANES(number) number(0), number(1)
#endif
#undef EVERY_OTHER
#undef ZIPPED
#define EVERY_OTHER(q, a, b) (2 * (q) + ((q) < VL / 2 ? (a) : (b)))
#define ZIPPED(q, a, b) ((q) / 2 + ((q) % 2 ? VL + (b) * VL / 2 : (a) * VL / 2))

/* lanes a, a + 2, ... of the first vector, then b, b + 2, ... of the second */
#define EVERY_00(q) EVERY_OTHER(q, 0, 0)
#define EVERY_01(q) EVERY_OTHER(q, 0, 1)
#define EVERY_11(q) EVERY_OTHER(q, 1, 1)
INLINE vec NAME(every_other)(vec first, vec second, const int a, const int b) {
    if (b == 0)
        return __builtin_shufflevector(first, second, LANES(EVERY_00));
    if (a == 0)
        return __builtin_shufflevector(first, second, LANES(EVERY_01));
    return __builtin_shufflevector(first, second, LANES(EVERY_11));
}

/* first[0], second[0], first[1], second[1], ... from the lower (0) or upper (1) halves of both */
#define ZIPPED_00(q) ZIPPED(q, 0, 0)
#define ZIPPED_01(q) ZIPPED(q, 0, 1)
#define ZIPPED_10(q) ZIPPED(q, 1, 0)
#define ZIPPED_11(q) ZIPPED(q, 1, 1)
INLINE vec NAME(zip)(vec first, vec second, const int a, const int b) {
    if (a == 0 && b == 0)
        return __builtin_shufflevector(first, second, LANES(ZIPPED_00));
    if (a == 0)
        return __builtin_shufflevector(first, second, LANES(ZIPPED_01));
    if (b == 0)
        return __builtin_shufflevector(first, second, LANES(ZIPPED_10));
    return __builtin_shufflevector(first, second, LANES(ZIPPED_11));
}

INLINE vec NAME(even_lanes)(vec low, vec high) {
    return NAME(every_other)(low, high, 0, 0);
}

INLINE vec NAME(zip_low)(vec low, vec high) {
    return NAME(zip)(low, high, 0, 0);
}

INLINE vec NAME(zip_high)(vec low, vec high) {
    return NAME(zip)(low, high, 1, 1);
}

/* lanes of two joined vectors by their numbers, integers of the size of T */
#if defined(__AVX512F__)
typedef __m512i NAME(index);
INLINE NAME(index) NAME(load_index)(const void *from) {
    return _mm512_loadu_si512(from);
}
INLINE vec NAME(pick)(vec low, vec high, NAME(index) index) {
    if (sizeof(T) == 4)
        return (vec)_mm512_permutex2var_epi32((__m512i)low, index, (__m512i)high);
    return (vec)_mm512_permutex2var_epi64((__m512i)low, index, (__m512i)high);
}
#elif defined(__AVX2__)
typedef __m256i NAME(index);
INLINE NAME(index) NAME(load_index)(const void *from) {
    return _mm256_loadu_si256(from);
}
INLINE vec NAME(pick)(vec low, vec high, NAME(index) index) {
    if (sizeof(T) == 4) {
        const __m256i second = _mm256_slli_epi32(index, 28); /* bit 3: of the second vector */
        return (vec)_mm256_blendv_ps((__m256)_mm256_permutevar8x32_epi32((__m256i)low, index),
                                     (__m256)_mm256_permutevar8x32_epi32((__m256i)high, index),
                                     (__m256)second);
    }
    const __m256i second = _mm256_slli_epi64(index, 61); /* bit 2 */
    const __m256i twice = _mm256_slli_epi64(index, 1), odd = _mm256_set1_epi64x(1ll << 32);
    const __m256i halves =
        _mm256_or_si256(_mm256_or_si256(twice, _mm256_slli_epi64(twice, 32)), odd);
    return (vec)_mm256_blendv_pd((__m256d)_mm256_permutevar8x32_epi32((__m256i)low, halves),
                                 (__m256d)_mm256_permutevar8x32_epi32((__m256i)high, halves),
                                 (__m256d)second);
}
#else
typedef struct {
    ptrdiff_t lane[VECTOR_BYTES / sizeof(T)];
} NAME(index);
INLINE NAME(index) NAME(load_index)(const void *from) {
    NAME(index) index;
    for (ptrdiff_t q = 0; q < VL; q++)
        index.lane[q] = sizeof(T) == 4 ? ((const int32_t *)from)[q] : ((const int64_t *)from)[q];
    return index;
}
INLINE vec NAME(pick)(vec low, vec high, NAME(index) index) {
    const vec both[2] = {low, high};
    vec value;
    for (ptrdiff_t q = 0; q < VL; q++)
        value[q] = ((const T *)both)[index.lane[q]];
    return value;
}
#endif

/* the sum over lanes, halves first: the same tree for every caller */
INLINE T NAME(lane_sum)(vec value) {
    T lane[FC_MAX_LANES];
    __builtin_memcpy(lane, &value, sizeof value);
    for (ptrdiff_t half = VL / 2; half > 0; half /= 2)
        for (ptrdiff_t q = 0; q < half; q++)
            lane[q] += lane[q + half];
    return lane[0];
}

/* from[0], from[2], ...: reads the `2 * count - 1` elements up to the last of these alone */
INLINE vec NAME(load_even)(const T *from, ptrdiff_t count) {
    vec low, high;
    if (count > VL) {
        low = NAME(load)(from);
        high = NAME(load)(from + VL);
    } else {
        const ptrdiff_t left = 2 * count - 1 - VL;
        low = NAME(load_upto)(from, 2 * count - 1);
        high = left > 0 ? NAME(load_part)(from + VL, left) : (vec){0};
    }
    return NAME(even_lanes)(low, high);
}
