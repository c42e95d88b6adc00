/* Windows of pools, any dtype: for p < pixels and q < count, over r < kernel_h and s < kernel_w
 *
 *     sum:    out[p, q] = sum_r (sum_s x[p * advance + r * row + c]) / divisor
 *     max:    out[p, q] = max_{r, s} x[p * advance + r * row + c], row-major order
 *     codes:  and codes[p, q] = first + r * pitch + s of the first maximum
 *
 * c = q * step + s * spread - left; where it is not in 0..width-1 the tap is left out.
 *
 * A value replaces the best so far if it is greater, or if it is the first NaN: so the first of
 * equal values stays (0.0 before -0.0), and a NaN stays for good. A best of LOWEST to begin with
 * has the first tap's code: where nothing replaces it every element is LOWEST, and the first of
 * equal values counts.
 */
#undef REPLACES
#undef KEEPS
#define REPLACES(x, best) (((x) > (best)) | (((x) != (x)) & ((best) == (best))))
/* the contrary, in fewer operations */
#define KEEPS(x, best) (((x) <= (best)) | ((best) != (best)))
#ifndef WINDOW_OPS
#define WINDOW_OPS
enum { WINDOW_SUM, WINDOW_MAX, WINDOW_CODES };
enum { CHUNK = 64, SHORT_CHUNK = 16 }; /* outputs whose results stay in registers, or nearly so */
/* Writing waits for lines that are not there; those this far ahead are asked for. */
enum { AHEAD_BYTES = 2048 };
enum { BLOCK_ELEMENTS = 4096 }; /* of rows that share some, while they are in the first cache */
/* else the compiler takes short loops apart before it looks for vectors */
#define VECTOR_LOOP _Pragma("GCC unroll 1")
#endif
#undef AHEAD
#define AHEAD ((ptrdiff_t)(AHEAD_BYTES / sizeof(T)))

/* the lines of the next windows' rows, as rows follow each other */
INLINE void NAME(fetch_rows)(const T *from, ptrdiff_t count) {
    for (ptrdiff_t q = 0; q < count; q += (ptrdiff_t)(64 / sizeof(T)))
        __builtin_prefetch(from + q);
}

/* Steps and dtypes of which there are no vectors: chunks of a constant length.  Integers without
 * codes mostly go to highest.h. */
INLINE void NAME(fold_run)(const T *row, const ptrdiff_t step, T *best, uint8_t *code,
                           const uint8_t tap, const ptrdiff_t low, const ptrdiff_t high,
                           const int op) {
    VECTOR_LOOP for (ptrdiff_t q = low; q < high; q++) {
        const T x = row[q * step], held = best[q];
        const int replaces = REPLACES(x, held);
        if (op == WINDOW_SUM) {
            best[q] = (T)(held + x);
        } else {
            best[q] = replaces ? x : held;
            if (op == WINDOW_CODES)
                code[q] = replaces ? tap : code[q];
        }
    }
}

INLINE void NAME(window_chunk)(const T *x, const fc_windows *w, const ptrdiff_t step,
                               const int inside, ptrdiff_t at, const ptrdiff_t count,
                               ptrdiff_t divisor, T *out, uint8_t *codes, const int op) {
    T best[CHUNK];
    uint8_t code[CHUNK];
    for (ptrdiff_t q = 0; q < count; q++) {
        best[q] = op == WINDOW_SUM ? 0 : LOWEST;
        code[q] = (uint8_t)w->first;
    }
    for (ptrdiff_t r = 0; r < w->kernel_h; r++) {
        for (ptrdiff_t s = 0; s < w->kernel_w; s++) {
            const ptrdiff_t column = at * step + s * w->spread - w->left;
            ptrdiff_t low = 0, high = count;
            if (!inside) {
                if (column < 0)
                    low = (step - 1 - column) / step;
                if (column + (count - 1) * step >= w->width)
                    high = column < w->width ? (w->width - column - 1) / step + 1 : 0;
            }
            NAME(fold_run)(x + r * w->row + column, step, best, code,
                           (uint8_t)(w->first + r * w->pitch + s), low, high, op);
        }
    }
    if (op == WINDOW_SUM && divisor)
        for (ptrdiff_t q = 0; q < count; q++)
            best[q] /= (T)divisor;
    if (op == WINDOW_CODES) {
        if (w->relu)
            for (ptrdiff_t q = 0; q < count; q++)
                code[q] = best[q] > 0 ? code[q] : FC_NO_TAP;
        __builtin_memcpy(codes + at, code, (size_t)count);
    }
    __builtin_memcpy(out + at, best, (size_t)count * sizeof(T));
}

