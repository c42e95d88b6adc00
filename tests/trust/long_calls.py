"""Calls that take as long as is asked for: every driver of every op, and what stands around it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import plan
from fastconv.geometry import conv_geometry
from fastconv.ops.run import logical

# One image each, the filters, and what else there is: together every driver takes one of them.
LAYERS: list[tuple[tuple[int, int, int], tuple[int, int, int], dict[str, Any]]] = [
    ((64, 56, 56), (64, 3, 3), {"padding": 1}),
    ((3, 128, 128), (32, 7, 7), {"padding": 3, "stride": 2}),
    ((3, 96, 96), (16, 3, 3), {"padding": 1}),
    ((64, 56, 56), (64, 3, 3), {"padding": 1, "groups": 64}),
    ((64, 6, 6), (64, 3, 3), {"padding": 1, "groups": 64}),
    ((32, 56, 56), (32, 3, 3), {"padding": 1, "groups": 8}),
    ((64, 28, 28), (128, 1, 1), {}),
    ((128, 7, 7), (256, 3, 3), {"stride": 2, "padding": 1}),
    ((128, 6, 6), (128, 3, 3), {}),
    ((1, 96, 96), (4, 5, 5), {}),
]


@dataclass(frozen=True)
class Long:
    """A call: `build` makes, for some images, a function that fills and returns the same arrays."""

    name: str
    build: Callable[[int], Callable[[], list[Any]]]
    image_bytes: int


def numbers(shape, dtype):
    """Some numbers over and over: what they are makes no call longer."""
    some = np.random.default_rng(3).integers(-9, 10, 1 << 16).astype(dtype)
    return np.resize(some / 8 if some.dtype.kind == "f" else some, shape).astype(dtype, copy=False)


def unwritten(shape, dtype):
    """An array of what no call here writes."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -77, dtype)


def wholly_written(array):
    lowest = np.isnan(array) if array.dtype.kind == "f" else array == -77
    return not lowest.any()


def layer_shapes(layer, samples, data_format):
    (channels, height, width), (filters, *kernel), keywords = layer
    per_group = channels // keywords.get("groups", 1)
    if data_format == "NHWC":
        return (samples, height, width, channels), (*kernel, per_group, filters)
    return (samples, channels, height, width), (filters, per_group, *kernel)


def geometry_of(layer, samples, data_format):
    x, w = layer_shapes(layer, samples, data_format)
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **layer[2]}
    return conv_geometry("conv2d", x, w, *given.values(), data_format)


def row_call(op, row, layer, data_format, dtype):
    def build(samples):
        geometry = geometry_of(layer, samples, data_format)
        x_shape, w_shape = layer_shapes(layer, samples, data_format)
        shapes = {"forward": geometry.out_shape, "grad_x": x_shape, "grad_w": w_shape}
        x, w = numbers(x_shape, dtype), logical(numbers(w_shape, dtype), data_format)
        grad, out = numbers(geometry.out_shape, dtype), unwritten(shapes[op], dtype)
        view = logical(out, data_format) if op == "grad_w" else out
        arguments = {
            "forward": (x, w, None, view, False),
            "grad_x": (grad, w, None, view),
            "grad_w": (grad, x, view),
        }[op]

        def call():
            row.run(geometry, *arguments)
            return [out]

        return call

    one = geometry_of(layer, 1, data_format)
    bytes_each = np.dtype(dtype).itemsize * (2 * np.prod(one.out_shape) + np.prod(one.x_shape))
    return Long(f"{op} {row.name} {data_format} {dtype}", build, int(bytes_each))


def driver_calls():
    """One call a row of the plan's tables and layout, of int64 too where the row takes it."""
    for op, rows in plan.ROWS.items():
        for row in rows:
            for data_format in ("NCHW", "NHWC"):
                fitting = (
                    layer
                    for layer in LAYERS
                    if row.accepts(geometry_of(layer, 1, data_format))
                    and (row.name == "taps" or plan.choose(op, geometry_of(layer, 1, data_format)))
                )
                layer = next(fitting, None)
                if layer is None:
                    continue
                yield row_call(op, row, layer, data_format, "float32")
                if row.direct and row.name not in ("relaid", "taps"):
                    yield row_call(op, row, layer, data_format, "int64")


