"""What all twins walk over: the taps; and how they round."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np


def quiet(function):
    """Let function make inf and NaN without a warning: they are what is asked for."""
    return np.errstate(invalid="ignore", over="ignore")(function)


@quiet
def narrow(array, dtype):
    return array.astype(dtype, order="C")


def taps(g):
    """Yield each tap's row and column, the outputs it serves, and the pixels they read."""
    for row in range(g.kernel_h):
        start = row * g.dilation_h - g.pad_top
        out_rows, image_rows = _inside(start, g.stride_h, g.out_h, g.height)
        for column in range(g.kernel_w):
            start = column * g.dilation_w - g.pad_left
            out_columns, image_columns = _inside(start, g.stride_w, g.out_w, g.width)
            yield row, column, (..., out_rows, out_columns), (..., image_rows, image_columns)


def _inside(start, stride, outputs, size):
    """Return the i with 0 <= start + i * stride < size, and those positions, as two slices."""
    first = max(0, -(start // stride))
    end = min(outputs, (size - 1 - start) // stride + 1)
    if end <= first:
        return slice(0), slice(0)
    return slice(first, end), slice(start + first * stride, start + (end - 1) * stride + 1, stride)
