/* What brings data into the shape the tiles want, and results back: no arithmetic but sums.
 *
 * pack_pixels: to[k, q] = x[pixel q shifted by tap k]       one channel of a panel
 * scatter:     out[i, p(q)] = epilogue(tile[i, q])          a tile whose pixels are not neighbours
 * transpose:   to[j, i] = from[i, j]
 * copy_padded: to[i, j] = from[i, (j - low) * step], zeros at both sides
 */

/* to[0..count) = from[0], from[step], ...; what is written past `count` stays within one vector,
 * what is read stays below `end`; what lies `next` behind each is asked for */
INLINE void NAME(gather_run)(const T *from, const T *end, ptrdiff_t step, T *to, ptrdiff_t count,
                             ptrdiff_t next) {
    ptrdiff_t q = 0;
    if (step == 1) {
        for (; q < count; q += VL) {
            __builtin_prefetch(from + q + next);
            NAME(store)(to + q, NAME(load_upto)(from + q, from + q + VL <= end ? VL : count - q));
        }
    } else if (step == 2) {
        for (; q < count; q += VL) {
            __builtin_prefetch(from + 2 * q + next);
            __builtin_prefetch(from + 2 * q + VL + next);
            NAME(store)(to + q, NAME(load_even)(from + 2 * q, count - q));
        }
    } else {
        for (; q < count; q++)
            to[q] = from[q * step];
    }
}

static void NAME(pack_pixels)(const fc_copy *items, ptrdiff_t count, ptrdiff_t step,
                              const void *source, ptrdiff_t from_channel, ptrdiff_t channels,
                              const void *source_end, void *target, ptrdiff_t to_channel) {
    const T *from = source;
    const T *const end = source_end;
    T *to = target;
    for (ptrdiff_t c = 0; c < channels; c++, from += from_channel, to += to_channel) {
        /* too far for the processor to foresee */
        const ptrdiff_t next = c + 1 < channels ? from_channel : 0;
        for (ptrdiff_t n = 0; n < count; n++) {
            const fc_copy item = items[n];
            if (item.from >= 0) {
                NAME(gather_run)(from + item.from, end, step, to + item.to, item.count, next);
            } else {
                for (ptrdiff_t q = 0; q < item.count; q += VL)
                    NAME(store)(to + item.to + q, (vec){0});
            }
        }
    }
}

/* `count` values from tile[from] on, which begin a vector anywhere, to neighbours */
INLINE void NAME(scatter_run)(const T *tile, ptrdiff_t from, ptrdiff_t count, T *to, ptrdiff_t i,
                              const fc_epilogue *epilogue) {
    for (ptrdiff_t q = from - from % VL; q < from + count; q += VL) {
        /* whole vectors are read as they were stored: parts would wait for the store to retire */
        const vec value = NAME(load)(tile + q);
        const ptrdiff_t low = from > q ? from - q : 0;
        const ptrdiff_t high = from + count - q < VL ? from + count - q : VL;
        T *at = to + (q - from);
        vec held = {0};
        if (epilogue->accumulate)
            held = NAME(load_lanes)(at, low, high);
        NAME(store_lanes)(at, NAME(finish)(value, held, i, 0, 0, epilogue), low, high);
    }
}

/* the same to every second element, or to elements any step apart */
INLINE void NAME(scatter_steps)(const T *tile, ptrdiff_t count, T *to, ptrdiff_t step, ptrdiff_t i,
                                const fc_epilogue *epilogue) {
    for (ptrdiff_t q = 0; q < count; q += VL) {
        const ptrdiff_t some = count - q < VL ? count - q : VL;
        T *at = to + q * step;
        const vec value = NAME(load_upto)(tile + q, some);
        if (step == 2) {
            vec held = {0};
            if (epilogue->accumulate)
                held = NAME(load_even)(at, some);
            const vec done = NAME(finish)(value, held, i, 0, 0, epilogue);
            const ptrdiff_t more = 2 * some - VL;
            NAME(store_even)(at, NAME(zip_low)(done, done), 2 * some < VL ? 2 * some : VL);
            if (more > 0)
                NAME(store_even)(at + VL, NAME(zip_high)(done, done), more);
        } else {
            T lane[FC_MAX_LANES] = {0};
            vec held;
            for (ptrdiff_t p = 0; p < some && epilogue->accumulate; p++)
                lane[p] = at[p * step];
            __builtin_memcpy(&held, lane, sizeof held);
            const vec done = NAME(finish)(value, held, i, 0, 0, epilogue);
            __builtin_memcpy(lane, &done, sizeof done);
            for (ptrdiff_t p = 0; p < some; p++)
                at[p * step] = lane[p];
        }
    }
}

