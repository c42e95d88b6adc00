"""Small calls: what looking through a call's arguments came to, for the next call with the same.

A small image takes less time than the checks of the arguments, the choice of a driver and the
description of the problem.  So a call that was found right is kept: the shapes and the dtype of its
arrays, its other arguments, and what runs.  A later one with the same, whose arrays are as the
engine takes them, has nothing left to ask but for what its arrays hold.  Whatever else comes gets
None, and goes the way on which errors are raised.

One thread runs a small call: more would not pay, and none are asked for.
"""

from cpython.contextvars cimport get_value
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint64_t

cimport numpy as cnp

from fastconv._core.scatter cimport run_scatter
from fastconv._core.conv cimport (
    Driver,
    driver_of,
    every_pixel_reached,
    forward_problem,
    geometry_of,
    kernels_of,
    run_phases,
    sum_is_finite,
)
from fastconv._core.problem cimport Geometry, Problem, depth_limit
from fastconv._core.runtime cimport raise_failure

cnp.import_array()

cdef enum:
    PLACES = 256  # of kept calls, a power of two
    WAYS = 4      # places that a call may take: so many sets of arguments for the same shapes

cdef enum Way:
    FORWARD
    PHASES
    SCATTER


cdef inline bint as_taken(object array):
    # base class, native, aligned, in C order
    return (cnp.PyArray_CheckExact(array) and cnp.PyArray_NDIM(array) == AXES
            and cnp.PyArray_ISCARRAY_RO(array))


cdef bint is_plain(object value):
    # what cannot change, and has no way of its own to say what it equals
    if type(value) is tuple:
        for item in <tuple> value:
            if not is_plain(item):
                return False
        return True
    return value is None or type(value) is int or type(value) is str or type(value) is bool


cdef bint same(object value, object kept):
    # equal and of one type: to Python 1 is True and 1.0 as well
    cdef Py_ssize_t i
    if value is kept:
        return True
    if type(value) is not type(kept):
        return False
    if type(kept) is tuple:
        if PyTuple_GET_SIZE(value) != PyTuple_GET_SIZE(kept):
            return False
        for i in range(PyTuple_GET_SIZE(kept)):
            if not same(<object> PyTuple_GET_ITEM(value, i), <object> PyTuple_GET_ITEM(kept, i)):
                return False
        return True
    return (type(kept) is int or type(kept) is str) and value == kept


cdef inline uint64_t mixed(uint64_t key, cnp.ndarray array):
    cdef int axis
    for axis in range(AXES):
        key = (key ^ <uint64_t> cnp.PyArray_DIM(array, axis)) * 0x9E3779B97F4A7C15U
        key ^= key >> 29
    return key


cdef Py_ssize_t place_of(cnp.ndarray first, object second):
    cdef uint64_t key = mixed(cnp.PyArray_TYPE(first), first)
    if second is not None:
        key = mixed(key, second)
    return <Py_ssize_t> (key >> 32) % PLACES


cdef inline bint of_sizes(cnp.ndarray array, const cnp.npy_intp *sizes):
    cdef int axis
    for axis in range(AXES):
        if cnp.PyArray_DIM(array, axis) != sizes[axis]:
            return False
    return True


cdef inline bint apart(cnp.ndarray a, cnp.ndarray b):
    # of arrays in C order
    return (cnp.PyArray_BYTES(a) + cnp.PyArray_NBYTES(a) <= cnp.PyArray_BYTES(b)
            or cnp.PyArray_BYTES(b) + cnp.PyArray_NBYTES(b) <= cnp.PyArray_BYTES(a))


cdef class Call:
    """What is kept of a call with one array or two; `note` is the caller's own."""

    def __init__(self, cnp.ndarray first, second, tuple arguments, tuple out_shape, note=None):
        cdef int axis
        self.dtype = cnp.PyArray_TYPE(first)
        self.kernels = kernels_of(first)
        self.pair = second is not None
        self.arguments, self.note = arguments, note
        for axis in range(AXES):
            self.first[axis] = cnp.PyArray_DIM(first, axis)
            self.second[axis] = cnp.PyArray_DIM(second, axis) if self.pair else 0
            self.out[axis] = out_shape[axis]

    cdef bint fits(self, cnp.ndarray first, object second, tuple arguments):
        # other kernels: somebody has chosen another instruction set
        return (cnp.PyArray_TYPE(first) == self.dtype and of_sizes(first, self.first)
                and (not self.pair or (cnp.PyArray_TYPE(second) == self.dtype
                                       and of_sizes(second, self.second)))
                and self.kernels == kernels_of(first) and same(arguments, self.arguments))

    cdef object run(self, cnp.ndarray first, object second, object bias, object given):
        raise NotImplementedError

    cdef bint takes(self, object out, cnp.ndarray first, object second, object bias):
        # whether a result may be written there as it is
        return (cnp.PyArray_CheckExact(out) and cnp.PyArray_NDIM(out) == AXES
                and cnp.PyArray_TYPE(out) == self.dtype and cnp.PyArray_ISCARRAY(out)
                and of_sizes(out, self.out) and apart(out, first)
                and (second is None or apart(out, second))
                and (bias is None or (cnp.PyArray_CheckExact(bias) and cnp.PyArray_ISCARRAY_RO(bias)
                                      and apart(out, bias))))

    cdef cnp.ndarray new_out(self, object given):
        return cnp.PyArray_SimpleNew(AXES, self.out, self.dtype) if given is None else given


