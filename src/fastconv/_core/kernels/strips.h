/* Minimal filtering along rows, F(4, r): 4 outputs in a row of r taps by r + 3 products, not 4 * r.
 *
 *   y = A' [ (G g) * (B' d) ]        d the r + 3 elements that the 4 outputs read, g the taps
 *
 * r is 2, 3, 4 or 5.  The points are pairs +-a, zero if r + 3 is even, and infinity; what pairs have in
 * common is computed once (Winograd, Arithmetic complexity of computations, 1980).  With
 * M(x) = product over pairs of (x * x - a * a), times x if zero is a point:
 *
 *   B' d   at +-a: the coefficients of M(x) / (x -+ a);  at zero: of M(x) / x;  at infinity: of M(x)
 *   G g    at +-a: sum_j (+-a)^j g[j] / M'(+-a);  at zero: g[0] / M'(0);  at infinity: g[r - 1]
 *   A' m   y[i] = sum over points of point^i * m;  that of infinity belongs to y[3]
 *
 * Lanes are strips of 4 outputs of d, m and y, and filters of g.
 */
#if !INTEGER
/* of pairs a < b (< c): the coefficients of x^0, x^2, ... of M(x) and of M(x) / (x * x - a * a), and
 * the product over the other pairs q of (a * a - q * q) */
typedef struct {
    T point[3], whole[4], rest[3][3], other[3];
} NAME(pairs);
#undef SQUARE
#undef TWO_PAIRS
#undef THREE_PAIRS
#define SQUARE(a) ((a) * (a))
#define TWO_PAIRS(a, b)                                                                            \
    {                                                                                              \
        .point = {a, b}, .whole = {SQUARE(a) * SQUARE(b), -SQUARE(a) - SQUARE(b), 1},              \
        .rest = {{-SQUARE(b), 1}, {-SQUARE(a), 1}},                                                \
        .other = {SQUARE(a) - SQUARE(b), SQUARE(b) - SQUARE(a)}                                    \
    }
#define THREE_PAIRS(a, b, c)                                                                       \
    {                                                                                              \
        .point = {a, b, c},                                                                        \
        .whole = {-SQUARE(a) * SQUARE(b) * SQUARE(c),                                              \
                  SQUARE(a) * SQUARE(b) + SQUARE(a) * SQUARE(c) + SQUARE(b) * SQUARE(c),           \
                  -SQUARE(a) - SQUARE(b) - SQUARE(c), 1},                                          \
        .rest = {{SQUARE(b) * SQUARE(c), -SQUARE(b) - SQUARE(c), 1},                               \
                 {SQUARE(a) * SQUARE(c), -SQUARE(a) - SQUARE(c), 1},                               \
                 {SQUARE(a) * SQUARE(b), -SQUARE(a) - SQUARE(b), 1}},                              \
        .other = {(SQUARE(a) - SQUARE(b)) * (SQUARE(a) - SQUARE(c)),                               \
                  (SQUARE(b) - SQUARE(a)) * (SQUARE(b) - SQUARE(c)),                               \
                  (SQUARE(c) - SQUARE(a)) * (SQUARE(c) - SQUARE(b))}                               \
    }
/* by the number of taps; found by a search for the smallest error */
static const NAME(pairs) NAME(strip_pairs)[6] = {
    [2] = TWO_PAIRS(0.4, 1.1),
    [3] = TWO_PAIRS(0.70710678118654752440, 1.41421356237309504880),
    [4] = THREE_PAIRS(0.4, 0.9, 1.6),
    [5] = THREE_PAIRS(0.6, 1.05, 1.9),
};

/* to = B' d: zero's first if it is a point, the pairs', infinity's */
INLINE void NAME(strip_d)(const vec *d, vec *to, const int taps) {
    const NAME(pairs) *s = &NAME(strip_pairs)[taps];
    const int pairs = (taps + 2) / 2, zero = taps % 2;
    vec at_zero = s->whole[0] * d[0], at_infinity = s->whole[0] * d[zero];
    UNROLL for (int i = 1; i <= pairs; i++) {
        at_zero += s->whole[i] * d[2 * i];
        at_infinity += s->whole[i] * d[2 * i + zero];
    }
    if (zero)
        to[0] = at_zero;
    to[taps + 2] = at_infinity;
    UNROLL for (int p = 0; p < pairs; p++) {
        vec low = s->rest[p][0] * d[zero], high = s->rest[p][0] * d[zero + 1];
        UNROLL for (int i = 1; i < pairs; i++) {
            low += s->rest[p][i] * d[2 * i + zero];
            high += s->rest[p][i] * d[2 * i + zero + 1];
        }
        to[zero + 2 * p] = high + s->point[p] * low;
        to[zero + 2 * p + 1] = high - s->point[p] * low;
    }
}

