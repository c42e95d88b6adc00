"""Convolution of channels-first images: register tiles of filters x pixels, lanes over pixels.

The `taps` kernel takes the pixels of product k from offsets[k] on.  Two ways bring them there: a
padded band of rows (direct.pyx) and panels gathered from the image (panels.pyx).

Every output is the sum over (channel, tap) in the same order and the same depth blocks, wherever
its pixel falls in a tile: results depend neither on threads nor on the rest of the batch.
"""

from fastconv._core.packing cimport PARALLEL_BYTES
from fastconv._core.prefetch cimport LINE, ask_write
from fastconv._core.problem cimport (
    Blocking,
    Depth,
    Problem,
    depth_block,
    make_blocking,
    share,
    tile_start,
)
from fastconv._core.runtime cimport fc_epilogue, parallel_for, plain_epilogue, stopped

cdef enum:
    TILE_BYTES = 8 * 8 * 64


# ---------------------------------------------------------------------------------- weights

cdef void pack_tile(const Problem *p, const Blocking *b, Py_ssize_t group, Py_ssize_t tile,
                    char *packed) noexcept nogil:
    # to[k][i] = w[group, first + i, k], one depth block after the other
    cdef Py_ssize_t size = p.kernels.itemsize, first = tile_start(b, tile)
    cdef Py_ssize_t height = tile_start(b, tile + 1) - first
    cdef Py_ssize_t taps = p.kernel_h * p.kernel_w, whole = p.channels * taps, block, c, t, k
    cdef const char *at
    cdef const char *w = p.w + (group * p.w_group + first * p.w_filter) * size
    cdef const char *tap
    cdef char *to
    cdef Depth d
    for block in range(b.blocks):
        d = depth_block(p, b, block)
        to = packed + (group * p.filters * whole + d.before * p.filters + first * d.depth) * size
        if contiguous_filters(p):
            p.kernels.transpose(w + d.before * size, p.w_filter, height, d.depth, to, height,
                                height)
            continue
        if d.t1 - d.t0 == taps and p.w_row == p.kernel_w * p.w_column and (
                p.w_column == 1 or p.w_column == -1):
            # each channel's taps are neighbours, forwards or backwards
            at = w if p.w_column == 1 else w - (taps - 1) * size
            for c in range(d.c0, d.c1):
                k = (c - d.c0) * taps * height
                if p.w_column == 1:
                    p.kernels.transpose(at + c * p.w_channel * size, p.w_filter, height, taps,
                                        to + k * size, height, height)
                else:
                    p.kernels.transpose(at + c * p.w_channel * size, p.w_filter, height, taps,
                                        to + (k + (taps - 1) * height) * size, -height, height)
            continue
        k = 0
        for c in range(d.c0, d.c1):
            for t in range(d.t0, d.t1):
                tap = w + (c * p.w_channel + t // p.kernel_w * p.w_row
                           + t % p.kernel_w * p.w_column) * size
                p.kernels.copy(tap, p.w_filter, to + k * size, height)
                k += height


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef Taps *s = <Taps *> context
    pack_tile(s.problem, &s.blocking, task // s.blocking.tiles, task % s.blocking.tiles,
              <char *> s.packed)


cdef Py_ssize_t taps_bytes(const Problem *p) noexcept nogil:
    return p.groups * p.filters * p.channels * p.kernel_h * p.kernel_w * p.kernels.itemsize


cdef int pack_taps(const Problem *p, char *to) noexcept nogil:
    cdef Taps s
    s.problem = p
    s.packed = to
    s.blocking = make_blocking(p, 8)
    return parallel_for(pack_task, &s, p.groups * s.blocking.tiles,
                        p.threads if taps_bytes(p) > PARALLEL_BYTES else 1, 0)


# ------------------------------------------------------------------------------- multiply

cdef inline fc_epilogue epilogue_of(const Problem *p, const Blocking *b, Py_ssize_t block,
                                    Py_ssize_t group, Py_ssize_t first) noexcept nogil:
    cdef fc_epilogue e = plain_epilogue(block > 0)
    cdef bint last = block == b.blocks - 1
    e.relu = last and p.relu
    if last and p.bias != NULL:
        e.row_bias = p.bias + (group * p.filters + first) * p.kernels.itemsize
    return e


