/* The kernels the drivers may call: one table per (ISA, dtype), filled by the unit of that ISA.
 *
 * Every kernel is single-threaded, allocates nothing and touches exactly the elements its
 * description names; edges are masked, never over-read.  Strides and offsets count elements.
 * Pointers are void because a driver serves all dtypes; `itemsize` and `lanes` tell it the rest.
 */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { FC_MAX_ROWS = 8, FC_MAX_VECTORS = 8, FC_MAX_FILTERS = 4, FC_MAX_LANES = 16 };
/* bytes a panel may be overrun by (one vector): every workspace row ends with this much slack */
enum { FC_SLACK = 64 };
/* vectors that `spread_groups` makes of a pixel at once */
enum { FC_SPREAD_EACH = 4 };

/* What happens to a finished tile: c (+)= tile, + bias, relu.  A null bias adds nothing. */
typedef struct {
    int accumulate;          /* add what c holds */
    int relu;                /* negative results become 0; NaN stays */
    const void *row_bias;    /* one value a row of the tile */
    const void *column_bias; /* one value a column of the tile */
    ptrdiff_t ahead;         /* a rows tile asks for what lies so far behind its rows, unless 0 */
    ptrdiff_t out_ahead;     /* and for the lines it would write so far behind c */
} fc_epilogue;

/* `count` elements from `from` to `to`; from < 0 writes zeros */
typedef struct {
    ptrdiff_t to, from, count;
} fc_copy;

/* one tap of a kernel, channels last: where its pixels and its weights or their sums begin */
typedef struct {
    ptrdiff_t x, w;
} fc_tap;

/* rows of pixels: elements from one to the next */
typedef struct {
    const void *first;
    ptrdiff_t row, step;
} fc_pixels;

/* Windows of a pool, see windows.h: outputs (p, q), p < pixels, q < count, lie one after the other,
 * their taps at x[p * advance + r * row + c], c = q * step + s * spread - left in 0..width-1.
 * `ahead` is how far from x to ask for lines, or 0.  Of a max pool with codes, tap (r, s) has
 * first + r * pitch + s; with relu, FC_NO_TAP is that of maxima that are not above 0. */
typedef struct {
    ptrdiff_t kernel_h, kernel_w, row, spread, step, left, width;
    ptrdiff_t pixels, advance, count, ahead, first, pitch;
    int relu;
} fc_windows;

/* A row of an average pool's gradient, see spread.h; kernel_w and stride are FC_SPREAD at most */
enum { FC_SPREAD = 64 };
typedef struct {
    ptrdiff_t kernel_w, stride, dilation, left, pixels, channels;
} fc_spread;

/* the number that is no tap's: no gradient passes */
enum { FC_NO_TAP = 255 };

/* What outputs may send to a pixel of the image: grad[q] where codes[q] is tap */
typedef struct {
    const void *grad;
    const uint8_t *codes;
    ptrdiff_t tap;
} fc_share;

/* Where the indices of a max pool are thought to be, see gather.h; kernel, stride and pad are those of
 * rows and of columns.  out_h and out_w times the stride differ from the image by 2 at most, and out_w
 * is 4 or more. */
typedef struct {
    ptrdiff_t height, width, channels, out_h, out_w, kernel, stride, pad;
} fc_gather;

/* its workspace in elements: those of a block of the image, and of outputs that it asks */
static inline ptrdiff_t fc_gather_block(const fc_gather *g) {
    const ptrdiff_t rows = g->stride == 1 ? 4 : 1, row = rows * g->width * g->channels;
    return ((row > 2048 ? row : 2048) + FC_MAX_LANES) / FC_MAX_LANES * FC_MAX_LANES;
}
static inline ptrdiff_t fc_gather_margin(const fc_gather *g) {
    return 3 * (g->channels + FC_MAX_LANES);
}
static inline ptrdiff_t fc_gather_pitch(const fc_gather *g) {
    return fc_gather_block(g) + (2 * g->out_w + 4) * g->channels + 6 * FC_MAX_LANES;
}
static inline ptrdiff_t fc_gather_elements(const fc_gather *g) {
    const ptrdiff_t row = g->out_w * g->channels + 2 * fc_gather_margin(g);
    return fc_gather_block(g) + 2 * (g->stride == 1 ? fc_gather_pitch(g) : row) + 2 * FC_MAX_LANES;
}

/* The weights that an optimizer changes, their gradient, and its slots: NULL what its rule lacks. */
typedef struct {
    void *w;
    const void *g;
    void *momentum, *velocity, *average_gradient, *velocity_hat;
} fc_weights;

/* The numbers of its step, see update.h: g by a factor and clipped, w decayed, then the rule */
typedef struct {
    double factor, clip, decay, rate;
    double momentum, rho, beta_1, beta_2, epsilon;
    int nesterov;
} fc_step;