/* to = G g */
INLINE void NAME(strip_g)(const vec *g, vec *to, const int taps) {
    const NAME(pairs) *s = &NAME(strip_pairs)[taps];
    const int pairs = (taps + 2) / 2, zero = taps % 2;
    if (zero)
        to[0] = g[0] / s->whole[0];
    to[taps + 2] = g[taps - 1];
    UNROLL for (int p = 0; p < pairs; p++) {
        const T a = s->point[p], scale = 1 / (2 * a * s->other[p]);
        vec even = g[taps - 1 - (taps - 1) % 2], odd = g[taps - 1 - taps % 2];
        UNROLL for (int j = taps - 3 - (taps - 1) % 2; j >= 0; j -= 2) even = g[j] + a * a * even;
        UNROLL for (int j = taps - 3 - taps % 2; j >= 0; j -= 2) odd = g[j] + a * a * odd;
        odd *= a;
        if (zero) { /* M'(-a) = M'(a) */
            to[1 + 2 * p] = (even + odd) * (scale / a);
            to[2 + 2 * p] = (even - odd) * (scale / a);
        } else {
            to[2 * p] = (even + odd) * scale;
            to[2 * p + 1] = (odd - even) * scale;
        }
    }
}

/* y = A' m */
INLINE void NAME(strip_m)(const vec *m, vec y[4], const int taps) {
    const NAME(pairs) *s = &NAME(strip_pairs)[taps];
    const int pairs = (taps + 2) / 2, zero = taps % 2;
    y[0] = y[1] = y[2] = y[3] = (vec){0};
    UNROLL for (int p = 0; p < pairs; p++) {
        const T a = s->point[p];
        const vec even = m[zero + 2 * p] + m[zero + 2 * p + 1];
        const vec odd = m[zero + 2 * p] - m[zero + 2 * p + 1];
        y[0] += even;
        y[1] += a * odd;
        y[2] += a * a * even;
        y[3] += a * a * a * odd;
    }
    if (zero)
        y[0] += m[0];
    y[3] += m[taps + 2];
}

/* four rows of every fourth element of `from`: element i of strip t is in row i % 4, at t + i / 4 */
INLINE void NAME(strips_input_of)(const T *from, ptrdiff_t ldf, ptrdiff_t pitch, ptrdiff_t first,
                                  ptrdiff_t rows, ptrdiff_t strips, T *to, ptrdiff_t plane,
                                  const int taps) {
    const T *at[FC_MAX_VECTORS];
    for (int i = 0; i < taps + 3; i++)
        at[i] = from + (first + i) % 4 * ldf + (first + i) / 4;
    for (ptrdiff_t row = 0; row < rows; row++) {
        for (ptrdiff_t t = 0; t < strips; t += VL) {
            vec d[FC_MAX_VECTORS], made[FC_MAX_VECTORS];
            UNROLL for (int i = 0; i < taps + 3; i++) d[i] = NAME(load)(at[i] + row * pitch + t);
            NAME(strip_d)(d, made, taps);
            UNROLL for (int i = 0; i < taps + 3; i++)
                NAME(store_upto)(to + i * plane + t, made[i], strips - t);
        }
        to += strips;
    }
}

static void NAME(strips_input)(const void *from, ptrdiff_t ldf, ptrdiff_t pitch, ptrdiff_t first,
                               ptrdiff_t rows, ptrdiff_t strips, ptrdiff_t taps, void *to,
                               ptrdiff_t plane) {
    if (taps == 2)
        NAME(strips_input_of)(from, ldf, pitch, first, rows, strips, to, plane, 2);
    else if (taps == 3)
        NAME(strips_input_of)(from, ldf, pitch, first, rows, strips, to, plane, 3);
    else if (taps == 4)
        NAME(strips_input_of)(from, ldf, pitch, first, rows, strips, to, plane, 4);
    else
        NAME(strips_input_of)(from, ldf, pitch, first, rows, strips, to, plane, 5);
}

