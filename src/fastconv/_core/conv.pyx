"""Forward convolution and grad_x: from a geometry and arrays to problems and their drivers."""

from libc.math cimport isfinite

import numpy as np

cimport numpy as cnp

from fastconv._core.scatter cimport fits_scatter, run_scatter
from fastconv._core.depthwise cimport depthwise_bytes, pack_depthwise, run_depthwise
from fastconv._core.depthwise_gradient cimport run_depthwise_gradient
from fastconv._core.direct cimport fits_direct, run_direct
from fastconv._core.grouped cimport (
    grouped_bytes,
    groups_share,
    pack_grouped,
    run_grouped,
    run_grouped_gradient,
)
from fastconv._core.panels cimport run_panels
from fastconv._core.planes cimport (
    pack_planes,
    planes_bytes,
    planes_fit,
    run_planes,
    run_planes_gradient,
)
from fastconv._core.problem cimport (
    Geometry,
    Phase,
    Problem,
    depth_limit,
    find_phase,
    larger,
    smaller,
)
from fastconv._core.rows cimport fits_turned, pack_rows, rows_bytes, run_rows
from fastconv._core.runtime cimport (
    FC_FLOAT32,
    FC_FLOAT64,
    FC_INT64,
    conv_kernels,
    fc_kernels,
    raise_failure,
    stopped,
)
from fastconv._core.strip_tiles cimport pack_strips, strips_bytes
from fastconv._core.strips cimport fits_strips, run_strips
from fastconv._core.taps cimport pack_taps, taps_bytes
from fastconv._core.winograd_gradient cimport run_winograd_gradient
from fastconv._core.winograd cimport pack_winograd, run_winograd, winograd_bytes

cnp.import_array()

cdef enum:
    PACKED_ALIGNMENT = 64


cdef const fc_kernels *kernels_of(cnp.ndarray array):
    if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32:
        return conv_kernels(FC_FLOAT32)
    if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT64:
        return conv_kernels(FC_FLOAT64)
    return conv_kernels(FC_INT64)


cdef const Geometry *geometry_of(cnp.ndarray numbers):
    return <const Geometry *> cnp.PyArray_DATA(numbers)


cdef Problem forward_problem(const Geometry *g, cnp.ndarray x, cnp.ndarray w, object bias,
                             cnp.ndarray out, bint relu, int threads, bint highest):
    cdef Problem p
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(x), pixels = g.out_h * g.out_w
    p.kernels = kernels_of(x)
    p.x = cnp.PyArray_BYTES(x)
    p.x_end = p.x + cnp.PyArray_NBYTES(x)
    p.w = cnp.PyArray_BYTES(w)
    p.packed = NULL
    p.bias = NULL if bias is None else cnp.PyArray_BYTES(bias)
    p.out = cnp.PyArray_BYTES(out)
    p.relu = relu
    p.threads = threads
    p.channels_last = g.channels_last
    p.samples, p.groups = g.samples, g.groups
    p.channels, p.filters = g.channels // g.groups, g.filters // g.groups
    p.height, p.width, p.out_h, p.out_w = g.height, g.width, g.out_h, g.out_w
    p.kernel_h, p.kernel_w = g.kernel_h, g.kernel_w
    p.depth_limit = depth_limit(p.kernels, p.channels * p.kernel_h * p.kernel_w, highest)
    p.stride_h, p.stride_w = g.stride_h, g.stride_w
    p.dilation_h, p.dilation_w = g.dilation_h, g.dilation_w
    p.pad_top, p.pad_left = g.pad_top, g.pad_left
    p.w_filter = cnp.PyArray_STRIDE(w, 0) // size
    p.w_channel = cnp.PyArray_STRIDE(w, 1) // size
    p.w_row = cnp.PyArray_STRIDE(w, 2) // size
    p.w_column = cnp.PyArray_STRIDE(w, 3) // size
    p.w_group = p.filters * p.w_filter
    p.out_sample = g.filters * pixels
    if g.channels_last:
        p.out_filter, p.out_group, p.out_column = 1, p.filters, g.filters
    else:
        p.out_filter, p.out_group, p.out_column = pixels, p.filters * pixels, 1
    p.out_row = g.out_w * p.out_column
    return p


