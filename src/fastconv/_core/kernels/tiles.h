/* The register tiles: all multiply-add work of convolution and its gradients runs here.
 *
 * taps: c[i, j] = sum_k a[k, i] * x[offsets[k] + j]        lanes over pixels j, a packed by tile
 * rows: c[i, j] = sum_k rows[i][k] * b[k, j]               lanes over filters j, b packed by panel
 * dot:  c[i, f] += sum_k x[i][k] * g[f][k]                 lanes over the summed pixels k
 *
 * The bodies are inlined into one function for every tile size, where the loops over rows and
 * vectors have constant bounds and the accumulators live in registers.
 */
#undef UNROLL
#define UNROLL _Pragma("GCC unroll 8")

/* bias, relu, sums of partial columns: through memory, in a loop all tile sizes share */
static __attribute__((noinline)) void NAME(finish_tile)(const T *tile, ptrdiff_t height,
                                                        ptrdiff_t vectors, T *c, ptrdiff_t ldc,
                                                        ptrdiff_t columns,
                                                        const fc_epilogue *epilogue) {
    for (ptrdiff_t i = 0; i < height; i++) {
        for (ptrdiff_t j = 0; j < columns; j += VL) {
            NAME(finish_at)(NAME(load)(tile + i * vectors * VL + j), c + i * ldc + j, i, j,
                            columns - j, epilogue);
        }
    }
}

INLINE void NAME(store_tile)(vec (*acc)[FC_MAX_VECTORS], const int height, const int vectors, T *c,
                             ptrdiff_t ldc, ptrdiff_t columns, const fc_epilogue *epilogue) {
    const int whole = columns == vectors * VL;
    if (epilogue->relu || epilogue->row_bias || epilogue->column_bias ||
        (epilogue->accumulate && !whole)) {
        T tile[FC_MAX_ROWS * FC_MAX_VECTORS * FC_MAX_LANES];
        UNROLL for (int i = 0; i < height; i++) {
            UNROLL for (int v = 0; v < vectors; v++)
                NAME(store)(tile + (i * vectors + v) * VL, acc[i][v]);
        }
        NAME(finish_tile)(tile, height, vectors, c, ldc, columns, epilogue);
    } else if (epilogue->accumulate) {
        UNROLL for (int i = 0; i < height; i++) {
            UNROLL for (int v = 0; v < vectors; v++) {
                T *to = c + i * ldc + v * VL;
                NAME(store)(to, NAME(load)(to) + acc[i][v]);
            }
        }
    } else if (whole) {
        UNROLL for (int i = 0; i < height; i++) {
            UNROLL for (int v = 0; v < vectors; v++) NAME(store)(c + i * ldc + v * VL, acc[i][v]);
        }
    } else {
        UNROLL for (int v = 0; v < vectors; v++) {
            if (columns > v * VL) {
                UNROLL for (int i = 0; i < height; i++)
                    NAME(store_upto)(c + i * ldc + v * VL, acc[i][v], columns - v * VL);
            }
        }
    }
}

INLINE void NAME(taps_body)(const int height, const int vectors, const T *a, ptrdiff_t depth,
                            const T *x, const ptrdiff_t *offsets, T *c, ptrdiff_t ldc,
                            ptrdiff_t columns, const fc_epilogue *epilogue) {
    vec acc[FC_MAX_ROWS][FC_MAX_VECTORS];
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            acc[i][v] = (vec){0};
            __builtin_prefetch(c + i * ldc + v * VL, 1); /* needed when the sums are done */
        }
    }
    for (ptrdiff_t k = 0; k < depth; k++) {
        const T *b = x + offsets[k];
        vec column[FC_MAX_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = NAME(load)(b + v * VL);
        UNROLL for (int i = 0; i < height; i++) {
            const vec weight = NAME(broadcast)(a[i]);
            UNROLL for (int v = 0; v < vectors; v++) acc[i][v] += weight * column[v];
        }
        a += height;
    }
    NAME(store_tile)(acc, height, vectors, c, ldc, columns, epilogue);
}

