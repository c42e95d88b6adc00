"""Arguments that every operation takes, and those that it must refuse, with the error."""

import copy
import math

import numpy as np

import fastconv as fc
from fastconv.errors import LONGEST_MESSAGE

LARGEST = 2**31 - 1
V, T = ValueError, TypeError


def images(*shape):
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def good(name):
    """Return arguments that the operation takes, every one of them, but for conv4d's own `out`."""
    x, w, bias = images(2, 4, 7, 8), images(6, 2, 3, 2), images(6)
    y = images(2, 6, 5, 7)
    sizes = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2}
    layout = {"data_format": "NCHW"}
    window = {"kernel_size": (2, 3), "stride": 2, "padding": 1, "dilation": 1, "ceil_mode": False}
    average = {**window, "count_include_pad": True}
    pooled = images(2, 4, 4, 4)
    spread = {**sizes, "output_padding": 0}
    arguments = {
        "conv2d": {"x": x, "w": w, "bias": bias, **sizes, "activation": "relu", **layout, "out": y},
        "conv2d_grad_x": {"grad": y, "w": w, "x_shape": x.shape, **sizes, **layout, "out": x},
        "conv2d_grad_w": {"grad": y, "x": x, "w_shape": w.shape, **sizes, "with_bias": True}
        | {**layout, "out": w},
        "conv4d": {"x": x, "w": w, "bias": bias, **sizes, "out": y},
        "conv4d_grad_x": {"grad": y, "w": w, "x_shape": x.shape, **sizes, "out": x},
        "conv4d_grad_w": {"grad": y, "x": x, "w_shape": w.shape, **sizes, "with_bias": True}
        | {"out": w},
        "conv_transpose2d": {"x": y, "w": w, "bias": images(4), **spread, **layout, "out": x},
        "conv_transpose2d_grad_x": {"grad": x, "w": w, "x_shape": y.shape, **spread, **layout}
        | {"out": y},
        "conv_transpose2d_grad_w": {"grad": x, "x": y, "w_shape": w.shape, **spread, **layout}
        | {"with_bias": True, "out": w},
        "max_pool2d": {"x": x, **window, "return_indices": True, **layout, "out": pooled},
        "max_pool2d_grad_x": {"grad": pooled, "indices": np.zeros((2, 4, 4, 4), np.int64)}
        | {"x_shape": x.shape, **layout, "out": x},
        "avg_pool2d": {"x": x, **average, **layout, "out": pooled},
        "avg_pool2d_grad_x": {"grad": pooled, "x_shape": x.shape, **average, **layout, "out": x},
        "prepare_conv2d": {"w": w, "bias": bias, **sizes, "activation": "relu", **layout}
        | {"x_shape": x.shape},
    }
    # What is input in one place and output in another must not be the same memory.
    return {key: copy.copy(value) for key, value in arguments[name].items()}


OPERATIONS = sorted(name for name in fc.__all__ if "conv" in name or "pool" in name)

NO_INT = [1.0, True, "1", None, math.nan, np.float32(1), np.True_, 1j, b"1", {}, {1}, object()]
NO_PAIR = [(), (1,), (1, 1, 1), [1, 1, 1], np.ones(3, int)]
BAD_ITEM = [(1, 1.0), (True, 1), (1, None), ("1", "1"), [1, math.nan], np.ones(2), ((1, 1), 1)]
HUGE = [LARGEST + 1, 2**62, 2**63, 2**64, 2**70, 10**5000, (1, 2**70)]


def size_rows(argument, least, extra_types=()):
    """Rows of an int or a pair: values, lengths, types."""
    yield from (
        (argument, bad, V) for bad in [least - 1, -LARGEST, (1, least - 1), *NO_PAIR, *HUGE]
    )
    yield from ((argument, bad, T) for bad in [*NO_INT, *BAD_ITEM, *extra_types])


