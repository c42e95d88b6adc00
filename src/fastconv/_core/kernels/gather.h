/* The gradient of a max pool by indices, where these are near: windows of up to 3 x 3 whose stride is
 * 1 or 2.  Every pixel of an image is written once, with what the outputs around it send it:
 *
 *     to[y, x, c] = sum_{i, j} index[i, j, c] == y * width + x ? grad[i, j, c] : 0
 *
 *     i in (y + pad - kernel + 1) / stride rounded up .. (y + pad) / stride, j of x likewise
 *
 * Nobody promised that indices lie in such windows.  But a pixel asks an output once, so if as many
 * are found as there are outputs, all of them are where they belong.  If not the caller adds them one
 * by one.  For the same reason a column beyond a row of outputs may be the next row's: rows are long
 * enough that no pixel asks an output twice.
 */
#undef GATHER_FEW
#undef GATHER_PHASES
#undef GATHER_NOWHERE
#undef GATHER_WIDE
#define GATHER_FEW 4    /* channels of which a vector holds several pixels */
#define GATHER_PHASES 3 /* vectors of a row after which the lanes' sources repeat */
#define GATHER_NOWHERE (-(1 << 30))
#define GATHER_WIDE ((ptrdiff_t)(8 / sizeof(T))) /* lanes of an index in memory */

/* integers as wide as T */
#if T_BYTES == 4
typedef int32_t NAME(lane) __attribute__((may_alias));
#else
typedef int64_t NAME(lane) __attribute__((may_alias));
#endif

/* how many indices were found, lane by lane, and the bits that any has */
typedef struct {
    lane_vec found, bits;
} NAME(tally);

typedef struct {
    fc_gather geometry;
    const T *grad;
    const T *index;       /* as many lanes as there are of T in them */
    ptrdiff_t outputs;    /* of a plane */
    ptrdiff_t left;       /* elements of grad from this plane on */
    ptrdiff_t row, ahead; /* elements of a row of the image, and from a store to a line asked for */
    NAME(lane) * numbers; /* the column of every element of a row, then columns that are none */
    T *copy;              /* stride 1: a block of grad, and from `pitch` on its indices */
    ptrdiff_t block, pitch;
    ptrdiff_t phases; /* stride 2, few channels: what is picked for a vector's lanes, */
    ptrdiff_t from[GATHER_PHASES]; /* from two vectors that begin here */
    NAME(lane) lanes[GATHER_PHASES][2][2][VECTOR_BYTES / sizeof(T)]; /* of grad, and of indices */
    NAME(lane) nowhere[2 * VECTOR_BYTES / sizeof(T)];                /* from the second half on */
    NAME(tally) tally;
} NAME(gatherer);

/* Columns of outputs that column x asks, of a stride of 2: the last, and the one before it; where it
 * is in one window alone, another that there is beside it. */
INLINE ptrdiff_t NAME(asked)(const fc_gather *g, ptrdiff_t x, int before) {
    const ptrdiff_t last = (x + g->pad) / 2;
    return !before ? last : (x + g->pad) % 2 ? last + 1 : last - 1;
}

/* returns whether two vectors hold the indices that a vector of a row asks */
INLINE int NAME(find_lanes)(NAME(gatherer) * s) {
    const fc_gather *const g = &s->geometry;
    const ptrdiff_t channels = g->channels, columns = g->kernel - 1;
    for (s->phases = 1; s->phases * VL % (2 * channels);)
        s->phases++;
    for (ptrdiff_t f = 0; f < s->phases; f++) {
        s->from[f] = (NAME(asked)(g, f * VL / channels, 0) - columns + 1) * channels;
        for (int before = 0; before < columns; before++)
            for (ptrdiff_t q = 0; q < VL; q++) {
                const ptrdiff_t x = (f * VL + q) / channels, c = (f * VL + q) % channels;
                const ptrdiff_t at = NAME(asked)(g, x, before) * channels + c - s->from[f];
                if (at * GATHER_WIDE >= 2 * VL)
                    return 0;
                s->lanes[f][before][0][q] = (NAME(lane))at;
                s->lanes[f][before][1][q] = (NAME(lane))(at * GATHER_WIDE);
            }
    }
    return 1;
}

