"""What every driver needs: the kernels of the chosen ISA, workspace, and the one parallel loop."""

from libc.stdint cimport int64_t, uint8_t


cdef extern from "kernels/kernels.h" nogil:
    enum:
        FC_MAX_ROWS
        FC_MAX_VECTORS
        FC_MAX_FILTERS
        FC_MAX_LANES
        FC_SLACK
        FC_SPREAD_EACH
        FC_FLOAT32
        FC_FLOAT64
        FC_INT64
        FC_POOL_FLOAT32
        FC_POOL_FLOAT64
        FC_POOL_INT8
        FC_POOL_INT16
        FC_POOL_INT32
        FC_POOL_INT64
        FC_POOL_UINT8
        FC_POOL_UINT16
        FC_POOL_UINT32
        FC_POOL_UINT64
        FC_NO_TAP
        FC_SPREAD
        FC_SGD
        FC_RMSPROP
        FC_ADAM
        FC_RULES

    ctypedef struct fc_epilogue:
        int accumulate
        int relu
        const void *row_bias
        const void *column_bias
        Py_ssize_t ahead, out_ahead

    ctypedef struct fc_copy:
        Py_ssize_t to "to"
        Py_ssize_t source "from"
        Py_ssize_t count

    ctypedef struct fc_windows:
        Py_ssize_t kernel_h, kernel_w, row, spread, step, left, width
        Py_ssize_t pixels, advance, count, ahead, first, pitch
        int relu

    ctypedef struct fc_spread:
        Py_ssize_t kernel_w, stride, dilation, left, pixels, channels

    ctypedef struct fc_share:
        const void *grad
        const uint8_t *codes
        Py_ssize_t tap

    ctypedef struct fc_gather:
        Py_ssize_t height, width, channels, out_h, out_w, kernel, stride, pad

    Py_ssize_t fc_gather_elements(const fc_gather *)

    ctypedef struct fc_weights:
        void *w
        const void *g
        void *momentum
        void *velocity
        void *average_gradient
        void *velocity_hat

    ctypedef struct fc_step:
        double factor, clip, decay, rate
        double momentum, rho, beta_1, beta_2, epsilon
        int nesterov

    ctypedef struct fc_tap:
        Py_ssize_t x, w

    ctypedef struct fc_pixels:
        const void *first
        Py_ssize_t row, step

    ctypedef void (*fc_taps_kernel)(const void *, Py_ssize_t, const void *, const Py_ssize_t *,
                                    void *, Py_ssize_t, Py_ssize_t,
                                    const fc_epilogue *) noexcept nogil
    ctypedef void (*fc_rows_kernel)(const void *const *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                    const void *, void *, Py_ssize_t, Py_ssize_t,
                                    const fc_epilogue *) noexcept nogil
    ctypedef void (*fc_dot_kernel)(const void *const *, Py_ssize_t, const void *const *,
                                   Py_ssize_t, Py_ssize_t, Py_ssize_t, void *,
                                   Py_ssize_t) noexcept nogil

    ctypedef void (*fc_depthwise_kernel)(const void *, const fc_tap *, Py_ssize_t, Py_ssize_t,
                                         const void *, void *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                         const fc_epilogue *) noexcept nogil

    ctypedef struct fc_kernels:
        Py_ssize_t itemsize, lanes, max_rows
        Py_ssize_t *taps_vectors
        Py_ssize_t *rows_vectors
        Py_ssize_t *dot_rows
        fc_taps_kernel taps[9][9]
        fc_rows_kernel rows[9][9]
        fc_dot_kernel dot[9][5]
        void (*pack_pixels)(const fc_copy *, Py_ssize_t, Py_ssize_t, const void *, Py_ssize_t,
                            Py_ssize_t, const void *, void *, Py_ssize_t) noexcept nogil
        void (*scatter)(const void *, Py_ssize_t, Py_ssize_t, const fc_copy *, Py_ssize_t, void *,
                        Py_ssize_t, Py_ssize_t, const fc_epilogue *) noexcept nogil
        void (*transpose)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *, Py_ssize_t,
                          Py_ssize_t) noexcept nogil
        void (*scatter_add)(const void *, void *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*copy)(const void *, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*copy_padded)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *, Py_ssize_t,
                            Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*sum "sum")(const void *, Py_ssize_t, void *) noexcept nogil
        void (*sum_rows)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *) noexcept nogil
        void (*relu_gradient)(const void *, const void *, void *, Py_ssize_t) noexcept nogil
        fc_depthwise_kernel depthwise
        fc_depthwise_kernel depthwise_planes
        void (*depthwise_gradient)(const fc_pixels *, const fc_pixels *, Py_ssize_t, Py_ssize_t,
                                   const fc_tap *, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*spread_groups)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, const void *,
                              Py_ssize_t, void *) noexcept nogil
        void (*sum_windows)(const void *, const fc_windows *, Py_ssize_t, void *) noexcept nogil
        void (*divide)(const void *, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*spread)(const void *, const fc_spread *, void *) noexcept nogil
        void (*spread_means)(const void *, Py_ssize_t, const fc_gather *, Py_ssize_t, void *,
                             void *) noexcept nogil
        void (*winograd_weights)(const void *, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*winograd_input)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *,
                               Py_ssize_t) noexcept nogil
        int (*winograd_output)(const void *, Py_ssize_t, Py_ssize_t, const void *, int, void *,
                               Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*winograd_gradient)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                  Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*winograd_kernel)(const void *, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*strips_input)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                             Py_ssize_t, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*strips_weights)(const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *,
                               Py_ssize_t) noexcept nogil
        int (*strips_output)(const void *, Py_ssize_t, const void *, Py_ssize_t, Py_ssize_t,
                             Py_ssize_t, void *, Py_ssize_t, Py_ssize_t,
                             const fc_epilogue *) noexcept nogil
        void (*sum_shares)(const fc_share *, Py_ssize_t, Py_ssize_t, Py_ssize_t, void *,
                           Py_ssize_t) noexcept nogil
        void (*share_windows)(const void *, const uint8_t *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                              Py_ssize_t, void *) noexcept nogil
        void (*share_pairs)(const void *, const uint8_t *, Py_ssize_t, void *,
                            Py_ssize_t) noexcept nogil
        void (*scatter_shares)(const void *, const uint8_t *, const int64_t *, Py_ssize_t,
                               Py_ssize_t, Py_ssize_t, void *, Py_ssize_t) noexcept nogil
        void (*update[3])(const fc_weights *, Py_ssize_t, const fc_step *) noexcept nogil

    ctypedef struct fc_max_kernels:
        Py_ssize_t itemsize
        void (*fill_lowest)(void *, Py_ssize_t) noexcept nogil
        void (*start)(const void *, Py_ssize_t, void *, int64_t *, Py_ssize_t,
                      int64_t) noexcept nogil
        void (*fold)(const void *, Py_ssize_t, void *, int64_t *, Py_ssize_t,
                     int64_t) noexcept nogil
        void (*max_windows)(const void *, const fc_windows *, void *) noexcept nogil
        void (*max_codes)(const void *, const fc_windows *, void *, uint8_t *) noexcept nogil
        Py_ssize_t (*scatter_indices)(const void *, const int64_t *, Py_ssize_t, Py_ssize_t,
                                      Py_ssize_t, Py_ssize_t, void *) noexcept nogil
        Py_ssize_t (*gather_indices)(const void *, const int64_t *, Py_ssize_t, const fc_gather *,
                                     void *, void *) noexcept nogil

    ctypedef struct fc_isa:
        const char *name
        const fc_kernels *conv[3]
        const fc_max_kernels *pool[10]

    int fc_isa_count()
    const fc_isa *fc_isa_at(int index)
    int fc_isa_usable(int index)
    void *fc_workspace_take(size_t bytes)
    void fc_workspace_give(void *workspace)


