"""The matrix of bad and odd input: every operation, every argument, every class of what may come.

A row is a name and a check, which returns what is wrong or None. What must be refused is called
with one bad argument; what must be right is compared with the twin in float64, called twice, since
the second call may be one that was kept.
"""

import itertools
import resource
from functools import partial

import numpy as np
from arrays import LAYOUTS, TOLERANCES, generator, make_array
from bad_arguments import LARGEST, OPERATIONS, V, good, refusal, refusal_of, rows_of
from isolated import limit_memory

import fastconv as fc
from fastconv import reference

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")
ARRAYS = ("x", "w", "grad", "bias", "indices")
SIZES = ("stride", "padding", "dilation", "kernel_size", "output_padding")


def rows():
    """Return all rows."""
    return [*refusals(), *combinations(), *right_results(), *too_large()]


# ------------------------------------------------------------------------------ to be refused


def refusals():
    for name in OPERATIONS:
        for number, row in enumerate(rows_of(name)):
            yield f"{name}-{row[0]}-{number}", partial(refusal, name, *row)


class Raises:
    """Something whose __index__ fails in its own way."""

    def __index__(self):
        raise ZeroDivisionError("not today")


def combinations():
    """Rows that need several arguments at once, or an error that isn't ours."""
    for name in OPERATIONS:
        arguments = good(name)
        for argument in {*SIZES, "groups", "x_shape", "w_shape"} & set(arguments):
            bad = (*arguments[argument][:3], Raises()) if "shape" in argument else Raises()
            yield f"{name}-{argument}-raises", partial(passes_unchanged, name, {argument: bad})
        for changes, blamed in impossible(name, arguments):
            label = "-".join(
                f"{key}={getattr(value, 'shape', value)}" for key, value in changes.items()
            )
            check = partial(refusal_of, name, arguments | changes, V, blamed)
            yield f"{name}-{label}", check


def impossible(name, arguments):
    """Yield changes of sizes that no result has, and who may be blamed."""
    x_name = next(key for key in ("x", "x_shape", "grad", "w") if key in arguments)
    if "pool" in name and "kernel_size" in arguments:
        who = {"kernel_size", "padding", "dilation", "grad", "stride", "x_shape", "x"}
        for kernel, dilation in itertools.product((LARGEST, 2**30), (1, LARGEST)):
            yield {"kernel_size": kernel, "dilation": dilation, "out": None}, who
        yield {"padding": LARGEST, "kernel_size": LARGEST, "stride": 1, "out": None}, who
        yield {"padding": (0, 9), "out": None}, who
    if "w" in arguments or "w_shape" in arguments:
        who = {"w", "w_shape", "padding", "grad", "stride", "output_padding", x_name, "groups"}
        # a transposed convolution has room for such a kernel, if nothing is cropped
        crop = LARGEST if "transpose" in name else 0
        yield {"dilation": LARGEST, "padding": crop}, who
        yield {"dilation": (1, 2**30), "padding": (0, crop)}, who
        yield {"groups": 3}, {*who, "bias"}
    for key in ("x_shape", "w_shape"):
        if key in arguments:
            who = {key, "w", "grad", "x", "groups", "padding", "indices", "stride"}
            shape = arguments[key]
            yield {key: (shape[0], 2**40, 2**40, 2**40)}, who
            yield {key: (2**62, 0, *shape[2:])}, who
            yield {key: (*shape[:2], 0, 0)}, who
    for key in ("x", "grad"):
        if key in arguments:
            who = {key, "w", "grad", "x", "groups", "padding", "indices", "stride", "kernel_size"}
            # as large as NumPy makes them, without memory behind it
            yield {key: np.broadcast_to(np.float32(0), (2**15, 2**15, 2**15, 2**15))}, who
            yield {key: np.empty((0, 2**20, 2**20, 2**20), np.float32)}, who
            yield {key: arguments[key][:, :, :0]}, who
            yield {key: arguments[key][:, :, :, :0]}, who


def passes_unchanged(name, changes):
    try:
        getattr(fc, name)(**good(name) | changes)
    except ZeroDivisionError as error:
        return None if str(error) == "not today" else f"other words: {error}"
    except Exception as error:
        return f"{type(error).__name__} in place of what __index__ raised: {error}"
    return "silently wrong: it was taken"


# ------------------------------------------------------------------------------ to be right


def right_results():
    for name in OPERATIONS:
        for layout in ("NCHW", "NHWC"):
            if layout == "NHWC" and "data_format" not in good(name):
                continue
            for label, arguments in odd(name, layout):
                yield f"{name}-{layout}-{label}", partial(is_right, name, arguments)