cdef Problem phase_problem(const Geometry *g, const Problem *forward, const Phase *h,
                           const Phase *w, Py_ssize_t phase_h, Py_ssize_t phase_w,
                           bint highest) noexcept nogil:
    # forward: the geometry's problem, its x the gradient and its out the image's gradient
    cdef Problem p = forward[0]
    cdef Py_ssize_t size = p.kernels.itemsize, pixels = g.height * g.width
    p.channels, p.filters = forward.filters, forward.channels
    p.height, p.width, p.out_h, p.out_w = g.out_h, g.out_w, h.count, w.count
    p.kernel_h, p.kernel_w = h.taps, w.taps
    p.depth_limit = depth_limit(p.kernels, p.channels * h.taps * w.taps, highest)
    p.stride_h = p.stride_w = 1
    p.dilation_h, p.dilation_w = h.step, w.step
    p.pad_top, p.pad_left = h.pad, w.pad
    p.w_filter, p.w_channel = forward.w_channel, forward.w_filter
    p.w += ((h.first + (h.taps - 1) * h.every) * forward.w_row
            + (w.first + (w.taps - 1) * w.every) * forward.w_column) * size
    p.w_row, p.w_column = -h.every * forward.w_row, -w.every * forward.w_column
    p.out_sample = g.channels * pixels
    if g.channels_last:
        p.out_filter, p.out_group, p.out_column = 1, p.filters, g.channels
    else:
        p.out_filter, p.out_group, p.out_column = pixels, p.filters * pixels, 1
    p.out_row = g.width * p.out_column
    p.out += ((h.low * g.stride_h + phase_h - g.pad_top) * p.out_row
              + (w.low * g.stride_w + phase_w - g.pad_left) * p.out_column) * size
    p.out_row *= g.stride_h
    p.out_column *= g.stride_w
    return p


def all_finite(cnp.ndarray w):
    """Whether a float32 or float64 array holds no inf or NaN; a sum that overflows counts."""
    cdef const fc_kernels *kernels = kernels_of(w)
    cdef const char *first = cnp.PyArray_BYTES(w)
    cdef bint finite
    cdef Py_ssize_t axis, reach, span = kernels.itemsize
    for axis in range(cnp.PyArray_NDIM(w)):
        reach = cnp.PyArray_STRIDE(w, axis) * (cnp.PyArray_DIM(w, axis) - 1)
        span += abs(reach)
        first += smaller(reach, 0)
    # summed as they lie in memory, unless there is something else between them
    if cnp.PyArray_SIZE(w) == 0 or span != cnp.PyArray_NBYTES(w):
        return bool(np.isfinite(w).all())
    with nogil:
        finite = sum_is_finite(kernels, first, cnp.PyArray_SIZE(w))
    return finite


cdef bint sum_is_finite(const fc_kernels *kernels, const char *first,
                        Py_ssize_t count) noexcept nogil:
    cdef double wide = 0
    cdef float narrow = 0
    if kernels.itemsize == 4:
        kernels.sum(first, count, &narrow)
    else:
        kernels.sum(first, count, &wide)
    return isfinite(narrow) and isfinite(wide)


cdef Driver driver_of(str algorithm):
    cdef Driver driver
    if algorithm == "direct":
        driver.run, driver.bytes, driver.pack = run_direct, taps_bytes, pack_taps
    elif algorithm == "panels":
        driver.run, driver.bytes, driver.pack = run_panels, taps_bytes, pack_taps
    elif algorithm == "rows" or algorithm == "turned":
        driver.run, driver.bytes, driver.pack = run_rows, rows_bytes, pack_rows
    elif algorithm == "planes":
        driver.run, driver.bytes, driver.pack = run_planes, planes_bytes, pack_planes
    elif algorithm == "grouped":
        driver.run, driver.bytes, driver.pack = run_grouped, grouped_bytes, pack_grouped
    elif algorithm == "strips":
        driver.run, driver.bytes, driver.pack = run_strips, strips_bytes, pack_strips
    elif algorithm == "winograd":
        driver.run, driver.bytes, driver.pack = run_winograd, winograd_bytes, pack_winograd
    else:
        driver.run, driver.bytes, driver.pack = run_depthwise, depthwise_bytes, pack_depthwise
    return driver


