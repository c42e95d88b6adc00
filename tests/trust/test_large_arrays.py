"""Arrays past 4 GiB and past 2**31 elements, full of data: forward, gradients, pools.

tests/test_large.py has arrays of zeros, which take no memory, and runs with all tests; this is the
long form. Data repeats along one axis, samples or rows, in a period that divides no power of two.
So do results: the twin's of a small problem tell every element, and who reads or writes 2**32
bytes or 2**31 elements beside finds another phase.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pytest
from arrays import generator
from cases import DATA_FORMATS, Case, PoolCase

import fastconv as fc
from fastconv import reference
from fastconv.geometry import conv_geometry, pool_geometry
from fastconv.ops.pool_codes import max_pool2d_codes, max_pool2d_codes_grad_x

pytestmark = pytest.mark.soak
SAMPLES, ROWS = 0, 2
SPARE = 2 << 30  # bytes that are left to others
CHUNK = 1 << 23  # elements at once
ERROR = 1e-5  # as a share of the largest value
formats = pytest.mark.parametrize("data_format", DATA_FORMATS)


@dataclass(frozen=True)
class Large:
    """A small problem, and how many more elements the large one has along an axis.

    `period` is that of x, `out_period` that of results.
    """

    case: Case | PoolCase
    axis: int
    more: int
    period: int = 5
    out_period: int = 5

    def __str__(self):
        return self.case.name


class Stretched:
    """A small NCHW array whose middle repeats along an axis, in the layout of data_format."""

    def __init__(self, small, axis, period, more, data_format):
        begin, length = (small.shape[axis] - period) // 2, small.shape[axis] + more
        index = np.arange(length)
        repeated = begin + (index - begin) % period
        end = begin + period + more
        self.index = np.where(index < begin, index, np.where(index < end, repeated, index - more))
        self.axis, self.small = axis, small
        if data_format == "NHWC":
            self.axis, self.small = {SAMPLES: 0, ROWS: 1}[axis], small.transpose(0, 2, 3, 1).copy()
        shape = self.small.shape
        self.shape = (*shape[: self.axis], length, *shape[self.axis + 1 :])

    def parts(self):
        """Yield where parts of the large array are, and what is there."""
        step = max(1, CHUNK * self.shape[self.axis] // prod(self.shape))
        for begin in range(0, self.shape[self.axis], step):
            part = slice(begin, begin + step)
            yield (slice(None),) * self.axis + (part,), self.small.take(self.index[part], self.axis)

    def fill(self, large):
        """Write it."""
        for where, values in self.parts():
            large[where] = values
        return large

    def check(self, large, error=ERROR):
        """Compare all elements."""
        assert large.shape == self.shape
        most = error * float(np.abs(self.small).max())
        for where, values in self.parts():
            found = large[where]
            right = np.abs(found - values) <= most if error else found == values
            assert right.all(), where


def repeating(name, shape, axis, period, dtype=np.float32):
    """Return small integers that repeat along an axis, the same ones whatever its length."""
    shape, length = list(shape), shape[axis]
    shape[axis] = period
    part = generator(name).integers(-4, 5, shape).astype(dtype)
    return part.take(np.arange(length) % period, axis)


def longer(shape, axis, more):
    return (*shape[:axis], shape[axis] + more, *shape[axis + 1 :])


def needs(*bytes_wanted):
    """Skip if the memory isn't there."""
    wanted = sum(bytes_wanted) + SPARE
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        pytest.skip("only Linux says how much memory there is")
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    if free < wanted:
        pytest.skip(f"{wanted >> 20} MiB of memory are asked for, {free >> 20} are available")


