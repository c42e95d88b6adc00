"""Packed weights: those a caller has ready, else made in workspace for this call."""

from fastconv._core.problem cimport Problem
from fastconv._core.runtime cimport fc_workspace_give, fc_workspace_take

cdef enum:
    PARALLEL_BYTES = 1 << 18    # less is packed by one thread


# fills `to` with the weights of a problem; -1 if there is no memory
ctypedef int (*packer)(const Problem *problem, char *to) noexcept nogil


# NULL if there is no memory
cdef inline const char *take_packed(const Problem *problem, Py_ssize_t bytes,
                                    packer pack) noexcept nogil:
    cdef char *packed
    if problem.packed != NULL:
        return problem.packed
    packed = <char *> fc_workspace_take(bytes)
    if packed != NULL and pack(problem, packed):
        fc_workspace_give(packed)
        return NULL
    return packed


cdef inline void give_packed(const Problem *problem, const char *packed) noexcept nogil:
    if packed != problem.packed:
        fc_workspace_give(<void *> packed)