def public_call(name, function, layer, data_format, dtype, out_dtype=None):
    """A call of `function(x, w, grad, out, keywords)`, which returns what it filled."""

    def build(samples):
        geometry = geometry_of(layer, samples, data_format)
        x_shape, w_shape = layer_shapes(layer, samples, data_format)
        x, w, grad = (numbers(s, dtype) for s in (x_shape, w_shape, geometry.out_shape))
        out = unwritten(geometry.out_shape, out_dtype or dtype)
        keywords = {**layer[2], "data_format": data_format}

        def call():
            found = function(x, w, grad, out, keywords)
            return list(found) if isinstance(found, tuple) else [found]

        return call

    one = geometry_of(layer, 1, data_format)
    size = max(np.dtype(dtype).itemsize, 8 if np.dtype(dtype).kind == "i" else 4)
    return Long(
        f"{name} {data_format} {dtype}",
        build,
        int(size * (2 * np.prod(one.out_shape) + 2 * np.prod(one.x_shape))),
    )


def transposed(x, w, grad, out, keywords):
    return fc.conv_transpose2d(grad, w, **keywords)


def with_bias(x, w, grad, out, keywords):
    return fc.conv2d_grad_w(grad, x, w.shape, **keywords)


def prepared(x, w, grad, out, keywords):
    return fc.prepare_conv2d(w, **keywords)(x, out=out)


def exact(x, w, grad, out, keywords):
    with fc.precision("highest"):
        return fc.conv2d(x, w, out=out, **keywords)


def forward(x, w, grad, out, keywords):
    return fc.conv2d(x, w, out=out, **keywords)


def without_out(x, w, grad, out, keywords):
    return fc.conv2d(x, w, **keywords)


def pool_calls():
    for data_format in ("NCHW", "NHWC"):
        for dtype in ("float32", "int8"):
            yield pool_call("max_pool2d", data_format, dtype, kernel_size=5)
        for stride in (1, 2, 3):
            keywords = {"kernel_size": 3, "stride": stride}
            yield pool_call("max_pool2d indices", data_format, "float32", **keywords)
            yield pool_call("max_pool2d_grad_x", data_format, "float32", **keywords)
            yield pool_call("avg_pool2d", data_format, "float32", **keywords)
            yield pool_call("avg_pool2d_grad_x", data_format, "float32", **keywords)
        yield pool_call("max_pool2d indices", data_format, "float32", kernel_size=17, stride=8)


def pool_call(name, data_format, dtype, **keywords):
    keywords = {"padding": 0, "stride": 2, **keywords, "data_format": data_format}
    layout = {"data_format": data_format}

    def build(samples):
        shape = (samples, 16, 112, 112) if data_format == "NCHW" else (samples, 112, 112, 16)
        x = numbers(shape, dtype)
        if name == "max_pool2d":
            return lambda: [fc.max_pool2d(x, **keywords)]
        if name == "max_pool2d indices":
            return lambda: list(fc.max_pool2d(x, **keywords, return_indices=True))
        if name == "avg_pool2d":
            return lambda: [fc.avg_pool2d(x, **keywords)]
        if name == "avg_pool2d_grad_x":
            y = fc.avg_pool2d(x, **keywords)
            return lambda: [fc.avg_pool2d_grad_x(y, shape, **keywords)]
        y, indices = fc.max_pool2d(x, **keywords, return_indices=True)
        return lambda: [fc.max_pool2d_grad_x(y, indices, shape, **layout)]

    size = f"{keywords['kernel_size']}/{keywords['stride']}"
    return Long(f"{name} {size} {data_format} {dtype}", build, 3 * 16 * 112 * 112 * 8)


def dense(samples):
    a, b = numbers((64 * samples, 1024), "float32"), numbers((1024, 512), "float32")
    out = unwritten((64 * samples, 512), "float32")

    def call():
        plan.multiply(a, b, out, None, False, False)
        return [out]

    return call


def public_calls():
    for data_format in ("NCHW", "NHWC"):
        yield public_call("transposed", transposed, LAYERS[1], data_format, "float32")
        yield public_call("grad_w", with_bias, LAYERS[0], data_format, "float64")
        yield public_call("prepared", prepared, LAYERS[0], data_format, "float32")
        yield public_call("highest", exact, LAYERS[2], data_format, "float32")
        yield public_call("conv2d", forward, LAYERS[0], data_format, "int8", "int64")
        yield public_call("conv2d", forward, LAYERS[2], data_format, "float16")
        yield public_call("swapped", without_out, LAYERS[2], data_format, ">f4")
    yield from pool_calls()
    yield Long("dense", dense, 64 * 1536 * 4)


def all_calls():
    yield from driver_calls()
    yield from public_calls()


def grown(long, seconds, most_bytes):
    """Return a call that takes about so long on this machine's processor, if memory allows."""
    most = max(1, most_bytes // long.image_bytes)
    samples = 1
    while True:
        call = long.build(samples)
        passed = min(measured(call), measured(call))
        if samples == most or passed >= seconds / 2:
            return call
        wanted = int(samples * min(seconds / max(passed, 1e-6), 16)) + 1
        samples = min(most, max(wanted, 2 * samples))


def measured(call):
    """Seconds of processor time, of all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start