# 5 samples, and as many times these that an array has more than 4 GiB; then single large images
CONVOLUTIONS = (
    Large(Case("winograd", (5, 16, 30, 31), (16, 16, 3, 3), 1, 1), SAMPLES, 75_000),
    Large(Case("strips", (5, 3, 56, 50), (64, 3, 7, 7), 2, 3), SAMPLES, 25_000),
    Large(Case("direct", (5, 3, 32, 30), (8, 3, 3, 3), 1, 1), SAMPLES, 150_000),
    Large(Case("1x1", (5, 8, 31, 33), (8, 8, 1, 1)), SAMPLES, 140_000),
    Large(Case("strided", (5, 32, 14, 15), (16, 32, 3, 3), 2, 1), SAMPLES, 170_000),
    Large(Case("depthwise", (5, 16, 21, 23), (16, 1, 3, 3), 1, 1, 1, 16), SAMPLES, 150_000),
    Large(Case("grouped", (5, 32, 9, 9), (32, 8, 3, 3), 1, 1, 1, 4), SAMPLES, 450_000),
    Large(Case("x_past_2**31", (1, 1, 180, 32771), (1, 1, 3, 3), 3), ROWS, 65_700, 15),
    Large(Case("out_past_2**31", (1, 1, 60, 16411), (4, 1, 3, 3), 1, 1), ROWS, 33_000),
)


@formats
@pytest.mark.parametrize("large", CONVOLUTIONS, ids=str)
def test_convolutions(large, data_format):
    case, axis = large.case, large.axis
    more_out = large.more // large.period * large.out_period
    out_shape = conv_geometry("test", case.x, case.w, **case.keywords, data_format="NCHW").out_shape
    wanted = [longer(case.x, axis, large.more), longer(out_shape, axis, more_out)]
    assert max(4 * prod(shape) for shape in wanted) > 2**32
    needs(*(4 * prod(shape) for shape in wanted))

    def stretched(array, period, more):
        return Stretched(array, axis, period, more, data_format)

    def small_grad_w(periods):
        x_shape = longer(case.x, axis, periods * large.period)
        grad_shape = longer(out_shape, axis, periods * large.out_period)
        x = repeating("x", x_shape, axis, large.period, float)
        grad = repeating("grad", grad_shape, axis, large.out_period, float)
        return reference.conv2d_grad_w(grad, x, case.w, **case.keywords)

    small_x = repeating("x", case.x, axis, large.period)
    small_grad = repeating("grad", out_shape, axis, large.out_period)
    w = generator("w").integers(-4, 5, case.w).astype(np.float32)
    stored = w if data_format == "NCHW" else w.transpose(2, 3, 1, 0).copy()
    keywords = {**case.keywords, "data_format": data_format}

    x_like = stretched(small_x, large.period, large.more)
    x = x_like.fill(np.empty(x_like.shape, np.float32))
    out = fc.conv2d(x, stored, **keywords)
    want = reference.conv2d(small_x.astype(float), w, **case.keywords)
    stretched(want, large.out_period, more_out).check(out)

    grad = stretched(small_grad, large.out_period, more_out).fill(out)  # its memory serves again
    got = fc.conv2d_grad_w(grad, x, stored.shape, **keywords)
    first = small_grad_w(0)  # a sum over all: what each period adds is the same
    want = first + large.more // large.period * (small_grad_w(1) - first)
    if data_format == "NHWC":
        want = want.transpose(2, 3, 1, 0)
    np.testing.assert_allclose(got, want, atol=1e-3 * np.abs(want).max())

    x_shape = x.shape
    got = fc.conv2d_grad_x(grad, stored, x_shape, **keywords, out=x)
    want = reference.conv2d_grad_x(small_grad.astype(float), w, case.x, **case.keywords)
    stretched(want, large.period, large.more).check(got)


POOLS = (
    Large(PoolCase("2x2", (5, 8, 28, 30), 2), SAMPLES, 165_000),
    Large(PoolCase("3x3_s1", (5, 8, 15, 14), 3, 1, 1), SAMPLES, 650_000),
    Large(PoolCase("3x3_s3_of_one_image", (1, 1, 180, 32771), 3), ROWS, 65_700, 15),
)