enum { FC_SGD, FC_RMSPROP, FC_ADAM, FC_RULES };

/* c[i, j] = sum_k a[k * rows + i] * x[offsets[k] + j],  j < columns */
typedef void (*fc_taps_kernel)(const void *a, ptrdiff_t depth, const void *x,
                               const ptrdiff_t *offsets, void *c, ptrdiff_t ldc, ptrdiff_t columns,
                               const fc_epilogue *epilogue);

/* c[i, j] = sum_{run, k} rows[run * tile_rows + i][k * step] * b[run * length + k, j],
 * b packed `vectors` vectors wide, j < columns */
typedef void (*fc_rows_kernel)(const void *const *rows, ptrdiff_t runs, ptrdiff_t length,
                               ptrdiff_t step, const void *b, void *c, ptrdiff_t ldc,
                               ptrdiff_t columns, const fc_epilogue *epilogue);

/* c[i, f] += sum_{run, k} x[i][run * x_stride + k] * g[f][run * g_stride + k],  k < length */
typedef void (*fc_dot_kernel)(const void *const *x, ptrdiff_t x_stride, const void *const *g,
                              ptrdiff_t g_stride, ptrdiff_t runs, ptrdiff_t length, void *c,
                              ptrdiff_t ldc);

typedef void (*fc_depthwise_kernel)(const void *x, const fc_tap *taps, ptrdiff_t count,
                                    ptrdiff_t step, const void *w, void *out, ptrdiff_t out_step,
                                    ptrdiff_t pixels, ptrdiff_t channels,
                                    const fc_epilogue *epilogue);

