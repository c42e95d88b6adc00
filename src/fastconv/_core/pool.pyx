"""Pools: which driver runs, and with how much workspace."""

from libc.stdint cimport int64_t, uint8_t

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.pool_pixels cimport dense_bytes, indexed_pixels_task, pixels_task
from fastconv._core.pool_rows cimport cut_planes, indexed_rows_task, rows_task
from fastconv._core.problem cimport smaller
from fastconv._core.runtime cimport (
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
    fc_max_kernels,
    pool_kernels,
)
from fastconv._core.windows cimport (
    PIECE,
    Geometry,
    Pool,
    has_codes,
    list_places,
    padded_width,
    run,
    take_planes_as_images,
)

cnp.import_array()


cdef const fc_max_kernels *maximum_of(cnp.ndarray array):
    cdef int kind = ord(array.dtype.kind), size = cnp.PyArray_ITEMSIZE(array)
    if kind == c"f":
        return pool_kernels(FC_POOL_FLOAT32 if size == 4 else FC_POOL_FLOAT64)
    if kind == c"i":
        return pool_kernels({1: FC_POOL_INT8, 2: FC_POOL_INT16, 4: FC_POOL_INT32,
                             8: FC_POOL_INT64}[size])
    return pool_kernels({1: FC_POOL_UINT8, 2: FC_POOL_UINT16, 4: FC_POOL_UINT32,
                         8: FC_POOL_UINT64}[size])


cdef Pool make_pool(const Geometry *geometry, cnp.ndarray x, cnp.ndarray out):
    cdef Pool s
    cdef Geometry *g = &s.geometry
    g[0] = geometry[0]
    s.maximum = NULL
    s.average = NULL
    s.x, s.out = cnp.PyArray_BYTES(x), cnp.PyArray_BYTES(out)
    s.indices = NULL
    s.codes = NULL
    s.coded = s.relu = False
    s.size = cnp.PyArray_ITEMSIZE(x)
    # and where no kernel steps as windows do: windows at step 1 are made, and picked from
    if not g.channels_last and (g.stride_w > 2 or padded_width(g, g.out_w) > 4 * g.width + 64):
        take_planes_as_images(g)
    return s


cdef values(Pool *s, int threads):
    # what needs one pass over the taps: maxima, with codes or without, and means
    cdef Geometry *g = &s.geometry
    if g.channels_last:
        run(g, pixels_task, s, &s.tasks, g.samples * g.out_h, threads,
            PIECE + dense_bytes(s))
    else:
        cut_planes(s, threads)
        run(g, rows_task, s, &s.tasks, g.samples * g.channels * s.pieces * s.strips, threads,
            PIECE)


def codes_fit(cnp.ndarray numbers):
    """Whether every tap of a window has a code of a byte."""
    return has_codes(<const Geometry *> cnp.PyArray_DATA(numbers))


cpdef max_pool(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray out, indices, codes, bint relu,
               int threads):
    """Fill out with the maxima, indices with their places, codes with their taps, if there are any.

    With relu the code of a maximum that is not above 0 is FC_NO_TAP.
    """
    cdef Pool s = make_pool(<const Geometry *> cnp.PyArray_DATA(numbers), x, out)
    cdef const Geometry *g = &s.geometry
    s.maximum = maximum_of(x)
    s.relu = relu
    if codes is not None:
        s.codes = <uint8_t *> cnp.PyArray_DATA(codes)
    if indices is not None:
        s.indices = <int64_t *> cnp.PyArray_DATA(indices)
    # public indices are looked up from codes
    s.coded = codes is not None or indices is not None and has_codes(g)
    if s.coded:
        list_places(g, s.places)
        s.maximum.fill_lowest(s.lowest, 1)
    if s.coded or indices is None:
        values(&s, threads)
    elif g.channels_last:
        run(g, indexed_pixels_task, &s, &s.tasks, g.samples * g.out_h, threads,
            smaller(g.channels, PIECE) * sizeof(int64_t))
    else:
        run(g, indexed_rows_task, &s, &s.tasks, g.samples * g.channels * g.out_h, threads,
            smaller(g.out_w, PIECE) * sizeof(int64_t))


cpdef avg_pool(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray out, int threads):
    """Fill out with the means."""
    average_of(<const Geometry *> cnp.PyArray_DATA(numbers), x, out, threads)


cdef average_of(const Geometry *geometry, cnp.ndarray x, cnp.ndarray out, int threads):
    cdef Pool s = make_pool(geometry, x, out)
    s.average = kernels_of(x)
    values(&s, threads)