/* returns whether there is a way */
INLINE int NAME(start_gathering)(NAME(gatherer) * s, const fc_gather *g, T *workspace) {
    const ptrdiff_t channels = g->channels;
    s->geometry = *g;
    s->outputs = g->out_h * g->out_w * channels;
    s->row = g->width * channels;
    s->ahead = (AHEAD / (2 * s->row) + 1) * 2 * s->row;
    s->block = fc_gather_block(g);
    s->pitch = fc_gather_pitch(g);
    s->numbers = (NAME(lane) *)workspace;
    s->copy = workspace + s->block + FC_MAX_LANES;
    const ptrdiff_t run = g->stride == 1 && channels == 1 ? s->block : s->row;
    ptrdiff_t e = 0;
    for (ptrdiff_t x = 0; e < run; x++)
        for (ptrdiff_t c = 0; c < channels; c++)
            s->numbers[e++] = (NAME(lane))x;
    for (ptrdiff_t q = 0; q < VL; q++)
        s->numbers[e++] = s->nowhere[VL + q] = GATHER_NOWHERE, s->nowhere[q] = 0;
    return g->stride == 1 || channels > GATHER_FEW || NAME(find_lanes)(s);
}

/* numbers of `count` elements from e on, and of none */
INLINE lane_vec NAME(numbers_of)(const NAME(gatherer) * s, ptrdiff_t e, ptrdiff_t first,
                                 ptrdiff_t count) {
    const lane_vec number =
        (lane_vec)NAME(load)((const T *)s->numbers + e) + NAME(broadcast_code)(first);
    return count < VL ? number | (lane_vec)NAME(load)((const T *)s->nowhere + VL - count) : number;
}

/* to what is sent to pixels, what outputs send that have their numbers */
INLINE void NAME(add_sent)(vec *sum, vec grad, lane_vec index, lane_vec number,
                           NAME(tally) * tally) {
#if defined(__AVX512F__)
    const __m512i at = (__m512i)index, all = (__m512i)number, found = (__m512i)tally->found;
    const __m512i one = _mm512_set1_epi32(-1);
    if (sizeof(T) == 4) {
        const __mmask16 equal = _mm512_cmpeq_epi32_mask(at, all);
        *sum = (vec)_mm512_mask_add_ps((__m512)*sum, equal, (__m512)*sum, (__m512)grad);
        tally->found = (lane_vec)_mm512_mask_sub_epi32(found, equal, found, one);
    } else {
        const __mmask8 equal = _mm512_cmpeq_epi64_mask(at, all);
        *sum = INTEGER
                   ? (vec)_mm512_mask_add_epi64((__m512i)*sum, equal, (__m512i)*sum, (__m512i)grad)
                   : (vec)_mm512_mask_add_pd((__m512d)*sum, equal, (__m512d)*sum, (__m512d)grad);
        tally->found = (lane_vec)_mm512_mask_sub_epi64(found, equal, found, one);
    }
#else
    const lane_vec equal = index == number;
    tally->found -= equal;
    *sum += (vec)(equal & (lane_vec)grad);
#endif
}

/* `count` indices, a vector or less, as wide as T */
INLINE lane_vec NAME(load_narrow)(const T *index, ptrdiff_t count, NAME(tally) * tally) {
    const ptrdiff_t wide = count * GATHER_WIDE;
    const vec low = NAME(load_upto)(index, wide);
    const vec high = wide > VL ? NAME(load_upto)(index + VL, wide - VL) : (vec){0};
    tally->bits |= (lane_vec)low | (lane_vec)high;
    return (lane_vec)(sizeof(T) == 8 ? low : NAME(even_lanes)(low, high));
}