def pack(cnp.ndarray numbers, cnp.ndarray w, int threads, bint highest, str algorithm):
    """Return the weights as an algorithm packs them, for any geometry with the same kernel."""
    cdef Problem p = forward_problem(geometry_of(numbers), w, w, None, w, False, threads, highest)
    cdef Driver driver = driver_of(algorithm)
    cdef cnp.ndarray packed = np.empty(driver.bytes(&p) + PACKED_ALIGNMENT, np.uint8)
    cdef int failed
    packed = packed[PACKED_ALIGNMENT - <size_t> cnp.PyArray_DATA(packed) % PACKED_ALIGNMENT:]
    with nogil:
        failed = driver.pack(&p, cnp.PyArray_BYTES(packed))
    if failed:
        raise_failure("no memory to pack weights")
    return packed


def forward(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray w, bias, cnp.ndarray out, bint relu,
            int threads, bint highest, str algorithm, cnp.ndarray packed=None):
    """Fill out with the convolution of x with w; `packed` is what `pack` made of w."""
    cdef Problem p = forward_problem(geometry_of(numbers), x, w, bias, out, relu, threads,
                                     highest)
    cdef Driver driver = driver_of(algorithm)
    cdef int failed
    if packed is not None:
        p.packed = cnp.PyArray_BYTES(packed)
    with nogil:
        failed = driver.run(&p)
    if failed:
        raise_failure("no memory for the workspace of a convolution")


def grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray w, bias, cnp.ndarray out,
           int threads, bint highest, str algorithm):
    """Fill out with the gradient for the image: one problem a phase of its rows and columns."""
    cdef const Geometry *g = geometry_of(numbers)
    cdef Problem whole = forward_problem(g, grad, w, bias, out, False, threads, highest)
    cdef Driver driver = driver_of(algorithm)
    cdef int failed
    if not every_pixel_reached(g):
        out[...] = 0 if bias is None else (bias if g.channels_last else bias[:, None, None])
    with nogil:
        failed = run_phases(g, &whole, &driver, highest)
    if failed:
        raise_failure("no memory for the workspace of a gradient")


cdef int run_phases(const Geometry *g, const Problem *whole, const Driver *driver,
                    bint highest) noexcept nogil:
    cdef Problem p
    cdef Phase h, v
    cdef Py_ssize_t a, b, y, z
    if driver.run == run_planes:  # has its own way with phases
        return run_planes_gradient(g, whole)
    for y in range(smaller(g.stride_h, g.height)):
        a = (y + g.pad_top) % g.stride_h
        h = find_phase(g.height, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top, a)
        for z in range(smaller(g.stride_w, g.width)):
            b = (z + g.pad_left) % g.stride_w
            v = find_phase(g.width, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left, b)
            if h.taps == 0 or v.taps == 0:
                continue
            p = phase_problem(g, whole, &h, &v, a, b, highest)
            if (y + z > 0 and stopped()) or driver.run(&p):
                return -1
    return 0


cdef bint every_pixel_reached(const Geometry *g) noexcept nogil:
    # whether every phase of the rows and of the columns has a tap
    cdef Py_ssize_t y
    for y in range(smaller(g.stride_h, g.height)):
        if find_phase(g.height, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top,
                      (y + g.pad_top) % g.stride_h).taps == 0:
            return False
    for y in range(smaller(g.stride_w, g.width)):
        if find_phase(g.width, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left,
                      (y + g.pad_left) % g.stride_w).taps == 0:
            return False
    return True


def grad_x_by_scatter(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray w, bias,
                      cnp.ndarray out, int threads, bint highest):
    """Fill out with the gradient for the image, tap by tap."""
    cdef const Geometry *g = geometry_of(numbers)
    cdef Problem p = forward_problem(g, grad, w, bias, out, False, threads, highest)
    cdef int failed
    p.depth_limit = depth_limit(p.kernels, p.filters, highest)
    with nogil:
        failed = run_scatter(g, &p)
    if failed:
        raise_failure("no memory for the workspace of a gradient")


def grad_w(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray x, cnp.ndarray out, int threads,
           bint highest, str algorithm, grad_bias=None):
    """Fill out with the gradient for w as the algorithms of the forward pass see it.

    And grad_bias, unless it is None, with the sum of grad for each filter; not by "grouped".
    """
    cdef Problem p = forward_problem(geometry_of(numbers), x, out, None, grad, False, threads,
                                     highest)
    cdef char *bias = NULL if grad_bias is None else cnp.PyArray_BYTES(grad_bias)
    cdef bint winograd = algorithm == "winograd", grouped = algorithm == "grouped"
    cdef int failed
    p.depth_limit = depth_limit(p.kernels, p.samples * p.out_h * p.out_w, highest)
    with nogil:
        if winograd:
            failed = run_winograd_gradient(&p, bias)
        else:
            failed = run_grouped_gradient(&p) if grouped else run_depthwise_gradient(&p, bias)
    if failed:
        raise_failure("no memory for the workspace of a gradient")


