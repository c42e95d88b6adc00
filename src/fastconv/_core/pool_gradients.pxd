cimport numpy as cnp

cpdef avg_pool_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out, int threads)