/* ---- stride 1: blocks of outputs, with no index around those of a plane */

/* outputs from..upto-1 */
INLINE void NAME(copy_outputs)(NAME(gatherer) * s, ptrdiff_t from, ptrdiff_t upto) {
    const ptrdiff_t low = from < 0 ? 0 : from, high = upto < s->outputs ? upto : s->outputs;
    T *const grad = s->copy - from, *const index = grad + s->pitch;
    const vec none = (vec)NAME(broadcast_code)(-1);
    NAME(tally) tally = s->tally;
    for (ptrdiff_t q = from; q < low; q += VL)
        NAME(store)(index + q, none);
    for (ptrdiff_t q = low; q < high; q += VL) {
        const ptrdiff_t some = high - q < VL ? high - q : VL;
        __builtin_prefetch(s->grad + q + AHEAD);
        __builtin_prefetch(s->index + q * GATHER_WIDE + AHEAD);
        __builtin_prefetch(s->index + q * GATHER_WIDE + AHEAD + VL);
        NAME(store)(grad + q, NAME(load_upto)(s->grad + q, some));
        NAME(store)(index + q, (vec)NAME(load_narrow)(s->index + q * GATHER_WIDE, some, &tally));
    }
    for (ptrdiff_t q = high > low ? high : low; q < upto + VL; q += VL)
        NAME(store)(index + q, none);
    s->tally = tally;
}

/* `count` elements; `grad` is that of the output whose number the first one has, its row's */
INLINE void NAME(gather_block)(NAME(gatherer) * s, const T *grad, const ptrdiff_t kernel,
                               const ptrdiff_t channels, ptrdiff_t first, ptrdiff_t count, T *to) {
    const ptrdiff_t line = s->geometry.out_w * channels, pitch = s->pitch;
    NAME(tally) tally = s->tally;
    grad += (s->geometry.pad - kernel + 1) * (line + channels);
    for (ptrdiff_t e = 0; e < count; e += VL) {
        const lane_vec number = NAME(numbers_of)(s, e, first, count - e);
        vec sum = {0};
        for (ptrdiff_t r = 0; r < kernel; r++) {
            const T *from = grad + e + r * line;
            for (ptrdiff_t k = 0; k < kernel; k++, from += channels)
                NAME(add_sent)(&sum, NAME(load)(from), (lane_vec)NAME(load)(from + pitch), number,
                               &tally);
        }
        __builtin_prefetch(to + e + AHEAD, 1);
        NAME(store_upto)(to + e, sum, count - e);
    }
    s->tally = tally;
}

INLINE int NAME(gather_beside)(NAME(gatherer) * s, T *to) {
    const fc_gather *const g = &s->geometry;
    const ptrdiff_t line = g->out_w * g->channels, shift = line + g->channels;
    const ptrdiff_t before = (g->kernel - 1 - g->pad) * shift, after = g->pad * shift;
    if (s->row == line && g->channels == 1) { /* rows and outputs are one run */
        const ptrdiff_t total = g->height * s->row;
        for (ptrdiff_t at = 0; at < total; at += s->block) {
            const ptrdiff_t some = total - at < s->block ? total - at : s->block;
            NAME(copy_outputs)(s, at - before, at + some + after + VL);
            NAME(gather_block)(s, s->copy + before, 3, 1, at, some, to + at);
        }
        return 1;
    }
    const ptrdiff_t rows = s->block / s->row;
    for (ptrdiff_t y = 0; y < g->height; y++) {
        const ptrdiff_t at = y * line, next = y % rows;
        if (next == 0)
            NAME(copy_outputs)(s, at - before, at + (rows - 1) * line + s->row + after + VL);
        NAME(gather_block)(s, s->copy + before + next * line, 3, g->channels, y * g->width, s->row,
                           to + y * s->row);
    }
    return 1;
}

