"""What the fuzzer draws: convolutions and pools on both sides of each threshold of the plan."""

from functools import cached_property

import numpy as np
from arrays import make_array

from fastconv import reference
from fastconv.geometry import conv_geometry, pool_geometry

# Sizes about the multiples of vectors and tiles.
FEW = (1, 1, 2, 3, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 24, 31, 32, 33)
DEEP = (8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 47, 48, 49, 63, 64, 65, 70, 96, 100, 127, 128, 130)
MOST_WORK = (20_000, 50_000, 50_000, 100_000, 100_000, 300_000, 1_000_000)  # multiply-adds
MOST_ELEMENTS = 60_000
KINDS = (
    *("normal",) * 6,
    *("whole", "whole", "not finite", "not finite", "denormal", "large", "mixed", "zeros"),
)
# Of the results that are computed, so their tolerance is too; float16 is rounded to.
DTYPES = (
    *("float32",) * 7,
    *("float64",) * 4,
    *("int64", "int64", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
)
POOL_DTYPES = (*DTYPES, "uint64", "int8", "uint8", "int16")


def pick(rng, choices):
    return choices[rng.integers(len(choices))]


def axis(rng, kernels, strides=(1,), dilations=(1,), room=(3, 9, 20)):
    """Draw kernel, stride, dilation, padding and size of an axis; the kernel may be the larger."""
    kernel, stride, dilation = pick(rng, kernels), pick(rng, strides), pick(rng, dilations)
    reach = (kernel - 1) * dilation + 1
    before = pick(rng, (0, 0, 1, reach // 2, reach - 1, reach + 2))
    after = pick(rng, (before, before, 0, 1, reach // 2, reach + 3))
    size = max(1, reach - before - after) + int(rng.integers(pick(rng, room)))
    return kernel, stride, dilation, (before, after), size


# ----------------------------------------------------------- families: groups, channels and filters
# of a group, the two axes


def _general(rng):
    sizes = (1, 1, 2, 3, 3, 4, 5, 7), (1, 1, 2, 2, 3, 4, 6), (1, 1, 1, 2, 3)
    axes = axis(rng, *sizes), axis(rng, *sizes, (3, 9, 20, 60))
    return pick(rng, (1, 1, 1, 2, 3)), pick(rng, FEW), pick(rng, FEW), *axes


def _dense(rng):
    kernel, stride = (pick(rng, (2, 3, 3, 4, 5)),), (pick(rng, (1, 1, 2)),)
    axes = axis(rng, kernel, stride), axis(rng, kernel, stride, (1,), (9, 20, 60))
    return 1, pick(rng, FEW), pick(rng, FEW), *axes


def _first_layer(rng):
    sizes = (3, 5, 6, 7, 11), (1, 2, 2, 4)
    axes = axis(rng, *sizes, (1,), (9, 30)), axis(rng, *sizes, (1,), (20, 60))
    return 1, pick(rng, (1, 3, 3, 4)), pick(rng, (1, 3, 8, 9, 16, 24, 33)), *axes


def _depthwise(rng):
    sizes = (1, 2, 3, 3, 3, 4, 5, 7), (1, 1, 1, 2, 2, 3), (1, 1, 1, 2)
    axes = axis(rng, *sizes), axis(rng, *sizes, (9, 20, 60))
    return pick(rng, (*FEW, *DEEP)), 1, pick(rng, (1, 1, 1, 1, 2, 3)), *axes


def _grouped(rng):
    sizes = (1, 2, 3, 3, 5), (1, 1, 1, 2, 3), (1, 1, 2)
    channels = int(rng.integers(1, 18))
    filters = pick(rng, (channels, channels, int(rng.integers(1, 18))))
    return int(rng.integers(2, 34)), channels, filters, axis(rng, *sizes), axis(rng, *sizes)


def _small_map(rng):
    sizes = (1, 2, 2, 3, 3, 4, 5), (1, 1, 1, 2, 3), (1, 1, 1, 2), (2, 5, 9)
    return (
        pick(rng, (1, 1, 1, 2)),
        pick(rng, DEEP),
        pick(rng, DEEP),
        *(axis(rng, *sizes) for _ in "hw"),
    )


def _square(rng):
    kernel, dilation = (pick(rng, (2, 3, 3, 3, 3, 5, 6)),), (pick(rng, (1, 1, 1, 1, 2, 3)),)
    axes = (axis(rng, kernel, (1,), dilation, (9, 20, 25)) for _ in "hw")
    return pick(rng, (1, 1, 1, 1, 2)), pick(rng, DEEP), pick(rng, DEEP), *axes


def _wide_kernel(rng):
    rows = axis(rng, (1, 2, 3, 5, 5, 6, 7, 9), (1, 1, 1, 2, 4), (1, 1, 2))
    columns = axis(rng, (2, 3, 4, 5, 5, 6, 7, 9, 11), (1, 1, 1, 2, 3, 4), (1,), (9, 20, 40))
    return pick(rng, (1, 1, 1, 2)), pick(rng, FEW), pick(rng, FEW), rows, columns


def _pointwise(rng):
    axes = axis(rng, (1,), (1, 1, 1, 2)), axis(rng, (1,), (1, 1, 1, 2), (1,), (5, 20, 60))
    return pick(rng, (1, 1, 1, 2, 3)), pick(rng, (*FEW, *DEEP)), pick(rng, (*FEW, *DEEP)), *axes


FAMILIES = (
    *(_general, _general, _dense, _first_layer, _depthwise, _grouped),
    *(_small_map, _square, _square, _wide_kernel, _pointwise),
)
LARGER = {_first_layer, _square, _wide_kernel}  # what pays for transforms is more work


# ------------------------------------------------------------------------------------------ values


def numbers(rng, shape, dtype, kind):
    """Return an array of a kind of values."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        if kind != "large":  # else sums wrap
            return make_array(rng, shape, dtype)
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    info, array = np.finfo(dtype), rng.standard_normal(shape)
    if kind == "whole":
        array = rng.integers(-4, 5, shape).astype(float)
    elif kind == "denormal":
        array *= float(info.smallest_normal) / 8
    elif kind == "large":
        array *= float(info.max) ** 0.44
    elif kind == "mixed":
        array *= 2.0 ** rng.integers(-info.maxexp // 9, info.maxexp // 9, shape)
    elif kind == "zeros":
        array *= rng.integers(-1, 2, shape)  # of both signs
    array = array.astype(dtype)
    if kind == "not finite" and array.size:
        places = rng.integers(array.size, size=rng.integers(1, 4))
        array.flat[places] = rng.choice([np.nan, np.inf, -np.inf], len(places))
    return array


def wide(array):
    """Return an array as the twins are to sum it."""
    return array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)


def sizes_for_scale(array):
    """Return |array| as errors are measured by: below the normal numbers they stop to shrink."""
    if array.dtype.kind in "iu":
        return np.abs(array.astype(np.float64))
    finite = np.where(np.isfinite(array), array, 0).astype(np.float64)
    return np.abs(finite) + float(np.finfo(array.dtype).smallest_normal)


class ConvProblem:
    """A convolution's arrays, channels first, and what the twins make of them."""

    def __init__(self, rng):
        family, most = pick(rng, FAMILIES), pick(rng, MOST_WORK)
        most *= 5 if family in LARGER else 1
        while not self._draw_shapes(rng, family, most):
            pass
        self.dtype, self.kind = pick(rng, DTYPES), pick(rng, KINDS)
        if self.dtype == "float16" and self.kind != "not finite":
            self.kind = "normal"  # no sum leaves its range
        kinds = ["normal"] * 3 if self.kind in ("denormal", "not finite") else [self.kind] * 3
        kinds[rng.integers(3)] = self.kind
        out = self.geometry.out_shape
        self.x, self.w, self.grad = (
            numbers(rng, shape, self.dtype, kind)
            for shape, kind in zip((self.x_shape, self.w_shape, out), kinds, strict=True)
        )
        self.bias, self.bias_x = (
            make_array(rng, size, self.dtype) for size in (out[1], self.x_shape[1])
        )

    def _draw_shapes(self, rng, family, most):
        groups, channels, filters, rows, columns = family(rng)
        samples = pick(rng, (1, 1, 1, 2, 2, 3, 5))
        self.x_shape = samples, channels * groups, rows[4], columns[4]
        self.w_shape = filters * groups, channels, rows[0], columns[0]
        self.keywords = {
            "stride": (rows[1], columns[1]),
            "padding": (rows[3], columns[3]),
            "dilation": (rows[2], columns[2]),
            "groups": groups,
        }
        if np.prod(self.x_shape) > MOST_ELEMENTS or np.prod(self.w_shape) > MOST_ELEMENTS:
            return False
        try:
            self.geometry = self.geometry_in("NCHW")
        except ValueError:
            return False
        out = self.geometry.out_shape
        return self.geometry.work <= most and np.prod(out) <= MOST_ELEMENTS

    def geometry_in(self, data_format):
        x_shape, w_shape = self.x_shape, self.w_shape
        if data_format == "NHWC":
            x_shape = x_shape[0], *x_shape[2:], x_shape[1]
            w_shape = *w_shape[2:], w_shape[1], w_shape[0]
        return conv_geometry("fuzz", x_shape, w_shape, **self.keywords, data_format=data_format)

    @cached_property
    def wanted(self):
        """The forward pass, grad_x, and grad_w with the gradient for the bias."""
        return self._by_twins(*map(wide, (self.x, self.w, self.grad)))

    @cached_property
    def scales(self):
        """What errors of the four are measured by, and what those of minimal filtering are.

        The latter are as large as the largest pixel times the largest weight, which need not meet.
        """
        sizes = [sizes_for_scale(array) for array in (self.x, self.w, self.grad)]
        exact = [result.max(initial=1e-300) for result in self._by_twins(*sizes)]
        if self.kind != "mixed":
            return exact, exact
        largest = [np.full_like(array, array.max(initial=0)) for array in sizes]
        return exact, [result.max(initial=1e-300) for result in self._by_twins(*largest)]

    def _by_twins(self, x, w, grad):
        keywords = self.keywords
        return (
            reference.conv2d(x, w, **keywords),
            reference.conv2d_grad_x(grad, w, self.x_shape, **keywords),
            *reference.conv2d_grad_w(grad, x, self.w_shape, with_bias=True, **keywords),
        )

    def __str__(self):
        return f"conv {self.x_shape} {self.w_shape} {self.keywords} {self.dtype} {self.kind}"


def _window(rng, room):
    kernel = pick(rng, (1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 5, 7, 16))
    stride, dilation = pick(rng, (1, 1, 2, 2, 2, 3, 5)), pick(rng, (1, 1, 1, 1, 2, 3))
    most = kernel - 1 if dilation == 1 else 0  # a window holds an element of the image
    padding = int(rng.integers(most + 1)), int(rng.integers(most + 1))
    size = (kernel - 1) * dilation + 1 + int(rng.integers(pick(rng, room)))
    return kernel, stride, dilation, padding, size


class PoolProblem:
    """A pool's arrays, channels first, and what the twins make of them."""

    def __init__(self, rng):
        while not self._draw_shapes(rng):
            pass
        self.dtype, self.kind = pick(rng, POOL_DTYPES), pick(rng, KINDS)
        if self.dtype == "float16" and self.kind == "denormal":
            self.kind = "normal"  # averages round there more than once
        kinds = ["normal", "normal"] if self.kind == "not finite" else [self.kind] * 2
        kinds[rng.integers(2)] = self.kind
        self.x = numbers(rng, self.x_shape, self.dtype, kinds[0])
        self.grad = numbers(rng, self.geometry.out_shape, self.dtype, kinds[1])

    def _draw_shapes(self, rng):
        rows, columns = _window(rng, (2, 8, 20)), _window(rng, (2, 8, 20, 80))
        if rng.integers(2):
            columns = *rows[:4], rows[4] + int(rng.integers(40))
        self.x_shape = pick(rng, (1, 1, 2, 3)), pick(rng, (*FEW, *DEEP)), rows[4], columns[4]
        padding = pick(rng, ((rows[3], columns[3]),) * 4 + ("same", "valid"))
        kernel_size, stride, dilation = ((rows[i], columns[i]) for i in (0, 1, 2))
        self.keywords = {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "ceil_mode": bool(rng.integers(2)),
        }
        self.counted = {"count_include_pad": bool(rng.integers(2))}
        try:
            self.geometry = self.geometry_in("NCHW")
        except ValueError:
            return False
        taps = kernel_size[0] * kernel_size[1]
        return (
            np.prod(self.x_shape) <= MOST_ELEMENTS
            and np.prod(self.geometry.out_shape) * taps <= 3e5
        )

    def geometry_in(self, data_format):
        shape = self.x_shape
        if data_format == "NHWC":
            shape = shape[0], *shape[2:], shape[1]
        return pool_geometry(
            "fuzz", shape, **self.keywords, **self.counted, data_format=data_format
        )

    @cached_property
    def maxima(self):
        return reference.max_pool2d(self.x, return_indices=True, **self.keywords)

    @cached_property
    def maxima_grad_x(self):
        """The gradient, and the sums of sizes that its errors are measured by."""
        indices = self.maxima[1]
        return tuple(
            reference.max_pool2d_grad_x(grad, indices, self.x_shape)
            for grad in (wide(self.grad), sizes_for_scale(self.grad))
        )

    def codes(self, relu):
        return reference.max_pool2d_codes(self.x, **self.keywords, relu=relu)

    def codes_grad_x(self, codes):
        grad = self.grad if self.grad.dtype.kind in "iu" else wide(self.grad)
        return reference.max_pool2d_codes_grad_x(grad, codes, self.x_shape, **self.keywords)

    @cached_property
    def averages(self):
        arrays = self.x.astype(np.float64), sizes_for_scale(self.x)
        return tuple(reference.avg_pool2d(x, **self.keywords, **self.counted) for x in arrays)

    @cached_property
    def averages_grad_x(self):
        return tuple(
            reference.avg_pool2d_grad_x(grad, self.x_shape, **self.keywords, **self.counted)
            for grad in (self.grad.astype(np.float64), sizes_for_scale(self.grad))
        )

    def __str__(self):
        sizes = {**self.keywords, **self.counted}
        return f"pool {self.x_shape} {sizes} {self.dtype} {self.kind}"