typedef struct {
    ptrdiff_t itemsize, lanes;
    /* the widest register tile, in vectors, for each number of rows up to max_rows */
    ptrdiff_t max_rows, taps_vectors[FC_MAX_ROWS + 1], rows_vectors[FC_MAX_ROWS + 1];
    fc_taps_kernel taps[FC_MAX_ROWS + 1][FC_MAX_VECTORS + 1];
    fc_rows_kernel rows[FC_MAX_ROWS + 1][FC_MAX_VECTORS + 1];
    ptrdiff_t dot_rows[FC_MAX_FILTERS + 1]; /* tallest dot tile for each number of filters */
    fc_dot_kernel dot[FC_MAX_ROWS + 1][FC_MAX_FILTERS + 1];

    /* to[c * to_channel + item.to + q] = from[c * from_channel + item.from + q * step] for all
     * items of c < channels.  Items lie in the order of `to`; up to one vector past an item's end is
     * overwritten (by the next item, the next channel, or slack); nothing is read at or after `end`. */
    void (*pack_pixels)(const fc_copy *items, ptrdiff_t count, ptrdiff_t step, const void *from,
                        ptrdiff_t from_channel, ptrdiff_t channels, const void *end, void *to,
                        ptrdiff_t to_channel);
    /* out[i * ldo + seg.to + q * step] = epilogue(tile[i * ldt + seg.from + q]) */
    void (*scatter)(const void *tile, ptrdiff_t ldt, ptrdiff_t rows, const fc_copy *segments,
                    ptrdiff_t count, void *out, ptrdiff_t ldo, ptrdiff_t step,
                    const fc_epilogue *epilogue);
    /* to[j * ldt + i] = from[i * ldf + j], i < rows, j < columns; and 0 for rows <= i < filled */
    void (*transpose)(const void *from, ptrdiff_t ldf, ptrdiff_t rows, ptrdiff_t columns, void *to,
                      ptrdiff_t ldt, ptrdiff_t filled);
    /* to[q * step] += from[q] */
    void (*scatter_add)(const void *from, void *to, ptrdiff_t step, ptrdiff_t count);
    /* to[q] = from[q * step] */
    void (*copy)(const void *from, ptrdiff_t step, void *to, ptrdiff_t count);
    /* to[i * ldt + j] = from[i * ldf + (j - low) * step] for low <= j < high, and 0 for the other
     * j < width; i < rows */
    void (*copy_padded)(const void *from, ptrdiff_t ldf, ptrdiff_t step, ptrdiff_t rows, void *to,
                        ptrdiff_t ldt, ptrdiff_t width, ptrdiff_t low, ptrdiff_t high);
    /* *total += the sum of `count` values, over lanes and then pairwise */
    void (*sum)(const void *from, ptrdiff_t count, void *total);
    /* to[j] += sum_i from[i * ldf + j] */
    void (*sum_rows)(const void *from, ptrdiff_t ldf, ptrdiff_t rows, ptrdiff_t columns, void *to);
    /* out[q] = y[q] > 0 ? grad[q] : 0 */
    void (*relu_gradient)(const void *grad, const void *y, void *out, ptrdiff_t count);
    /* filters of a channel of their own, see depthwise.h */
    /* out[p * out_step + j] = sum_k w[taps[k].w + j] * x[taps[k].x + p * step + j];
     * p < pixels, j < channels */
    fc_depthwise_kernel depthwise;
    /* the same with w[taps[k].w] for all j: p < rows, j < columns; x is read in whole vectors */
    fc_depthwise_kernel depthwise_planes;
    /* sums[taps[k].w + j] += sum over i < rows, p < pixels of
     * grad[i, p, j] * x[i, p, taps[k].x + j], j < channels; both by their rows and steps */
    void (*depthwise_gradient)(const fc_pixels *x, const fc_pixels *grad, ptrdiff_t rows,
                               ptrdiff_t pixels, const fc_tap *taps, ptrdiff_t count, void *sums,
                               ptrdiff_t channels);
    /* to[(p * count + k) * lanes + j] = x[p * pixel + k - k % FC_SPREAD_EACH + index[k * lanes + j]];
     * j < lanes, p < pixels.  Of `window` elements from x[p * pixel] on no other is read; indices
     * are integers of the itemsize, less than two vectors' lanes */
    void (*spread_groups)(const void *x, ptrdiff_t pixel, ptrdiff_t pixels, ptrdiff_t window,
                          const void *index, ptrdiff_t count, void *to);

    /* average pools: out = the sums over windows / divisor, unless that is 0 */
    void (*sum_windows)(const void *x, const fc_windows *windows, ptrdiff_t divisor, void *out);
    /* to[q] = from[q] / divisor */
    void (*divide)(const void *from, ptrdiff_t divisor, void *to, ptrdiff_t count);
    /* to[z * channels + c] = sum over the taps that reach pixel z of from[j * channels + c] of their
     * outputs j; reads up to two vectors past the last of them */
    void (*spread)(const void *from, const fc_spread *row, void *to);

    /* the same of whole planes, see means.h; NULL without vectors of some lanes */
    void (*spread_means)(const void *grad, ptrdiff_t planes, const fc_gather *geometry,
                         ptrdiff_t divisor, void *workspace, void *to);

    /* F(4x4, 3x3), see winograd.h; position p = 0..35 is `plane` elements after the one before, and
     * all but `winograd_output` write whole vectors.  NULL for integers.
     * One channel's weights for a vector of filters, tap 3 * row + column at taps[. * step] */
    void (*winograd_weights)(const void *taps, ptrdiff_t step, void *to, ptrdiff_t plane);
    /* 6 x 6 pixels, `row` and `pixel` elements apart: to[p][c], c < channels */
    void (*winograd_input)(const void *from, ptrdiff_t row, ptrdiff_t pixel, ptrdiff_t channels,
                           void *to, ptrdiff_t plane);
    /* `rows` x `columns` of the 4 x 4 outputs of from[p][f], f < filters, + bias, relu; returns
     * whether they are finite without the bias */
    int (*winograd_output)(const void *from, ptrdiff_t plane, ptrdiff_t filters, const void *bias,
                           int relu, void *to, ptrdiff_t row, ptrdiff_t pixel, ptrdiff_t rows,
                           ptrdiff_t columns);
    /* `rows` x `columns` of 4 x 4 elements of a gradient, the others 0: to[p][f], f < filters */
    void (*winograd_gradient)(const void *from, ptrdiff_t row, ptrdiff_t pixel, ptrdiff_t filters,
                              ptrdiff_t rows, ptrdiff_t columns, void *to, ptrdiff_t plane);
    /* a vector of from[p]: the gradient of tap 3 * row + column at to[. * step] */
    void (*winograd_kernel)(const void *from, ptrdiff_t plane, void *to, ptrdiff_t step);

    /* F(4, taps) along rows, see strips.h; position i < taps + 3 is `plane` elements after the one
     * before.  NULL for integers.
     * Rows of strips, one after the other, from four rows of every fourth element: element e of
     * strip t of row q is from[(first + e) % 4 * ldf + q * pitch + t + (first + e) / 4], of which
     * whole vectors are read */
    void (*strips_input)(const void *from, ptrdiff_t ldf, ptrdiff_t pitch, ptrdiff_t first,
                         ptrdiff_t rows, ptrdiff_t strips, ptrdiff_t taps, void *to,
                         ptrdiff_t plane);
    /* `there` of the taps, the others 0, at from[. * step] for vectors of filters */
    void (*strips_weights)(const void *from, ptrdiff_t step, ptrdiff_t there, ptrdiff_t filters,
                           ptrdiff_t taps, void *to, ptrdiff_t plane);
    /* to[f * ldt + 4 * t + i] = epilogue(output i of strip t of from[position][f * ldf + t], plus
     * singles[i * plane + f * ldf + t]), f < rows, of which there are `columns`; returns whether they
     * are finite without the epilogue */
    int (*strips_output)(const void *from, ptrdiff_t plane, const void *singles, ptrdiff_t ldf,
                         ptrdiff_t rows, ptrdiff_t taps, void *to, ptrdiff_t ldt, ptrdiff_t columns,
                         const fc_epilogue *epilogue);

    /* the gradients of max pools, see shares.h */
    /* to[p * advance + q] = sum over k < shares, in their order, of share k's element p * count + q;
     * p < pixels, q < count */
    void (*sum_shares)(const fc_share *share, ptrdiff_t shares, ptrdiff_t pixels, ptrdiff_t count,
                       void *to, ptrdiff_t advance);
    /* to[(p * columns + s) * count + q] = grad[n] where codes[n] is tap + s, else 0, for
     * n = p * count + q; p < pixels, s < columns, q < count */
    void (*share_windows)(const void *grad, const uint8_t *codes, ptrdiff_t tap, ptrdiff_t columns,
                          ptrdiff_t pixels, ptrdiff_t count, void *to);
    /* to[2 * q + s] = grad[q] where codes[q] is tap + s, else 0; s < 2, q < count */
    void (*share_pairs)(const void *grad, const uint8_t *codes, ptrdiff_t tap, void *to,
                        ptrdiff_t count);
    /* to[i * ldt + q * step + places[codes[n]]] += grad[n] for n = i * columns + q, one after the
     * other, unless the code is FC_NO_TAP; i < rows, q < columns; there are places for every byte */
    void (*scatter_shares)(const void *grad, const uint8_t *codes, const int64_t *places,
                           ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t step, void *to,
                           ptrdiff_t ldt);
    /* one step of an optimizer on `count` weights, by its rule, see update.h.  NULL for integers */
    void (*update[FC_RULES])(const fc_weights *arrays, ptrdiff_t count, const fc_step *step);
} fc_kernels;

