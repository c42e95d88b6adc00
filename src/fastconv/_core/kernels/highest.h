/* Maxima of integers, without codes.  The first of equal values is like the others, so columns come
 * first, each of them once for all windows that share it:
 *
 *     high[c] = max_r x[p * advance + r * row + c]
 *     out[p, q] = max_s high[q * step + s * spread - left]
 *
 * `high` holds LOWEST on both sides of the image, so no window has a column outside.  Loops of a
 * constant length are vectors of 64 bytes, or of 16 and 8 for narrow images.
 */
#ifndef HIGHEST_BYTES
#define HIGHEST_BYTES
enum { HIGH_BYTES = 4096, HIGH_VECTOR = 64 };
typedef uint16_t pair8 __attribute__((may_alias, aligned(1)));
typedef uint32_t pair16 __attribute__((may_alias, aligned(2)));
typedef uint64_t pair32 __attribute__((may_alias, aligned(4)));
typedef uint64_t quad __attribute__((may_alias, vector_size(32), aligned(8)));
/* narrowing is what vectors pick every other element by; it keeps the lower half */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FIRST_OF(pair) ((pair) >> (4 * sizeof(pair)))
#else
#define FIRST_OF(pair) (pair)
#endif
#endif
#undef HIGH_COLUMNS
#undef HIGH_OUTPUTS
#define HIGH_COLUMNS ((ptrdiff_t)(HIGH_BYTES / sizeof(T)))
#define HIGH_OUTPUTS ((ptrdiff_t)(HIGH_VECTOR / sizeof(T)))
#undef HIGHER
#define HIGHER(x, best) ((x) > (best) ? (x) : (best))

/* the greatest of `count` rows of `size` elements, `row` apart */
INLINE void NAME(highest)(const T *restrict from, const ptrdiff_t count, const ptrdiff_t row,
                          const ptrdiff_t size, T *restrict to) {
    if (count == 1) {
        __builtin_memcpy(to, from, (size_t)size * sizeof(T));
        return;
    }
    const T *next = from + row;
    VECTOR_LOOP for (ptrdiff_t q = 0; q < size; q++) to[q] = HIGHER(next[q], from[q]);
    for (ptrdiff_t r = 2; r < count; r++) {
        next += row;
        VECTOR_LOOP for (ptrdiff_t q = 0; q < size; q++) to[q] = HIGHER(next[q], to[q]);
    }
}

/* in parts, the last of which overlaps the one before it */
INLINE void NAME(high_parts)(const T *x, const ptrdiff_t kh, ptrdiff_t row, ptrdiff_t count,
                             const ptrdiff_t size, T *high) {
    const ptrdiff_t last = count - size;
    for (ptrdiff_t c = 0;; c = c + size < last ? c + size : last) {
        NAME(highest)(x + c, kh, row, size, high + c);
        if (c >= last)
            break;
    }
}

INLINE void NAME(high_columns)(const T *x, const ptrdiff_t kh, ptrdiff_t row, ptrdiff_t count,
                               T *high) {
    const ptrdiff_t half = 16 / sizeof(T), few = 8 / sizeof(T);
    if (count >= HIGH_OUTPUTS)
        NAME(high_parts)(x, kh, row, count, HIGH_OUTPUTS, high);
    else if (count >= half)
        NAME(high_parts)(x, kh, row, count, half, high);
    else if (count >= few)
        NAME(high_parts)(x, kh, row, count, few, high);
    else if (count > 0)
        NAME(high_parts)(x, kh, row, count, 1, high);
}

INLINE void NAME(every_second)(const T *from, T *to) {
    if (sizeof(T) == 8) {
        const quad *const half = (const quad *)from;
        for (ptrdiff_t q = 0; q < 2; q++)
            ((quad *)to)[q] = __builtin_shufflevector(half[2 * q], half[2 * q + 1], 0, 2, 4, 6);
        return;
    }
    VECTOR_LOOP for (ptrdiff_t q = 0; q < HIGH_OUTPUTS; q++) to[q] =
        sizeof(T) == 1   ? (T)FIRST_OF(((const pair8 *)from)[q])
        : sizeof(T) == 2 ? (T)FIRST_OF(((const pair16 *)from)[q])
                         : (T)FIRST_OF(((const pair32 *)from)[q]);
}