def turned_fits(cnp.ndarray numbers):
    """Whether an image and its sums stay in the cache, so that rows may transpose them."""
    return bool(fits_turned(geometry_of(numbers)))


def scatter_fits(cnp.ndarray numbers):
    """Whether the sums of an image stay in the cache."""
    return bool(fits_scatter(geometry_of(numbers)))


def planes_serve(cnp.ndarray numbers, bint gradient):
    """Whether the planes driver's band stays small for a geometry of filters of one channel."""
    cdef const Geometry *g = geometry_of(numbers)
    cdef Problem p
    p.kernels = conv_kernels(FC_FLOAT64)
    p.channels, p.filters = g.channels // g.groups, g.filters // g.groups
    p.out_h, p.out_w, p.kernel_h, p.kernel_w = g.out_h, g.out_w, g.kernel_h, g.kernel_w
    p.stride_h, p.stride_w, p.dilation_h, p.dilation_w = (
        g.stride_h, g.stride_w, g.dilation_h, g.dilation_w)
    p.pad_top, p.pad_left, p.w_filter, p.w_channel = g.pad_top, g.pad_left, 0, 0
    return bool(planes_fit(g, &p, gradient))


def lanes_hold_groups(cnp.ndarray numbers, bint gradient):
    """Whether a vector may hold several groups' filters, or channels of grad_x.

    And whether what the grouped driver spreads stays small.
    """
    cdef const Geometry *g = geometry_of(numbers)
    cdef Problem p
    p.groups, p.channels, p.filters = g.groups, g.channels // g.groups, g.filters // g.groups
    p.kernel_h, p.kernel_w, p.stride_w, p.out_w = g.kernel_h, g.kernel_w, g.stride_w, g.out_w
    p.dilation_h, p.dilation_w = g.dilation_h, g.dilation_w
    if gradient:
        p.channels, p.filters, p.stride_w, p.out_w = p.filters, p.channels, 1, g.width
    return bool(groups_share(&p))


cdef Problem sizes_of(const Geometry *g, bint gradient):
    # a problem without arrays: the forward pass, or grad_x's phase 0, which tap 0 reaches
    cdef Problem p
    cdef Phase h, v
    p.kernels = conv_kernels(FC_FLOAT64)
    p.depth_limit = depth_limit(p.kernels, 0, False)
    p.channels, p.filters = g.channels // g.groups, g.filters // g.groups
    p.height, p.width, p.out_h, p.out_w = g.height, g.width, g.out_h, g.out_w
    p.kernel_h, p.kernel_w = g.kernel_h, g.kernel_w
    p.stride_h, p.stride_w = g.stride_h, g.stride_w
    p.dilation_h, p.dilation_w = g.dilation_h, g.dilation_w
    p.pad_top, p.pad_left = g.pad_top, g.pad_left
    p.channels_last = g.channels_last
    p.out_row, p.out_column = g.out_w, 1
    if gradient:
        p.channels, p.filters = p.filters, p.channels
        h = find_phase(g.height, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top, 0)
        v = find_phase(g.width, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left, 0)
        p.height, p.width = g.out_h, g.out_w
        p.out_h, p.out_w = larger(1, h.count), larger(1, v.count)
        p.kernel_h, p.kernel_w = h.taps, v.taps
        p.stride_h = p.stride_w = 1
        p.dilation_h, p.dilation_w, p.pad_top, p.pad_left = h.step, v.step, h.pad, v.pad
        p.out_row = p.out_w
    return p


def band_fits(cnp.ndarray numbers, bint gradient):
    """Whether a band of the direct driver stays small; no phase of grad_x has more taps than 0."""
    cdef Problem p = sizes_of(geometry_of(numbers), gradient)
    return bool(fits_direct(&p))


def strips_fit(cnp.ndarray numbers, bint gradient):
    """Whether rows of strips of all channels stay in the cache, and a kernel's row has a part."""
    cdef Problem p = sizes_of(geometry_of(numbers), gradient)
    return bool(fits_strips(&p))