/* of any length, some taps of which may be outside */
static __attribute__((noinline)) void NAME(odd_chunk)(const T *x, const fc_windows *w, ptrdiff_t at,
                                                      ptrdiff_t count, ptrdiff_t divisor, T *out,
                                                      uint8_t *codes, int op) {
    if (op == WINDOW_SUM)
        NAME(window_chunk)(x, w, w->step, 0, at, count, divisor, out, codes, WINDOW_SUM);
    else /* codes go to where nobody looks, if there are none */
        NAME(window_chunk)(x, w, w->step, 0, at, count, divisor, out, codes, WINDOW_CODES);
}

/* outputs low..high-1 of a row, all taps of which are inside, or may not be */
INLINE void NAME(window_run)(const T *x, const fc_windows *w, const ptrdiff_t step,
                             const int inside, const ptrdiff_t low, const ptrdiff_t high,
                             ptrdiff_t divisor, T *out, uint8_t *codes, const int op) {
    uint8_t none[CHUNK];
    ptrdiff_t at = low;
    for (; inside && at + CHUNK <= high; at += CHUNK)
        NAME(window_chunk)(x, w, step, 1, at, CHUNK, divisor, out, codes, op);
    while (at < high) {
        const ptrdiff_t left = high - at;
        if (inside && high - low >= SHORT_CHUNK) { /* the last overlaps the one before it */
            at = left < SHORT_CHUNK ? high - SHORT_CHUNK : at;
            NAME(window_chunk)(x, w, step, 1, at, SHORT_CHUNK, divisor, out, codes, op);
            at += SHORT_CHUNK;
        } else {
            const ptrdiff_t some = left < CHUNK ? left : CHUNK;
            NAME(odd_chunk)(x, w, at, some, divisor, out, op == WINDOW_MAX ? none - at : codes, op);
            at += some;
        }
    }
}

INLINE void NAME(window_runs)(const T *x, const fc_windows *w, const ptrdiff_t step,
                              ptrdiff_t divisor, T *out, uint8_t *codes, const int op) {
    const ptrdiff_t room = w->width + w->left - (w->kernel_w - 1) * w->spread;
    ptrdiff_t low = w->left > 0 ? (w->left + step - 1) / step : 0;
    ptrdiff_t high = room > 0 ? (room - 1) / step + 1 : 0;
    low = low < w->count ? low : w->count;
    high = high < w->count ? high : w->count;
    high = high < low ? low : high;
    for (ptrdiff_t p = 0; p < w->pixels; p++) {
        NAME(fetch_rows)(x + w->ahead, w->ahead ? w->advance : 0);
        NAME(window_run)(x, w, step, 0, 0, low, divisor, out, codes, op);
        NAME(window_run)(x, w, step, 1, low, high, divisor, out, codes, op);
        NAME(window_run)(x, w, step, 0, high, w->count, divisor, out, codes, op);
        x += w->advance, out += w->count, codes += w->count;
    }
}

#if defined(T_BYTES) /* dtypes with the vectors of simd.h: no step but 1 and 2 */
/* row[at + q] for the lanes q for which that lies in 0..width-1, `fill` in the others */
#define LANE_NUMBER(q) (q)
INLINE vec NAME(load_inside)(const T *row, ptrdiff_t at, ptrdiff_t width, vec fill) {
    ptrdiff_t low = at < 0 ? -at : 0, high = width - at < VL ? width - at : VL;
#if defined(__AVX512F__) /* no branch, so that what is the same for many rows is found once */
    low = low < VL ? low : VL;
    high = high > 0 ? high : 0;
    const unsigned mask = LANE_MASK(high) & ~LANE_MASK(low);
    if (sizeof(T) == 4)
        return (vec)_mm512_mask_loadu_epi32((__m512i)fill, (__mmask16)mask, row + at);
    return (vec)_mm512_mask_loadu_epi64((__m512i)fill, (__mmask8)mask, row + at);
#else
    if (low >= high)
        return fill;
    const lane_vec number = {LANES(LANE_NUMBER)};
    const lane_vec inside =
        (number >= NAME(broadcast_code)(low)) & (number < NAME(broadcast_code)(high));
    const vec value = NAME(load_lanes)(row + at, low, high);
    return (vec)((inside & (lane_vec)value) | (~inside & (lane_vec)fill));
#endif
}