/* HIGH_OUTPUTS windows, of which there is room for some */
INLINE void NAME(high_windows)(const T *high, const ptrdiff_t kw, ptrdiff_t spread,
                               const ptrdiff_t step, T *out, ptrdiff_t room) {
    T best[2 * HIGH_OUTPUTS], few[HIGH_OUTPUTS], *const to = room < HIGH_OUTPUTS ? few : out;
    if (step == 1) {
        NAME(highest)(high, kw, spread, HIGH_OUTPUTS, to);
    } else {
        NAME(highest)(high, kw, spread, 2 * HIGH_OUTPUTS, best);
        NAME(every_second)(best, to);
    }
    if (room < HIGH_OUTPUTS)
        __builtin_memcpy(out, few, (size_t)room * sizeof(T));
}

/* Outputs from the `block`-th on of every row, as many rows at a time as `high` has room for: what is
 * stored there is in the cache before it is loaded in other parts.  A row's last vector may pass its
 * end, where the next row is written after it: not if that has begun with another block. */
INLINE void NAME(high_block)(const T *x, const fc_windows *w, const ptrdiff_t kh,
                             const ptrdiff_t kw, const ptrdiff_t step, ptrdiff_t block,
                             ptrdiff_t count, T *out) {
    T high[HIGH_COLUMNS];
    const ptrdiff_t first = block * step - w->left, low = first < 0 ? -first : 0;
    const ptrdiff_t pitch = (count - 1) * step + 1 + (kw - 1) * w->spread;
    const ptrdiff_t end = pitch < w->width - first ? pitch : w->width - first;
    const ptrdiff_t beyond = (step + 1) * HIGH_OUTPUTS; /* what the last row's windows touch */
    ptrdiff_t most = (HIGH_COLUMNS - beyond) / pitch;
    most = most < w->pixels ? most : w->pixels;
    for (ptrdiff_t c = 0; c < most * pitch + beyond; c++)
        high[c] = LOWEST;
    for (ptrdiff_t p = 0, stop; p < w->pixels; p = stop) {
        stop = p + most < w->pixels ? p + most : w->pixels;
        for (ptrdiff_t i = p; i < stop; i++) {
            const T *const row = x + i * w->advance;
            NAME(fetch_rows)(row + w->ahead, w->ahead ? w->advance : 0);
            NAME(high_columns)(row + first + low, kh, w->row, end - low,
                               high + (i - p) * pitch + low);
        }
        for (ptrdiff_t i = p; i < stop; i++) {
            const ptrdiff_t room = w->count > count ? count : (w->pixels - i) * count;
            for (ptrdiff_t q = 0; q < count; q += HIGH_OUTPUTS)
                NAME(high_windows)(high + (i - p) * pitch + q * step, kw, w->spread, step,
                                   out + i * w->count + block + q, room - q);
        }
    }
}

/* the most outputs of a row that `high` has room for, whatever a vector touches beyond them */
INLINE ptrdiff_t NAME(high_count)(const fc_windows *w) {
    const ptrdiff_t room = HIGH_COLUMNS - (w->kernel_w - 1) * w->spread;
    return room / w->step - 3 * HIGH_OUTPUTS;
}

INLINE void NAME(high_blocks)(const T *x, const fc_windows *w, const ptrdiff_t kh,
                              const ptrdiff_t kw, const ptrdiff_t step, T *out) {
    const ptrdiff_t most = NAME(high_count)(w);
    for (ptrdiff_t block = 0; block < w->count; block += most)
        NAME(high_block)(x, w, kh, kw, step, block,
                         w->count - block < most ? w->count - block : most, out);
}

/* whether windows share columns, or step over some: then these come first, if they fit */
INLINE int NAME(columns_first)(const fc_windows *w) {
    const ptrdiff_t reach = (w->kernel_w - 1) * w->spread;
    return w->step <= 2 && reach < w->count * w->step && NAME(high_count)(w) >= HIGH_OUTPUTS;
}

INLINE void NAME(high_kernels)(const T *x, const fc_windows *w, const ptrdiff_t step, T *out) {
    const ptrdiff_t kh = w->kernel_h, kw = w->kernel_w;
    if (kh == 2 && kw == 2)
        NAME(high_blocks)(x, w, 2, 2, step, out);
    else if (kh == 3 && kw == 3)
        NAME(high_blocks)(x, w, 3, 3, step, out);
    else
        NAME(high_blocks)(x, w, kh, kw, step, out);
}

static void NAME(highest_windows)(const T *x, const fc_windows *w, T *out) {
    if (w->step == 1)
        NAME(high_kernels)(x, w, 1, out);
    else
        NAME(high_kernels)(x, w, 2, out);
}
