/* Filters of a channel of their own.
 *
 * depthwise:          out[p, j] = sum_k w[k, j] * x[p + tap k, j]     lanes over channels j
 * depthwise_planes:   out[p, j] = sum_k w[k] * x[p + tap k, j]        lanes over pixels j of row p
 * depthwise_gradient: sums[k, j] += sum_{i, p} grad[i, p, j] * x[i, p + tap k, j]
 * spread_groups:      to[p, k, j] = x[p, k - k % FC_SPREAD_EACH + index[k, j]]
 *
 * A tile is one vector of some pixels, or of some rows of a plane.  Every product needs an x of its
 * own, so loads are what limits: three taps that are neighbours, along p, take each vector of x once
 * for all three.
 */
#undef DEPTHWISE_PIXELS
#undef GRADIENT_TAPS
#undef GRADIENT_PIXELS
#define DEPTHWISE_PIXELS 8
#define GRADIENT_TAPS 9
#define GRADIENT_PIXELS 4

/* `whole` is a constant: all lanes of a vector, or some alone */
INLINE vec NAME(load_channels)(const T *from, const int whole, ptrdiff_t left) {
    return whole ? NAME(load)(from) : NAME(load_part)(from, left);
}

/* whether the pixels of three taps follow each other: x[p + 1] of the first is x[p] of the second */
INLINE int NAME(neighbours)(const fc_tap *taps, ptrdiff_t step) {
    return taps[1].x - taps[0].x == step && taps[2].x - taps[1].x == step;
}

INLINE vec NAME(tap_weight)(const int planes, const int whole, const T *w, ptrdiff_t left) {
    return planes ? NAME(broadcast)(*w) : NAME(load_channels)(w, whole, left);
}

/* `pixels`, `planes` and `whole` are constants */
INLINE void NAME(depthwise_body)(const int pixels, const int planes, const int whole, const T *x,
                                 const fc_tap *taps, ptrdiff_t count, ptrdiff_t step, const T *w,
                                 T *out, ptrdiff_t out_step, ptrdiff_t j, ptrdiff_t left,
                                 const fc_epilogue *epilogue) {
    vec acc[DEPTHWISE_PIXELS];
    UNROLL for (int p = 0; p < pixels; p++) acc[p] = (vec){0};
    for (ptrdiff_t k = 0; k < count;) {
        const T *from = x + taps[k].x + j;
        if (k + 3 <= count && NAME(neighbours)(taps + k, step)) {
            vec weight[3];
            UNROLL for (int s = 0; s < 3; s++) weight[s] =
                NAME(tap_weight)(planes, whole, w + taps[k + s].w, left);
            _Pragma("GCC unroll 16") for (int q = 0; q < pixels + 2; q++, from += step) {
                const vec value = NAME(load_channels)(from, planes || whole, left);
                UNROLL for (int s = 2; s >= 0; s--) {
                    if (q - s >= 0 && q - s < pixels)
                        acc[q - s] += weight[s] * value;
                }
            }
            k += 3;
        } else {
            const vec weight = NAME(tap_weight)(planes, whole, w + taps[k].w, left);
            UNROLL for (int p = 0; p < pixels; p++, from += step) acc[p] +=
                weight * NAME(load_channels)(from, planes || whole, left);
            k++;
        }
    }
    const int plain =
        !(epilogue->relu || epilogue->accumulate || epilogue->row_bias || epilogue->column_bias);
    UNROLL for (int p = 0; p < pixels; p++, out += out_step) {
        if (whole && plain)
            NAME(store)(out + j, acc[p]);
        else
            NAME(finish_at)(acc[p], out + j, 0, j, left, epilogue);
    }
}

INLINE void NAME(depthwise_tile)(const int pixels, const int planes, const T *x, const fc_tap *taps,
                                 ptrdiff_t count, ptrdiff_t step, const T *w, T *out,
                                 ptrdiff_t out_step, ptrdiff_t columns,
                                 const fc_epilogue *epilogue) {
    ptrdiff_t j = 0;
    for (; j + VL <= columns; j += VL)
        NAME(depthwise_body)(pixels, planes, 1, x, taps, count, step, planes ? w : w + j, out,
                             out_step, j, VL, epilogue);
    if (j < columns)
        NAME(depthwise_body)(pixels, planes, 0, x, taps, count, step, planes ? w : w + j, out,
                             out_step, j, columns - j, epilogue);
}