/* ---- stride 2: two rows of the image, `lines` of which there are, that ask `rows` of outputs: the
 * second of these the lower one alone does */

/* two vectors of grad and of indices from output `at` on, which are there if `inside` */
INLINE void NAME(load_outputs)(const NAME(gatherer) * s, ptrdiff_t at, const int inside,
                               const ptrdiff_t vectors, vec *grad, vec *index,
                               NAME(tally) * tally) {
    const ptrdiff_t wide = at * GATHER_WIDE, all = s->outputs * GATHER_WIDE;
    const vec none = (vec)NAME(broadcast_code)(-1);
    __builtin_prefetch(s->grad + at + AHEAD);
    for (ptrdiff_t v = 0; v < vectors; v++) {
        __builtin_prefetch(s->index + wide + v * VL + AHEAD);
        if (inside) {
            index[v] = NAME(load)(s->index + wide + v * VL);
            tally->bits |= (lane_vec)index[v];
        } else {
            index[v] = NAME(load_inside)(s->index, wide + v * VL, all, none);
            tally->bits |= (lane_vec)NAME(load_inside)(s->index, wide + v * VL, all, (vec){0});
        }
        if (v == 0 || sizeof(T) == 8)
            grad[v] = inside ? NAME(load)(s->grad + at + v * VL)
                             : NAME(load_inside)(s->grad, at + v * VL, s->outputs, none);
        else
            grad[v] = grad[0];
    }
    if (vectors == 1)
        grad[1] = grad[0], index[1] = index[0];
}

/* `count` elements of the rows, from e on, a vector or less */
INLINE void NAME(gather_vector)(const NAME(gatherer) * s, ptrdiff_t e, ptrdiff_t count,
                                ptrdiff_t at, const ptrdiff_t rows, const ptrdiff_t columns,
                                const ptrdiff_t lines, const ptrdiff_t f, const ptrdiff_t vectors,
                                const int inside, lane_vec first, lane_vec below, T *to,
                                NAME(tally) * tally) {
    const ptrdiff_t line = s->geometry.out_w * s->geometry.channels, ahead = s->ahead;
    const lane_vec upper = (lane_vec)NAME(load)((const T *)s->numbers + e) + first;
    vec sum[2] = {{0}, {0}};
    for (ptrdiff_t r = 0; r < rows; r++) {
        vec grad[2], index[2];
        NAME(load_outputs)(s, at + r * line, inside, vectors, grad, index, tally);
        for (ptrdiff_t k = columns - 1; k >= 0; k--) {
            const NAME(index) from = NAME(load_index)(s->lanes[f][k][0]);
            const NAME(index) wide = NAME(load_index)(s->lanes[f][k][1]);
            const vec share = NAME(pick)(grad[0], grad[1], from);
            const lane_vec found = (lane_vec)NAME(pick)(index[0], index[1], wide);
            if (r == 0)
                NAME(add_sent)(&sum[0], share, found, upper, tally);
            if (lines > 1)
                NAME(add_sent)(&sum[1], share, found, upper + below, tally);
        }
    }
    for (ptrdiff_t i = 0; i < lines; i++) {
        __builtin_prefetch(to + i * s->row + e + ahead, 1);
        NAME(store_upto)(to + i * s->row + e, sum[i], count);
    }
}