cdef class Calls:
    """The calls that a function keeps; `latest` is the note of the one that came last."""

    cdef list places
    cdef object precision
    cdef unsigned int evicted
    cdef public object latest

    def __init__(self, precision):
        self.precision = precision
        self.clear()

    def clear(self):
        """Forget them all."""
        self.places = [None] * (PLACES + WAYS)

    def run(self, first, second, bias, tuple arguments, out=None):
        """Return what such a call gives, in `out` if given; None if it must go the long way."""
        cdef Call call
        if get_value(self.precision) != "high":
            return None
        call = self.find(first, second, arguments)
        if call is None:
            return None
        if out is not None and not call.takes(out, first, second, bias):
            return None
        self.latest = call.note
        return call.run(first, second, bias, out)

    def wants(self, first, second, tuple arguments):
        """Whether a call can be kept and is not."""
        return (as_taken(first) and (second is None or (
                    as_taken(second) and cnp.PyArray_TYPE(second) == cnp.PyArray_TYPE(first)))
                and is_plain(arguments)
                and get_value(self.precision) == "high"
                and self.find(first, second, arguments) is None)

    def keep(self, first, second, Call call):
        """Keep a call with these arrays."""
        cdef Py_ssize_t place = place_of(first, second), way
        for way in range(WAYS):
            if self.places[place + way] is None:
                break
        else:
            self.evicted += 1
            way = self.evicted % WAYS
        self.places[place + way] = call

    cdef Call find(self, object first, object second, tuple arguments):
        cdef Py_ssize_t place, way
        cdef object kept
        if not as_taken(first) or not (second is None or as_taken(second)):
            return None
        place = place_of(first, second)
        for way in range(WAYS):
            kept = self.places[place + way]
            if kept is None:
                return None
            if (<Call> kept).fits(first, second, arguments):
                return kept
        return None


cdef class Convolution(Call):
    """A forward convolution, or a grad_x: its problem is described but for the addresses."""

    cdef Geometry geometry
    cdef Problem problem
    cdef Driver driver
    cdef Way way
    cdef Py_ssize_t shift   # from w's first element to that of the engine's view
    cdef bint finite        # asked of w: where it meets zeros around an image, and the like
    cdef object packed

    cdef object run(self, cnp.ndarray first, object second, object bias, object given):
        cdef Problem p = self.problem
        cdef cnp.ndarray out
        cdef int failed
        if not (bias is None or self.takes_bias(bias)):
            return None
        p.w = cnp.PyArray_BYTES(second)
        if self.finite and not sum_is_finite(p.kernels, p.w, cnp.PyArray_SIZE(second)):
            return None
        out = self.new_out(given)
        p.x = cnp.PyArray_BYTES(first)
        p.x_end = p.x + cnp.PyArray_NBYTES(first)
        p.w += self.shift
        p.bias = NULL if bias is None else cnp.PyArray_BYTES(bias)
        p.out = cnp.PyArray_BYTES(out)
        with nogil:
            if self.way == FORWARD:
                failed = self.driver.run(&p)
            elif self.way == PHASES:
                failed = run_phases(&self.geometry, &p, &self.driver, False)
            else:
                failed = run_scatter(&self.geometry, &p)
        if failed:
            raise_failure("no memory for the workspace of a convolution")
        return out

    cdef bint takes_bias(self, object bias):
        return (cnp.PyArray_CheckExact(bias) and cnp.PyArray_NDIM(bias) == 1
                and cnp.PyArray_DIM(bias, 0) == self.geometry.filters
                and cnp.PyArray_TYPE(bias) == self.dtype and cnp.PyArray_ISCARRAY_RO(bias))

    def describe(self, cnp.ndarray numbers, cnp.ndarray first, cnp.ndarray second,
                 cnp.ndarray view, str op, str algorithm, bint finite, bint relu, packed):
        """Describe the problem; `view` is the engine's of `second`. Returns whether it can be."""
        cdef const Geometry *g = geometry_of(numbers)
        self.geometry = g[0]
        self.problem = forward_problem(g, first, view, None, first, relu, 1, False)
        self.driver = driver_of(algorithm)
        self.shift = cnp.PyArray_BYTES(view) - cnp.PyArray_BYTES(second)
        self.finite = finite
        self.packed = packed
        if packed is not None:
            self.problem.packed = cnp.PyArray_BYTES(packed)
        self.way = FORWARD if op == "forward" else PHASES
        if algorithm == "scatter":
            self.way = SCATTER
            self.problem.depth_limit = depth_limit(self.kernels, self.problem.filters, False)
            return True
        return self.way == FORWARD or every_pixel_reached(g)