def usual(name, layout, dtype="float32"):
    """Return arguments of normal numbers; in the layout asked for, and without `out`."""
    arguments = {key: value for key, value in good(name).items() if key != "out"}
    random = generator(name + layout)
    for key, value in arguments.items():
        if isinstance(value, np.ndarray) and key != "indices":
            arguments[key] = make_array(random, value.shape, dtype)
    if "indices" in arguments:
        arguments["indices"] = random.integers(0, 56, arguments["indices"].shape)
    if layout == "NHWC":
        for key, value in arguments.items():
            axes = (2, 3, 1, 0) if key in ("w", "w_shape") else (0, 2, 3, 1)
            if isinstance(value, np.ndarray) and value.ndim == 4:
                arguments[key] = np.ascontiguousarray(value.transpose(axes))
            elif "shape" in key:
                arguments[key] = tuple(value[axis] for axis in axes)
        arguments["data_format"] = layout
    return arguments


def odd(name, layout):
    """Yield a label and arguments, class after class."""
    plain = usual(name, layout)
    arrays = [key for key in ARRAYS if key in plain]
    yield "plain", plain
    for key, kind in itertools.product(arrays, LAYOUTS):
        yield f"{key}-{kind}", plain | {key: LAYOUTS[kind](plain[key])}
    for key in arrays:
        value = np.broadcast_to(plain[key].flat[0], plain[key].shape)
        yield f"{key}-zero_strides", plain | {key: value}
        yield f"{key}-list", plain | {key: plain[key].tolist()}
        yield f"{key}-memoryview", plain | {key: memoryview(plain[key])}
        yield f"{key}-subclass", plain | {key: plain[key].view(np.matrix.__base__)}
    if name != "prepare_conv2d":
        for kind in LAYOUTS:
            if kind != "read_only":
                yield f"out-{kind}", plain | {"out": kind}
    yield from odd_dtypes(name, layout, arrays)
    yield from odd_sizes(plain)
    yield from odd_values(name, plain, arrays)
    yield from empty(name, layout)


def odd_dtypes(name, layout, arrays):
    pair = [key for key in arrays if key not in ("bias", "indices")]
    if len(pair) == 1:
        kinds = (*FLOATS, *INTEGERS) + (("uint64",) if name.startswith("max") else ())
        for dtype in kinds:
            yield dtype, usual(name, layout, dtype)
        return
    for first, second in itertools.product((*FLOATS, *INTEGERS), repeat=2):
        left, right = usual(name, layout, first), usual(name, layout, second)
        yield f"{first}-{second}", left | {pair[1]: right[pair[1]]}


def odd_sizes(plain):
    numpys = (np.int8, np.uint8, np.int32, np.uint64, np.intp, np.array)
    for key in {*SIZES, "groups"} & set(plain):
        value = plain[key]
        one = value if isinstance(value, int) else None
        for kind in numpys:
            if one is not None:
                yield f"{key}-{kind.__name__}", plain | {key: kind(one)}
            elif kind is not np.array:
                yield f"{key}-{kind.__name__}", plain | {key: tuple(map(kind, value))}
        if key != "groups":
            two = (one, one) if one is not None else value
            yield f"{key}-list", plain | {key: list(two)}
            yield f"{key}-ndarray", plain | {key: np.array(two)}
    for key in ("x_shape", "w_shape"):
        if key in plain:
            yield f"{key}-list", plain | {key: list(plain[key])}
            yield f"{key}-ndarray", plain | {key: np.array(plain[key])}


def odd_values(name, plain, arrays):
    """Numbers that are none, that are tiny, of both signs of zero, and all alike."""
    for key in arrays:
        if key == "indices":
            continue
        array = plain[key]
        places = [0, array.size // 2, array.size - 1]
        for value in (np.nan, np.inf, -np.inf, np.float32(1e-42), -0.0, np.float32(1e37)):
            spoiled = array.copy()
            spoiled.flat[places] = value
            yield f"{key}-some-{value}", plain | {key: spoiled}
        for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0):
            yield f"{key}-all-{value}", plain | {key: np.full_like(array, value)}
        yield f"{key}-subnormal", plain | {key: array * np.float32(2.0**-130)}
    if name.startswith("max_pool2d") and "x" in plain:
        for dtype in (*INTEGERS, "uint64"):
            ends = np.iinfo(dtype).min, np.iinfo(dtype).max
            for value in ends:
                yield (
                    f"x-{dtype}-all-{value}",
                    plain | {"x": np.full(plain["x"].shape, value, dtype)},
                )


