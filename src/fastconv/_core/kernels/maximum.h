/* Max pools, any dtype: out[q] = max_{r, s} rows[r][q * step + s * spread], row-major order.
 *
 * A value replaces the best so far if it is greater, or if it is the first NaN: so the first of
 * equal values stays (0.0 before -0.0), and a NaN stays for good.  Folding row by row and column by
 * column keeps that order.  Plain loops the compiler vectorises.
 */
#undef CHUNK
#define CHUNK 64
#undef REPLACES
#define REPLACES(x, best) (((x) > (best)) | (((x) != (x)) & ((best) == (best))))
/* the contrary, in fewer operations */
#undef KEEPS
#define KEEPS(x, best) (((x) <= (best)) | ((best) != (best)))

static void NAME(fill_lowest)(void *target, ptrdiff_t count) {
    T *const to = target;
    for (ptrdiff_t q = 0; q < count; q++)
        to[q] = LOWEST;
}

static void NAME(start)(const void *source, ptrdiff_t step, void *best, int64_t *code,
                        ptrdiff_t count, int64_t tap) {
    const T *const from = source;
    T *const to = best;
    for (ptrdiff_t q = 0; q < count; q++) {
        to[q] = from[q * step];
        code[q] = tap;
    }
}

INLINE void NAME(fold_body)(const T *restrict from, const ptrdiff_t step, T *restrict best,
                            int64_t *restrict code, ptrdiff_t count, int64_t tap) {
    for (ptrdiff_t q = 0; q < count; q++) {
        const T x = from[q * step], held = best[q];
        const int replaces = REPLACES(x, held);
        best[q] = replaces ? x : held;
        code[q] = replaces ? tap : code[q];
    }
}

static void NAME(fold)(const void *source, ptrdiff_t step, void *best, int64_t *code,
                       ptrdiff_t count, int64_t tap) {
    if (step == 1)
        NAME(fold_body)(source, 1, best, code, count, tap);
    else if (step == 2)
        NAME(fold_body)(source, 2, best, code, count, tap);
    else
        NAME(fold_body)(source, step, best, code, count, tap);
}

INLINE void NAME(max_into)(const T *restrict from, const ptrdiff_t step, T *restrict best,
                           const ptrdiff_t count) {
    for (ptrdiff_t q = 0; q < count; q++) {
        const T x = from[q * step], held = best[q];
        best[q] = REPLACES(x, held) ? x : held;
    }
}

INLINE void NAME(max_chunk)(const void *const *rows, ptrdiff_t kh, ptrdiff_t kw,
                            const ptrdiff_t step, ptrdiff_t spread, ptrdiff_t at, T *out,
                            const ptrdiff_t count) {
    T best[CHUNK];
    for (ptrdiff_t q = 0; q < count; q++)
        best[q] = LOWEST;
    for (ptrdiff_t r = 0; r < kh; r++)
        for (ptrdiff_t s = 0; s < kw; s++)
            NAME(max_into)((const T *)rows[r] + at * step + s * spread, step, best, count);
    __builtin_memcpy(out + at, best, (size_t)count * sizeof(T));
}

INLINE void NAME(max_body)(const void *const *rows, ptrdiff_t kh, ptrdiff_t kw,
                           const ptrdiff_t step, ptrdiff_t spread, T *out, ptrdiff_t count) {
    ptrdiff_t at = 0;
    for (; at + CHUNK <= count; at += CHUNK)
        NAME(max_chunk)(rows, kh, kw, step, spread, at, out, CHUNK);
    if (at < count)
        NAME(max_chunk)(rows, kh, kw, step, spread, at, out, count - at);
}

#if defined(T_BYTES) /* dtypes with the vectors of simd.h: no step but 1 and 2 */
INLINE vec NAME(higher)(vec x, vec best) {
    typedef __typeof__(x > best) mask;
    const mask keeps = KEEPS(x, best);
    return (vec)((keeps & (mask)best) | (~keeps & (mask)x));
}

INLINE void NAME(max_vectors)(const void *const *rows, ptrdiff_t kh, ptrdiff_t kw,
                              const ptrdiff_t step, ptrdiff_t spread, T *out, ptrdiff_t count) {
    for (ptrdiff_t q = 0; q < count; q += VL) {
        vec best = NAME(broadcast)(LOWEST);
        for (ptrdiff_t r = 0; r < kh; r++) {
            const T *row = (const T *)rows[r] + q * step;
            for (ptrdiff_t s = 0; s < kw; s++, row += spread)
                best = NAME(higher)(step == 1 ? NAME(load_upto)(row, count - q)
                                              : NAME(load_even)(row, count - q),
                                    best);
        }
        NAME(store_upto)(out + q, best, count - q);
    }
}
#endif

static void NAME(max_window)(const void *const *rows, ptrdiff_t kh, ptrdiff_t kw, ptrdiff_t step,
                             ptrdiff_t spread, void *out, ptrdiff_t count) {
#if defined(T_BYTES)
    if (step == 1)
        NAME(max_vectors)(rows, kh, kw, 1, spread, out, count);
    else if (step == 2)
        NAME(max_vectors)(rows, kh, kw, 2, spread, out, count);
#else
    if (step == 1)
        NAME(max_body)(rows, kh, kw, 1, spread, out, count);
    else if (step == 2)
        NAME(max_body)(rows, kh, kw, 2, spread, out, count);
#endif
    else
        NAME(max_body)(rows, kh, kw, step, spread, out, count);
}

static ptrdiff_t NAME(scatter_indices)(const void *source, const int64_t *index, ptrdiff_t count,
                                       int64_t size, void *target, ptrdiff_t to_step,
                                       ptrdiff_t lane_step) {
    const T *const grad = source;
    SUM_T *const to = target;
    ptrdiff_t wrong = 0;
    for (ptrdiff_t q = 0; q < count; q++) {
        const int64_t at = index[q];
        if ((uint64_t)at < (uint64_t)size)
            to[at * to_step + q * lane_step] += (SUM_T)grad[q];
        else
            wrong++;
    }
    return wrong;
}
