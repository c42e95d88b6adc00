"""The way of channels-first convolution by panels: implicit GEMM.

The pixels of all images stand in one line; a few panels of them are gathered for one block of
depth, then multiplied with all filters (Goto & van de Geijn 2008, the filters' tiles outside, the
panels inside).
"""

from libc.string cimport memset

from fastconv._core.packing cimport give_packed, take_packed
from fastconv._core.problem cimport (
    Blocking,
    Depth,
    Problem,
    after_inside,
    ceil_div,
    depth_block,
    first_inside,
    larger,
    make_blocking,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport FC_SLACK, fc_copy, fc_kernels, parallel_for
from fastconv._core.taps cimport (
    MAX_DEPTH,
    Panel,
    Taps,
    contiguous_filters,
    flatten,
    multiply,
    pack_taps,
    taps_bytes,
)

cdef enum:
    GROUP_BYTES = 400 * 1024    # panels, or sums, of one group: they share the cache with weights
    ITEMS_BYTES = 1 << 20       # lists of what to gather for a group: long where rows are short
    FEW_PIXELS = 300            # fewer do not pay for packing the weights


# A thread's workspace: the table of panels and their segments, what to gather, then the panels.
cdef struct Panels:
    Taps taps
    Py_ssize_t tasks, pixels, vectors, panels, panel_parts, together, items_bytes, table_bytes


cdef Py_ssize_t find_targets(const Panels *s, Py_ssize_t start, Py_ssize_t stop,
                             fc_copy *segments) noexcept nogil:
    # where the pixels start..stop-1 of all images go: runs of neighbours in out
    cdef const Problem *p = s.taps.problem
    cdef Py_ssize_t at = start, rest, to, length, count = 0
    while at < stop:
        rest = at % (p.out_h * p.out_w)
        length = smaller(p.out_w - rest % p.out_w, stop - at)
        to = (at // (p.out_h * p.out_w) * p.out_sample + rest // p.out_w * p.out_row
              + rest % p.out_w * p.out_column)
        if count and p.out_column == 1 and (
                to == segments[count - 1].to + segments[count - 1].count):
            segments[count - 1].count += length
        else:
            segments[count].to = to
            segments[count].source = at - start
            segments[count].count = length
            count += 1
        at += length
    return count


cdef inline void add_item(fc_copy *items, Py_ssize_t *count, Py_ssize_t to, Py_ssize_t source,
                          Py_ssize_t length) noexcept nogil:
    cdef fc_copy *last = &items[count[0] - 1]
    if length <= 0:
        return
    if count[0] and source < 0 and last.source < 0 and last.to + last.count == to:
        last.count += length
        return
    items[count[0]].to = to
    items[count[0]].source = source
    items[count[0]].count = length
    count[0] += 1


cdef Py_ssize_t list_items(const Panels *s, const Depth *d, const Panel *panel, Py_ssize_t pitch,
                           Py_ssize_t to, fc_copy *items) noexcept nogil:
    # what to copy, and where zeros go, for every tap of the block and every row of pixels
    cdef const Problem *p = s.taps.problem
    cdef Py_ssize_t t, at, n, i, j, y, low, high, stop, shift, made = 0
    cdef Py_ssize_t image = p.groups * p.channels * p.height * p.width
    for t in range(d.t0, d.t1):
        shift = t % p.kernel_w * p.dilation_w - p.pad_left
        at = panel.start
        while at < panel.start + panel.columns:
            n = at // (p.out_h * p.out_w)
            i = at % (p.out_h * p.out_w) // p.out_w
            j = at % p.out_w
            stop = smaller(p.out_w, j + panel.start + panel.columns - at)
            y = i * p.stride_h - p.pad_top + t // p.kernel_w * p.dilation_h
            low = j
            high = j
            if 0 <= y < p.height:
                low = smaller(stop, first_inside(shift, p.stride_w, j))
                high = larger(low, after_inside(shift, p.stride_w, p.width, stop))
            add_item(items, &made, to, -1, low - j)
            add_item(items, &made, to + low - j,
                     n * image + y * p.width + low * p.stride_w + shift, high - low)
            add_item(items, &made, to + high - j, -1, stop - high)
            to += stop - j
            at += stop - j
        to += pitch - panel.columns
    return made


# one panel's pixels, a whole depth block, and what packing may write past it
cdef inline Py_ssize_t panel_bytes(const Panels *s) noexcept nogil:
    cdef const fc_kernels *k = s.taps.problem.kernels
    cdef Py_ssize_t depth = s.taps.blocking.channels_each * s.taps.blocking.taps_each
    return depth * s.taps.blocking.vectors * k.lanes * k.itemsize + FC_SLACK


cdef void describe_panel(const Panels *s, Py_ssize_t number, Panel *panel) noexcept nogil:
    cdef Py_ssize_t lanes = s.taps.problem.kernels.lanes
    panel.start = share(s.vectors, s.panels, number) * lanes
    panel.vectors = share(s.vectors, s.panels, number + 1) - panel.start // lanes
    panel.columns = smaller(s.pixels - panel.start, panel.vectors * lanes)
    panel.count = find_targets(s, panel.start, panel.start + panel.columns, panel.segments)


cdef void panel_group(const Panels *s, Py_ssize_t group, Py_ssize_t first, Py_ssize_t count,
                      Py_ssize_t part, char *workspace) noexcept nogil:
    # gather `count` panels from `first` on, one depth block after the other, and multiply
    cdef const Problem *p = s.taps.problem
    cdef const Blocking *b = &s.taps.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, pitch = b.vectors * p.kernels.lanes, block, i, k
    cdef Py_ssize_t made
    cdef Py_ssize_t offsets[MAX_DEPTH]
    cdef Panel *panels = <Panel *> workspace
    cdef fc_copy *segments = <fc_copy *> (panels + s.together)
    cdef fc_copy *items = <fc_copy *> (workspace + s.table_bytes)
    cdef char *packed = workspace + s.table_bytes + s.items_bytes
    cdef Depth d
    if s.taps.packed == NULL:  # that kernel takes its panel without gaps
        pitch = (share(s.vectors, s.panels, first + 1) - share(s.vectors, s.panels, first)) * (
            p.kernels.lanes)
    for k in range(p.depth_limit):
        offsets[k] = k * pitch
    for i in range(count):
        panels[i].x = packed + i * panel_bytes(s)
        panels[i].segments = segments
        describe_panel(s, first + i, &panels[i])
        segments += panels[i].count
    for block in range(b.blocks):
        d = depth_block(p, b, block)
        made = 0
        for i in range(count):
            made += list_items(s, &d, &panels[i], pitch,
                               i * panel_bytes(s) // size, items + made)
            if panels[i].columns < panels[i].vectors * p.kernels.lanes:
                # lanes without a pixel; see fill_band in direct.pyx
                memset(<char *> panels[i].x, 0, d.depth * pitch * size)
        p.kernels.pack_pixels(
            items, made, p.stride_w,
            p.x + (group * p.channels + d.c0) * p.height * p.width * size, p.height * p.width,
            d.c1 - d.c0, p.x_end, packed, (d.t1 - d.t0) * pitch)
        multiply(&s.taps, &d, block, group, part, panels, count, offsets,
                 p.out + group * p.out_group * size)


cdef void panel_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Panels *s = <const Panels *> context
    cdef Py_ssize_t part = task % s.taps.tile_parts, rest = task // s.taps.tile_parts
    cdef Py_ssize_t piece = rest % s.panel_parts, group = rest // s.panel_parts, i
    cdef Py_ssize_t first = share(s.panels, s.panel_parts, piece)
    cdef Py_ssize_t count = share(s.panels, s.panel_parts, piece + 1) - first
    cdef Py_ssize_t groups = ceil_div(count, s.together)
    for i in range(groups):
        panel_group(s, group, first + share(count, groups, i),
                    share(count, groups, i + 1) - share(count, groups, i), part, workspace)


# ----------------------------------------------------------------------------------- plan

cdef Py_ssize_t plan_panels(Panels *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.taps.problem
    cdef const Blocking *b = &s.taps.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, pitch = b.vectors * p.kernels.lanes, items, segments
    s.pixels = p.samples * p.out_h * p.out_w
    s.vectors = ceil_div(s.pixels, p.kernels.lanes)
    s.panels = ceil_div(s.vectors, b.vectors)
    # as many panels together as leave their pixels and sums in the second-level cache
    s.together = smaller(GROUP_BYTES // panel_bytes(s), GROUP_BYTES // (p.filters * pitch * size))
    segments = smaller(pitch, pitch // p.out_w + 2)
    items = b.taps_each * segments * 3 * sizeof(fc_copy)
    s.together = larger(1, smaller(s.together, ITEMS_BYTES // items))
    if s.taps.packed == NULL:
        s.together = 1
    s.panel_parts = ceil_div(s.panels, s.together)
    if p.threads > 1:
        s.panel_parts = smaller(s.panels, round_up(s.panel_parts, 4 * p.threads))
    s.together = smaller(s.together, ceil_div(s.panels, s.panel_parts))
    s.taps.tile_parts = 1
    if p.threads > 1 and p.groups * s.panel_parts < 2 * p.threads:
        s.taps.tile_parts = smaller(b.tiles, ceil_div(2 * p.threads, p.groups * s.panel_parts))
    s.tasks = p.groups * s.panel_parts * s.taps.tile_parts
    s.table_bytes = round_up(s.together * (sizeof(Panel) + segments * sizeof(fc_copy)), 64)
    s.items_bytes = round_up(s.together * items, 64)
    return s.table_bytes + s.items_bytes + s.together * panel_bytes(s)


cdef int run_panels(const Problem *problem) noexcept nogil:
    cdef Panels s
    cdef Problem p = flatten(problem)
    cdef int failed
    cdef bint unpacked = (p.packed == NULL and p.samples * p.out_h * p.out_w <= FEW_PIXELS
                          and contiguous_filters(&p))
    s.taps.problem = &p
    s.taps.packed = NULL
    s.taps.blocking = make_blocking(&p, 3 if unpacked else 8)
    if not unpacked:
        s.taps.packed = take_packed(&p, taps_bytes(&p), pack_taps)
        if s.taps.packed == NULL:
            return -1
    workspace = plan_panels(&s)
    failed = parallel_for(panel_task, &s, s.tasks, p.threads, workspace)
    give_packed(&p, s.taps.packed)
    return failed
