cimport numpy as cnp

from fastconv._core.runtime cimport fc_max_kernels

cdef const fc_max_kernels *maximum_of(cnp.ndarray array)
