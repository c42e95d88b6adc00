/* The step of an optimizer: `count` weights w by their gradient g, in place, in Keras's formulas.
 *
 *   first      g = factor g, within -clip .. clip        w -= decay w
 *
 *   sgd        w -= rate g
 *     momentum   m = momentum m - rate g                 w += m
 *     nesterov   m = momentum m - rate g                 w += momentum m - rate g
 *   rmsprop    v = rho v + (1 - rho) g^2                 w -= d,  d = rate g / sqrt(v + epsilon)
 *     centered   a = rho a + (1 - rho) g                 d = rate g / sqrt(max(v - a^2, 0) + epsilon)
 *     momentum   m = momentum m + d                      w -= m
 *   adam       m += (1 - beta_1) (g - m)
 *              v += (1 - beta_2) (g^2 - v)               w -= rate m / (sqrt(v) + epsilon)
 *     amsgrad    h = max(h, v)                           w -= rate m / (sqrt(h) + epsilon)
 *
 * An optional slot that is not there is NULL.  Each operation is rounded by itself, so the bits are
 * those of NumPy, on every ISA.
 */
#if !INTEGER

#undef IN_REGISTER
#if defined(__AVX512F__)
#define IN_REGISTER "+v"
#elif defined(__x86_64__)
#define IN_REGISTER "+x"
#elif defined(__aarch64__)
#define IN_REGISTER "+w"
#else
#define IN_REGISTER "+m"
#endif

/* a * b, rounded: what the compiler doesn't see through it can't contract with a sum */
INLINE vec NAME(product)(vec a, vec b) {
    vec value = a * b;
    __asm__("" : IN_REGISTER(value));
    return value;
}

/* compilers make one instruction of it */
INLINE vec NAME(root)(vec value) {
    _Pragma("GCC unroll 16") for (int q = 0; q < VL; q++) value[q] =
        sizeof(T) == 4 ? (T)__builtin_sqrtf((float)value[q]) : (T)__builtin_sqrt((double)value[q]);
    return value;
}

/* a > b ? a : b, so NaN in b stays */
INLINE vec NAME(larger)(vec a, vec b) {
    typedef __typeof__(a > b) mask;
    const mask is = a > b;
    return (vec)((is & (mask)a) | (~is & (mask)b));
}

INLINE vec NAME(gradient_at)(const T *g, ptrdiff_t count, const fc_step *s) {
    vec value = NAME(load_upto)(g, count);
    if (s->factor != 1)
        value = NAME(product)(value, NAME(broadcast)((T)s->factor));
    if (s->clip < __builtin_inf()) {
        const vec low = NAME(broadcast)((T)-s->clip);
        value = -NAME(larger)(low, -NAME(larger)(low, value));
    }
    return value;
}

/* not w * (1 - decay): in float32 that rounds a small decay away */
INLINE vec NAME(weights_at)(const T *w, ptrdiff_t count, const fc_step *s) {
    const vec value = NAME(load_upto)(w, count);
    if (s->decay == 0)
        return value;
    return value - NAME(product)(value, NAME(broadcast)((T)s->decay));
}

static void NAME(sgd)(const fc_weights *arrays, ptrdiff_t count, const fc_step *step) {
    const fc_step s = *step; /* a copy: stores can't change it, so that it stays in registers */
    T *const w = arrays->w, *const m = arrays->momentum;
    const T *const g = arrays->g;
    const vec rate = NAME(broadcast)((T)s.rate), momentum = NAME(broadcast)((T)s.momentum);
    for (ptrdiff_t q = 0; q < count; q += VL) {
        const ptrdiff_t left = count - q;
        const vec d = NAME(product)(rate, NAME(gradient_at)(g + q, left, &s));
        vec value = NAME(weights_at)(w + q, left, &s);
        if (m) {
            const vec moved = NAME(product)(momentum, NAME(load_upto)(m + q, left)) - d;
            NAME(store_upto)(m + q, moved, left);
            value += s.nesterov ? NAME(product)(momentum, moved) - d : moved;
        } else {
            value -= d;
        }
        NAME(store_upto)(w + q, value, left);
    }
}

static void NAME(rmsprop)(const fc_weights *arrays, ptrdiff_t count, const fc_step *step) {
    const fc_step s = *step;
    T *const w = arrays->w, *const v = arrays->velocity;
    T *const m = arrays->momentum, *const a = arrays->average_gradient;
    const T *const g = arrays->g;
    const vec rate = NAME(broadcast)((T)s.rate), epsilon = NAME(broadcast)((T)s.epsilon);
    const vec rho = NAME(broadcast)((T)s.rho), new = NAME(broadcast)((T)(1 - s.rho));
    const vec momentum = NAME(broadcast)((T)s.momentum);
    for (ptrdiff_t q = 0; q < count; q += VL) {
        const ptrdiff_t left = count - q;
        const vec x = NAME(gradient_at)(g + q, left, &s);
        vec variance = NAME(product)(rho, NAME(load_upto)(v + q, left)) +
                       NAME(product)(NAME(product)(x, x), new);
        NAME(store_upto)(v + q, variance, left);
        if (a) {
            const vec mean =
                NAME(product)(rho, NAME(load_upto)(a + q, left)) + NAME(product)(x, new);
            NAME(store_upto)(a + q, mean, left);
            /* rounding may leave a variance below zero, and its root would be NaN */
            variance = NAME(larger)((vec){0}, variance - NAME(product)(mean, mean));
        }
        vec d = NAME(product)(x, rate) / NAME(root)(variance + epsilon);
        if (m) {
            d += NAME(product)(momentum, NAME(load_upto)(m + q, left));
            NAME(store_upto)(m + q, d, left);
        }
        NAME(store_upto)(w + q, NAME(weights_at)(w + q, left, &s) - d, left);
    }
}

static void NAME(adam)(const fc_weights *arrays, ptrdiff_t count, const fc_step *step) {
    const fc_step s = *step;
    T *const w = arrays->w, *const m = arrays->momentum, *const v = arrays->velocity;
    T *const h = arrays->velocity_hat;
    const T *const g = arrays->g;
    const vec rate = NAME(broadcast)((T)s.rate), epsilon = NAME(broadcast)((T)s.epsilon);
    const vec new_1 = NAME(broadcast)((T)(1 - s.beta_1));
    const vec new_2 = NAME(broadcast)((T)(1 - s.beta_2));
    for (ptrdiff_t q = 0; q < count; q += VL) {
        const ptrdiff_t left = count - q;
        const vec x = NAME(gradient_at)(g + q, left, &s);
        vec mean = NAME(load_upto)(m + q, left), square = NAME(load_upto)(v + q, left);
        mean += NAME(product)(x - mean, new_1);
        square += NAME(product)(NAME(product)(x, x) - square, new_2);
        NAME(store_upto)(m + q, mean, left);
        NAME(store_upto)(v + q, square, left);
        if (h) {
            square = NAME(larger)(NAME(load_upto)(h + q, left), square);
            NAME(store_upto)(h + q, square, left);
        }
        const vec d = NAME(product)(mean, rate) / (NAME(root)(square) + epsilon);
        NAME(store_upto)(w + q, NAME(weights_at)(w + q, left, &s) - d, left);
    }
}
#endif