PADDING_ROWS = [
    *(("padding", bad, V) for bad in [-1, (0, -1), ((0, 0), (0, -1)), *NO_PAIR, *HUGE]),
    *(("padding", bad, V) for bad in [((0, 0), (0, 2**62)), ((0,), (0,)), ((0, 0, 0), (0, 0))]),
    *(("padding", bad, V) for bad in [(1, 1, 1, 1), (0, (0, 0, 0)), [[0], [0]]]),
    *(("padding", bad, T) for bad in [1.0, True, None, math.nan, np.True_, b"same", {}, object()]),
    *(("padding", bad, T) for bad in [(0, 0.0), ((0, 0), (0, 0.0)), ((0, 0), (0, None))]),
    *(("padding", bad, T) for bad in [(0, (0, 0)), ((0, 0), 0), ("same", "same"), np.zeros(2)]),
]
WORDS = [("padding", bad, V) for bad in ["", "SAME", "reflect", "0", "same ", "x" * 500, "a\nb"]]
NO_WORDS = [("padding", bad, T) for bad in ["same", "valid", "full", "reflect"]]

GROUPS_ROWS = [
    *(("groups", bad, V) for bad in [0, -1, 4, 7, *HUGE[:-1]]),
    *(("groups", bad, T) for bad in [*NO_INT, (2, 2), [2]]),
]
LAYOUT_ROWS = [
    *(("data_format", bad, V) for bad in ["nchw", "", "NCWH", "channels_last"]),
    *(("data_format", bad, T) for bad in [None, 1, b"NCHW", ["NCHW"]]),
]
ACTIVATION_ROWS = [
    *(("activation", bad, V) for bad in ["", "ReLU", "sigmoid", "linear"]),
    *(("activation", bad, T) for bad in [0, True, ["relu"], max]),
]


def flag_rows(argument):
    return [(argument, bad, T) for bad in [0, 1, None, "True", 1.0, [True]]]


def no_dtypes():
    """Return arrays of the dtypes that nothing takes."""
    shape = (2, 4, 7, 8)
    names = ["bool", "complex64", "complex128", "object", "U3", "S3", "datetime64[s]", "V8"]
    names += [[("a", "f4"), ("b", "i4")], "timedelta64[ns]"]
    if np.dtype(np.longdouble).itemsize > 8:
        names.append("longdouble")
    return [np.zeros(shape, name) for name in names]


def array_rows(argument):
    x = images(2, 4, 7, 8)
    dtypes = no_dtypes()
    masked = np.ma.masked_array(x, mask=False)
    for bad in (*dtypes, masked, None, "x", b"x", object(), {}, [[["a"]]]):
        yield argument, bad, T
    for bad in (x[0], x[0, 0], x[0, 0, 0], x[..., None], 3.0, np.float32(3), [[1.0], [1.0, 2.0]]):
        yield argument, bad, V


def shape_rows(name, argument, shape):
    # Where neither images nor grad say how many samples, rows and columns there are.
    free = {"max_pool2d_grad_x": (2, 3), "prepare_conv2d": (0, 2, 3)}.get(name, ())
    for bad in [shape[:3], (*shape, 1), (), [*shape[:2]], np.array(shape[:3])]:
        yield argument, bad, V
    for position in range(4):
        for size in (-1, 2**62, 2**70, shape[position] + 1):
            if position in free and size == shape[position] + 1:
                continue
            changed = list(shape)
            changed[position] = size
            yield argument, tuple(changed), V
        for size in (1.0, True, None, "1", math.nan):
            changed = list(shape)
            changed[position] = size
            yield argument, tuple(changed), T
    for bad in (4, "shape", 1.0, {1, 2, 3, 4}, object()):
        yield argument, bad, T
    if name != "prepare_conv2d":
        yield argument, None, T


def grown(shape):
    """Return the shape with each of its dimensions in turn one larger."""
    for position in range(len(shape)):
        yield tuple(size + (position == i) for i, size in enumerate(shape))


