"""A patch of an image with zeros around it: the one place where drivers copy padded rows.

    to[i, j, c] = image[y + i * step_y, z + j * step_z, c], or 0 outside of the image
    to[c, i, j], the same turned
"""

from libc.string cimport memset

from fastconv._core.problem cimport after_inside, first_inside, larger, smaller
from fastconv._core.runtime cimport fc_kernels


cdef struct Patch:
    Py_ssize_t height, width         # of the image
    Py_ssize_t pixel, channels       # elements from pixel to pixel, and how many are copied
    Py_ssize_t y, z, step_y, step_z  # step_z is 1 unless pixels are single elements
    Py_ssize_t rows, columns         # of the copy


cdef inline void copy_patch(const fc_kernels *kernels, const char *image, const Patch *w,
                             char *to) noexcept nogil:
    cdef Py_ssize_t size = kernels.itemsize, each = w.channels, row = w.columns * each
    cdef Py_ssize_t top = smaller(w.rows, first_inside(w.y, w.step_y, 0))
    cdef Py_ssize_t bottom = larger(top, after_inside(w.y, w.step_y, w.height, w.rows))
    cdef Py_ssize_t low = smaller(w.columns, first_inside(w.z, w.step_z, 0))
    cdef Py_ssize_t high = larger(low, after_inside(w.z, w.step_z, w.width, w.columns))
    if low == high:
        top = bottom = w.rows
    memset(to, 0, top * row * size)
    memset(to + bottom * row * size, 0, (w.rows - bottom) * row * size)
    image += ((w.y + top * w.step_y) * w.width + w.z + low * w.step_z) * w.pixel * size
    to += top * row * size
    if each == w.pixel:
        kernels.copy_padded(image, w.step_y * w.width * each, w.step_z, bottom - top, to, row, row,
                            low * each, high * each)
        return
    while top < bottom:  # some channels of every pixel: its pixels are short rows
        memset(to, 0, low * each * size)
        kernels.copy_padded(image, w.pixel, 1, high - low, to + low * each * size, each, each, 0,
                            each)
        memset(to + high * each * size, 0, (w.columns - high) * each * size)
        image += w.step_y * w.width * w.pixel * size
        to += row * size
        top += 1


cdef inline void turn_patch(const fc_kernels *kernels, const char *image, const Patch *w, char *to,
                            Py_ssize_t plane) noexcept nogil:
    # the channels of a patch one after the other, `plane` elements apart
    cdef Py_ssize_t size = kernels.itemsize, pixel = w.step_z * w.pixel, c
    cdef Py_ssize_t top = smaller(w.rows, first_inside(w.y, w.step_y, 0))
    cdef Py_ssize_t bottom = larger(top, after_inside(w.y, w.step_y, w.height, w.rows))
    cdef Py_ssize_t low = smaller(w.columns, first_inside(w.z, w.step_z, 0))
    cdef Py_ssize_t high = larger(low, after_inside(w.z, w.step_z, w.width, w.columns))
    cdef Py_ssize_t rows = bottom - top, count = high - low
    if low == high or rows < w.rows or count < w.columns:
        for c in range(w.channels):
            memset(to + c * plane * size, 0, w.rows * w.columns * size)
    if low == high:
        return
    image += ((w.y + top * w.step_y) * w.width + w.z + low * w.step_z) * w.pixel * size
    to += (top * w.columns + low) * size
    if count == w.columns and w.step_y * w.width == w.columns * w.step_z:  # rows are one run
        count *= rows
        rows = smaller(rows, 1)
    while rows > 0:
        kernels.transpose(image, pixel, count, w.channels, to, plane, count)
        image += w.step_y * w.width * w.pixel * size
        to += w.columns * size
        rows -= 1
