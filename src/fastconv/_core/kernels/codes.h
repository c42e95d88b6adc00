/* Max pools that tell the maximum's tap in a byte, any dtype:
 *
 * out[p, q] = max_{r, s} rows[r][p * advance + q * step + s * spread],
 * codes[p, q] = first + r * pitch + s of the first maximum, row-major order.
 *
 * The same rule as in maximum.h. A best of LOWEST to begin with has the first tap's code: where
 * nothing replaces it every element is LOWEST, and the first of equal values counts.
 */

INLINE void NAME(codes_chunk)(const void *const *rows, const fc_windows *w, const ptrdiff_t step,
                              ptrdiff_t from, T *out, uint8_t *codes, const ptrdiff_t count) {
    T best[CHUNK];
    uint8_t code[CHUNK];
    for (ptrdiff_t q = 0; q < count; q++) {
        best[q] = LOWEST;
        code[q] = (uint8_t)w->first;
    }
    for (ptrdiff_t r = 0; r < w->kernel_h; r++) {
        for (ptrdiff_t s = 0; s < w->kernel_w; s++) {
            const T *const row = (const T *)rows[r] + from + s * w->spread;
            const uint8_t tap = (uint8_t)(w->first + r * w->pitch + s);
            for (ptrdiff_t q = 0; q < count; q++) {
                const T x = row[q * step], held = best[q];
                const int replaces = REPLACES(x, held);
                best[q] = replaces ? x : held;
                code[q] = replaces ? tap : code[q];
            }
        }
    }
    if (w->relu)
        for (ptrdiff_t q = 0; q < count; q++)
            code[q] = best[q] > 0 ? code[q] : FC_NO_TAP;
    __builtin_memcpy(out, best, (size_t)count * sizeof(T));
    __builtin_memcpy(codes, code, (size_t)count);
}

INLINE void NAME(codes_body)(const void *const *rows, const fc_windows *w, const ptrdiff_t step,
                             ptrdiff_t from, T *out, uint8_t *codes) {
    ptrdiff_t at = 0;
    for (; at + CHUNK <= w->count; at += CHUNK)
        NAME(codes_chunk)(rows, w, step, from + at * step, out + at, codes + at, CHUNK);
    if (at < w->count)
        NAME(codes_chunk)(rows, w, step, from + at * step, out + at, codes + at, w->count - at);
}

#if defined(T_BYTES) /* dtypes with the vectors of simd.h: no step but 1 and 2 */
/* one vector of outputs, of which `count` or fewer are left */
INLINE void NAME(codes_vector)(const void *const *rows, const fc_windows *w, const ptrdiff_t kh,
                               const ptrdiff_t kw, const ptrdiff_t step, ptrdiff_t from, T *out,
                               uint8_t *codes, const ptrdiff_t count) {
    vec best = NAME(broadcast)(LOWEST);
    lane_vec code = NAME(broadcast_code)(w->first), tap = code;
    for (ptrdiff_t r = 0; r < kh; r++) {
        const T *row = (const T *)rows[r] + from;
        for (ptrdiff_t s = 0; s < kw; s++, row += w->spread) {
            const vec x = step == 1 ? NAME(load_upto)(row, count) : NAME(load_even)(row, count);
            const lane_vec keeps = KEEPS(x, best);
            best = (vec)((keeps & (lane_vec)best) | (~keeps & (lane_vec)x));
            code = (keeps & code) | (~keeps & tap);
            tap += 1;
        }
        tap += NAME(broadcast_code)(w->pitch - kw);
    }
    if (w->relu)
        code |= ~(best > 0); /* the last byte of it is FC_NO_TAP */
    NAME(store_upto)(out, best, count);
    NAME(store_codes)(codes, code, count);
}

/* An array's last whole vector overlaps the one before it: masks are for what is shorter. */
INLINE void NAME(codes_vectors)(const void *const *rows, const fc_windows *w, const ptrdiff_t kh,
                                const ptrdiff_t kw, const ptrdiff_t step, ptrdiff_t from, T *out,
                                uint8_t *codes) {
    const ptrdiff_t count = w->count, last = count - VL;
    for (ptrdiff_t q = 0; q < last; q += VL)
        NAME(codes_vector)(rows, w, kh, kw, step, from + q * step, out + q, codes + q, VL + 1);
    if (last >= 0)
        NAME(codes_vector)(rows, w, kh, kw, step, from + last * step, out + last, codes + last, VL);
    else
        NAME(codes_vector)(rows, w, kh, kw, step, from, out, codes, count);
}
#endif

INLINE void NAME(codes_pixels)(const void *const *rows, const fc_windows *w, const ptrdiff_t kh,
                               const ptrdiff_t kw, const ptrdiff_t step, T *out, uint8_t *codes) {
    for (ptrdiff_t p = 0; p < w->pixels; p++, out += w->count, codes += w->count) {
#if defined(T_BYTES)
        if (step == 1 || step == 2) {
            NAME(codes_vectors)(rows, w, kh, kw, step, p * w->advance, out, codes);
            continue;
        }
#else
        (void)kh, (void)kw;
#endif
        NAME(codes_body)(rows, w, step, p * w->advance, out, codes);
    }
}

static void NAME(max_codes)(const void *const *rows, const fc_windows *w, void *out,
                            uint8_t *codes) {
    const ptrdiff_t kh = w->kernel_h, kw = w->kernel_w, step = w->step;
    if (step == 1 && kh == 2 && kw == 2)
        NAME(codes_pixels)(rows, w, 2, 2, 1, out, codes);
    else if (step == 1)
        NAME(codes_pixels)(rows, w, kh, kw, 1, out, codes);
    else if (step == 2 && kh == 2 && kw == 2)
        NAME(codes_pixels)(rows, w, 2, 2, 2, out, codes);
    else if (step == 2)
        NAME(codes_pixels)(rows, w, kh, kw, 2, out, codes);
    else
        NAME(codes_pixels)(rows, w, kh, kw, step, out, codes);
}
