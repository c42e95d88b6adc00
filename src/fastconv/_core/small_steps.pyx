"""Small pools and gradients that are kept: small.pyx finds them again, their drivers run them."""

cimport numpy as cnp

from fastconv._core.conv cimport geometry_of, sum_is_finite
from fastconv._core.pool cimport avg_pool, max_pool
from fastconv._core.pool_gradients cimport avg_pool_grad_x
from fastconv._core.small cimport AXES, Call
from fastconv._core.weights cimport grad_w

from fastconv._core.runtime import SlowNumbers

cnp.import_array()


cdef cnp.ndarray engine_view(cnp.ndarray weights):
    # (kernel_h, kernel_w, channels, filters) as (filters, channels, kernel_h, kernel_w)
    cdef cnp.npy_intp[AXES] axes = [3, 2, 0, 1]
    cdef cnp.PyArray_Dims order
    order.ptr, order.len = axes, AXES
    return cnp.PyArray_Transpose(weights, &order)


cdef class WeightGradient(Call):
    """A grad_w of one of the drivers in weights.pyx."""

    cdef cnp.ndarray numbers
    cdef str algorithm
    cdef bint last, finite, with_bias

    def describe(self, cnp.ndarray numbers, str algorithm, bint last, bint finite, bint with_bias):
        """Say what runs.

        `last`: filters and channels are the last axes of out; `finite` is asked of the result.
        """
        self.numbers, self.algorithm = numbers, algorithm
        self.last, self.finite, self.with_bias = last, finite, with_bias

    cdef object run(self, cnp.ndarray first, object second, object bias, object given):
        cdef cnp.ndarray out = self.new_out(given)
        cdef object sums = None
        cdef cnp.npy_intp filters = geometry_of(self.numbers).filters
        if self.with_bias:
            sums = cnp.PyArray_SimpleNew(1, &filters, self.dtype)
        try:
            grad_w(self.numbers, first, second, engine_view(out) if self.last else out, 1, False,
                   self.algorithm, sums)
        except SlowNumbers:
            return None
        if self.finite and not sum_is_finite(self.kernels, cnp.PyArray_BYTES(out),
                                             cnp.PyArray_SIZE(out)):
            return None
        return (out, sums) if self.with_bias else out


cdef class MaxPool(Call):
    """Maxima, and their indices if they are asked for."""

    cdef cnp.ndarray numbers
    cdef bint indexed

    def describe(self, cnp.ndarray numbers, bint indexed):
        """Say what runs."""
        self.numbers, self.indexed = numbers, indexed

    cdef object run(self, cnp.ndarray first, object second, object bias, object given):
        cdef cnp.ndarray out = self.new_out(given)
        if not self.indexed:
            max_pool(self.numbers, first, out, None, None, False, 1)
            return out
        indices = cnp.PyArray_SimpleNew(AXES, self.out, cnp.NPY_INT64)
        max_pool(self.numbers, first, out, indices, None, False, 1)
        return out, indices


cdef class AveragePool(Call):
    """Means, or their gradient."""

    cdef cnp.ndarray numbers
    cdef bint gradient

    def describe(self, cnp.ndarray numbers, bint gradient):
        """Say what runs."""
        self.numbers, self.gradient = numbers, gradient

    cdef object run(self, cnp.ndarray first, object second, object bias, object given):
        cdef cnp.ndarray out = self.new_out(given)
        if self.gradient:
            avg_pool_grad_x(self.numbers, first, out, 1)
        else:
            avg_pool(self.numbers, first, out, 1)
        return out
