"""The size formulas along one axis, each once, and the limits of sizes.

Everything here counts in Python ints, which never wrap. What passes fits the engine's int64: a
stride, dilation, padding or kernel size is below 2**31, an extent (an image with its padding, a
dilated kernel) at most 2**62, and an array takes fewer than 2**63 bytes at 8 bytes an element.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import describe, value_error
from .plain import PADDING, PADDING_PAIRS, PAIR, Padding, Pair

LARGEST_SIZE = 2**31 - 1
LARGEST_EXTENT = 2**62
_LARGEST_COUNT = (2**63 - 1) // 8


class Axis(NamedTuple):
    """Padding before and after along one axis, and the number of outputs."""

    before: int
    after: int
    out: int


def dilated(kernel: int, dilation: int) -> int:
    """Return how far a kernel reaches.

    Examples
    --------
    >>> dilated(3, 2)
    5
    """
    return (kernel - 1) * dilation + 1


def checked_pair(function: str, argument: str, value: int | Pair, least: int) -> Pair:
    """Return the two numbers of `value`, each between `least` and `LARGEST_SIZE`."""
    first, second = (value, value) if isinstance(value, int) else value
    if not (least <= first <= LARGEST_SIZE and least <= second <= LARGEST_SIZE):
        rule = f"{PAIR}, each from {least} to {LARGEST_SIZE}"
        raise value_error(function, argument, rule, describe(value))
    return first, second


def padding_of_axes(
    function: str, value: Padding, words: bool = True
) -> tuple[str | Pair, str | Pair]:
    """Return the padding of the rows and of the columns: a word, or numbers before and after."""
    if isinstance(value, str):
        return value, value
    rows, columns = (value, value) if isinstance(value, int) else value
    top, bottom = (rows, rows) if isinstance(rows, int) else rows
    left, right = (columns, columns) if isinstance(columns, int) else columns
    if min(top, bottom, left, right) < 0 or max(top, bottom, left, right) > LARGEST_SIZE:
        rule = f"{PADDING if words else PADDING_PAIRS}, each from 0 to {LARGEST_SIZE}"
        raise value_error(function, "padding", rule, describe(value))
    return (top, bottom), (left, right)


def pads(padding: str | Pair, size: int, reach: int, stride: int, flipped: bool) -> Pair:
    """Return the padding before and after in numbers.

    Parameters
    ----------
    padding : str or (int, int)
        A word or the numbers themselves.
    size, reach, stride : int
        The image, the dilated kernel and the stride.
    flipped : bool
        Whose "same": with a flipped kernel (a true convolution) it is SciPy's, whose output is the
        middle of the full one, then subsampled; else that of Keras, which pads as little as the
        stride needs, the odd element after.

    Examples
    --------
    >>> pads("same", 5, 2, 1, flipped=True), pads("same", 5, 2, 1, flipped=False)
    ((1, 0), (0, 1))
    """
    if not isinstance(padding, str):
        return padding
    if padding == "valid":
        return 0, 0
    if padding == "full":
        return reach - 1, reach - 1
    if flipped:
        after = (reach - 1) // 2
        return reach - 1 - after, after
    out = -(-size // stride)
    total = max((out - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def conv_axis(
    padding: str | Pair, size: int, reach: int, stride: int, flipped: bool = False
) -> Axis | None:
    """Return the padding and the outputs of a convolution; None if the kernel does not fit.

    Examples
    --------
    >>> conv_axis((1, 1), 8, 3, 2)
    Axis(before=1, after=1, out=4)
    """
    before, after = pads(padding, size, reach, stride, flipped)
    room = size + before + after - reach
    # Compared before it is divided: a quotient rounded towards zero would leave one output.
    return Axis(before, after, room // stride + 1) if room >= 0 else None


def pool_axis(
    padding: str | Pair, size: int, reach: int, stride: int, ceil_mode: bool
) -> Axis | None:
    """Return the padding and the outputs of a pool; None if the window does not fit.

    With `ceil_mode` a last window, were it the only one, may pass the padded image by less than a
    stride, unless it would begin after the image and the padding before it. This is PyTorch's rule.

    Examples
    --------
    >>> pool_axis((0, 0), 5, 2, 2, ceil_mode=False), pool_axis((0, 0), 5, 2, 2, ceil_mode=True)
    (Axis(before=0, after=0, out=2), Axis(before=0, after=0, out=3))
    """
    if not ceil_mode:
        return conv_axis(padding, size, reach, stride)
    before, after = pads(padding, size, reach, stride, flipped=False)
    out = -(-(size + before + after - reach) // stride) + 1
    if (out - 1) * stride >= size + before:
        out -= 1
    return Axis(before, after, out) if out >= 1 else None


def transposed_size(size: int, reach: int, stride: int, crop: Pair, output_padding: int) -> int:
    """Return the outputs of a transposed convolution, which may come out below 1.

    Examples
    --------
    >>> transposed_size(4, 3, 2, (1, 1), 1)
    8
    """
    return (size - 1) * stride + reach - crop[0] - crop[1] + output_padding


def windows_hold_image(axis: Axis, size: int, kernel: int, stride: int, dilation: int) -> bool:
    """Return whether every window of a pool has a tap inside of the image.

    Window i has its taps at start + j * dilation, where start = i * stride - before. One that
    starts inside of the image is right, one that starts after it is wrong (the last one tells).
    One that starts before it must reach 0, and its first tap from there on, which is start modulo
    dilation, must lie in the image: no question unless the dilation is larger than the image.

    Examples
    --------
    >>> windows_hold_image(Axis(1, 1, 4), 3, 2, 1, 1), windows_hold_image(Axis(1, 1, 1), 1, 2, 1, 2)
    (True, False)
    """
    before, _, out = axis
    if (out - 1) * stride - before >= size or before > (kernel - 1) * dilation:
        return False
    if dilation <= size:
        return True
    starts_before = min(-(-before // stride), out)
    # The number of windows whose first tap from 0 on is not below size, without visiting them:
    # (v % dilation >= size) equals (v + dilation - size) // dilation - v // dilation.
    return _floor_sum(starts_before, dilation, stride, dilation - size - before) == _floor_sum(
        starts_before, dilation, stride, -before
    )


def _floor_sum(count: int, divisor: int, step: int, offset: int) -> int:
    """Return the sum of (step * i + offset) // divisor over i below count, in Euclid's steps."""
    total = 0
    while True:
        total += step // divisor * (count * (count - 1) // 2) + offset // divisor * count
        step, offset = step % divisor, offset % divisor
        height = step * count + offset
        if height < divisor:
            return total
        # What is left are the lattice points under a line: count them along the other axis.
        count, offset = divmod(height, divisor)
        step, divisor = divisor, step


def check_extent(function: str, argument: str, size: int, *axes: Axis) -> None:
    """Raise unless the largest image with its padding leaves the engine room to count."""
    extent = size + max(axis.before + axis.after for axis in axes)
    if extent > LARGEST_EXTENT:
        rule = "small enough for a padded image of at most 2**62 rows and columns"
        raise value_error(function, argument, rule, extent)


def check_count(function: str, argument: str, what: str, shape: tuple[int, ...]) -> None:
    """Raise unless an array of this shape has its size in bytes in an int64."""
    count = 1
    for extent in shape:
        # As NumPy does, also when there is nothing in it.
        count *= max(extent, 1)
    if count > _LARGEST_COUNT:
        rule = f"small enough to keep {what} below 2**63 bytes"
        raise value_error(function, argument, rule, f"shape {shape}")