def empty(name, layout):
    """No samples, no channels, no filters."""
    position = {"samples": 0, "channels": 1 if layout == "NCHW" else 3}
    kernels = {"channels": 1, "filters": 0} if layout == "NCHW" else {"channels": 2, "filters": 3}
    inner, outer = ("filters", "channels") if "transpose" in name else ("channels", "filters")
    of = {"x": inner, "grad": outer, "x_shape": inner}
    if "pool" in name:
        of = dict.fromkeys(of, "channels") | {"indices": "channels"}
    for what in ("samples", "channels", "filters"):
        arguments = usual(name, layout)
        if (what == "filters" and "pool" in name) or (what == "samples" and "prepare" in name):
            continue
        arguments.pop("x_shape") if name == "prepare_conv2d" else None
        if "groups" in arguments:
            arguments["groups"] = 1
        for key, value in arguments.items():
            shape = list(
                getattr(value, "shape", value) if key in (*ARRAYS, "x_shape", "w_shape") else ()
            )
            if key in ("w", "w_shape"):
                shape[kernels["channels"]] *= 2 if what == "samples" else 1
                if what != "samples":
                    shape[kernels[what]] = 0
                    other = "filters" if what == "channels" else "channels"
                    shape[kernels[other]] *= 2 if other == "channels" else 1
            elif key == "bias":
                owner = "channels" if "transpose" in name else "filters"
                shape = [0] if what == owner else shape
            elif key in of:
                if what == "samples":
                    shape[0] = 0
                elif of[key] == what:
                    shape[position["channels"]] = 0
            else:
                continue
            arguments[key] = tuple(shape) if "shape" in key else make_like(key, value, shape)
        yield f"no-{what}", arguments


def make_like(key, value, shape):
    if key == "indices":
        return np.zeros(shape, np.int64)
    return make_array(generator(key), tuple(shape), value.dtype)


def is_right(name, arguments):
    arguments = dict(arguments)
    kind = arguments.pop("out", None)
    wanted = results(reference_of(name, arguments))
    before = {key: bits(value) for key, value in arguments.items()}
    for _ in range(2):
        given = {} if kind is None else {"out": hollow(wanted[0], kind, dtype_of(name, arguments))}
        found = call(name, arguments, given)
        if given and found[0] is not given["out"]:
            return "silently wrong: another array than out is returned"
        if before != {key: bits(value) for key, value in arguments.items()}:
            return "silently wrong: an input was changed"
        if len(found) != len(wanted):
            return f"silently wrong: {len(found)} results"
        for got, want in zip(found, wanted, strict=True):
            dtype = np.dtype(np.int64) if got is not found[0] and "max" in name else None
            complaint = differs(got, want, dtype or dtype_of(name, arguments), arguments)
            if complaint:
                return complaint
    return None


def bits(value):
    return np.asarray(value).tobytes() if not isinstance(value, (str, type(None))) else value


def call(name, arguments, given):
    if name != "prepare_conv2d":
        return results(getattr(fc, name)(**arguments, **given))
    return results(fc.prepare_conv2d(**arguments)(images_for(arguments)))


def images_for(arguments):
    """Return images of the dtype of what a convolution is prepared with."""
    w = np.asarray(arguments["w"])
    last = arguments["data_format"] == "NHWC"
    channels = (w.shape[2] if last else w.shape[1]) * int(arguments["groups"])
    shape = (2, 7, 8, channels) if last else (2, channels, 7, 8)
    return make_array(generator("images"), shape, w.dtype.newbyteorder("="))


def reference_of(name, arguments):
    arguments = {
        key: wide(key, value) if key in ARRAYS and value is not None else value
        for key, value in arguments.items()
    }
    if name == "prepare_conv2d":
        arguments.pop("x_shape", None)
        name, arguments = "conv2d", arguments | {"x": wide("x", images_for(arguments))}
    for key in ("x_shape", "w_shape"):
        if key in arguments:
            arguments[key] = tuple(map(int, arguments[key]))
    return getattr(reference, name)(**arguments)


def wide(key, value):
    """Return an array in float64, or in the integers that it has: then results are exact."""
    array = np.asarray(value)
    return array if array.dtype.kind in "iu" or key == "indices" else array.astype(np.float64)


def results(value):
    return value if isinstance(value, tuple) else (value,)


def hollow(want, kind, dtype):
    """Return an array for a result that holds something else, in memory of some layout."""
    return LAYOUTS[kind](np.full(want.shape, 7, dtype))


def dtype_of(name, arguments):
    dtypes = [
        np.asarray(arguments[key]).dtype.newbyteorder("=")
        for key in ("x", "grad", "w")
        if key in arguments
    ]
    if "pool" in name:
        return dtypes[0] if name.startswith("max") or dtypes[0].kind == "f" else np.dtype(float)
    both = all(dtype.kind in "iu" for dtype in dtypes)
    return np.dtype(np.int64) if both else np.result_type(*dtypes)


