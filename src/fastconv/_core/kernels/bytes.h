/* A byte a lane: codes of taps, bytes in memory and in registers as wide as lanes, or masks, are.
 *
 * Compilers take vectors of so few bytes apart one by one, hence instructions by name, and where
 * there are none, zips with zeros.
 */
#undef lane_vec
#define lane_vec NAME(lane_vec)
#if T_BYTES == 4
typedef int32_t lane_vec __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int64_t lane_vec __attribute__((vector_size(VECTOR_BYTES)));
#endif

INLINE lane_vec NAME(broadcast_code)(ptrdiff_t code) {
    return (int)code - (lane_vec){0};
}

#if defined(__AVX512F__)
/* `count` may be a whole vector or more */
INLINE lane_vec NAME(load_codes)(const uint8_t *from, ptrdiff_t count) {
    const unsigned mask = LANE_MASK(count < VL ? count : VL);
    const __m128i bytes = _mm_maskz_loadu_epi8((__mmask16)mask, from);
    if (sizeof(T) == 4)
        return (lane_vec)_mm512_cvtepu8_epi32(bytes);
    return (lane_vec)_mm512_cvtepu8_epi64(bytes);
}

INLINE void NAME(store_codes)(uint8_t *to, lane_vec value, ptrdiff_t count) {
    const unsigned mask = LANE_MASK(count < VL ? count : VL);
    const __m128i bytes = sizeof(T) == 4 ? _mm512_cvtepi32_epi8((__m512i)value)
                                         : _mm512_cvtepi64_epi8((__m512i)value);
    _mm_mask_storeu_epi8(to, (__mmask16)mask, bytes);
}
#else
typedef uint8_t NAME(u8) __attribute__((vector_size(16)));
typedef uint16_t NAME(u16) __attribute__((vector_size(16)));
typedef uint32_t NAME(u32) __attribute__((vector_size(16)));
typedef uint64_t NAME(u64) __attribute__((vector_size(16)));

/* eight bytes as they lie in memory, of which the first VL count */
INLINE lane_vec NAME(widen)(uint64_t bytes) {
    const NAME(u64) all = {bytes, 0};
#if defined(__AVX2__)
    if (sizeof(T) == 4)
        return (lane_vec)_mm256_cvtepu8_epi32((__m128i)all);
    return (lane_vec)_mm256_cvtepu8_epi64((__m128i)all);
#elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const NAME(u8) zero = {0};
    const NAME(u16) two = (NAME(u16))__builtin_shufflevector((NAME(u8))all, zero, 0, 16, 1, 17, 2,
                                                             18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const NAME(u32) four =
        (NAME(u32))__builtin_shufflevector(two, (NAME(u16))zero, 0, 8, 1, 9, 2, 10, 3, 11);
    if (sizeof(T) == 4)
        return (lane_vec)four;
    return (lane_vec)__builtin_shufflevector(four, (NAME(u32))zero, 0, 4, 1, 5);
#else
    lane_vec codes;
    for (ptrdiff_t q = 0; q < VL; q++)
        codes[q] = ((NAME(u8))all)[q];
    return codes;
#endif
}

/* the lowest byte of each lane, as they lie in memory */
INLINE uint64_t NAME(narrow)(lane_vec codes) {
#if defined(__AVX2__)
    /* those of each half to its front */
    const __m256i bytes = _mm256_shuffle_epi8(
        (__m256i)codes, sizeof(T) == 4 ? _mm256_set1_epi32(0x0c080400) : _mm256_set1_epi16(0x0800));
    const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
    if (sizeof(T) == 4)
        return ((NAME(u64))_mm_unpacklo_epi32(low, high))[0];
    return ((NAME(u64))_mm_unpacklo_epi16(low, high))[0];
#else
    typedef uint8_t byte_vec __attribute__((vector_size(VECTOR_BYTES / sizeof(T))));
    const byte_vec few = __builtin_convertvector(codes, byte_vec);
    uint64_t bytes = 0;
    __builtin_memcpy(&bytes, &few, sizeof few);
    return bytes;
#endif
}

/* `count` may be a whole vector or more */
INLINE lane_vec NAME(load_codes)(const uint8_t *from, ptrdiff_t count) {
    uint64_t bytes = 0;
    uint8_t part[8] = {0};
    if (count >= VL) {
        __builtin_memcpy(&bytes, from, (size_t)VL);
    } else {
        for (ptrdiff_t q = 0; q < count; q++)
            part[q] = from[q];
        __builtin_memcpy(&bytes, part, sizeof bytes);
    }
    return NAME(widen)(bytes);
}

INLINE void NAME(store_codes)(uint8_t *to, lane_vec value, ptrdiff_t count) {
    const uint64_t bytes = NAME(narrow)(value);
    uint8_t part[8];
    if (count >= VL) {
        __builtin_memcpy(to, &bytes, (size_t)VL);
    } else {
        __builtin_memcpy(part, &bytes, sizeof bytes);
        for (ptrdiff_t q = 0; q < count; q++)
            to[q] = part[q];
    }
}
#endif
