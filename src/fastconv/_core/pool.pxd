cimport numpy as cnp

from fastconv._core.runtime cimport fc_max_kernels
from fastconv._core.windows cimport Geometry

cdef const fc_max_kernels *maximum_of(cnp.ndarray array)

cpdef max_pool(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray out, indices, codes, bint relu,
               int threads)
cpdef avg_pool(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray out, int threads)
cdef average_of(const Geometry *geometry, cnp.ndarray x, cnp.ndarray out, int threads)
