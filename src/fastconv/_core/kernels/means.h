/* The gradient of an average pool whose windows are 2 x 2 or 3 x 3, all of which count alike, and
 * whose stride is 2:
 *
 *     to[y, x, c] = sum_{i, j} grad[i, j, c] / divisor
 *
 *     i in (y + pad - kernel + 1) / 2 rounded up .. (y + pad) / 2, j of x likewise
 *
 * Rows of outputs are summed first, then columns.  Blocks of rows are divided and copied to where there
 * are zeros at both ends, so that no column is outside.
 */
INLINE void NAME(copy_means)(const NAME(gatherer) * s, const T *grad, ptrdiff_t rows, T divisor) {
    const ptrdiff_t line = s->geometry.out_w * s->geometry.channels;
    const int exact = divisor == 4;
    for (ptrdiff_t i = 0; i < rows; i++, grad += line) {
        T *const to = s->copy + i * s->pitch;
        for (ptrdiff_t q = 0; q < line; q += VL) {
            const vec value = NAME(load_upto)(grad + q, line - q);
            __builtin_prefetch(grad + q + 2 * AHEAD);
            NAME(store_upto)(
                to + q, exact ? value * NAME(broadcast)((T)0.25) : value / NAME(broadcast)(divisor),
                line - q);
        }
    }
}

/* what both rows have at `at`, or the only one */
INLINE vec NAME(sum_means)(const T *const *rows, const ptrdiff_t count, ptrdiff_t at) {
    const vec sum = NAME(load)(rows[0] + at);
    return count > 1 ? sum + NAME(load)(rows[1] + at) : sum;
}

/* a row of the image, few channels */
INLINE void NAME(spread_lanes)(const NAME(gatherer) * s, const T *const *rows,
                               const ptrdiff_t count, const ptrdiff_t columns,
                               const ptrdiff_t phases, T *to) {
    ptrdiff_t at = 0;
    for (ptrdiff_t e = 0; e < s->row;) {
        for (ptrdiff_t f = 0; f < phases && (phases == 1 || e < s->row); f++, e += VL) {
            const ptrdiff_t from = at + s->from[f];
            const vec low = NAME(sum_means)(rows, count, from);
            const vec high = sizeof(T) == 8 ? NAME(sum_means)(rows, count, from + VL) : low;
            vec sum = {0};
            for (ptrdiff_t k = columns - 1; k >= 0; k--) {
                const lane_vec value =
                    (lane_vec)NAME(pick)(low, high, NAME(load_index)(s->lanes[f][k][0]));
                /* where there is no second window, nothing */
                sum +=
                    (vec)(k ? value & (lane_vec)NAME(load)((const T *)s->lanes[f][1][1]) : value);
            }
            __builtin_prefetch(to + e + AHEAD, 1);
            NAME(store_upto)(to + e, sum, s->row - e);
        }
        at += phases * VL / 2;
    }
}

/* more channels: a pixel after the other, whose last lanes the next one writes anew */
INLINE void NAME(spread_pixels)(const NAME(gatherer) * s, const T *const *rows,
                                const ptrdiff_t count, const ptrdiff_t columns, T *to) {
    const fc_gather *const g = &s->geometry;
    const ptrdiff_t channels = g->channels;
    for (ptrdiff_t x = 0; x < g->width; x++) {
        const ptrdiff_t last = NAME(asked)(g, x, 0);
        const ptrdiff_t first = columns == 1 || (x + g->pad) % 2 ? last : last - 1;
        for (ptrdiff_t c = 0; c < channels; c += VL) {
            const ptrdiff_t e = x * channels + c;
            vec sum = {0};
            for (ptrdiff_t j = first; j <= last; j++)
                sum += NAME(sum_means)(rows, count, j * channels + c);
            __builtin_prefetch(to + e + AHEAD, 1);
            NAME(store_upto)(to + e, sum, s->row - e);
        }
    }
}

INLINE void NAME(spread_row)(const NAME(gatherer) * s, const T *const *rows, const ptrdiff_t count,
                             T *to) {
    const int two = s->geometry.kernel == 2;
    if (s->phases == 1 && two)
        NAME(spread_lanes)(s, rows, count, 1, 1, to);
    else if (s->phases == 1)
        NAME(spread_lanes)(s, rows, count, 2, 1, to);
    else if (s->phases)
        NAME(spread_lanes)(s, rows, count, s->geometry.kernel - 1, s->phases, to);
    else if (two)
        NAME(spread_pixels)(s, rows, count, 1, to);
    else
        NAME(spread_pixels)(s, rows, count, 2, to);
}

INLINE void NAME(start_spreading)(NAME(gatherer) * s, const fc_gather *g, T *workspace) {
    const ptrdiff_t channels = g->channels, margin = fc_gather_margin(g);
    s->geometry = *g;
    s->row = g->width * channels;
    s->pitch = g->out_w * channels + 2 * margin;
    s->block = fc_gather_block(g) / s->pitch + 2;
    s->copy = workspace + margin;
    for (ptrdiff_t i = 0; i < s->block; i++)
        for (ptrdiff_t q = 0; q < margin; q++)
            s->copy[i * s->pitch - 1 - q] = s->copy[(i + 1) * s->pitch - 2 * margin + q] = 0;
    if (channels > GATHER_FEW || !NAME(find_lanes)(s))
        s->phases = 0;
    for (ptrdiff_t f = 0; f < s->phases; f++)
        for (ptrdiff_t q = 0; q < VL; q++)
            s->lanes[f][1][1][q] = ((f * VL + q) / channels + g->pad) % 2 - 1;
}

static void NAME(spread_means)(const void *source, ptrdiff_t planes, const fc_gather *g,
                               ptrdiff_t divisor, void *workspace, void *target) {
    const ptrdiff_t line = g->out_w * g->channels;
    const T *grad = source;
    T *to = target;
    NAME(gatherer) s;
    NAME(start_spreading)(&s, g, workspace);
    for (ptrdiff_t k = 0; k < planes; k++, grad += g->out_h * line) {
        ptrdiff_t begin = 0, end = 0; /* the rows that were copied */
        for (ptrdiff_t y = 0; y < g->height; y++, to += s.row) {
            const ptrdiff_t low = y + g->pad < g->kernel ? 0 : (y + g->pad - g->kernel + 2) / 2;
            ptrdiff_t high = (y + g->pad) / 2 + 1;
            high = high < g->out_h ? high : g->out_h;
            if (low >= high) {
                __builtin_memset(to, 0, (size_t)s.row * sizeof(T));
                continue;
            }
            if (high > end) {
                begin = low;
                end = low + s.block < g->out_h ? low + s.block : g->out_h;
                NAME(copy_means)(&s, grad + begin * line, end - begin, (T)divisor);
            }
            const T *const first = s.copy + (low - begin) * s.pitch;
            const T *const rows[2] = {first, first + s.pitch};
            if (high - low == 1)
                NAME(spread_row)(&s, rows, 1, to);
            else
                NAME(spread_row)(&s, rows, 2, to);
        }
    }
}