cdef void multiply(const Taps *s, const Depth *d, Py_ssize_t block, Py_ssize_t group,
                   Py_ssize_t part, const Panel *panels, Py_ssize_t count,
                   const Py_ssize_t *offsets, char *out) noexcept nogil:
    # Tile after tile of the filters, each over all panels: its weights stay in the first cache.
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, tile, first, height, wide, i
    cdef char held[TILE_BYTES]
    cdef fc_epilogue e, plain = plain_epilogue(False)
    cdef const Panel *panel
    for tile in range(share(b.tiles, s.tile_parts, part), share(b.tiles, s.tile_parts, part + 1)):
        if stopped():
            return
        first = tile_start(b, tile)
        height = tile_start(b, tile + 1) - first
        e = epilogue_of(p, b, block, group, first)
        for i in range(count):
            panel = &panels[i]
            if panel.count == 1 and panel.segments[0].source == 0 and p.out_column == 1:
                # neighbours in out too: written where they belong at once
                one_tile(s, d, group, first, height, panel, offsets,
                         out + (first * p.out_filter + panel.segments[0].to) * size,
                         p.out_filter, panel.segments[0].count, &e)
                continue
            wide = panel.vectors * p.kernels.lanes
            one_tile(s, d, group, first, height, panel, offsets, held, wide, wide, &plain)
            p.kernels.scatter(held, wide, height, panel.segments, panel.count,
                              out + first * p.out_filter * size, p.out_filter, p.out_column, &e)


cdef inline void ask_share(const Problem *p, const Panel *panel, const char *out,
                           Py_ssize_t index, Py_ssize_t count) noexcept nogil:
    # a share of the lines that a panel fills
    cdef Py_ssize_t n, line, bytes
    cdef const fc_copy *segment
    for n in range(panel.count):
        segment = &panel.segments[n]
        bytes = segment.count * p.out_column * p.kernels.itemsize
        line = share(bytes, count, index) // LINE * LINE
        while line < share(bytes, count, index + 1):
            ask_write(out + segment.to * p.kernels.itemsize + line)
            line += LINE


cdef void multiply_last(const Taps *s, const Depth *d, Py_ssize_t block, Py_ssize_t part,
                        const Panel *panels, Py_ssize_t count, const Py_ssize_t *offsets,
                        char *held, char *out) noexcept nogil:
    # Panel after panel: what all tiles make of it is transposed while it is in the first cache.
    # Sums of several depth blocks wait in `held` for the last one.
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, tile, first, wide, i, n
    cdef Py_ssize_t tile0 = share(b.tiles, s.tile_parts, part)
    cdef Py_ssize_t tile1 = share(b.tiles, s.tile_parts, part + 1)
    cdef Py_ssize_t low = tile_start(b, tile0), filters = tile_start(b, tile1) - low
    cdef const fc_copy *segment
    cdef fc_epilogue e
    for i in range(count):
        if i % 8 == 0 and stopped():
            return
        wide = panels[i].vectors * p.kernels.lanes
        for tile in range(tile0, tile1):
            if block == b.blocks - 1:
                ask_share(p, &panels[i], out, tile - tile0, tile1 - tile0)
            first = tile_start(b, tile)
            e = epilogue_of(p, b, block, 0, first)
            one_tile(s, d, 0, first, tile_start(b, tile + 1) - first, &panels[i], offsets,
                     held + (first - low) * wide * size, wide, wide, &e)
        if block == b.blocks - 1:
            for n in range(panels[i].count):
                segment = &panels[i].segments[n]
                p.kernels.transpose(held + segment.source * size, wide, filters, segment.count,
                                    out + (segment.to + low) * size, p.out_column, filters)
        if b.blocks > 1:
            held += filters * wide * size


cdef Py_ssize_t held_bytes(const Taps *s, Py_ssize_t vectors) noexcept nogil:
    cdef const Problem *p = s.problem
    if s.blocking.blocks == 1:
        vectors = s.blocking.vectors
    return p.filters * vectors * p.kernels.lanes * p.kernels.itemsize


cdef inline void one_tile(const Taps *s, const Depth *d, Py_ssize_t group, Py_ssize_t first,
                          Py_ssize_t height, const Panel *panel, const Py_ssize_t *offsets,
                          void *c, Py_ssize_t ldc, Py_ssize_t columns,
                          const fc_epilogue *e) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, whole = p.channels * p.kernel_h * p.kernel_w, i
    cdef const void *rows[8]
    if s.packed != NULL:
        p.kernels.taps[height][panel.vectors](
            s.packed + (p.filters * (group * whole + d.before) + first * d.depth) * size, d.depth,
            panel.x, offsets, c, ldc, columns, e)
        return
    # too few pixels to pay for packing the weights: the filters' own rows serve as they lie
    for i in range(height):
        rows[i] = p.w + (group * p.w_group + (first + i) * p.w_filter + d.before) * size
    p.kernels.rows[height][panel.vectors](rows, 1, d.depth, 1, panel.x, c, ldc, columns, e)


cdef Problem flatten(const Problem *p) noexcept nogil:
    # 1x1 with nothing around it: the image is one long row
    cdef Problem q = p[0]
    if (p.kernel_h == 1 and p.kernel_w == 1 and p.stride_h == 1 and p.stride_w == 1
            and p.pad_top == 0 and p.pad_left == 0 and p.out_h == p.height
            and p.out_w == p.width and p.out_column == 1 and p.out_row == p.out_w):
        q.height = q.out_h = 1
        q.width = q.out_w = p.height * p.width
        q.out_row = q.out_w
    return q
