/* Minimal filtering F(4x4, 3x3): 4 x 4 outputs of a 3 x 3 kernel by 36 products instead of 144.
 *
 *   y = A' [ (G g G') * (B' d B) ] A        d 6 x 6 of the image, g the kernel, * element by element
 *
 * The gradient of the kernel is the transposed map:  G' [ (A dy A') * (B' d B) ] G, summed over tiles.
 *
 * One product is one of 36 positions; over channels and tiles the products are 36 multiplications
 * of matrices, which the driver does.  Lanes are channels of d, and filters of g and y.
 *
 * Lavin and Gray, Fast algorithms for convolutional neural networks, 2016.  The points are 0,
 * +-1/sqrt 2, +-sqrt 2 and infinity, whose error is a quarter of that of 0, +-1, +-2 (Barabasz et
 * al., Error analysis and improving the accuracy of Winograd convolution, 2020):
 *
 *        1   0 -5/2  0   1   0          1     0    0           1  1  1  1  1  0
 *        0 -2a  -2   a   1   0        -2/3 -2a/3 -1/3          0  a -a  b -b  0
 *   B' = 0  2a  -2  -a   1   0    G = -2/3  2a/3 -1/3     A' = 0  h  h  2  2  0
 *        0 -bh  -h   b   1   0         1/6   b/6  1/3          0 ah -ah 2b -2b 1
 *        0  bh  -h  -b   1   0         1/6  -b/6  1/3
 *        0   1   0 -5/2  0   1          0     0    1      a = 1/sqrt 2, b = sqrt 2, h = 1/2
 */
#if !INTEGER
#undef ROOT_HALF
#undef ROOT_TWO
#define ROOT_HALF ((T)0.70710678118654752440)
#define ROOT_TWO ((T)1.41421356237309504880)

/* to = B' d */
INLINE void NAME(winograd_d)(const vec d[6], vec to[6]) {
    const vec a_even = d[4] - (T)2 * d[2], b_even = d[4] - (T)0.5 * d[2];
    const vec a_odd = ROOT_HALF * (d[3] - (T)2 * d[1]), b_odd = ROOT_TWO * (d[3] - (T)0.5 * d[1]);
    to[0] = d[0] + d[4] - (T)2.5 * d[2];
    to[1] = a_even + a_odd;
    to[2] = a_even - a_odd;
    to[3] = b_even + b_odd;
    to[4] = b_even - b_odd;
    to[5] = d[1] + d[5] - (T)2.5 * d[3];
}

/* to = G g */
INLINE void NAME(winograd_g)(const vec g[3], vec to[6]) {
    const vec a_even = (T)(-2.0 / 3) * g[0] - (T)(1.0 / 3) * g[2];
    const vec b_even = (T)(1.0 / 6) * g[0] + (T)(1.0 / 3) * g[2];
    const vec a_odd = (ROOT_HALF * (T)(-2.0 / 3)) * g[1], b_odd = (ROOT_TWO / 6) * g[1];
    to[0] = g[0];
    to[1] = a_even + a_odd;
    to[2] = a_even - a_odd;
    to[3] = b_even + b_odd;
    to[4] = b_even - b_odd;
    to[5] = g[2];
}

/* to = A' m */
INLINE void NAME(winograd_m)(const vec m[6], vec to[4]) {
    const vec a_even = m[1] + m[2], a_odd = ROOT_HALF * (m[1] - m[2]);
    const vec b_even = m[3] + m[4], b_odd = ROOT_TWO * (m[3] - m[4]);
    to[0] = m[0] + a_even + b_even;
    to[1] = a_odd + b_odd;
    to[2] = (T)0.5 * a_even + (T)2 * b_even;
    to[3] = (T)0.5 * a_odd + (T)2 * b_odd + m[5];
}