@formats
@pytest.mark.parametrize("large", POOLS, ids=str)
@pytest.mark.parametrize("kind", ["average", "codes"])
def test_pools(large, kind, data_format):
    case, axis = large.case, large.axis
    more_out = large.more // large.period * large.out_period
    out_shape = pool_geometry("test", case.x, **case.average_keywords, data_format="NCHW").out_shape
    elements = prod(longer(case.x, axis, large.more)), prod(longer(out_shape, axis, more_out))
    assert 4 * max(elements) > 2**32
    needs(4 * elements[0], 5 * elements[1])

    def stretched(array, period, more):
        return Stretched(array, axis, period, more, data_format)

    sizes = {**case.keywords, "data_format": data_format}
    small_x = repeating("x", case.x, axis, large.period)
    small_grad = repeating("grad", out_shape, axis, large.out_period).astype(float)
    x_like = stretched(small_x, large.period, large.more)
    x = x_like.fill(np.empty(x_like.shape, np.float32))
    if kind == "average":
        out = fc.avg_pool2d(x, **sizes)
        want = reference.avg_pool2d(small_x.astype(float), **case.keywords)
        want_grad_x = reference.avg_pool2d_grad_x(small_grad, case.x, **case.keywords)
    else:
        out, codes = max_pool2d_codes(x, relu=False, **sizes)
        want, indices = reference.max_pool2d(small_x, return_indices=True, **case.keywords)
        want_grad_x = reference.max_pool2d_grad_x(small_grad, indices, case.x)
    stretched(want, large.out_period, more_out).check(out)
    grad, x_shape = stretched(small_grad, large.out_period, more_out).fill(out), x.shape
    if kind == "average":
        got = fc.avg_pool2d_grad_x(grad, x_shape, **sizes, out=x)
    else:
        del x  # the gradient by codes takes memory of its own
        got = max_pool2d_codes_grad_x(grad, codes, x_shape, **sizes)
    stretched(want_grad_x, large.period, large.more).check(got)


@formats
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_pool_of_integers_and_its_indices(dtype, data_format):
    """A plane of more than 2**31 elements: so are its indices, of which a gradient is made too."""
    large = Large(PoolCase("", (1, 1, 180, 32771), 3), ROWS, 65_700, 15)
    width, rows = large.case.x[3], large.more // 3 + 60
    out_elements = rows * (width // 3)
    elements = (large.case.x[2] + large.more) * width
    needs(np.dtype(dtype).itemsize * elements, 12 * out_elements)
    small = np.abs(repeating("x", large.case.x, ROWS, 15)).astype(dtype)
    x_like = Stretched(small, ROWS, 15, large.more, data_format)
    x = x_like.fill(np.empty(x_like.shape, dtype))
    out, indices = fc.max_pool2d(x, 3, return_indices=True, data_format=data_format)
    want, want_indices = reference.max_pool2d(small, 3, return_indices=True)
    Stretched(want, ROWS, 5, large.more // 3, data_format).check(out, 0)
    lines = indices.reshape(rows, -1)
    wanted = want_indices.reshape(60, -1)[:5] - 3 * width * np.arange(5)[:, None]
    for begin in range(0, rows, 100):
        numbers = np.arange(begin, min(begin + 100, rows))
        assert np.array_equal(lines[numbers], wanted[numbers % 5] + 3 * width * numbers[:, None]), (
            begin
        )
    assert int(indices.max()) > 2**31
    del x
    if dtype == "uint8":
        check_gradient_by_indices(indices, x_like.shape, elements, data_format)


def check_gradient_by_indices(indices, x_shape, elements, data_format):
    """Every output sends its number to the pixel it came from."""
    needs(4 * elements, 4 * indices.size)
    grad = np.arange(indices.size, dtype=np.float32).reshape(indices.shape) % 97 + 1
    grad_x = fc.max_pool2d_grad_x(grad, indices, x_shape, data_format=data_format).reshape(-1)
    assert np.count_nonzero(grad_x) == indices.size
    for begin in range(0, indices.size, CHUNK):
        part = slice(begin, begin + CHUNK)
        assert np.array_equal(grad_x[indices.reshape(-1)[part]], grad.reshape(-1)[part])