INLINE vec NAME(load_at)(const T *row, ptrdiff_t at, ptrdiff_t width, const int inside, vec fill) {
    return inside ? NAME(load)(row + at) : NAME(load_inside)(row, at, width, fill);
}

/* Tap s of windows that begin at `at`.  At step 2 two vectors have the taps of two columns, and end
 * where the second one's last does. */
INLINE vec NAME(load_tap)(const T *row, ptrdiff_t at, const fc_windows *w, const ptrdiff_t s,
                          const ptrdiff_t step, const int dense, const int inside, vec fill) {
    const ptrdiff_t odd = dense && s > 0, from = at + (dense ? s - odd : s * w->spread);
    const vec low = NAME(load_at)(row, from, w->width, inside, fill);
    if (step == 1)
        return low;
    const vec high = NAME(load_at)(row, from + VL, w->width, inside, fill);
    return odd ? NAME(every_other)(low, high, 1, 1) : NAME(even_lanes)(low, high);
}

/* elements from `at` on that windows of a vector read */
INLINE ptrdiff_t NAME(reach)(const fc_windows *w, const ptrdiff_t kw, const ptrdiff_t step,
                             const int dense) {
    return step * VL + (dense ? (kw > 1 ? kw - 2 : 0) : (kw - 1) * w->spread);
}

/* the better of two, of which `best` comes first, or their sum */
INLINE vec NAME(fold_vector)(vec best, vec v, const int op) {
    if (op == WINDOW_SUM)
        return best + v;
    const lane_vec keeps = KEEPS(v, best);
    return (vec)((keeps & (lane_vec)best) | (~keeps & (lane_vec)v));
}

/* one row of windows q, q + 1, ... */
INLINE vec NAME(fold_row)(const T *row, const fc_windows *w, const ptrdiff_t kw,
                          const ptrdiff_t step, const int dense, const int inside, ptrdiff_t q,
                          const int op) {
    const vec fill = NAME(broadcast)(op == WINDOW_SUM ? 0 : LOWEST);
    vec best = fill;
    for (ptrdiff_t s = 0; s < kw; s++)
        best = NAME(fold_vector)(
            best, NAME(load_tap)(row, q * step - w->left, w, s, step, dense, inside, fill), op);
    return best;
}

/* outputs q, q + 1, ... of a row, a vector of them or `count`; means of sums */
INLINE void NAME(store_folded)(const fc_windows *w, vec best, ptrdiff_t q, const T factor,
                               const T divisor, T *out, const int op) {
    __builtin_prefetch(out + q + AHEAD, 1);
    if (op == WINDOW_SUM)
        best = divisor ? best / NAME(broadcast)(divisor) : best * NAME(broadcast)(factor);
    NAME(store_upto)(out + q, best, w->count);
}

/* maxima and their codes */
INLINE void NAME(code_vector)(const T *x, const fc_windows *w, const ptrdiff_t kh,
                              const ptrdiff_t kw, const ptrdiff_t step, const int dense,
                              const int inside, ptrdiff_t q, T *out, uint8_t *codes) {
    const vec fill = NAME(broadcast)(LOWEST);
    vec best = fill;
    lane_vec code = NAME(broadcast_code)(w->first), tap = code;
    for (ptrdiff_t r = 0; r < kh; r++) {
        for (ptrdiff_t s = 0; s < kw; s++) {
            const vec v =
                NAME(load_tap)(x + r * w->row, q * step - w->left, w, s, step, dense, inside, fill);
            const lane_vec keeps = KEEPS(v, best);
            best = (vec)((keeps & (lane_vec)best) | (~keeps & (lane_vec)v));
            code = (keeps & code) | (~keeps & tap);
            tap += 1;
        }
        tap += NAME(broadcast_code)(w->pitch - kw);
    }
    NAME(store_folded)(w, best, q, 1, 0, out, WINDOW_CODES);
    if (w->relu)
        code |= ~(best > 0); /* the last byte of it is FC_NO_TAP */
    NAME(store_codes)(codes + q, code, w->count);
}