enum { FC_FLOAT32, FC_FLOAT64, FC_INT64, FC_DTYPES };

/* Max pools come in these dtypes. */
enum {
    FC_POOL_FLOAT32,
    FC_POOL_FLOAT64,
    FC_POOL_INT8,
    FC_POOL_INT16,
    FC_POOL_INT32,
    FC_POOL_INT64,
    FC_POOL_UINT8,
    FC_POOL_UINT16,
    FC_POOL_UINT32,
    FC_POOL_UINT64,
    FC_POOL_DTYPES
};

/* A running maximum keeps the first of equal values, and the first NaN it meets for good. */
typedef struct {
    ptrdiff_t itemsize;
    /* to[q] = the value below which none is: padding */
    void (*fill_lowest)(void *to, ptrdiff_t count);
    /* best[q] = from[q * step], code[q] = tap */
    void (*start)(const void *from, ptrdiff_t step, void *best, int64_t *code, ptrdiff_t count,
                  int64_t tap);
    /* best[q] = max(best[q], from[q * step]); code[q] = tap where that changed it */
    void (*fold)(const void *from, ptrdiff_t step, void *best, int64_t *code, ptrdiff_t count,
                 int64_t tap);
    /* out = the maxima of windows */
    void (*max_windows)(const void *x, const fc_windows *windows, void *out);
    /* and which taps they are */
    void (*max_codes)(const void *x, const fc_windows *windows, void *out, uint8_t *codes);
    /* to = 0, to[(k * size + index[n]) * channels + c] += grad[n] for n = (k * count + q) * channels
     * + c; k < planes, q < count, c < channels; returns how many indices lie outside of 0..size-1,
     * and leaves those out */
    ptrdiff_t (*scatter_indices)(const void *grad, const int64_t *index, ptrdiff_t planes,
                                 ptrdiff_t count, ptrdiff_t channels, ptrdiff_t size, void *to);
    /* the same of indices that are near, see gather.h; returns of how many planes they all were: the
     * next one's `to` holds anything.  NULL for dtypes without vectors */
    ptrdiff_t (*gather_indices)(const void *grad, const int64_t *index, ptrdiff_t planes,
                                const fc_gather *geometry, void *workspace, void *to);
} fc_max_kernels;

/* What one unit, compiled for one ISA, offers. */
typedef struct {
    const char *name;
    const fc_kernels *conv[FC_DTYPES];
    const fc_max_kernels *pool[FC_POOL_DTYPES];
} fc_isa;

/* dispatch.c: the units that were built, the lowest first, and whether this CPU runs them */
int fc_isa_count(void);
const fc_isa *fc_isa_at(int index);
int fc_isa_usable(int index);

/* dispatch.c: memory of the drivers, 64-byte aligned, kept for the next call; NULL if there is none */
void *fc_workspace_take(size_t bytes);
void fc_workspace_give(void *workspace);

#endif
