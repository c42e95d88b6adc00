"""Products of row-major matrices, for dense layers: c[i, j] = sum_k a[i, k] * b[k, j] (+ bias[j]).

One of the two may be transposed, as the gradients need: then a[i, k] lies at a[k][i], or b[k, j] at
b[j][k].  A task packs a block of b at a time, as wide as stays in the cache, and multiplies it with
its rows of a, which are read as they lie (Goto & van de Geijn 2008, b in the place of a).  Where
rows are few this reads b once and in its order, so that large weights come at the speed of memory.
"""

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.problem cimport ceil_div, depth_limit, larger, round_up, share, smaller
from fastconv._core.runtime cimport (
    FC_MAX_ROWS,
    FC_SLACK,
    fc_epilogue,
    fc_kernels,
    parallel_for,
    plain_epilogue,
    raise_failure,
    stopped,
)

cnp.import_array()

cdef enum:
    PACKED_BYTES = 1 << 18      # a block of b, in the second cache
    LEAST_DEPTH = 32            # sums shorter than this pay too much for c
    LEAST_ROWS = 128            # fewer rows of a do not pay for packing b once more
    FEW_ROWS = 3                # so few do not pay for packing it at all
    MOST_DEPTH = 384            # what depth_limit returns at the most


cdef struct Products:
    const fc_kernels *kernels
    const char *a
    const char *b
    const char *bias
    char *c
    Py_ssize_t rows, depth, columns
    Py_ssize_t a_row, a_step, b_row     # elements from row to row of a, along k, from row to row
    bint b_transposed
    Py_ssize_t vectors, panels, height
    Py_ssize_t blocks, row_parts, panel_parts


cdef void pack_panel(const Products *s, Py_ssize_t panel, Py_ssize_t k0, Py_ssize_t depth,
                     char *to) noexcept nogil:
    # to[k][lane] = b[k0 + k, first + lane], zeros beyond the last column
    cdef Py_ssize_t size = s.kernels.itemsize
    cdef Py_ssize_t first = share(s.vectors, s.panels, panel) * s.kernels.lanes
    cdef Py_ssize_t wide = share(s.vectors, s.panels, panel + 1) * s.kernels.lanes - first
    cdef Py_ssize_t columns = smaller(wide, s.columns - first)
    if s.b_transposed:
        s.kernels.transpose(s.b + (first * s.b_row + k0) * size, s.b_row, columns, depth, to,
                            wide, wide)
    else:
        s.kernels.copy_padded(s.b + (k0 * s.b_row + first) * size, s.b_row, 1, depth, to, wide,
                              wide, 0, columns)


cdef void multiply_block(const Products *s, Py_ssize_t block, Py_ssize_t row0, Py_ssize_t row1,
                         Py_ssize_t panel0, Py_ssize_t panel1, char *packed) noexcept nogil:
    # rows row0..row1-1 with one block of depth of the panels
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes, tile, i, panel, at
    cdef Py_ssize_t k0 = share(s.depth, s.blocks, block), first, height, vectors
    cdef Py_ssize_t depth = share(s.depth, s.blocks, block + 1) - k0
    cdef Py_ssize_t tiles = ceil_div(row1 - row0, s.height)
    cdef Py_ssize_t start = share(s.vectors, s.panels, panel0) * lanes
    cdef const void *rows[FC_MAX_ROWS]
    cdef fc_epilogue e = plain_epilogue(block > 0)
    for panel in range(panel0, panel1):
        at = share(s.vectors, s.panels, panel) * lanes - start
        pack_panel(s, panel, k0, depth, packed + at * depth * size)
    for tile in range(tiles):
        if stopped():
            return
        first = row0 + share(row1 - row0, tiles, tile)
        height = row0 + share(row1 - row0, tiles, tile + 1) - first
        for i in range(height):
            rows[i] = s.a + ((first + i) * s.a_row + k0 * s.a_step) * size
        for panel in range(panel0, panel1):
            at = share(s.vectors, s.panels, panel)
            vectors = share(s.vectors, s.panels, panel + 1) - at
            at *= lanes
            if s.bias != NULL and block == s.blocks - 1:
                e.column_bias = s.bias + at * size
            s.kernels.rows[height][vectors](
                rows, 1, depth, s.a_step, packed + (at - start) * depth * size,
                s.c + (first * s.columns + at) * size, s.columns,
                smaller(vectors * lanes, s.columns - at), &e)