/* tiles as equal as can be */
INLINE void NAME(depthwise_tiles)(const int planes, const T *x, const fc_tap *taps, ptrdiff_t count,
                                  ptrdiff_t step, const T *w, T *out, ptrdiff_t out_step,
                                  ptrdiff_t pixels, ptrdiff_t columns,
                                  const fc_epilogue *epilogue) {
#define TILE(n)                                                                                    \
    case n:                                                                                        \
        NAME(depthwise_tile)(n, planes, x, taps, count, step, w, out, out_step, columns,           \
                             epilogue);                                                            \
        break;
    for (ptrdiff_t tiles = (pixels + DEPTHWISE_PIXELS - 1) / DEPTHWISE_PIXELS; tiles > 0; tiles--) {
        const ptrdiff_t some = (pixels + tiles - 1) / tiles;
        switch (some) {
            TILE(1)
            TILE(2)
            TILE(3)
            TILE(4)
            TILE(5)
            TILE(6)
            TILE(7)
            TILE(8)
        }
        x += some * step;
        out += some * out_step;
        pixels -= some;
    }
#undef TILE
}

static void NAME(depthwise)(const void *x, const fc_tap *taps, ptrdiff_t count, ptrdiff_t step,
                            const void *w, void *out, ptrdiff_t out_step, ptrdiff_t pixels,
                            ptrdiff_t channels, const fc_epilogue *epilogue) {
    NAME(depthwise_tiles)(0, x, taps, count, step, w, out, out_step, pixels, channels, epilogue);
}

static void NAME(depthwise_planes)(const void *x, const fc_tap *taps, ptrdiff_t count,
                                   ptrdiff_t step, const void *w, void *out, ptrdiff_t out_step,
                                   ptrdiff_t rows, ptrdiff_t columns, const fc_epilogue *epilogue) {
    NAME(depthwise_tiles)(1, x, taps, count, step, w, out, out_step, rows, columns, epilogue);
}

/* the products of `pixels` pixels of a row with `taps` taps in threes whose pixels are neighbours */
INLINE void NAME(gradient_threes)(vec *acc, const int taps, const int pixels, const int whole,
                                  const T *const *x, ptrdiff_t step, const T *grad,
                                  ptrdiff_t grad_step, ptrdiff_t left) {
    vec value[GRADIENT_PIXELS];
    UNROLL for (int p = 0; p < pixels; p++) value[p] =
        NAME(load_channels)(grad + p * grad_step, whole, left);
    UNROLL for (int k = 0; k < taps; k += 3) {
        const T *from = x[k];
        UNROLL for (int q = 0; q < pixels + 2; q++, from += step) {
            const vec pixel = NAME(load_channels)(from, whole, left);
            UNROLL for (int s = 2; s >= 0; s--) {
                if (q - s >= 0 && q - s < pixels)
                    acc[k + s] += value[q - s] * pixel;
            }
        }
    }
}

INLINE void NAME(gradient_body)(const int taps, const int threes, const int whole,
                                const fc_pixels *x, const fc_pixels *g, ptrdiff_t rows,
                                ptrdiff_t pixels, const fc_tap *tap, T *sums, ptrdiff_t j,
                                ptrdiff_t left) {
    vec acc[GRADIENT_TAPS];
    UNROLL for (int k = 0; k < taps; k++) acc[k] = (vec){0};
    for (ptrdiff_t i = 0; i < rows; i++) {
        const T *first[GRADIENT_TAPS], *grad = (const T *)g->first + i * g->row + j;
        UNROLL for (int k = 0; k < taps; k++) first[k] =
            (const T *)x->first + i * x->row + tap[k].x + j;
        ptrdiff_t p = 0;
        if (threes) {
            for (; p + GRADIENT_PIXELS <= pixels; p += GRADIENT_PIXELS) {
                NAME(gradient_threes)(acc, taps, GRADIENT_PIXELS, whole, first, x->step, grad,
                                      g->step, left);
                UNROLL for (int k = 0; k < taps; k += 3) first[k] += GRADIENT_PIXELS * x->step;
                grad += GRADIENT_PIXELS * g->step;
            }
            for (; p < pixels; p++, grad += g->step) {
                NAME(gradient_threes)(acc, taps, 1, whole, first, x->step, grad, g->step, left);
                UNROLL for (int k = 0; k < taps; k += 3) first[k] += x->step;
            }
        } else {
            for (ptrdiff_t at = 0; p < pixels; p++, at += x->step, grad += g->step) {
                const vec value = NAME(load_channels)(grad, whole, left);
                UNROLL for (int k = 0; k < taps; k++) acc[k] +=
                    value * NAME(load_channels)(first[k] + at, whole, left);
            }
        }
    }
    UNROLL for (int k = 0; k < taps; k++) {
        T *const to = sums + tap[k].w + j;
        NAME(store_upto)(to, NAME(load_upto)(to, left) + acc[k], left);
    }
}

