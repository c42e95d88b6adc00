/* Pixels of few channels, x[q][c], to channels c of pixels, x[c][q], and back.
 *
 * VL pixels are n vectors.  Zipping the halves of all n * VL values moves what is at i to 2 * i
 * modulo n * VL - 1, unzipping them moves it back; what one way does in log2(VL) rounds the other
 * does in log2(n), if n is a power of 2.
 */
#undef FEW_CHANNELS
#define FEW_CHANNELS 8

INLINE void NAME(zip_all)(vec *x, const int n) {
    vec next[FEW_CHANNELS];
    UNROLL for (int h = 0; h < n; h++) /* halves, numbered through the vectors */
        next[h] = NAME(zip)(x[h / 2], x[(n + h) / 2], h % 2, (n + h) % 2);
    UNROLL for (int h = 0; h < n; h++) x[h] = next[h];
}

INLINE void NAME(unzip_all)(vec *x, const int n) {
    vec next[FEW_CHANNELS];
    UNROLL for (int v = 0; v < n; v++) {
        const int first = 2 * v, second = 2 * v + 1; /* even lanes of all vectors, then the odd */
        next[v] = NAME(every_other)(x[first % n], x[second % n], first / n, second / n);
    }
    UNROLL for (int v = 0; v < n; v++) x[v] = next[v];
}

INLINE void NAME(split_channels)(vec *x, const int n) {
    if (n == 1 || n == 2 || n == 4 || n == 8) {
        UNROLL for (int round = 1; round < n; round *= 2) NAME(unzip_all)(x, n);
    } else {
        UNROLL for (int round = 1; round < VL; round *= 2) NAME(zip_all)(x, n);
    }
}

INLINE void NAME(join_channels)(vec *x, const int n) {
    if (n == 1 || n == 2 || n == 4 || n == 8) {
        UNROLL for (int round = 1; round < n; round *= 2) NAME(zip_all)(x, n);
    } else {
        UNROLL for (int round = 1; round < VL; round *= 2) NAME(unzip_all)(x, n);
    }
}

/* the vectors of `count` values in a row, of which there are `n` at most */
INLINE void NAME(load_all)(const T *from, ptrdiff_t count, vec *x, const int n) {
    UNROLL for (int v = 0; v < n; v++) x[v] =
        count > v * VL ? NAME(load_upto)(from + v * VL, count - v * VL) : (vec){0};
}

INLINE void NAME(store_all)(T *to, ptrdiff_t count, const vec *x, const int n) {
    UNROLL for (int v = 0; v < n; v++) {
        if (count > v * VL)
            NAME(store_upto)(to + v * VL, x[v], count - v * VL);
    }
}

/* to[c * ldt + q] = from[q * n + c], q < pixels */
INLINE void NAME(split_pixels)(const T *from, ptrdiff_t pixels, T *to, ptrdiff_t ldt, const int n) {
    vec x[FEW_CHANNELS];
    for (ptrdiff_t at = 0; at < pixels; at += VL) {
        /* the last vectors overlap those before, if there are any: no part of a vector is slow */
        const ptrdiff_t q = at && at + VL > pixels ? pixels - VL : at;
        const ptrdiff_t some = pixels < VL ? pixels : VL;
        NAME(load_all)(from + q * n, some * n, x, n);
        NAME(split_channels)(x, n);
        UNROLL for (int c = 0; c < n; c++) NAME(store_upto)(to + c * ldt + q, x[c], some);
    }
}

/* to[q * n + c] = from[c * ldf + q], q < pixels */
INLINE void NAME(join_pixels)(const T *from, ptrdiff_t ldf, ptrdiff_t pixels, T *to, const int n) {
    vec x[FEW_CHANNELS];
    for (ptrdiff_t at = 0; at < pixels; at += VL) {
        const ptrdiff_t q = at && at + VL > pixels ? pixels - VL : at;
        const ptrdiff_t some = pixels < VL ? pixels : VL;
        UNROLL for (int c = 0; c < n; c++) x[c] = NAME(load_upto)(from + c * ldf + q, some);
        NAME(join_channels)(x, n);
        NAME(store_all)(to + q * n, some * n, x, n);
    }
}

/* whether `channels` are so few that squares of VL x VL would be mostly empty */
INLINE int NAME(few_channels)(ptrdiff_t channels) {
    return channels <= FEW_CHANNELS && channels < VL;
}

#define FOR_FEW_CHANNELS(channels, CALL)                                                           \
    switch (channels) {                                                                            \
    case 1:                                                                                        \
        CALL(1);                                                                                   \
        break;                                                                                     \
    case 2:                                                                                        \
        CALL(2);                                                                                   \
        break;                                                                                     \
    case 3:                                                                                        \
        CALL(3);                                                                                   \
        break;                                                                                     \
    case 4:                                                                                        \
        CALL(4);                                                                                   \
        break;                                                                                     \
    case 5:                                                                                        \
        CALL(5);                                                                                   \
        break;                                                                                     \
    case 6:                                                                                        \
        CALL(6);                                                                                   \
        break;                                                                                     \
    case 7:                                                                                        \
        CALL(7);                                                                                   \
        break;                                                                                     \
    case 8:                                                                                        \
        CALL(8);                                                                                   \
        break;                                                                                     \
    }

static __attribute__((noinline)) void NAME(split)(const T *from, ptrdiff_t channels,
                                                  ptrdiff_t pixels, T *to, ptrdiff_t ldt) {
#define SPLIT(n) NAME(split_pixels)(from, pixels, to, ldt, n)
    FOR_FEW_CHANNELS(channels, SPLIT)
#undef SPLIT
}

static __attribute__((noinline)) void NAME(join)(const T *from, ptrdiff_t ldf, ptrdiff_t channels,
                                                 ptrdiff_t pixels, T *to) {
#define JOIN(n) NAME(join_pixels)(from, ldf, pixels, to, n)
    FOR_FEW_CHANNELS(channels, JOIN)
#undef JOIN
}
#undef FOR_FEW_CHANNELS