cdef void multiply_rows(const Products *s, Py_ssize_t block, Py_ssize_t panel0, Py_ssize_t panel1,
                        char *packed) noexcept nogil:
    # the same for few rows: one at a time, with the whole vectors of b as they lie
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes, i, k, at, vectors
    cdef Py_ssize_t k0 = share(s.depth, s.blocks, block)
    cdef Py_ssize_t depth = share(s.depth, s.blocks, block + 1) - k0
    cdef Py_ssize_t start = share(s.vectors, s.panels, panel0), most = s.kernels.taps_vectors[1]
    cdef bint ragged = panel1 == s.panels and s.columns % lanes != 0
    cdef Py_ssize_t stop = share(s.vectors, s.panels, panel1 - 1 if ragged else panel1)
    cdef Py_ssize_t offsets[MOST_DEPTH]
    cdef fc_epilogue e = plain_epilogue(block > 0)
    for k in range(depth):
        offsets[k] = k * s.b_row
    for i in range(s.rows):
        at = start
        while at < stop:
            vectors = smaller(most, stop - at)
            if s.bias != NULL and block == s.blocks - 1:
                e.column_bias = s.bias + at * lanes * size
            s.kernels.taps[1][vectors](
                s.a + (i * s.a_row + k0) * size, depth, s.b + (k0 * s.b_row + at * lanes) * size,
                offsets, s.c + (i * s.columns + at * lanes) * size, s.columns, vectors * lanes, &e)
            at += vectors
    if ragged:  # no whole vector to read
        multiply_block(s, block, 0, s.rows, panel1 - 1, panel1, packed)


cdef void products_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Products *s = <const Products *> context
    cdef Py_ssize_t part = task % s.panel_parts, piece = task // s.panel_parts, block
    cdef Py_ssize_t panel0 = share(s.panels, s.panel_parts, part)
    cdef Py_ssize_t panel1 = share(s.panels, s.panel_parts, part + 1)
    for block in range(s.blocks):
        if s.rows <= FEW_ROWS and not s.b_transposed and s.a_step == 1:
            multiply_rows(s, block, panel0, panel1, workspace)
        else:
            multiply_block(s, block, share(s.rows, s.row_parts, piece),
                           share(s.rows, s.row_parts, piece + 1), panel0, panel1, workspace)


cdef Py_ssize_t plan_products(Products *s, int threads) noexcept nogil:
    # returns the bytes of workspace a thread needs; the blocks of depth do not depend on threads
    cdef const fc_kernels *k = s.kernels
    cdef Py_ssize_t wide, depth = depth_limit(k, s.depth, False)
    s.vectors = ceil_div(s.columns, k.lanes)
    s.panels = ceil_div(s.vectors, k.rows_vectors[1])
    s.height = k.max_rows
    while k.rows_vectors[s.height] < ceil_div(s.vectors, s.panels):
        s.height -= 1
    if not s.b_transposed:  # whole rows of b, a few of them, are read in their order
        wide = s.vectors * k.lanes * k.itemsize
        depth = smaller(depth, larger(LEAST_DEPTH, PACKED_BYTES // wide))
    s.blocks = ceil_div(s.depth, depth)
    depth = ceil_div(s.depth, s.blocks)
    wide = ceil_div(s.vectors, s.panels) * k.lanes * depth * k.itemsize  # bytes of a panel
    s.panel_parts = ceil_div(s.panels, larger(1, PACKED_BYTES // wide))
    s.row_parts = 1
    if threads > 1:
        s.row_parts = smaller(4 * threads, ceil_div(s.rows, LEAST_ROWS))
        if s.row_parts * s.panel_parts < 2 * threads:
            s.panel_parts = smaller(s.panels, ceil_div(2 * threads, s.row_parts))
    return round_up(ceil_div(s.panels, s.panel_parts) * wide, 64) + FC_SLACK


def multiply(cnp.ndarray a, cnp.ndarray b, cnp.ndarray c, bias, bint a_transposed,
             bint b_transposed, int threads):
    """Fill c with a @ b, plus the bias for each column; all are matrices in C order, none empty."""
    cdef Products s
    cdef int failed
    s.kernels = kernels_of(c)
    s.a, s.b, s.c = cnp.PyArray_BYTES(a), cnp.PyArray_BYTES(b), cnp.PyArray_BYTES(c)
    s.bias = NULL if bias is None else cnp.PyArray_BYTES(bias)
    s.rows, s.columns = cnp.PyArray_DIM(c, 0), cnp.PyArray_DIM(c, 1)
    s.depth = cnp.PyArray_DIM(a, 0 if a_transposed else 1)
    s.a_row, s.a_step = cnp.PyArray_DIM(a, 1), 1
    s.b_row, s.b_transposed = cnp.PyArray_DIM(b, 1), b_transposed
    if a_transposed:
        s.a_row, s.a_step = s.a_step, s.a_row
    workspace = plan_products(&s, threads)
    with nogil:
        failed = parallel_for(products_task, &s, s.row_parts * s.panel_parts, threads, workspace)
    if failed:
        raise_failure("no memory for the workspace of a product")