/* to = A y */
INLINE void NAME(winograd_y)(const vec y[4], vec to[6]) {
    const vec a_even = y[0] + (T)0.5 * y[2], a_odd = ROOT_HALF * (y[1] + (T)0.5 * y[3]);
    const vec b_even = y[0] + (T)2 * y[2], b_odd = ROOT_TWO * (y[1] + (T)2 * y[3]);
    to[0] = y[0];
    to[1] = a_even + a_odd;
    to[2] = a_even - a_odd;
    to[3] = b_even + b_odd;
    to[4] = b_even - b_odd;
    to[5] = y[3];
}

/* to = G' x */
INLINE void NAME(winograd_x)(const vec x[6], vec to[3]) {
    const vec a_even = x[1] + x[2], b_even = x[3] + x[4];
    to[0] = x[0] - (T)(2.0 / 3) * a_even + (T)(1.0 / 6) * b_even;
    to[1] = (ROOT_TWO / 6) * (x[3] - x[4]) - (ROOT_HALF * (T)(2.0 / 3)) * (x[1] - x[2]);
    to[2] = x[5] + (T)(1.0 / 3) * (b_even - a_even);
}

INLINE void NAME(winograd_input_lanes)(const T *from, ptrdiff_t row, ptrdiff_t pixel,
                                       ptrdiff_t count, T *to, ptrdiff_t plane) {
    vec half[6][6];
    for (int j = 0; j < 6; j++) {
        vec d[6], made[6];
        UNROLL for (int i = 0; i < 6; i++) d[i] =
            NAME(load_upto)(from + i * row + j * pixel, count);
        NAME(winograd_d)(d, made);
        UNROLL for (int i = 0; i < 6; i++) half[i][j] = made[i];
    }
    for (int i = 0; i < 6; i++) {
        vec made[6];
        NAME(winograd_d)(half[i], made);
        UNROLL for (int j = 0; j < 6; j++) NAME(store)(to + (6 * i + j) * plane, made[j]);
    }
}

static void NAME(winograd_input)(const void *source, ptrdiff_t row, ptrdiff_t pixel,
                                 ptrdiff_t channels, void *target, ptrdiff_t plane) {
    const T *const from = source;
    T *const to = target;
    ptrdiff_t c = 0;
    for (; c + VL <= channels; c += VL)
        NAME(winograd_input_lanes)(from + c, row, pixel, VL, to + c, plane);
    if (c < channels)
        NAME(winograd_input_lanes)(from + c, row, pixel, channels - c, to + c, plane);
}

static void NAME(winograd_weights)(const void *source, ptrdiff_t step, void *target,
                                   ptrdiff_t plane) {
    const T *const from = source;
    T *const to = target;
    vec half[6][3];
    UNROLL for (int j = 0; j < 3; j++) {
        vec g[3], made[6];
        UNROLL for (int i = 0; i < 3; i++) g[i] = NAME(load)(from + (3 * i + j) * step);
        NAME(winograd_g)(g, made);
        UNROLL for (int i = 0; i < 6; i++) half[i][j] = made[i];
    }
    UNROLL for (int i = 0; i < 6; i++) {
        vec made[6];
        NAME(winograd_g)(half[i], made);
        UNROLL for (int j = 0; j < 6; j++) NAME(store)(to + (6 * i + j) * plane, made[j]);
    }
}

INLINE void NAME(winograd_gradient_lanes)(const T *from, ptrdiff_t row, ptrdiff_t pixel,
                                          ptrdiff_t count, ptrdiff_t rows, ptrdiff_t columns, T *to,
                                          ptrdiff_t plane) {
    vec half[6][4];
    for (int j = 0; j < 4; j++) {
        vec y[4], made[6];
        UNROLL for (int i = 0; i < 4; i++) y[i] =
            i < rows && j < columns ? NAME(load_upto)(from + i * row + j * pixel, count) : (vec){0};
        NAME(winograd_y)(y, made);
        UNROLL for (int i = 0; i < 6; i++) half[i][j] = made[i];
    }
    for (int i = 0; i < 6; i++) {
        vec made[6];
        NAME(winograd_y)(half[i], made);
        UNROLL for (int j = 0; j < 6; j++) NAME(store)(to + (6 * i + j) * plane, made[j]);
    }
}