/* A vector of outputs, of `rows` rows.  Rows that windows share are folded once, if `shift` isn't 0: then
 * it is how many rows of taps further the next windows begin. */
INLINE void NAME(window_strip)(const T *x, const fc_windows *w, const ptrdiff_t kh,
                               const ptrdiff_t kw, const ptrdiff_t step, const int dense,
                               const int inside, const ptrdiff_t shift, ptrdiff_t q, ptrdiff_t rows,
                               ptrdiff_t ahead, const T factor, const T divisor, T *out,
                               uint8_t *codes, const int op) {
#define FOLD_ROW(r) NAME(fold_row)(x + (r) * w->row, w, kw, step, dense, inside, q, op)
    vec first = {0}, second = {0};
    if (shift)
        first = FOLD_ROW(0);
    if (shift == 1)
        second = FOLD_ROW(1);
    for (ptrdiff_t p = 0; p < rows; p++) {
        NAME(fetch_rows)(x + ahead, ahead ? w->advance : 0);
        if (op == WINDOW_CODES) {
            NAME(code_vector)(x, w, kh, kw, step, dense, inside, q, out, codes);
        } else if (shift) {
            if (shift == 2)
                second = FOLD_ROW(1);
            const vec third = FOLD_ROW(2);
            const vec best = NAME(fold_vector)(NAME(fold_vector)(first, second, op), third, op);
            NAME(store_folded)(w, best, q, factor, divisor, out, op);
            first = shift == 2 ? third : second;
            second = third;
        } else {
            vec best = FOLD_ROW(0);
            for (ptrdiff_t r = 1; r < kh; r++)
                best = NAME(fold_vector)(best, FOLD_ROW(r), op);
            NAME(store_folded)(w, best, q, factor, divisor, out, op);
        }
        x += w->advance, out += w->count, codes += w->count;
    }
#undef FOLD_ROW
}

/* one with columns outside, or of which there is a part */
static __attribute__((noinline)) void NAME(edge_strip)(const T *x, const fc_windows *w,
                                                       ptrdiff_t shift, ptrdiff_t q, ptrdiff_t rows,
                                                       ptrdiff_t ahead, const T factor,
                                                       const T divisor, T *out, uint8_t *codes,
                                                       const int op) {
    const int dense = w->spread == 1 && w->kernel_w == 3;
#define EDGE(step, op)                                                                             \
    if (dense && w->kernel_h == 3 && shift == step)                                                \
        NAME(window_strip)(x, w, 3, 3, step, step == 2, 0, step, q, rows, ahead, factor, divisor,  \
                           out, codes, op);                                                        \
    else if (dense)                                                                                \
        NAME(window_strip)(x, w, w->kernel_h, 3, step, step == 2, 0, 0, q, rows, ahead, factor,    \
                           divisor, out, codes, op);                                               \
    else                                                                                           \
        NAME(window_strip)(x, w, w->kernel_h, w->kernel_w, step, 0, 0, 0, q, rows, ahead, factor,  \
                           divisor, out, codes, op)
    if (w->step == 1) {
        if (op == WINDOW_SUM) {
            EDGE(1, WINDOW_SUM);
        } else if (op == WINDOW_MAX) {
            EDGE(1, WINDOW_MAX);
        } else {
            EDGE(1, WINDOW_CODES);
        }
    } else {
        if (op == WINDOW_SUM) {
            EDGE(2, WINDOW_SUM);
        } else if (op == WINDOW_MAX) {
            EDGE(2, WINDOW_MAX);
        } else {
            EDGE(2, WINDOW_CODES);
        }
    }
#undef EDGE
}

/* Blocks of rows that stay in the first cache, a vector of columns after the other.  A row's last
 * whole vector overlaps the one before it: masks are for what is shorter, and for columns outside. */
