"""Arrays made in a block of code take the memory of those that were freed there.

Fresh memory costs a page fault for every page, more than many a layer computes in the time. A step
of training makes the same arrays again and again.
"""

cimport numpy as cnp

cdef extern from "recycling_support.h":
    object fc_new_recycler()
    void fc_drain_capsule(object capsule)

cdef extern from "numpy/arrayobject.h":
    object PyDataMem_GetHandler()
    object PyDataMem_SetHandler(object handler)

cnp.import_array()


cdef class Recycler:
    """Memory that waits for arrays: of one owner, who may use it in many threads at once.

    A copy, and what is unpickled, has memory of its own.
    """

    cdef object capsule

    def __cinit__(self):
        self.capsule = fc_new_recycler()

    def use(self):
        """Return a context manager: arrays made in its block, in this thread, take what waits."""
        return Use(self.capsule)

    def release(self):
        """Return to the system what waits."""
        fc_drain_capsule(self.capsule)

    def __reduce__(self):
        return Recycler, ()


cdef class Use:
    """One block of code in which arrays take a recycler's memory."""

    cdef object capsule, before

    def __cinit__(self, capsule):
        self.capsule = capsule

    def __enter__(self):
        self.before = PyDataMem_GetHandler()
        try:
            PyDataMem_SetHandler(self.capsule)
        except MemoryError:  # of which it can run out after it has set it
            PyDataMem_SetHandler(self.before)
            raise

    def __exit__(self, kind, error, traceback):
        try:
            PyDataMem_SetHandler(self.before)
        except MemoryError:  # what waits may be what it is short of
            fc_drain_capsule(self.capsule)
            PyDataMem_SetHandler(self.before)