static void NAME(winograd_gradient)(const void *source, ptrdiff_t row, ptrdiff_t pixel,
                                    ptrdiff_t filters, ptrdiff_t rows, ptrdiff_t columns,
                                    void *target, ptrdiff_t plane) {
    const T *const from = source;
    T *const to = target;
    ptrdiff_t f = 0;
    for (; f + VL <= filters; f += VL) {
        if (rows >= 4 && columns >= 4)
            NAME(winograd_gradient_lanes)(from + f, row, pixel, VL, 4, 4, to + f, plane);
        else
            NAME(winograd_gradient_lanes)(from + f, row, pixel, VL, rows, columns, to + f, plane);
    }
    if (f < filters)
        NAME(winograd_gradient_lanes)(from + f, row, pixel, filters - f, rows, columns, to + f,
                                      plane);
}

static void NAME(winograd_kernel)(const void *source, ptrdiff_t plane, void *target,
                                  ptrdiff_t step) {
    const T *const from = source;
    T *const to = target;
    vec half[3][6];
    for (int j = 0; j < 6; j++) {
        vec x[6], made[3];
        UNROLL for (int i = 0; i < 6; i++) x[i] = NAME(load)(from + (6 * i + j) * plane);
        NAME(winograd_x)(x, made);
        UNROLL for (int i = 0; i < 3; i++) half[i][j] = made[i];
    }
    UNROLL for (int i = 0; i < 3; i++) {
        vec made[3];
        NAME(winograd_x)(half[i], made);
        UNROLL for (int j = 0; j < 3; j++) NAME(store)(to + (3 * i + j) * step, made[j]);
    }
}

/* returns a vector of zeros, or of what makes a sum with zero other than zero */
INLINE vec NAME(winograd_output_lanes)(const T *from, ptrdiff_t plane, ptrdiff_t count,
                                       const T *bias, int relu, T *to, ptrdiff_t row,
                                       ptrdiff_t pixel, ptrdiff_t rows, ptrdiff_t columns) {
    const vec shift = bias ? NAME(load_upto)(bias, count) : (vec){0};
    vec half[4][6], wild = {0};
    for (int j = 0; j < 6; j++) {
        vec m[6], made[4];
        UNROLL for (int i = 0; i < 6; i++) m[i] = NAME(load)(from + (6 * i + j) * plane);
        NAME(winograd_m)(m, made);
        UNROLL for (int i = 0; i < 4; i++) half[i][j] = made[i];
    }
    for (int i = 0; i < 4 && i < rows; i++) {
        vec y[4];
        NAME(winograd_m)(half[i], y);
        UNROLL for (int j = 0; j < 4; j++) {
            wild += y[j] * (T)0;
            y[j] += shift;
            if (relu)
                y[j] = NAME(relu)(y[j]);
            if (j < columns)
                NAME(store_upto)(to + i * row + j * pixel, y[j], count);
        }
    }
    return wild;
}

static int NAME(winograd_output)(const void *source, ptrdiff_t plane, ptrdiff_t filters,
                                 const void *bias, int relu, void *target, ptrdiff_t row,
                                 ptrdiff_t pixel, ptrdiff_t rows, ptrdiff_t columns) {
    const T *const from = source;
    T *const to = target;
    vec wild = {0};
    ptrdiff_t f = 0;
    for (; f + VL <= filters; f += VL)
        wild += NAME(winograd_output_lanes)(from + f, plane, VL, bias ? (const T *)bias + f : NULL,
                                            relu, to + f, row, pixel, rows, columns);
    if (f < filters)
        wild += NAME(winograd_output_lanes)(from + f, plane, filters - f,
                                            bias ? (const T *)bias + f : NULL, relu, to + f, row,
                                            pixel, rows, columns);
    return NAME(lane_sum)(wild) == 0;
}
#endif