/* few channels: lanes of neighbours ask the same outputs */
INLINE void NAME(gather_lanes)(NAME(gatherer) * s, ptrdiff_t first, const ptrdiff_t rows,
                               const ptrdiff_t columns, const ptrdiff_t lines,
                               const ptrdiff_t phases, const ptrdiff_t vectors, const int inside,
                               ptrdiff_t number, T *to) {
    const lane_vec lane = NAME(broadcast_code)(number);
    const lane_vec below = NAME(broadcast_code)(s->geometry.width);
    NAME(tally) tally = s->tally;
    ptrdiff_t e = 0;
#define GATHER_VECTOR(f, count)                                                                    \
    NAME(gather_vector)(s, e, count, first + (e - (f) * VL) / 2 + s->from[f], rows, columns,       \
                        lines, f, vectors, inside, lane, below, to, &tally)
    if (inside) /* whole vectors */
        for (; e + phases * VL <= s->row;)
            for (ptrdiff_t f = 0; f < phases; f++, e += VL)
                GATHER_VECTOR(f, VL);
    for (ptrdiff_t f = 0; e < s->row; f = f + 1 < phases ? f + 1 : 0, e += VL)
        GATHER_VECTOR(f, s->row - e);
#undef GATHER_VECTOR
    s->tally = tally;
}

/* more channels: a pixel after the other */
INLINE void NAME(gather_pixels)(NAME(gatherer) * s, ptrdiff_t first, const ptrdiff_t rows,
                                const ptrdiff_t columns, const ptrdiff_t lines, ptrdiff_t number,
                                T *to) {
    const fc_gather *const g = &s->geometry;
    const ptrdiff_t channels = g->channels, line = g->out_w * channels;
    const lane_vec below = NAME(broadcast_code)(g->width);
    NAME(tally) tally = s->tally;
    for (ptrdiff_t x = 0; x < g->width; x++) {
        const ptrdiff_t last = NAME(asked)(g, x, 0), high = last < g->out_w ? last + 1 : g->out_w;
        const ptrdiff_t low = (x + g->pad) % 2 || last == 0 ? last : last - columns + 1;
        for (ptrdiff_t c = 0; c < channels; c += VL) {
            const ptrdiff_t some = channels - c < VL ? channels - c : VL;
            const lane_vec upper = NAME(broadcast_code)(number + x);
            vec sum[2] = {{0}, {0}};
            for (ptrdiff_t r = 0; r < rows; r++) {
                for (ptrdiff_t j = low; j < high; j++) {
                    const ptrdiff_t at = first + r * line + j * channels + c;
                    const vec grad = NAME(load_upto)(s->grad + at, some);
                    lane_vec index = NAME(load_narrow)(s->index + at * GATHER_WIDE, some, &tally);
                    if (some < VL)
                        index |= (lane_vec)NAME(load)((const T *)s->nowhere + VL - some);
                    if (r == 0)
                        NAME(add_sent)(&sum[0], grad, index, upper, &tally);
                    if (lines > 1)
                        NAME(add_sent)(&sum[1], grad, index, upper + below, &tally);
                }
            }
            for (ptrdiff_t i = 0; i < lines; i++) {
                T *const at = to + i * s->row + x * channels + c;
                __builtin_prefetch(at + AHEAD, 1);
                NAME(store_upto)(at, sum[i], some);
            }
        }
    }
    s->tally = tally;
}

/* of kernels and channels that there is no body of their own for, and at the edges */
static __attribute__((noinline)) void NAME(gather_some)(NAME(gatherer) * s, ptrdiff_t first,
                                                        ptrdiff_t rows, ptrdiff_t lines,
                                                        ptrdiff_t number, T *to) {
    const ptrdiff_t columns = s->geometry.kernel - 1;
    if (s->geometry.channels > GATHER_FEW)
        NAME(gather_pixels)(s, first, rows, columns, lines, number, to);
    else
        NAME(gather_lanes)(s, first, rows, columns, lines, s->phases, 2, 0, number, to);
}

