"""Minimal filtering along rows: the parts of a kernel's rows, and the strips of images.

A strip is four neighbouring outputs of a row.  The columns of a kernel are split by the phases of
the stride, and those of a phase into parts of `taps` taps; a tap that is left over is a single one,
of which each output takes a product of its own.  V is a band of rows of the image, transformed:
V[position][channel][part][phase of rows][row][strip], the positions of parts and then the four of
single taps.  See kernels/strips.h.
"""

from fastconv._core.problem cimport Blocking, Problem

cdef enum:
    STRIP = 4                   # outputs
    MOST_TAPS = 5               # of a part
    MOST_PARTS = 32             # of a row of the kernel, and single taps
    LINE = 64                   # of the cache


# Some taps of a row of the kernel: phase `phase` of the columns, its tap `first` and the next ones.
cdef struct Part:
    Py_ssize_t phase, first, taps


cdef struct Strips:
    const Problem *problem
    const char *packed
    char *wild                              # a byte an image: whether something is not finite
    Blocking blocking                       # of the filters, and the vectors of a panel
    Py_ssize_t taps, positions              # of a part
    Py_ssize_t parts, singles
    Part part[MOST_PARTS]                   # those of several taps, then the single ones
    Py_ssize_t depth, single_depth          # of the sums
    Py_ssize_t strips, bands                # of a row; of an image
    Py_ssize_t phases_h, shift_h, held_rows  # rows of the image that a band reads, of a phase
    Py_ssize_t band_rows                    # of all of them, and those between
    Py_ssize_t part_rows                    # of all phases
    Py_ssize_t plane, single_plane          # elements from position to position in V,
    Py_ssize_t gap, single_gap              # behind the last row of it
    Py_ssize_t columns                      # of a phase of a row, in fours
    Py_ssize_t group_strips, tiles_each     # whose products are held at a time
    Py_ssize_t lines_bytes, split_bytes, v_bytes, m_bytes, held_bytes, offsets_bytes
    Py_ssize_t tile_parts, units, tasks


cdef inline Py_ssize_t filter_depth(const Strips *s) noexcept nogil:
    # packed weights of a filter
    return s.positions * s.depth + s.single_depth


cdef inline Py_ssize_t bytes_of_rows(const Strips *s) noexcept nogil:
    # V, a row of each phase of the rows
    return s.strips * s.problem.channels * s.phases_h * s.problem.kernels.itemsize * (
        s.positions * s.parts + STRIP * s.singles)


# the sizes that the kernel, and the image, say
cdef void cut_kernel(Strips *s, const Problem *p) noexcept nogil
cdef void cut_image(Strips *s) noexcept nogil

# the weights, transformed: to[tile][position][channel, row, part][filter], then the single taps
cdef Py_ssize_t strips_bytes(const Problem *p) noexcept nogil
cdef int pack_strips(const Problem *p, char *to) noexcept nogil

# V for the rows of the output from `row` on; `lines` is workspace
cdef void make_v(const Strips *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row, char *v,
                 char *lines) noexcept nogil

# where a position of V has the first strip of each (channel, row of the kernel, part)
cdef void list_offsets(const Strips *s, Py_ssize_t parts, Py_ssize_t *offsets) noexcept nogil