static void NAME(scatter)(const void *tile, ptrdiff_t ldt, ptrdiff_t rows, const fc_copy *segments,
                          ptrdiff_t count, void *out, ptrdiff_t ldo, ptrdiff_t step,
                          const fc_epilogue *epilogue) {
    for (ptrdiff_t i = 0; i < rows; i++) {
        const T *from = (const T *)tile + i * ldt;
        T *to = (T *)out + i * ldo;
        for (ptrdiff_t n = 0; n < count; n++) {
            const fc_copy segment = segments[n];
            if (step == 1)
                NAME(scatter_run)(from, segment.from, segment.count, to + segment.to, i, epilogue);
            else
                NAME(scatter_steps)(from + segment.from, segment.count, to + segment.to, step, i,
                                    epilogue);
        }
    }
}

/* a square of VL x VL, by log2(VL) rounds of zipping row i with row i + VL / 2 */
INLINE void NAME(transpose_square)(vec row[FC_MAX_LANES]) {
    vec next[FC_MAX_LANES];
    UNROLL for (int round = 1; round < VL; round *= 2) {
        _Pragma("GCC unroll 16") for (int i = 0; i < VL / 2; i++) {
            next[2 * i] = NAME(zip_low)(row[i], row[i + VL / 2]);
            next[2 * i + 1] = NAME(zip_high)(row[i], row[i + VL / 2]);
        }
        _Pragma("GCC unroll 16") for (int i = 0; i < VL; i++) row[i] = next[i];
    }
}

static void NAME(transpose)(const void *source, ptrdiff_t ldf, ptrdiff_t rows, ptrdiff_t columns,
                            void *target, ptrdiff_t ldt, ptrdiff_t filled) {
    const T *const from = source;
    T *const to = target;
    if (rows == filled && ldf == columns && NAME(few_channels)(columns)) {
        NAME(split)(from, columns, rows, to, ldt);
        return;
    }
    if (rows == filled && ldt == rows && NAME(few_channels)(rows)) {
        NAME(join)(from, ldf, rows, columns, to);
        return;
    }
    for (ptrdiff_t q0 = 0; q0 < filled; q0 += VL) {
        /* the last square overlaps the one before, if there is one: no part of a vector is slow */
        const ptrdiff_t i = rows == filled && q0 && q0 + VL > rows ? rows - VL : q0;
        const ptrdiff_t high = rows - i < VL ? rows - i : VL;
        const ptrdiff_t room = filled - i < VL ? filled - i : VL;
        for (ptrdiff_t k0 = 0; k0 < columns; k0 += VL) {
            const ptrdiff_t j = k0 && k0 + VL > columns ? columns - VL : k0;
            const ptrdiff_t wide = columns - j < VL ? columns - j : VL;
            vec row[FC_MAX_LANES];
            if (high == VL && wide == VL) {
                _Pragma("GCC unroll 16") for (int q = 0; q < VL; q++) row[q] =
                    NAME(load)(from + (i + q) * ldf + j);
            } else if (high == VL) {
                _Pragma("GCC unroll 16") for (int q = 0; q < VL; q++) row[q] =
                    NAME(load_part)(from + (i + q) * ldf + j, wide);
            } else {
                for (ptrdiff_t q = 0; q < VL; q++)
                    row[q] = q < high ? NAME(load_upto)(from + (i + q) * ldf + j, wide) : (vec){0};
            }
            NAME(transpose_square)(row);
            if (room == VL && wide == VL) {
                _Pragma("GCC unroll 16") for (int q = 0; q < VL; q++)
                    NAME(store)(to + (j + q) * ldt + i, row[q]);
            } else {
                for (ptrdiff_t q = 0; q < wide; q++)
                    NAME(store_upto)(to + (j + q) * ldt + i, row[q], room);
            }
        }
    }
}

static void NAME(scatter_add)(const void *source, void *target, ptrdiff_t step, ptrdiff_t count) {
    const T *const from = source;
    T *const to = target;
    if (step == 1) {
        for (ptrdiff_t q = 0; q < count; q += VL) {
            const ptrdiff_t left = count - q;
            NAME(store_upto)(to + q,
                             NAME(load_upto)(to + q, left) + NAME(load_upto)(from + q, left), left);
        }
    } else {
        for (ptrdiff_t q = 0; q < count; q++)
            to[q * step] += from[q];
    }
}