INLINE void NAME(window_vectors)(const T *x, const fc_windows *w, const ptrdiff_t kh,
                                 const ptrdiff_t kw, const ptrdiff_t step, const int dense,
                                 const ptrdiff_t shift, ptrdiff_t divisor, T *out, uint8_t *codes,
                                 const int op) {
    const ptrdiff_t last = w->count - VL, reach = NAME(reach)(w, kw, step, dense) - w->left;
    /* by a power of two, or by nothing, multiplying is as exact as dividing, and faster */
    const int exact = (divisor & (divisor - 1)) == 0;
    const T factor = INTEGER || !divisor ? 1 : 1 / (T)divisor, by = exact ? 0 : (T)divisor;
    const ptrdiff_t some = w->advance > 0 ? BLOCK_ELEMENTS / w->advance : 1;
    const ptrdiff_t most = shift ? (some > 4 ? some : 4) : last <= 0 ? w->pixels : 1;
    for (ptrdiff_t p = 0, rows; p < w->pixels; p += rows) {
        rows = w->pixels - p < most ? w->pixels - p : most;
        const ptrdiff_t next = shift && rows > 1 ? rows * w->advance + (kh - 1) * w->row : w->ahead;
        for (ptrdiff_t q = 0;; q = q + VL < last ? q + VL : last) {
            const ptrdiff_t ahead = w->ahead && q == 0 ? next : 0;
            if (q * step >= w->left && q * step + reach <= w->width)
                NAME(window_strip)(x, w, kh, kw, step, dense, 1, shift, q, rows, ahead, factor, by,
                                   out, codes, op);
            else
                NAME(edge_strip)(x, w, shift, q, rows, ahead, factor, by, out, codes, op);
            if (q >= last)
                break;
        }
        x += rows * w->advance, out += rows * w->count, codes += rows * w->count;
    }
}
#endif

/* kernels of two and three rows and columns are constants to the compiler */
INLINE void NAME(windows)(const T *x, const fc_windows *w, const ptrdiff_t step, ptrdiff_t divisor,
                          T *out, uint8_t *codes, const int op) {
#if defined(T_BYTES)
    const ptrdiff_t kh = w->kernel_h, kw = w->kernel_w;
    const int dense = w->spread == 1 && step == 2;
    if (step == 1 || step == 2) {
        if (kh == 2 && kw == 2 && (dense || step == 1))
            NAME(window_vectors)(x, w, 2, 2, step, step == 2, 0, divisor, out, codes, op);
        else if (kh == 3 && kw == 3 && w->spread == 1 && w->advance == step * w->row)
            NAME(window_vectors)(x, w, 3, 3, step, step == 2, step, divisor, out, codes, op);
        else if (kh == 3 && kw == 3 && step == 1)
            NAME(window_vectors)(x, w, 3, 3, step, 0, 0, divisor, out, codes, op);
        else if (kw == 3 && dense)
            NAME(window_vectors)(x, w, kh, 3, step, 1, 0, divisor, out, codes, op);
        else
            NAME(window_vectors)(x, w, kh, kw, step, 0, 0, divisor, out, codes, op);
        return;
    }
#endif
    NAME(window_runs)(x, w, step, divisor, out, codes, op);
}

#define WINDOWS(op, divisor, codes)                                                                \
    if (w->step == 1)                                                                              \
        NAME(windows)(x, w, 1, divisor, out, codes, op);                                           \
    else if (w->step == 2)                                                                         \
        NAME(windows)(x, w, 2, divisor, out, codes, op);                                           \
    else                                                                                           \
        NAME(windows)(x, w, w->step, divisor, out, codes, op)

#if !defined(T_BYTES)
#include "highest.h"
#endif

static void NAME(max_windows)(const void *x, const fc_windows *w, void *out) {
#if !defined(T_BYTES)
    if (NAME(columns_first)(w)) {
        NAME(highest_windows)(x, w, out);
        return;
    }
#endif
    uint8_t none = 0; /* no codes are written */
    WINDOWS(WINDOW_MAX, 0, &none);
}

static void NAME(max_codes)(const void *x, const fc_windows *w, void *out, uint8_t *codes) {
    WINDOWS(WINDOW_CODES, 0, codes);
}

#if defined(T_BYTES)
static void NAME(sum_windows)(const void *x, const fc_windows *w, ptrdiff_t divisor, void *out) {
    uint8_t none = 0;
    WINDOWS(WINDOW_SUM, divisor, &none);
}

static void NAME(divide)(const void *source, ptrdiff_t divisor, void *target, ptrdiff_t count) {
    const T *const from = source;
    T *const to = target;
    for (ptrdiff_t q = 0; q < count; q++)
        to[q] = from[q] / (T)divisor;
}
#endif
#undef WINDOWS
