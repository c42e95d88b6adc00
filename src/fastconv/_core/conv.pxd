cimport numpy as cnp

from fastconv._core.problem cimport Geometry
from fastconv._core.runtime cimport fc_kernels

cdef const fc_kernels *kernels_of(cnp.ndarray array)
cdef const Geometry *geometry_of(cnp.ndarray numbers)