def out_rows(shape):
    for other in (*grown(shape), shape[:3], (1, *shape), ()):
        yield "out", np.full(other, 7, np.float32), V
    for dtype in ("float64", "int64", "float16", "bool", "object", "complex64"):
        yield "out", np.full(shape, 7, dtype), T
    read_only = np.full(shape, 7, np.float32)
    read_only.flags.writeable = False
    yield "out", read_only, V
    one_place = np.lib.stride_tricks.as_strided(np.full(1, 7, np.float32), shape, (0, 0, 0, 0))
    yield "out", one_place, V
    for bad in (np.ma.zeros(shape, np.float32), [1.0], 1, "out", (), object()):
        yield "out", bad, T


def rows_of(name):
    """Yield (argument, bad value, error, argument that is blamed) for one operation."""
    arguments = good(name)
    for argument, value in arguments.items():
        if argument in ("x", "w", "grad"):
            yield from array_rows(argument)
        elif argument == "indices":
            for dtype in ("int32", "uint64", "float64", "bool", "object"):
                yield argument, value.astype(dtype), T
            yield argument, np.ma.masked_array(value), T
            yield from ((argument, np.zeros(other, np.int64), V) for other in grown(value.shape))
            yield from ((argument, bad, V) for bad in (value[0], value[..., None]))
        elif argument == "bias":
            yield from ((argument, array[0, 0, 0, : value.size], T) for array in no_dtypes())
            yield argument, np.ma.masked_array(value), T
            for bad in (value[:-1], value[None], np.append(value, 1), np.float32(1), value[:0]):
                yield argument, bad, V
        elif argument in ("x_shape", "w_shape"):
            yield from shape_rows(name, argument, value)
        elif argument == "padding":
            yield from PADDING_ROWS
            yield from NO_WORDS if "transpose" in name else WORDS
        elif argument == "stride" and "pool" in name:
            yield from (row for row in size_rows(argument, 1) if row[1] is not None)
        elif argument in ("stride", "dilation", "kernel_size"):
            yield from size_rows(argument, 1)
        elif argument == "output_padding":
            yield from size_rows(argument, 0)
            yield from ((argument, bad, V) for bad in (1, 2, (0, 1)))
        elif argument == "out":
            yield from out_rows(value.shape)
        else:
            tables = {"groups": GROUPS_ROWS, "data_format": LAYOUT_ROWS}
            tables["activation"] = ACTIVATION_ROWS
            yield from tables.get(argument) or flag_rows(argument)


# The sizes of one array follow from others, so it may be one of these that is blamed.
RELATED = {
    "x_shape": {"w", "grad", "groups", "x_shape"},
    "w_shape": {"w_shape", "grad", "groups"},
    "groups": {"groups"},
}


def contents(value):
    """Return what an argument holds, to compare it with later."""
    if not isinstance(value, np.ndarray):
        return None
    elements = value.tobytes() if value.size < 2**24 else None
    return value.dtype, value.shape, value.strides, elements


def refusal(name, argument, bad, error):
    """Call with one bad argument; return what is wrong with how it is refused, None if nothing."""
    blamed = RELATED.get(argument, {argument})
    return refusal_of(name, good(name) | {argument: bad}, error, blamed)


def refusal_of(name, arguments, error, blamed):
    """The same for all arguments, of which one of `blamed` must be named."""
    before = {key: contents(value) for key, value in arguments.items()}
    try:
        getattr(fc, name)(**arguments)
    except Exception as caught:
        kind, message = type(caught), str(caught)
    else:
        return "silently wrong: it was taken"
    if before != {key: contents(value) for key, value in arguments.items()}:
        return "an argument was changed"
    if kind is not error:
        return f"{kind.__name__} in place of {error.__name__}: {message}"
    named = message.startswith(tuple(f"{name}: {who} must be " for who in blamed))
    if not named or not (", got " in message or message.endswith("...")):
        return f"other words: {message}"
    if len(message) > LONGEST_MESSAGE or not message.isprintable():
        return f"not one short line: {message}"
    return None