INLINE void NAME(rows_body)(const int height, const int vectors, const T *const *rows,
                            ptrdiff_t runs, ptrdiff_t length, ptrdiff_t step, const T *b, T *c,
                            ptrdiff_t ldc, ptrdiff_t columns, const fc_epilogue *epilogue) {
    vec acc[FC_MAX_ROWS][FC_MAX_VECTORS];
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            acc[i][v] = (vec){0};
            /* needed when the sums are done, or those of a later tile */
            __builtin_prefetch(c + epilogue->out_ahead + i * ldc + v * VL, 1);
        }
    }
    for (ptrdiff_t run = 0; run < runs; run++) {
        const T *row[FC_MAX_ROWS];
        UNROLL for (int i = 0; i < height; i++) row[i] = rows[i];
        ptrdiff_t at = 0;
        for (ptrdiff_t left = length; left > 0; left -= VL) {
            if (epilogue->ahead) { /* a line of each row */
                UNROLL for (int i = 0; i < height; i++)
                    __builtin_prefetch(row[i] + at + epilogue->ahead, 0, 2);
            }
            /* no other counter than `at`: pointers of all rows are to stay in registers */
            const ptrdiff_t end = at + (left < VL ? left : VL) * step;
            for (; at != end; at += step) {
                vec column[FC_MAX_VECTORS];
                UNROLL for (int v = 0; v < vectors; v++) column[v] = NAME(load)(b + v * VL);
                UNROLL for (int i = 0; i < height; i++) {
                    const vec weight = NAME(broadcast)(row[i][at]);
                    UNROLL for (int v = 0; v < vectors; v++) acc[i][v] += weight * column[v];
                }
                b += vectors * VL;
            }
        }
        rows += height;
    }
    /* as if they had changed: else compilers keep every row's address in c since the prefetch, in
     * the registers that the pointers to rows need */
    __asm__("" : "+g"(c), "+g"(ldc));
    NAME(store_tile)(acc, height, vectors, c, ldc, columns, epilogue);
}

INLINE void NAME(dot_body)(const int height, const int filters, const T *const *x,
                           ptrdiff_t x_stride, const T *const *g, ptrdiff_t g_stride,
                           ptrdiff_t runs, ptrdiff_t length, T *c, ptrdiff_t ldc) {
    vec acc[FC_MAX_ROWS][FC_MAX_FILTERS];
    const T *row[FC_MAX_ROWS], *grad[FC_MAX_FILTERS];
    UNROLL for (int i = 0; i < height; i++) {
        row[i] = x[i];
        UNROLL for (int f = 0; f < filters; f++) acc[i][f] = (vec){0};
    }
    UNROLL for (int f = 0; f < filters; f++) grad[f] = g[f];
    const ptrdiff_t whole = length - length % VL, left = length % VL;
    for (ptrdiff_t run = 0; run < runs; run++) {
        for (ptrdiff_t k = 0; k < whole; k += VL) {
            vec value[FC_MAX_FILTERS];
            UNROLL for (int f = 0; f < filters; f++) value[f] = NAME(load)(grad[f] + k);
            UNROLL for (int i = 0; i < height; i++) {
                const vec pixel = NAME(load)(row[i] + k);
                UNROLL for (int f = 0; f < filters; f++) acc[i][f] += pixel * value[f];
            }
        }
        if (left) {
            vec value[FC_MAX_FILTERS];
            UNROLL for (int f = 0; f < filters; f++) value[f] =
                NAME(load_part)(grad[f] + whole, left);
            UNROLL for (int i = 0; i < height; i++) {
                const vec pixel = NAME(load_part)(row[i] + whole, left);
                UNROLL for (int f = 0; f < filters; f++) acc[i][f] += pixel * value[f];
            }
        }
        UNROLL for (int i = 0; i < height; i++) row[i] += x_stride;
        UNROLL for (int f = 0; f < filters; f++) grad[f] += g_stride;
    }
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int f = 0; f < filters; f++) {
            c[i * ldc + f] += NAME(lane_sum)(acc[i][f]);
        }
    }
}

#define TAPS(height, vectors)                                                                      \
    static void NAME(taps_##height##x##vectors)(const void *a, ptrdiff_t depth, const void *x,     \
                                                const ptrdiff_t *offsets, void *c, ptrdiff_t ldc,  \
                                                ptrdiff_t columns, const fc_epilogue *epilogue) {  \
        NAME(taps_body)(height, vectors, a, depth, x, offsets, c, ldc, columns, epilogue);         \
    }
#define ROWS(height, vectors)                                                                      \
    static void NAME(rows_##height##x##vectors)(                                                   \
        const void *const *rows, ptrdiff_t runs, ptrdiff_t length, ptrdiff_t step, const void *b,  \
        void *c, ptrdiff_t ldc, ptrdiff_t columns, const fc_epilogue *epilogue) {                  \
        NAME(rows_body)(height, vectors, (const T *const *)rows, runs, length, step, b, c, ldc,    \
                        columns, epilogue);                                                        \
    }
#define DOT(height, filters)                                                                       \
    static void NAME(dot_##height##x##filters)(                                                    \
        const void *const *x, ptrdiff_t x_stride, const void *const *g, ptrdiff_t g_stride,        \
        ptrdiff_t runs, ptrdiff_t length, void *c, ptrdiff_t ldc) {                                \
        NAME(dot_body)(height, filters, (const T *const *)x, x_stride, (const T *const *)g,        \
                       g_stride, runs, length, c, ldc);                                            \
    }
FOR_EACH_TAPS_TILE(TAPS)
FOR_EACH_ROWS_TILE(ROWS)
FOR_EACH_DOT_TILE(DOT)
#undef TAPS
#undef ROWS
#undef DOT