# The epilogue of a tile that is stored, or added, as it is.
cdef inline fc_epilogue plain_epilogue(bint accumulate) noexcept nogil:
    cdef fc_epilogue e
    e.accumulate = accumulate
    e.relu = 0
    e.row_bias = e.column_bias = NULL
    e.ahead = e.out_ahead = 0
    return e


# One piece of a parallel loop: `task` is its number, `workspace` its thread's memory.
ctypedef void (*task_function)(void *context, Py_ssize_t task, char *workspace) noexcept nogil

cdef const fc_kernels *conv_kernels(int dtype) noexcept nogil
cdef const fc_max_kernels *pool_kernels(int dtype) noexcept nogil

# Runs function(context, t, workspace) for every t < tasks. Returns 0; -1 if there was no memory,
# or a signal's handler raised, which leaves out what is left of the tasks.
cdef int parallel_for(task_function function, void *context, Py_ssize_t tasks, int threads,
                      size_t workspace) noexcept nogil

# The same for what must not be left half done.
cdef int parallel_for_all(task_function function, void *context, Py_ssize_t tasks, int threads,
                          size_t workspace) noexcept nogil

# Whether a signal's handler raised: then a task, or what is between loops, returns at once. Asked
# where more than a few milliseconds of work may follow.
cdef bint stopped() noexcept nogil

# Raises what the handler raised, else a MemoryError: for a driver that returned -1.
cdef int raise_failure(str message) except -1