INLINE void NAME(gradient_taps)(const int taps, const int threes, const fc_pixels *x,
                                const fc_pixels *g, ptrdiff_t rows, ptrdiff_t pixels,
                                const fc_tap *tap, T *sums, ptrdiff_t channels) {
    ptrdiff_t j = 0;
    for (; j + VL <= channels; j += VL)
        NAME(gradient_body)(taps, threes, 1, x, g, rows, pixels, tap, sums, j, VL);
    if (j < channels)
        NAME(gradient_body)(taps, threes, 0, x, g, rows, pixels, tap, sums, j, channels - j);
}

static void NAME(depthwise_gradient)(const fc_pixels *x, const fc_pixels *grad, ptrdiff_t rows,
                                     ptrdiff_t pixels, const fc_tap *taps, ptrdiff_t count,
                                     void *sums, ptrdiff_t channels) {
#define SOME(n, threes) NAME(gradient_taps)(n, threes, x, grad, rows, pixels, taps, sums, channels)
    while (count > 0) {
        ptrdiff_t some = 0;
        while (some < GRADIENT_TAPS && some + 3 <= count && NAME(neighbours)(taps + some, x->step))
            some += 3;
        if (some == 9) {
            SOME(9, 1);
        } else if (some == 6) {
            SOME(6, 1);
        } else if (some == 3) {
            SOME(3, 1);
        } else if (count >= 9) {
            SOME(9, 0);
            some = 9;
        } else if (count >= 4) {
            SOME(4, 0);
            some = 4;
        } else if (count >= 2) {
            SOME(2, 0);
            some = 2;
        } else {
            SOME(1, 0);
            some = 1;
        }
        taps += some;
        count -= some;
    }
#undef SOME
}

/* `count` and `wide`, whether a window is more than a vector, are constants */
INLINE void NAME(spread_some)(const int count, const int wide, const T *from, ptrdiff_t pixel,
                              ptrdiff_t pixels, ptrdiff_t window, const char *indices, T *to,
                              ptrdiff_t to_pixel) {
    NAME(index) index[FC_SPREAD_EACH];
    UNROLL for (int k = 0; k < count; k++) index[k] = NAME(load_index)(indices + k * VECTOR_BYTES);
    for (ptrdiff_t p = 0; p < pixels; p++, from += pixel, to += to_pixel) {
        const vec low = NAME(load_upto)(from, wide ? VL : window);
        const vec high = wide ? NAME(load_upto)(from + VL, window - VL) : (vec){0};
        UNROLL for (int k = 0; k < count; k++)
            NAME(store)(to + k * VL, NAME(pick)(low, high, index[k]));
    }
}

static void NAME(spread_groups)(const void *source, ptrdiff_t pixel, ptrdiff_t pixels,
                                ptrdiff_t window, const void *indices, ptrdiff_t count,
                                void *target) {
    const ptrdiff_t to_pixel = count * VL;
    const T *from = source;
    const char *index = indices;
    T *to = target;
#define SOME(n)                                                                                    \
    case n:                                                                                        \
        if (window > VL)                                                                           \
            NAME(spread_some)(n, 1, from, pixel, pixels, window, index, to, to_pixel);             \
        else                                                                                       \
            NAME(spread_some)(n, 0, from, pixel, pixels, window, index, to, to_pixel);             \
        break;
    while (count > 0) {
        switch (count < FC_SPREAD_EACH ? count : FC_SPREAD_EACH) {
            SOME(1)
            SOME(2)
            SOME(3)
            SOME(4)
        }
        from += FC_SPREAD_EACH;
        window -= FC_SPREAD_EACH;
        index += FC_SPREAD_EACH * VECTOR_BYTES;
        to += FC_SPREAD_EACH * VL;
        count -= FC_SPREAD_EACH;
    }
#undef SOME
}
