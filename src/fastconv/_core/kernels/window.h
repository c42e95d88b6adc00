/* Windows of an average pool: out[q] = sum_{r, s} rows[r][q * step + s * spread].
 *
 * Loops the compiler vectorises: chunks of a constant length whose sums stay in registers or L1.
 */
#undef CHUNK
#define CHUNK 64

/* h[q] (+)= from[q * step], with `step` a constant where it matters */
INLINE void NAME(window_add)(const T *restrict from, const ptrdiff_t step, T *restrict sum,
                             const ptrdiff_t count) {
    for (ptrdiff_t q = 0; q < count; q++)
        sum[q] += from[q * step];
}

INLINE void NAME(window_chunk)(const void *const *rows, ptrdiff_t kh, ptrdiff_t kw,
                               const ptrdiff_t step, ptrdiff_t spread, ptrdiff_t at,
                               T *restrict out, const ptrdiff_t count) {
    T sum[CHUNK] = {0};
    for (ptrdiff_t r = 0; r < kh; r++) {
        const T *row = (const T *)rows[r] + at * step;
        if (step == 2 && kw == 2 && spread == 1) {
            for (ptrdiff_t q = 0; q < count; q++)
                sum[q] += row[2 * q] + row[2 * q + 1];
        } else {
            for (ptrdiff_t s = 0; s < kw; s++)
                NAME(window_add)(row + s * spread, step, sum, count);
        }
    }
    __builtin_memcpy(out + at, sum, (size_t)count * sizeof(T));
}

INLINE void NAME(window_body)(const void *const *rows, ptrdiff_t kh, ptrdiff_t kw,
                              const ptrdiff_t step, ptrdiff_t spread, T *out, ptrdiff_t count) {
    ptrdiff_t at = 0;
    for (; at + CHUNK <= count; at += CHUNK)
        NAME(window_chunk)(rows, kh, kw, step, spread, at, out, CHUNK);
    if (at < count)
        NAME(window_chunk)(rows, kh, kw, step, spread, at, out, count - at);
}

static void NAME(sum_window)(const void *const *rows, ptrdiff_t kh, ptrdiff_t kw, ptrdiff_t step,
                             ptrdiff_t spread, void *out, ptrdiff_t count) {
    if (step == 1)
        NAME(window_body)(rows, kh, kw, 1, spread, out, count);
    else if (step == 2)
        NAME(window_body)(rows, kh, kw, 2, spread, out, count);
    else
        NAME(window_body)(rows, kh, kw, step, spread, out, count);
}

static void NAME(divide)(const void *source, ptrdiff_t height, const ptrdiff_t *widths,
                         ptrdiff_t width_step, void *target, ptrdiff_t count) {
    const T *const from = source;
    T *const to = target;
    if (width_step == 0) {
        const T divisor = (T)(height * widths[0]);
        for (ptrdiff_t q = 0; q < count; q++)
            to[q] = from[q] / divisor;
    } else {
        for (ptrdiff_t q = 0; q < count; q++)
            to[q] = from[q] / (T)(height * widths[q * width_step]);
    }
}
