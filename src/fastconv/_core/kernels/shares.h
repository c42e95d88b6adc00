/* Gradients of max pools whose windows have a code each: an output's share goes to the tap of its
 * code, everything else is 0.
 *
 * sum_shares:     to[p, q] = sum_k (codes_k[p, q] == tap_k ? grad_k[p, q] : 0)    pixels
 * share_windows:  to[p, s, q] = codes[p, q] == tap + s ? grad[p, q] : 0         pixels side by side
 * share_pairs:    to[2q + s] = codes[q] == tap + s ? grad[q] : 0       windows side by side
 * scatter_shares: to[i * ldt + q * step + places[codes[i, q]]] += grad[i, q]   any windows
 *
 * Every sum begins with 0, so that all of them make 0 of -0.
 */

/* `count` may be a whole vector or more */
INLINE vec NAME(share_upto)(const T *grad, lane_vec codes, ptrdiff_t tap, ptrdiff_t count) {
    const lane_vec passes = codes == NAME(broadcast_code)(tap);
    return (vec)(passes & (lane_vec)NAME(load_upto)(grad, count));
}

INLINE void NAME(sum_vector)(const fc_share *share, const ptrdiff_t shares, ptrdiff_t from, T *to,
                             const ptrdiff_t count) {
    vec sum = {0};
    for (ptrdiff_t k = 0; k < shares; k++) {
        const lane_vec codes = NAME(load_codes)(share[k].codes + from, count);
        sum += NAME(share_upto)((const T *)share[k].grad + from, codes, share[k].tap, count);
    }
    NAME(store_upto)(to, sum, count);
}

/* Here and below the last whole vector overlaps the one before it: masks are for what is shorter. */
INLINE void NAME(sum_body)(const fc_share *share, const ptrdiff_t shares, ptrdiff_t pixels,
                           ptrdiff_t count, T *to, ptrdiff_t advance) {
    const ptrdiff_t last = count - VL;
    for (ptrdiff_t p = 0; p < pixels; p++, to += advance) {
        for (ptrdiff_t q = 0; q < last; q += VL)
            NAME(sum_vector)(share, shares, p * count + q, to + q, VL);
        if (last >= 0)
            NAME(sum_vector)(share, shares, p * count + last, to + last, VL);
        else
            NAME(sum_vector)(share, shares, p * count, to, count);
    }
}

static void NAME(sum_shares)(const fc_share *share, ptrdiff_t shares, ptrdiff_t pixels,
                             ptrdiff_t count, void *to, ptrdiff_t advance) {
    if (shares == 1)
        NAME(sum_body)(share, 1, pixels, count, to, advance);
    else
        NAME(sum_body)(share, shares, pixels, count, to, advance);
}

INLINE void NAME(windows_vector)(const T *grad, const uint8_t *codes, ptrdiff_t tap,
                                 const ptrdiff_t columns, T *to, ptrdiff_t ldt,
                                 const ptrdiff_t count) {
    const lane_vec code = NAME(load_codes)(codes, count);
    for (ptrdiff_t s = 0; s < columns; s++) {
        const vec share = NAME(share_upto)(grad, code, tap + s, count);
        NAME(store_upto)(to + s * ldt, (vec){0} + share, count);
    }
}

INLINE void NAME(windows_body)(const T *grad, const uint8_t *codes, ptrdiff_t tap,
                               const ptrdiff_t columns, ptrdiff_t pixels, ptrdiff_t count, T *to) {
    const ptrdiff_t last = count - VL;
    for (ptrdiff_t p = 0; p < pixels; p++, grad += count, codes += count, to += columns * count) {
        for (ptrdiff_t q = 0; q < last; q += VL)
            NAME(windows_vector)(grad + q, codes + q, tap, columns, to + q, count, VL);
        if (last >= 0)
            NAME(windows_vector)(grad + last, codes + last, tap, columns, to + last, count, VL);
        else
            NAME(windows_vector)(grad, codes, tap, columns, to, count, count);
    }
}

static void NAME(share_windows)(const void *grad, const uint8_t *codes, ptrdiff_t tap,
                                ptrdiff_t columns, ptrdiff_t pixels, ptrdiff_t count, void *to) {
    if (columns == 2)
        NAME(windows_body)(grad, codes, tap, 2, pixels, count, to);
    else
        NAME(windows_body)(grad, codes, tap, columns, pixels, count, to);
}

INLINE void NAME(pairs_vector)(const T *grad, const uint8_t *codes, ptrdiff_t tap, T *to,
                               const ptrdiff_t count) {
    const lane_vec code = NAME(load_codes)(codes, count);
    const vec even = (vec){0} + NAME(share_upto)(grad, code, tap, count);
    const vec odd = (vec){0} + NAME(share_upto)(grad, code, tap + 1, count);
    NAME(store_upto)(to, NAME(zip_low)(even, odd), 2 * count);
    if (2 * count > VL)
        NAME(store_upto)(to + VL, NAME(zip_high)(even, odd), 2 * count - VL);
}

static void NAME(share_pairs)(const void *grads, const uint8_t *codes, ptrdiff_t tap, void *target,
                              ptrdiff_t count) {
    const T *const grad = grads;
    T *const to = target;
    const ptrdiff_t last = count - VL;
    for (ptrdiff_t q = 0; q < last; q += VL)
        NAME(pairs_vector)(grad + q, codes + q, tap, to + 2 * q, VL);
    if (last >= 0)
        NAME(pairs_vector)(grad + last, codes + last, tap, to + 2 * last, VL);
    else
        NAME(pairs_vector)(grad, codes, tap, to, count);
}

static void NAME(scatter_shares)(const void *grads, const uint8_t *codes, const int64_t *places,
                                 ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t step, void *target,
                                 ptrdiff_t ldt) {
    const T *grad = grads;
    T *to = target;
    T nowhere = 0; /* not a branch, for nothing foretells which way it goes */
    for (ptrdiff_t i = 0; i < rows; i++, grad += columns, codes += columns, to += ldt) {
        for (ptrdiff_t q = 0; q < columns; q++) {
            const ptrdiff_t place = places[codes[q]] + q * step;
            T *const at = codes[q] == FC_NO_TAP ? &nowhere : to + place;
            *at += grad[q];
        }
    }
}
