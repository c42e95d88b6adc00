/* The gradient of an average pool, a row of the image, or a piece of one:
 *
 * to[z, c] = sum_s from[(z + left - s * dilation) / stride, c] over the s < kernel_w that leave no
 * remainder, in the order of the outputs; z < pixels, c < channels
 *
 * `from` holds the sums over the rows of outputs, and zeros beside them.
 */
#undef AHEAD
#define AHEAD ((ptrdiff_t)(AHEAD_BYTES / sizeof(T)))

/* All taps reach a pixel: a row is one run, whatever its channels. */
INLINE void NAME(spread_run)(const T *from, const fc_spread *g, const ptrdiff_t taps, T *to) {
    const ptrdiff_t count = g->pixels * g->channels, last = count - VL;
    const ptrdiff_t shift = g->dilation * g->channels;
    from += (g->left - (taps - 1) * g->dilation) * g->channels;
    for (ptrdiff_t q = 0;; q = q + VL < last ? q + VL : last) {
        vec sum = NAME(load_upto)(from + q, count);
        for (ptrdiff_t s = 1; s < taps; s++)
            sum += NAME(load_upto)(from + q + s * shift, count);
        __builtin_prefetch(to + q + AHEAD, 1);
        NAME(store_upto)(to + q, sum, count);
        if (q >= last)
            break;
    }
}

/* The taps that reach pixels of a phase (z + left) % stride, one list after the other. */
typedef struct {
    ptrdiff_t begin[FC_SPREAD + 1], shift[FC_SPREAD];
} NAME(phases);

INLINE void NAME(find_phases)(const fc_spread *g, NAME(phases) * phases) {
    ptrdiff_t phase[FC_SPREAD], found = 0;
    for (ptrdiff_t s = 0; s < g->kernel_w; s++)
        phase[s] = s * g->dilation % g->stride;
    for (ptrdiff_t f = 0; f < g->stride; f++) {
        phases->begin[f] = found;
        for (ptrdiff_t s = g->kernel_w - 1; s >= 0; s--) {
            if (phase[s] == f)
                phases->shift[found++] = s * g->dilation / g->stride;
        }
    }
    phases->begin[g->stride] = found;
}

INLINE vec NAME(sum_phase)(const T *from, const NAME(phases) * phases, ptrdiff_t f,
                           ptrdiff_t channels) {
    vec sum = {0};
    for (ptrdiff_t t = phases->begin[f]; t < phases->begin[f + 1]; t++)
        sum += NAME(load)(from - phases->shift[t] * channels);
    return sum;
}

/* Channels first, two columns an output: whole vectors of both, zipped. */
INLINE void NAME(spread_pairs)(const T *from, const fc_spread *g, const NAME(phases) * phases,
                               T *to) {
    const ptrdiff_t f = g->left % 2, j = g->left / 2; /* of pixel 0; the next one's are below */
    for (ptrdiff_t z = 0; z < g->pixels; z += 2 * VL) {
        const vec even = NAME(sum_phase)(from + j + z / 2, phases, f, 1);
        const vec odd = NAME(sum_phase)(from + j + f + z / 2, phases, 1 - f, 1);
        const ptrdiff_t left = g->pixels - z;
        __builtin_prefetch(to + z + AHEAD, 1);
        __builtin_prefetch(to + z + AHEAD + VL, 1);
        NAME(store_upto)(to + z, NAME(zip_low)(even, odd), left);
        if (left > VL)
            NAME(store_upto)(to + z + VL, NAME(zip_high)(even, odd), left - VL);
    }
}

/* Channels first, any stride: a vector of outputs, a phase after the other. */
INLINE void NAME(spread_phases)(const T *from, const fc_spread *g, const NAME(phases) * phases,
                                T *to) {
    const ptrdiff_t step = g->stride;
    for (ptrdiff_t block = 0; block < g->pixels; block += VL * step) {
        for (ptrdiff_t z = block; z < block + step && z < g->pixels; z++) {
            const ptrdiff_t f = (z + g->left) % step, j = (z + g->left) / step;
            const vec sum = NAME(sum_phase)(from + j, phases, f, 1);
            T lanes[FC_MAX_LANES];
            __builtin_memcpy(lanes, &sum, sizeof sum);
            for (ptrdiff_t q = 0; q < VL && z + q * step < g->pixels; q++)
                to[z + q * step] = lanes[q];
        }
    }
}

static void NAME(spread)(const void *source, const fc_spread *g, void *target) {
    const T *const from = source;
    T *const to = target;
    const ptrdiff_t channels = g->channels, total = g->pixels * channels;
    if (g->stride == 1) {
        if (g->kernel_w == 3)
            NAME(spread_run)(from, g, 3, to);
        else
            NAME(spread_run)(from, g, g->kernel_w, to);
        return;
    }
    NAME(phases) phases;
    NAME(find_phases)(g, &phases);
    if (channels == 1 && g->stride == 2) {
        NAME(spread_pairs)(from, g, &phases, to);
        return;
    }
    if (channels == 1) {
        NAME(spread_phases)(from, g, &phases, to);
        return;
    }
    ptrdiff_t f = g->left % g->stride, j = g->left / g->stride;
    for (ptrdiff_t z = 0; z < g->pixels; z++) {
        for (ptrdiff_t c = 0; c < channels; c += VL) {
            const ptrdiff_t at = z * channels + c;
            const vec sum = NAME(sum_phase)(from + j * channels + c, &phases, f, channels);
            __builtin_prefetch(to + at + AHEAD, 1);
            /* lanes beyond the channels belong to the next pixel, which writes them anew */
            NAME(store_upto)(to + at, sum, total - at);
        }
        if (++f == g->stride)
            f = 0, j++;
    }
}