def differs(got, want, dtype, arguments):
    """Return how a result differs from the one in float64, None if it is right."""
    if type(got) is not np.ndarray and "out" not in arguments:
        return f"silently wrong: a {type(got).__name__}"
    if got.dtype.newbyteorder("=") != dtype or got.shape != want.shape:
        return f"silently wrong: {got.dtype} {got.shape} in place of {dtype} {want.shape}"
    if dtype.kind in "iu":
        same = np.array_equal(got, want.astype(dtype))
        return None if same else "silently wrong: other integers"
    with np.errstate(all="ignore"):
        rounded = want.astype(dtype).astype(np.float64)
    got, finite = got.astype(np.float64), np.isfinite(rounded)
    if not np.array_equal(got[~finite], rounded[~finite], equal_nan=True):
        return "silently wrong: other places or values are not finite"
    if not finite.any():
        return None
    error, scale = np.abs(got[finite] - want[finite]).max(), np.abs(want[finite]).max()
    smallest = np.finfo(dtype).smallest_subnormal * 64
    if error > TOLERANCES[dtype.name] * scale + smallest:
        return f"silently wrong: by {error / scale:.1e} of the largest"
    return None


# ------------------------------------------------------------------------------ too large


def too_large():
    """Allowed sizes for which there is no memory: MemoryError, and the next call is right."""
    one = np.ones((1, 1, 1, 1), np.float32)
    wide_image = np.broadcast_to(np.float32(1), (1, 1, 2**17, 2**17))  # 64 GiB, if it were copied
    many = np.broadcast_to(np.float32(1), (2**24, 16, 8, 8))
    indices = np.zeros((1, 1, 1, 1), np.int64)
    w = np.ones((1, 1, 3, 3), np.float32)
    huge = 2**16
    calls = {
        "conv2d-padding": lambda: fc.conv2d(one, w, padding=huge),
        "conv2d-image": lambda: fc.conv2d(wide_image, w),
        "conv2d-samples": lambda: fc.conv2d(many, np.ones((4, 16, 3, 3), np.float32)),
        "conv4d-padding": lambda: fc.conv4d(one, w, huge),
        "conv2d_grad_x": lambda: fc.conv2d_grad_x(one, one, (1, 1, huge, huge), stride=huge),
        "conv2d_grad_w": lambda: fc.conv2d_grad_w(
            one, one, (1, 1, huge + 1, huge + 1), padding=huge // 2
        ),
        "conv2d_grad_w-images": lambda: fc.conv2d_grad_w(wide_image, wide_image, (1, 1, 1, 1)),
        "conv4d_grad_x": lambda: fc.conv4d_grad_x(
            one, one, (1, 1, huge, huge), "valid", stride=huge
        ),
        "conv4d_grad_w": lambda: fc.conv4d_grad_w(one, one, (1, 1, huge + 1, huge + 1), huge // 2),
        "conv_transpose2d": lambda: fc.conv_transpose2d(
            np.ones((1, 1, 2, 2), np.float32), w, stride=huge
        ),
        "conv_transpose2d_grad_x": lambda: fc.conv_transpose2d_grad_x(
            wide_image, one, wide_image.shape
        ),
        "conv_transpose2d_grad_w": lambda: fc.conv_transpose2d_grad_w(
            wide_image, wide_image, (1, 1, 1, 1)
        ),
        "max_pool2d": lambda: fc.max_pool2d(wide_image, 2),
        "max_pool2d-full": lambda: fc.max_pool2d(one, huge, 1, "full", return_indices=True),
        "max_pool2d_grad_x": lambda: fc.max_pool2d_grad_x(one, indices, (1, 1, huge, huge)),
        "avg_pool2d": lambda: fc.avg_pool2d(wide_image, 2),
        "avg_pool2d-full": lambda: fc.avg_pool2d(one, huge, 1, "full"),
        "avg_pool2d_grad_x": lambda: fc.avg_pool2d_grad_x(one, (1, 1, huge, huge), huge),
        "prepare_conv2d": lambda: fc.prepare_conv2d(
            np.broadcast_to(np.float32(1), wide_image.shape)
        ),
        "prepare_conv2d-call": lambda: fc.prepare_conv2d(w, padding=huge)(one),
    }
    for name, large in calls.items():
        yield f"too-large-{name}", partial(runs_out, large)


def runs_out(large):
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        limit_memory()
        if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
            return None  # a system on which it can't be tried
    try:
        large()
    except MemoryError:
        found = fc.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
        return None if (found == 4).all() else "silently wrong: the next call"
    except Exception as error:
        return f"{type(error).__name__} in place of MemoryError: {error}"
    return "silently wrong: it was taken"
