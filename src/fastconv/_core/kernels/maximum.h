/* Max pools with indices, any dtype: windows whose taps no byte numbers, and the gradient.
 *
 * Values replace each other as in windows.h.  Folding row by row and column by column keeps that
 * order.  Plain loops the compiler vectorises.
 */
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

/* The gradient of a max pool by indices, of `planes` images of `size` pixels and `channels`:
 *
 * to[k, index[k, n, c], c] += grad[k, n, c], n < count, c < channels
 *
 * Indices may be anything, but mostly grow as outputs do.  So an image is cleared as far as a block
 * of them reaches just before they are added: where they are added is then in the first cache.
 * Neighbours that add to the same pixel wait for each other; images taken side by side don't, unless
 * their pixels are a multiple of 4 KB apart: the processor then takes them for the same.
 */
#undef SCATTER_BLOCK
#define SCATTER_BLOCK 64
#undef CLEARED
#define CLEARED 64
#undef SIDE_BY_SIDE
#define SIDE_BY_SIDE 8

/* elements *cleared..upto-1, and perhaps some more of the `total` that there are */
INLINE void NAME(clear_upto)(SUM_T *to, ptrdiff_t *cleared, ptrdiff_t upto, ptrdiff_t total) {
    ptrdiff_t at = *cleared;
    while (at < upto && at + CLEARED <= total) {
        for (ptrdiff_t q = 0; q < CLEARED; q += (ptrdiff_t)(64 / sizeof(T)))
            __builtin_prefetch(to + at + q + AHEAD, 1);
        __builtin_memset(to + at, 0, CLEARED * sizeof(T));
        at += CLEARED;
    }
    for (; at < upto; at++)
        to[at] = 0;
    *cleared = at;
}

/* the greatest of a block; negative ones are greater than all others */
INLINE uint64_t NAME(greatest)(const int64_t *index, ptrdiff_t count) {
    uint64_t top = 0;
    for (ptrdiff_t q = 0; q < count; q += 8)
        __builtin_prefetch(index + q + AHEAD_BYTES / 8);
    for (ptrdiff_t q = 0; q < count; q++)
        top = (uint64_t)index[q] > top ? (uint64_t)index[q] : top;
    return top;
}

/* returns how many indices lie outside of 0..size-1; those are left out */
INLINE ptrdiff_t NAME(scatter_checked)(const T *grad, const int64_t *index, ptrdiff_t count,
                                       ptrdiff_t channels, ptrdiff_t size, SUM_T *to) {
    ptrdiff_t wrong = 0;
    for (ptrdiff_t n = 0; n < count; n++) {
        for (ptrdiff_t c = 0; c < channels; c++) {
            const int64_t at = index[n * channels + c];
            if ((uint64_t)at < (uint64_t)size)
                to[at * channels + c] += (SUM_T)grad[n * channels + c];
            else
                wrong++;
        }
    }
    return wrong;
}

INLINE ptrdiff_t NAME(scatter_images)(const T *grad, const int64_t *index, const ptrdiff_t planes,
                                      ptrdiff_t count, const ptrdiff_t channels, ptrdiff_t size,
                                      SUM_T *to) {
    const ptrdiff_t outputs = count * channels, total = size * channels;
    const ptrdiff_t most = channels < SCATTER_BLOCK ? SCATTER_BLOCK / channels : 1;
    ptrdiff_t cleared[SIDE_BY_SIDE] = {0}, wrong = 0;
    for (ptrdiff_t n = 0; n < count; n += most) {
        const ptrdiff_t some = count - n < most ? count - n : most;
        const T *const g = grad + n * channels;
        const int64_t *const i = index + n * channels;
        int all_inside = 1;
        for (ptrdiff_t k = 0; k < planes; k++) {
            const uint64_t top = NAME(greatest)(i + k * outputs, some * channels);
            const int inside = top < (uint64_t)size;
            NAME(clear_upto)(to + k * total, cleared + k,
                             inside ? ((ptrdiff_t)top + 1) * channels : total, total);
            all_inside &= inside;
        }
        if (!all_inside) {
            for (ptrdiff_t k = 0; k < planes; k++)
                wrong += NAME(scatter_checked)(g + k * outputs, i + k * outputs, some, channels,
                                               size, to + k * total);
            continue;
        }
        for (ptrdiff_t q = 0; q < some; q++)
            for (ptrdiff_t c = 0; c < channels; c++)
                for (ptrdiff_t k = 0; k < planes; k++) {
                    const ptrdiff_t from = k * outputs + q * channels + c;
                    to[k * total + i[from] * channels + c] += (SUM_T)g[from];
                }
    }
    for (ptrdiff_t k = 0; k < planes; k++)
        NAME(clear_upto)(to + k * total, cleared + k, total, total);
    return wrong;
}

static ptrdiff_t NAME(scatter_indices)(const void *source, const int64_t *index, ptrdiff_t planes,
                                       ptrdiff_t count, ptrdiff_t channels, ptrdiff_t size,
                                       void *target) {
    const T *const grad = source;
    SUM_T *const to = target;
    const ptrdiff_t apart = size * (ptrdiff_t)sizeof(T) % 4096;
    const int distinct = channels == 1 && apart >= 256 && apart <= 4096 - 256;
    ptrdiff_t k = 0, wrong = 0;
    for (; distinct && k + SIDE_BY_SIDE <= planes; k += SIDE_BY_SIDE)
        wrong += NAME(scatter_images)(grad + k * count, index + k * count, SIDE_BY_SIDE, count, 1,
                                      size, to + k * size);
    for (; k < planes; k++) {
        const ptrdiff_t at = k * count * channels;
        if (channels == 1)
            wrong += NAME(scatter_images)(grad + at, index + at, 1, count, 1, size, to + k * size);
        else
            wrong += NAME(scatter_images)(grad + at, index + at, 1, count, channels, size,
                                          to + k * size * channels);
    }
    return wrong;
}