INLINE void NAME(strips_weights_of)(const T *from, ptrdiff_t step, ptrdiff_t there,
                                    ptrdiff_t filters, T *to, ptrdiff_t plane, const int taps) {
    for (ptrdiff_t f = 0; f < filters; f += VL) {
        vec g[FC_MAX_VECTORS], made[FC_MAX_VECTORS];
        UNROLL for (int j = 0; j < taps; j++) g[j] =
            j < there ? NAME(load)(from + j * step + f) : (vec){0};
        NAME(strip_g)(g, made, taps);
        UNROLL for (int i = 0; i < taps + 3; i++) NAME(store)(to + i * plane + f, made[i]);
    }
}

static void NAME(strips_weights)(const void *from, ptrdiff_t step, ptrdiff_t there,
                                 ptrdiff_t filters, ptrdiff_t taps, void *to, ptrdiff_t plane) {
    if (taps == 2)
        NAME(strips_weights_of)(from, step, there, filters, to, plane, 2);
    else if (taps == 3)
        NAME(strips_weights_of)(from, step, there, filters, to, plane, 3);
    else if (taps == 4)
        NAME(strips_weights_of)(from, step, there, filters, to, plane, 4);
    else
        NAME(strips_weights_of)(from, step, there, filters, to, plane, 5);
}

INLINE int NAME(strips_output_of)(const T *from, ptrdiff_t plane, const T *singles, ptrdiff_t ldf,
                                  ptrdiff_t rows, T *to, ptrdiff_t ldt, ptrdiff_t columns,
                                  const fc_epilogue *epilogue, const int taps) {
    vec wild = {0};
    for (ptrdiff_t row = 0; row < rows; row++) {
        for (ptrdiff_t j = 0; j < columns; j += 4 * VL) {
            const T *const m = from + row * ldf + j / 4;
            T *const at = to + row * ldt + j;
            vec made[FC_MAX_VECTORS], y[4];
            UNROLL for (int i = 0; i < taps + 3; i++) made[i] = NAME(load)(m + i * plane);
            NAME(strip_m)(made, y, taps);
            if (singles) {
                UNROLL for (int i = 0; i < 4; i++) y[i] +=
                    NAME(load)(singles + i * plane + row * ldf + j / 4);
            }
            NAME(join_channels)(y, 4);
            UNROLL for (int i = 0; i < 4; i++) {
                const ptrdiff_t left = columns - j - i * VL;
                if (left >= VL) {
                    wild += y[i] * (T)0;
                    NAME(store)(at + i * VL, NAME(finish)(y[i], (vec){0}, row, 0, 0, epilogue));
                } else if (left > 0) { /* lanes behind the last output may hold anything */
                    T lane[FC_MAX_LANES];
                    NAME(store)(lane, y[i]);
                    y[i] = NAME(load_part)(lane, left);
                    wild += y[i] * (T)0;
                    NAME(store_part)(at + i * VL, NAME(finish)(y[i], (vec){0}, row, 0, 0, epilogue),
                                     left);
                }
            }
        }
    }
    return NAME(lane_sum)(wild) == 0;
}

static int NAME(strips_output)(const void *from, ptrdiff_t plane, const void *singles,
                               ptrdiff_t ldf, ptrdiff_t rows, ptrdiff_t taps, void *to,
                               ptrdiff_t ldt, ptrdiff_t columns, const fc_epilogue *epilogue) {
    if (taps == 2)
        return NAME(strips_output_of)(from, plane, singles, ldf, rows, to, ldt, columns, epilogue,
                                      2);
    if (taps == 3)
        return NAME(strips_output_of)(from, plane, singles, ldf, rows, to, ldt, columns, epilogue,
                                      3);
    if (taps == 4)
        return NAME(strips_output_of)(from, plane, singles, ldf, rows, to, ldt, columns, epilogue,
                                      4);
    return NAME(strips_output_of)(from, plane, singles, ldf, rows, to, ldt, columns, epilogue, 5);
}
#endif