INLINE void NAME(gather_lines)(NAME(gatherer) * s, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t lines,
                               ptrdiff_t number, T *to) {
    const ptrdiff_t kernel = s->geometry.kernel, channels = s->geometry.channels;
    const ptrdiff_t vectors = kernel == 2 && channels == 1 ? 1 : 2;
    /* the outputs that vectors of a row read */
    const ptrdiff_t low = first + s->from[0];
    const ptrdiff_t high = low + (rows - 1) * s->geometry.out_w * channels + s->row / 2 + VL;
    const int inside = low >= 0 && high + vectors * VL / GATHER_WIDE <= s->outputs &&
                       high + VL * (sizeof(T) == 8 ? vectors : 1) <= s->left;
    if (lines == 2 && kernel == 2 && channels > GATHER_FEW)
        NAME(gather_pixels)(s, first, 1, 1, 2, number, to);
    else if (lines == 2 && rows == 2 && channels > GATHER_FEW)
        NAME(gather_pixels)(s, first, 2, 2, 2, number, to);
    else if (lines == 2 && inside && kernel == 2 && channels == 1)
        NAME(gather_lanes)(s, first, 1, 1, 2, 1, 1, 1, number, to);
    else if (lines == 2 && inside && kernel == 2 && channels == 3)
        NAME(gather_lanes)(s, first, 1, 1, 2, 3, 2, 1, number, to);
    else if (lines == 2 && inside && rows == 2 && channels == 1)
        NAME(gather_lanes)(s, first, 2, 2, 2, 1, 2, 1, number, to);
    else
        NAME(gather_some)(s, first, rows, lines, number, to);
}

/* whether `outputs` were found, and no index is beyond what lanes hold */
static __attribute__((noinline)) int NAME(all_found)(const NAME(gatherer) * s, ptrdiff_t outputs) {
    NAME(lane) found[VECTOR_BYTES / sizeof(T)];
    int64_t bits[VECTOR_BYTES / 8];
    __builtin_memcpy(found, &s->tally.found, sizeof found);
    __builtin_memcpy(bits, &s->tally.bits, sizeof bits);
    for (ptrdiff_t q = 0; q < VL; q++)
        outputs -= found[q];
    for (ptrdiff_t q = 0; q < VECTOR_BYTES / 8; q++)
        if (bits[q] >> 31)
            return 0;
    return outputs <= 0;
}

INLINE int NAME(gather_apart)(NAME(gatherer) * s, T *to) {
    const fc_gather *const g = &s->geometry;
    const ptrdiff_t line = g->out_w * g->channels;
    ptrdiff_t y = 0, i = 0;
    if (g->kernel == 3 && g->pad == 0) { /* the first row is a lower one */
        NAME(gather_lines)(s, 0, 1, 1, 0, to);
        y = 1;
    }
    for (; y < g->height && i < g->out_h; y += 2, i++) {
        const ptrdiff_t rows = g->kernel == 3 && i + 1 < g->out_h && y + 1 < g->height ? 2 : 1;
        NAME(gather_lines)(s, i * line, rows, y + 1 < g->height ? 2 : 1, y * g->width,
                           to + y * s->row);
        /* soon, if windows are others */
        if (i == 0 && y + 1 >= g->kernel - 1 - g->pad && !NAME(all_found)(s, line))
            return 0;
    }
    if (y < g->height)
        __builtin_memset(to + y * s->row, 0, (size_t)((g->height - y) * s->row) * sizeof(T));
    return 1;
}

static ptrdiff_t NAME(gather_indices)(const void *source, const int64_t *index, ptrdiff_t planes,
                                      const fc_gather *g, void *workspace, void *target) {
    const ptrdiff_t pixels = g->height * g->width * g->channels;
    T *to = target;
    ptrdiff_t k = 0;
    NAME(gatherer) s;
    s.grad = source, s.index = (const T *)index;
    if (!NAME(start_gathering)(&s, g, workspace))
        return 0;
    for (s.left = planes * s.outputs; k < planes; k++, to += pixels, s.left -= s.outputs) {
        s.tally.found = s.tally.bits = (lane_vec){0};
        if (!(g->stride == 1 ? NAME(gather_beside)(&s, to) : NAME(gather_apart)(&s, to)) ||
            !NAME(all_found)(&s, s.outputs))
            break;
        s.grad += s.outputs, s.index += s.outputs * GATHER_WIDE;
    }
    return k;
}
