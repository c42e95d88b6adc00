"""Convolution of channels-first images with filters of one channel: plane after plane.

    out[n, g, f, i, j] = sum_{r, s} w[g, f, r, s] * x[n, g, y, z]

A padded band of a plane's rows is copied, its columns split by stride; a tile is one vector of some
rows, so that taps of neighbouring rows share what they read.

With a stride, every stride-th row and column of grad_x has taps of its own.  The phases of the
columns are summed side by side and joined on the way out: a row is written once, in whole vectors.
"""

from fastconv._core.patch cimport Patch, copy_patch
from fastconv._core.problem cimport (
    Geometry,
    Phase,
    Problem,
    ceil_div,
    common_divisor,
    count_tasks,
    find_phase,
    larger,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport FC_SLACK, fc_epilogue, fc_tap, parallel_for, plain_epilogue

cdef enum:
    BAND_BYTES = 1 << 15        # in the first cache
    MOST_BAND_BYTES = 1 << 21
    FEWEST = 8                  # rows of a band: a tile's


# Outputs along one axis: those at phase e are e, e + spread, ...  Output e + spread * m reads the
# padded image from m * step - before + shift of its phase on.
cdef struct Axis:
    Py_ssize_t size, spread, count, step, before, reach


# A thread's workspace: the taps and where those of a phase begin, the band, and rows of each phase.
cdef struct Planes:
    const Geometry *geometry     # of grad_x; NULL forward
    const Problem *problem
    Axis rows, columns
    Py_ssize_t filters, w_filter, splits
    Py_ssize_t pitch, tall, strip, strips, units, tasks, held
    Py_ssize_t start_bytes, tap_bytes, band_bytes, held_bytes


cdef inline Phase phase_at(const Geometry *g, bint rows, Py_ssize_t e) noexcept nogil:
    # the phase that pixel e of the image is the first of
    if rows:
        return find_phase(g.height, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top,
                          (e + g.pad_top) % g.stride_h)
    return find_phase(g.width, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left,
                      (e + g.pad_left) % g.stride_w)


cdef Axis gradient_axis(const Geometry *g, bint rows) noexcept nogil:
    cdef Axis axis
    cdef Phase phase
    cdef Py_ssize_t e, ahead = 0
    axis.size = g.height if rows else g.width
    axis.spread = smaller(axis.size, g.stride_h if rows else g.stride_w)
    axis.count = ceil_div(axis.size, g.stride_h if rows else g.stride_w)
    axis.step, axis.before = 1, 0
    for e in range(axis.spread):
        phase = phase_at(g, rows, e)
        if phase.taps > 0:
            axis.before = larger(axis.before, phase.pad)
            ahead = larger(ahead, (phase.taps - 1) * phase.step - phase.pad)
    axis.reach = axis.before + ahead + 1
    return axis


cdef Axis forward_axis(Py_ssize_t size, Py_ssize_t kernel, Py_ssize_t step, Py_ssize_t dilation,
                       Py_ssize_t pad) noexcept nogil:
    cdef Axis axis
    axis.size = axis.count = size
    axis.spread = 1
    axis.step, axis.before, axis.reach = step, pad, (kernel - 1) * dilation + 1
    return axis


cdef void list_forward(const Planes *s, Py_ssize_t *starts, fc_tap *taps) noexcept nogil:
    # a column of the kernel after the other: the kernel likes neighbours in rows
    cdef const Problem *p = s.problem
    cdef Py_ssize_t r, z, k = 0
    starts[0] = 0
    for z in range(p.kernel_w):
        for r in range(p.kernel_h):
            taps[k].x = ((z % s.splits * s.tall + r * p.dilation_h) * s.pitch
                         + z * p.dilation_w // p.stride_w)
            taps[k].w = r * p.w_row + z * p.w_column
            k += 1
    starts[1] = k


cdef void list_gradient(const Planes *s, Py_ssize_t *starts, fc_tap *taps) noexcept nogil:
    # phase after phase, the kernel flipped
    cdef const Problem *p = s.problem
    cdef Py_ssize_t a, b, r, z, k = 0
    cdef Phase h, v
    starts[0] = 0
    for a in range(s.rows.spread):
        h = phase_at(s.geometry, True, a)
        for b in range(s.columns.spread):
            v = phase_at(s.geometry, False, b)
            for z in range(v.taps):
                for r in range(h.taps):
                    taps[k].x = ((s.rows.before - h.pad + r * h.step) * s.pitch
                                 + s.columns.before - v.pad + z * v.step)
                    taps[k].w = ((h.first + (h.taps - 1 - r) * h.every) * p.w_row
                                 + (v.first + (v.taps - 1 - z) * v.every) * p.w_column)
                    k += 1
            starts[a * s.columns.spread + b + 1] = k


cdef void fill_band(const Planes *s, Py_ssize_t plane, Py_ssize_t row, char *band) noexcept nogil:
    # band[split][q][m]: rows from output `row` on, zeros around the image
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, v
    cdef bint forward = s.geometry == NULL
    cdef Patch w
    w.height = p.height if forward else p.out_h
    w.width = p.width if forward else p.out_w
    w.pixel, w.channels = 1, 1
    w.y, w.step_y, w.rows = row * s.rows.step - s.rows.before, 1, s.tall
    w.step_z, w.columns = s.columns.step, s.pitch
    for v in range(s.splits):
        w.z = (v * p.dilation_w % p.stride_w if forward else 0) - s.columns.before
        copy_patch(p.kernels, p.x + plane * w.height * w.width * size, &w, band)
        band += s.tall * s.pitch * size


cdef void join_phases(const Planes *s, const char *held, Py_ssize_t rows, char *out,
                      Py_ssize_t out_row) noexcept nogil:
    # out[row][m * spread + b] = held[row][b][m]
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, spread = s.columns.spread
    cdef Py_ssize_t whole = s.columns.size // spread, left = s.columns.size % spread
    while rows > 0:
        p.kernels.transpose(held, s.held, spread, whole, out, spread, spread)
        if left:
            p.kernels.copy(held + whole * size, s.held, out + whole * spread * size, left)
        held += spread * s.held * size
        out += out_row * size
        rows -= 1


cdef void sum_filter(const Planes *s, Py_ssize_t row, Py_ssize_t rows, const char *w,
                     const fc_epilogue *e, const char *workspace, char *out) noexcept nogil:
    # rows `row`.. of every phase of one output plane
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, wide = s.columns.spread, a, b, k, some
    cdef Py_ssize_t out_row = s.rows.spread * s.columns.size
    cdef const Py_ssize_t *starts = <const Py_ssize_t *> workspace
    cdef const fc_tap *taps = <const fc_tap *> (workspace + s.start_bytes)
    cdef const char *band = workspace + s.start_bytes + s.tap_bytes
    cdef char *held = <char *> band + s.band_bytes
    cdef char *to
    for a in range(s.rows.spread):
        some = smaller(rows, ceil_div(s.rows.size - a, s.rows.spread) - row)
        to = out + (row * s.rows.spread + a) * s.columns.size * size
        for b in range(wide):
            k = a * wide + b
            p.kernels.depthwise_planes(
                band, taps + starts[k], starts[k + 1] - starts[k], s.rows.step * s.pitch, w,
                to if wide == 1 else held + b * s.held * size,
                out_row if wide == 1 else wide * s.held, some, s.columns.count, e)
        if wide > 1:
            join_phases(s, held, some, to, out_row)


cdef void planes_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Planes *s = <const Planes *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, unit, plane, row, rows, f, filter
    cdef Py_ssize_t *starts = <Py_ssize_t *> workspace
    cdef fc_tap *taps = <fc_tap *> (workspace + s.start_bytes)
    cdef char *band = workspace + s.start_bytes + s.tap_bytes
    cdef fc_epilogue e = plain_epilogue(False)
    e.relu = p.relu
    if s.geometry == NULL:
        list_forward(s, starts, taps)
    else:
        list_gradient(s, starts, taps)
    for unit in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        plane = unit // s.strips
        row = share(s.rows.count, s.strips, unit % s.strips)
        rows = share(s.rows.count, s.strips, unit % s.strips + 1) - row
        fill_band(s, plane, row, band)
        for f in range(s.filters):
            filter = plane % p.groups * s.filters + f
            if p.bias != NULL:
                e.row_bias = p.bias + filter * size
            sum_filter(s, row, rows,
                       p.w + (plane % p.groups * p.w_group + f * s.w_filter) * size, &e, workspace,
                       p.out + (plane * s.filters + f) * s.rows.size * s.columns.size * size)


# ------------------------------------------------------------------------------------- plan

cdef void cut(Planes *s, const Geometry *g, const Problem *p) noexcept nogil:
    # g is NULL for the forward pass
    cdef Py_ssize_t lanes = p.kernels.lanes
    s.geometry, s.problem = g, p
    s.splits = 1
    if g == NULL:
        s.filters, s.w_filter = p.filters, p.w_filter
        s.rows = forward_axis(p.out_h, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top)
        s.columns = forward_axis(p.out_w, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left)
        s.splits = smaller(p.kernel_w, p.stride_w // common_divisor(p.stride_w, p.dilation_w))
        s.pitch = round_up(p.out_w, lanes) + (p.kernel_w - 1) * p.dilation_w // p.stride_w
    else:
        s.filters, s.w_filter = p.channels, p.w_channel
        s.rows, s.columns = gradient_axis(g, True), gradient_axis(g, False)
        s.pitch = round_up(s.columns.count, lanes) + s.columns.reach - 1
    s.held = round_up(s.columns.count, lanes) if s.columns.spread > 1 else 0


cdef inline Py_ssize_t band_bytes(const Planes *s, Py_ssize_t rows) noexcept nogil:
    # of the band of `rows` output rows a phase, and what is held of them
    cdef Py_ssize_t tall = (rows - 1) * s.rows.step + s.rows.reach
    return (s.splits * tall * s.pitch + rows * s.columns.spread * s.held) * (
        s.problem.kernels.itemsize)


cdef int run(Planes *s) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, planes = p.samples * p.groups, rows, line
    cdef Py_ssize_t phases = s.rows.spread * s.columns.spread
    line = band_bytes(s, 2) - band_bytes(s, 1)
    rows = larger(FEWEST, (BAND_BYTES - band_bytes(s, 1)) // line + 1)
    if p.threads > 1:
        rows = smaller(rows, larger(FEWEST, ceil_div(s.rows.count * planes, 4 * p.threads)))
    s.strips = ceil_div(s.rows.count, rows)
    rows = ceil_div(s.rows.count, s.strips)
    s.tall = (rows - 1) * s.rows.step + s.rows.reach
    s.units = planes * s.strips
    s.tasks = count_tasks(p, s.units)
    s.start_bytes = round_up((phases + 1) * sizeof(Py_ssize_t), 64)
    s.tap_bytes = round_up(p.kernel_h * p.kernel_w * sizeof(fc_tap), 64)
    s.band_bytes = round_up(s.splits * s.tall * s.pitch * size, 64)
    return parallel_for(planes_task, s, s.tasks, p.threads,
                        s.start_bytes + s.tap_bytes + s.band_bytes
                        + rows * s.columns.spread * s.held * size + FC_SLACK)


cdef Py_ssize_t planes_bytes(const Problem *p) noexcept nogil:
    return 0


cdef int pack_planes(const Problem *p, char *to) noexcept nogil:
    return 0


cdef int run_planes(const Problem *problem) noexcept nogil:
    cdef Planes s
    cut(&s, NULL, problem)
    return run(&s)


cdef int run_planes_gradient(const Geometry *g, const Problem *whole) noexcept nogil:
    cdef Planes s
    cut(&s, g, whole)
    return run(&s)


cdef bint planes_fit(const Geometry *g, const Problem *whole, bint gradient) noexcept nogil:
    cdef Planes s
    cut(&s, g if gradient else NULL, whole)
    if s.pitch > MOST_BAND_BYTES or s.rows.reach > MOST_BAND_BYTES or s.rows.step > 1 << 10 or (
            s.columns.spread * s.rows.spread > 1 << 10 or s.splits > 1 << 10):
        return False
    return band_bytes(&s, FEWEST) <= MOST_BAND_BYTES