/* to[0..width) = zeros, from[0], from[step], ..., zeros: `low` in front, up to `high` copied */
INLINE void NAME(padded_row)(const T *from, const ptrdiff_t step, T *to, ptrdiff_t width,
                             ptrdiff_t low, ptrdiff_t high) {
    const ptrdiff_t count = high - low;
    /* a vector may reach past its part: what comes after it is written later */
    for (ptrdiff_t j = 0; j < low; j += VL)
        NAME(store_upto)(to + j, (vec){0}, width - j);
    to += low;
    width -= low;
    ptrdiff_t q = 0;
    if (step == 1 || step == 2) {
        for (; q < count; q += VL) {
            const vec value = step == 1 ? NAME(load_upto)(from + q, count - q)
                                        : NAME(load_even)(from + 2 * q, count - q);
            NAME(store_upto)(to + q, value, width - q);
        }
    } else {
        for (; q < count; q++)
            to[q] = from[q * step];
    }
    for (; q < width; q += VL)
        NAME(store_upto)(to + q, (vec){0}, width - q);
}

/* to[i * ldt + j] = from[i * ldf + (j - low) * step] for low <= j < high, 0 for other j < width;
 * i < rows.  Rows of a plane are short: a call of memset and memcpy for each takes longer. */
static void NAME(copy_padded)(const void *source, ptrdiff_t ldf, ptrdiff_t step, ptrdiff_t rows,
                              void *target, ptrdiff_t ldt, ptrdiff_t width, ptrdiff_t low,
                              ptrdiff_t high) {
    const T *from = source;
    T *to = target;
    if (step == 1 && ldf == width && ldt == width && high - low == width) {
        __builtin_memcpy(to, from, (size_t)(rows * width) * sizeof(T));
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i++, from += ldf, to += ldt) {
        if (step == 1)
            NAME(padded_row)(from, 1, to, width, low, high);
        else if (step == 2)
            NAME(padded_row)(from, 2, to, width, low, high);
        else
            NAME(padded_row)(from, step, to, width, low, high);
    }
}

static void NAME(copy)(const void *source, ptrdiff_t step, void *target, ptrdiff_t count) {
    NAME(copy_padded)(source, count, step, 1, target, count, count, 0, count);
}

static void NAME(sum)(const void *source, ptrdiff_t count, void *total) {
    const T *const from = source;
    vec acc[4] = {{0}, {0}, {0}, {0}};
    ptrdiff_t q = 0;
    for (; q + 4 * VL <= count; q += 4 * VL) {
        UNROLL for (int v = 0; v < 4; v++) acc[v] += NAME(load)(from + q + v * VL);
    }
    for (; q < count; q += VL)
        acc[0] += NAME(load_upto)(from + q, count - q);
    *(T *)total += NAME(lane_sum)((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

static void NAME(sum_rows)(const void *source, ptrdiff_t ldf, ptrdiff_t rows, ptrdiff_t columns,
                           void *target) {
    const T *const from = source;
    T *const to = target;
    for (ptrdiff_t j = 0; j < columns; j += VL) {
        const ptrdiff_t left = columns - j;
        vec acc[4] = {{0}, {0}, {0}, {0}};
        ptrdiff_t i = 0;
        for (; i + 4 <= rows; i += 4) {
            UNROLL for (int v = 0; v < 4; v++) acc[v] +=
                NAME(load_upto)(from + (i + v) * ldf + j, left);
        }
        for (; i < rows; i++)
            acc[0] += NAME(load_upto)(from + i * ldf + j, left);
        const vec sum = (acc[0] + acc[1]) + (acc[2] + acc[3]);
        NAME(store_upto)(to + j, NAME(load_upto)(to + j, left) + sum, left);
    }
}

/* What a relu lets through of a gradient; y is its output. NaN in y passes none. */
static void NAME(relu_gradient)(const void *grads, const void *outputs, void *target,
                                ptrdiff_t count) {
    const T *const grad = grads, *const y = outputs;
    T *const out = target;
    for (ptrdiff_t q = 0; q < count; q++) /* so simple that compilers vectorise it */
        out[q] = y[q] > 0 ? grad[q] : 0;
}
