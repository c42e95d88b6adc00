"""grad_x as a sum over taps: each adds a product of the gradient to the pixels it had read.

    grad_x[n, y, z, c] += sum_f grad[n, i, j, f] * w[f, c, r, s]
    y = i * stride_h + r * dilation_h - pad_top, z = j * stride_w + s * dilation_w - pad_left

This is GEMM + col2im without the columns: lanes over channels, a tile of neighbours of one row of
the gradient is added to the image's gradient, channels last, which stays in the cache.  Nothing is
multiplied beside the gradient, where a full convolution multiplies the zeros around it too (2.25
times the work from 6x6 to 4x4).  Channels-first images are transposed on the way in and out.
"""

from libc.string cimport memcpy, memset

from fastconv._core.problem cimport (
    Geometry,
    Problem,
    after_inside,
    ceil_div,
    first_inside,
    larger,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport (
    FC_MAX_ROWS,
    FC_SLACK,
    fc_epilogue,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
    stopped,
)

cdef enum:
    IMAGES_BYTES = 1 << 18      # of the gradients, and of the sums, of the images of a task
    IMAGE_BYTES = 1 << 21       # of one image, in float64: more would not stay in the cache


cdef struct Scatter:
    const Geometry *geometry
    const Problem *problem          # x is the gradient, out the image's gradient
    const char *packed
    Py_ssize_t taps, vectors, panels, height, depth_blocks
    Py_ssize_t images_each, image_parts, panel_parts, grads_bytes, sums_bytes


cdef inline Py_ssize_t panel_start(const Scatter *s, Py_ssize_t panel) noexcept nogil:
    # its first channel
    return share(s.vectors, s.panels, panel) * s.problem.kernels.lanes


cdef inline const char *packed_panel(const Scatter *s, Py_ssize_t group,
                                     Py_ssize_t panel) noexcept nogil:
    cdef Py_ssize_t lanes = s.vectors * s.problem.kernels.lanes * group + panel_start(s, panel)
    return s.packed + lanes * s.taps * s.problem.filters * s.problem.kernels.itemsize


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # to[tap][f][lane] = w[f, first + lane, tap], zeros beyond the last channel
    cdef const Scatter *s = <const Scatter *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t group = task // s.panels, panel = task % s.panels, f, t
    cdef Py_ssize_t size = p.kernels.itemsize, first = panel_start(s, panel)
    cdef Py_ssize_t wide = panel_start(s, panel + 1) - first
    cdef Py_ssize_t channels = smaller(wide, p.channels - first)
    cdef char *to = <char *> packed_panel(s, group, panel)
    cdef const char *w = p.w + (group * p.w_group + first * p.w_channel) * size
    cdef bint together = p.w_channel == s.taps and p.w_column == 1 and p.w_row == p.kernel_w
    if together:  # channels first
        for f in range(p.filters):
            p.kernels.transpose(w + f * p.w_filter * size, s.taps, channels, s.taps,
                                to + f * wide * size, p.filters * wide, wide)
        return
    for t in range(s.taps):
        pack_tap(p, w + (t // p.kernel_w * p.w_row + t % p.kernel_w * p.w_column) * size,
                 channels, wide, to + t * p.filters * wide * size)


cdef void pack_tap(const Problem *p, const char *w, Py_ssize_t channels, Py_ssize_t wide,
                   char *to) noexcept nogil:
    cdef Py_ssize_t size = p.kernels.itemsize, f
    if p.w_filter == 1:  # channels last
        p.kernels.transpose(w, p.w_channel, channels, p.filters, to, wide, wide)
        return
    for f in range(p.filters):
        p.kernels.copy(w + f * p.w_filter * size, p.w_channel, to + f * wide * size, channels)
        memset(to + (f * wide + channels) * size, 0, (wide - channels) * size)


# ----------------------------------------------------------------------------- one image

cdef void find_grads(const Scatter *s, Py_ssize_t n, Py_ssize_t group, char *to) noexcept nogil:
    # to[pixel][f]: the gradients of one image
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, pixels = p.out_h * p.out_w
    cdef const char *grad
    if p.channels_last:
        grad = p.x + (n * pixels * p.groups + group) * p.filters * size
        p.kernels.copy_padded(grad, p.groups * p.filters, 1, pixels, to, p.filters, p.filters, 0,
                              p.filters)
        return
    grad = p.x + (n * p.groups + group) * p.filters * pixels * size
    p.kernels.transpose(grad, pixels, p.filters, pixels, to, p.filters, p.filters)


cdef void start_sums(const Scatter *s, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                     Py_ssize_t pixels, char *sums) noexcept nogil:
    # sums[pixel][lane] starts from the bias, or from zero
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, channels = smaller(wide, p.channels - first), q
    memset(sums, 0, (wide if p.bias != NULL else pixels * wide) * size)
    if p.bias != NULL:
        memcpy(sums, p.bias + (group * p.channels + first) * size, channels * size)
        for q in range(1, pixels):
            memcpy(sums + q * wide * size, sums, wide * size)


cdef void store_sums(const Scatter *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t first,
                     Py_ssize_t wide, const char *sums) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = p.kernels.itemsize, pixels = g.height * g.width
    cdef Py_ssize_t channels = smaller(wide, p.channels - first), at = group * p.channels + first
    if p.channels_last:
        p.kernels.copy_padded(sums, wide, 1, pixels, p.out + (n * pixels * g.channels + at) * size,
                              g.channels, channels, 0, channels)
    else:
        p.kernels.transpose(sums, wide, pixels, channels,
                            p.out + (n * g.channels + at) * pixels * size, pixels, pixels)


cdef void add_tap(const Scatter *s, Py_ssize_t tap, Py_ssize_t block, const char *weights,
                  Py_ssize_t wide, const char *grads, char *sums) noexcept nogil:
    # sums += the gradients of one image times the panel's weights of one tap
    cdef const Problem *p = s.problem
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = p.kernels.itemsize, vectors = wide // p.kernels.lanes
    cdef Py_ssize_t f0 = share(p.filters, s.depth_blocks, block), i, y, z, tile, at, q, height
    cdef Py_ssize_t depth = share(p.filters, s.depth_blocks, block + 1) - f0
    cdef Py_ssize_t down = tap // p.kernel_w * g.dilation_h - g.pad_top
    cdef Py_ssize_t right = tap % p.kernel_w * g.dilation_w - g.pad_left
    cdef Py_ssize_t low = first_inside(right, g.stride_w, 0)
    cdef Py_ssize_t count = after_inside(right, g.stride_w, g.width, g.out_w) - low
    cdef Py_ssize_t tiles = ceil_div(count, s.height)
    cdef const void *rows[FC_MAX_ROWS]
    cdef fc_epilogue e = plain_epilogue(True)
    weights += (tap * p.filters + f0) * wide * size
    for i in range(first_inside(down, g.stride_h, 0),
                   after_inside(down, g.stride_h, g.height, g.out_h)):
        y = i * g.stride_h + down
        for tile in range(tiles):
            at = low + share(count, tiles, tile)
            height = low + share(count, tiles, tile + 1) - at
            z = at * g.stride_w + right
            for q in range(height):
                rows[q] = grads + ((i * g.out_w + at + q) * p.filters + f0) * size
            p.kernels.rows[height][vectors](
                rows, 1, depth, 1, weights, sums + (y * g.width + z) * wide * size,
                g.stride_w * wide, wide, &e)


cdef void scatter_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Scatter *s = <const Scatter *> context
    cdef const Problem *p = s.problem
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t part = task % s.panel_parts, group = task // s.panel_parts % p.groups
    cdef Py_ssize_t images = task // (s.panel_parts * p.groups)
    cdef Py_ssize_t n0 = share(p.samples, s.image_parts, images)
    cdef Py_ssize_t n1 = share(p.samples, s.image_parts, images + 1), n, panel, first, wide, t, b
    cdef char *sums = workspace + s.images_each * s.grads_bytes
    cdef const char *weights
    for n in range(n0, n1):
        find_grads(s, n, group, workspace + (n - n0) * s.grads_bytes)
    for panel in range(share(s.panels, s.panel_parts, part),
                       share(s.panels, s.panel_parts, part + 1)):
        first = panel_start(s, panel)
        wide = panel_start(s, panel + 1) - first
        weights = packed_panel(s, group, panel)
        for n in range(n0, n1):
            start_sums(s, group, first, wide, g.height * g.width, sums + (n - n0) * s.sums_bytes)
        for t in range(s.taps):
            if stopped():
                return
            for b in range(s.depth_blocks):
                for n in range(n0, n1):
                    add_tap(s, t, b, weights, wide, workspace + (n - n0) * s.grads_bytes,
                            sums + (n - n0) * s.sums_bytes)
        for n in range(n0, n1):
            store_sums(s, n, group, first, wide, sums + (n - n0) * s.sums_bytes)


# ----------------------------------------------------------------------------------- plan

cdef bint fits_scatter(const Geometry *g) noexcept nogil:
    # whether an image's gradients, and its sums for a panel of channels, stay in the cache
    cdef Py_ssize_t most = IMAGE_BYTES // 8
    return (g.out_h * g.out_w <= most // (g.filters // g.groups)
            and g.height * g.width <= most // 64)


cdef Py_ssize_t plan_scatter(Scatter *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.problem
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = p.kernels.itemsize, wide
    s.taps = p.kernel_h * p.kernel_w
    s.vectors = ceil_div(p.channels, p.kernels.lanes)
    s.panels = ceil_div(s.vectors, p.kernels.rows_vectors[1])
    s.height = p.kernels.max_rows
    wide = ceil_div(s.vectors, s.panels)
    while p.kernels.rows_vectors[s.height] < wide:
        s.height -= 1
    s.depth_blocks = ceil_div(p.filters, p.depth_limit)
    s.grads_bytes = round_up(p.out_h * p.out_w * p.filters * size + FC_SLACK, 64)
    s.sums_bytes = round_up(g.height * g.width * wide * p.kernels.lanes * size + FC_SLACK, 64)
    s.images_each = IMAGES_BYTES // (s.grads_bytes + s.sums_bytes)
    if p.threads > 1:
        s.images_each = smaller(s.images_each, ceil_div(p.samples, 2 * p.threads))
    s.images_each = larger(1, smaller(p.samples, s.images_each))
    s.image_parts = ceil_div(p.samples, s.images_each)
    s.images_each = ceil_div(p.samples, s.image_parts)
    s.panel_parts = 1
    if s.image_parts * p.groups < 2 * p.threads and p.threads > 1:
        s.panel_parts = smaller(s.panels, ceil_div(2 * p.threads, s.image_parts * p.groups))
    return s.images_each * (s.grads_bytes + s.sums_bytes)


cdef int run_scatter(const Geometry *g, const Problem *problem) noexcept nogil:
    cdef Scatter s
    cdef const Problem *p = problem
    cdef Py_ssize_t workspace
    cdef int failed
    s.geometry = g
    s.problem = p
    workspace = plan_scatter(&s)
    s.packed = <const char *> fc_workspace_take(
        p.groups * s.vectors * p.kernels.lanes * s.taps * p.filters * p.kernels.itemsize)
    if s.packed == NULL:
        return -1
    failed = parallel_for(pack_task, &s, p.groups * s.panels, p.threads, 0)
    if not failed:
        failed = parallel_for(scatter_task, &s, s.image_parts * p.groups * s.panel_parts,
                              p.threads, workspace)
    fc_workspace_give(<void *> s.packed)
    return failed
