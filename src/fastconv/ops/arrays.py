"""Arrays in and out: what is taken, which dtype comes of it, and what the engine is given.

The engine computes in float32, float64 and the integers; float16 and bfloat16 are computed in
float32 and rounded once, at the end; under the highest precision so is float32, in float64. It
wants native, aligned elements; where an array has others it is copied, else never.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..errors import describe, type_error, value_error
from ..geometry import check_shape
from ..threads import current_precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    # An array, or a pair of them where a flag asks for it: more than a type checker can be told
    # without three signatures for each such function.
    ArrayOrPair = Any

INT64 = np.dtype(np.int64)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
# From this number on dtypes are extensions, whose kind says little: there is a float of 8 bits.
_FIRST_EXTENSION = 256
_TAKEN = "of a floating dtype up to 64 bits or of integers"
# Of DLPack: the CPU, and memory of the CPU that CUDA or ROCm pinned.
_HOST_DEVICES = {1, 3, 11}
# Deciding whether two strided arrays share an element can take exponential time.
_MOST_OVERLAP_WORK = 100_000
# Elements that NumPy copies at a time: a millisecond's. Signals are handled in between, and other
# threads run even where the conversion of a dtype keeps the GIL.
COPIED = 1 << 20


class Dtypes(NamedTuple):
    """The dtype of a result and the one it is computed in."""

    result: np.dtype
    compute: np.dtype


def as_array(function: str, argument: str, value: object) -> Array:
    """Return `value` as an ndarray of the base class, without a copy where there is a way."""
    if type(value) is np.ndarray:
        return value
    if _is_masked(value):
        raise type_error(function, argument, "an array without a mask", "a masked array")
    if hasattr(value, "__dlpack__") and not isinstance(value, (np.ndarray, np.generic)):
        return _from_tensor(function, argument, value)
    if not isinstance(value, (list, tuple)):
        return np.asarray(value)
    try:
        return np.asarray(value)
    except ValueError:
        got = f"a {type(value).__name__} of uneven length"
        raise value_error(function, argument, "an array", got) from None


def _from_tensor(function: str, argument: str, value: Any) -> Array:
    """Return what lies in another library's tensor as an array, without a copy where it can be."""
    kind = type(value).__qualname__
    try:
        device, _ = value.__dlpack_device__()
        if device in _HOST_DEVICES:
            # Of a tensor that has both, NumPy takes more dtypes by __array__: bfloat16 of JAX.
            return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
    except MemoryError:
        raise
    except Exception as error:
        # What a library raises for a gradient, a layout or a dtype that can't leave it.
        got = f"a {kind}, which says: {error}"
        raise type_error(function, argument, "a tensor that NumPy can read", got) from error
    got = f"a {kind} on another device (of DLPack's type {int(device)})"
    raise type_error(function, argument, "in the memory of the CPU", got)


def conv_dtypes(
    function: str, first_name: str, first: Array, second_name: str, second: Array
) -> Dtypes:
    """Return the dtypes of a convolution of two arrays."""
    dtypes = _conv_dtypes(first.dtype, second.dtype)
    if dtypes is not None:
        return dtypes if current_precision() == "high" else _widest(dtypes)
    pairs = ((first_name, first), (second_name, second))
    for name, array in pairs:
        checked_dtypes(function, name, array)
    for name, array in pairs:
        if _is_uint64(array.dtype):
            raise type_error(function, name, "of integers that int64 holds", "dtype uint64")
    rule = f"of a dtype that NumPy promotes with that of {first_name}, {first.dtype}"
    raise type_error(function, second_name, rule, f"dtype {second.dtype}")


def checked_dtypes(function: str, argument: str, array: Array) -> Dtypes:
    """Return the dtypes of what keeps the dtype of one array, as a maximum does."""
    dtypes = _dtypes(array.dtype)
    if dtypes is None:
        raise type_error(function, argument, _TAKEN, f"dtype {array.dtype}")
    return dtypes


def average_dtypes(function: str, argument: str, array: Array) -> Dtypes:
    """Return the dtypes of an average: float64 of integers."""
    dtypes = checked_dtypes(function, argument, array)
    if dtypes.result.kind in "iu":
        return Dtypes(FLOAT64, FLOAT64)
    return dtypes if current_precision() == "high" else _widest(dtypes)


def _widest(dtypes: Dtypes) -> Dtypes:
    """Return the dtypes under the highest precision: sums of floats in float64."""
    return dtypes if dtypes.compute.kind == "i" else Dtypes(dtypes.result, FLOAT64)


@lru_cache(maxsize=256)
def _dtypes(dtype: np.dtype) -> Dtypes | None:
    """Return the dtypes for one array; None for a dtype that is not taken."""
    builtin = dtype.num < _FIRST_EXTENSION
    if builtin and (dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize <= 8)):
        # NumPy's own object of this dtype, native: the one that most arrays have.
        native = np.dtype(f"{dtype.kind}{dtype.itemsize}")
        return Dtypes(native, FLOAT32 if native == np.float16 else native)
    # Whoever made an array of bfloat16 has imported ml_dtypes.
    extension = sys.modules.get("ml_dtypes")
    if extension is not None and dtype == extension.bfloat16:
        return Dtypes(dtype, FLOAT32)
    return None


@lru_cache(maxsize=256)
def _conv_dtypes(first: np.dtype, second: np.dtype) -> Dtypes | None:
    if _dtypes(first) is None or _dtypes(second) is None:
        return None
    if first.kind in "iu" and second.kind in "iu":
        return None if _is_uint64(first) or _is_uint64(second) else Dtypes(INT64, INT64)
    try:
        return _dtypes(np.result_type(first, second))
    except TypeError:
        return None


def _is_masked(value: object) -> bool:
    # No masked array can be there before its module is.
    module = sys.modules.get("numpy.ma")
    return module is not None and isinstance(value, module.MaskedArray)


def _is_uint64(dtype: np.dtype) -> bool:
    return dtype.kind == "u" and dtype.itemsize == 8


def contiguous(array: Array, dtype: np.dtype) -> Array:
    """Return the array in C order, native and aligned, itself if it is so."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype == dtype:
        return array
    return _copied(array, dtype, "C")


def strided(array: Array, dtype: np.dtype) -> Array:
    """Return the array native and aligned, in any order, itself if it is so."""
    if array.flags.aligned and array.dtype == dtype:
        return array
    return _copied(array, dtype, "K")


def _copied(array: Array, dtype: np.dtype, order: Literal["C", "K"]) -> Array:
    target = np.empty_like(array, dtype, order)
    _fill(target, array)
    return target


def _fill(target: Array, source: Array) -> None:
    """Convert and copy, half after half if there is much."""
    if target.size <= COPIED:
        np.copyto(target, source, casting="unsafe")
        return
    steps = zip(target.strides, target.shape, strict=True)
    extents = [abs(step) if extent > 1 else -1 for step, extent in steps]
    axis = extents.index(max(extents))
    half = target.shape[axis] // 2
    for part in (slice(half), slice(half, None)):
        where = (slice(None),) * axis + (part,)
        _fill(target[where], source[where])


def checked_bias(function: str, bias: object, filters: int) -> Array:
    """Return `bias` as an array of one number a filter, of whatever dtype it has."""
    array = as_array(function, "bias", bias)
    checked_dtypes(function, "bias", array)
    check_shape(function, "bias", (filters,), array.shape)
    return array


def cast_bias(bias: Array, dtypes: Dtypes) -> Array:
    """Return the bias rounded to the dtype of the result, as the engine takes it."""
    return contiguous(contiguous(bias, dtypes.result), dtypes.compute)


def check_out(
    function: str, out: object, shape: tuple[int, ...], dtype: np.dtype, **inputs: Array | None
) -> None:
    """Raise unless `out` can take a result of this shape and dtype, apart from all inputs."""
    if type(out) is not np.ndarray and (not isinstance(out, np.ndarray) or _is_masked(out)):
        raise type_error(function, "out", "a NumPy array without a mask", describe(out))
    if out.dtype is not dtype and out.dtype.newbyteorder("=") != dtype:
        raise type_error(function, "out", f"of dtype {dtype}", f"dtype {out.dtype}")
    check_shape(function, "out", shape, out.shape)
    flags = out.flags
    if not flags.writeable:
        raise value_error(function, "out", "writeable", "a read-only array")
    if not flags.c_contiguous and any(
        step == 0 < extent - 1 for step, extent in zip(out.strides, shape, strict=True)
    ):
        rule = "an array whose elements have each a place of their own"
        raise value_error(function, "out", rule, f"strides {out.strides}")
    owner = flags.owndata
    for name, array in inputs.items():
        # Two arrays that each own their memory are apart; the longer question is for views.
        if array is None or (owner and array.flags.owndata and array is not out):
            continue
        if _overlap(out, array):
            raise value_error(function, "out", f"apart from {name}", "arrays that share memory")


def output(
    out: Array | None, shape: tuple[int, ...], compute: np.dtype, any_order: bool = False
) -> Array:
    """Return the array the engine writes: a checked `out` where it can be, else a new one."""
    if (
        out is not None
        and out.dtype == compute
        and out.flags.aligned
        and (any_order or out.flags.c_contiguous)
    ):
        return out
    return np.empty(shape, compute)


def deliver(target: Array, out: Array | None, dtype: np.dtype) -> Array:
    """Return what the caller gets for what the engine wrote: `out` if there is one."""
    if out is None and target.dtype == dtype:
        return target
    if target is out:
        return out
    # As quiet as the engine: float16 overflows to inf.
    with np.errstate(all="ignore"):
        if out is None:
            return _copied(target, dtype, "C")
        _fill(out, target)
        return out


def _overlap(out: Array, array: Array) -> bool:
    if not np.may_share_memory(out, array):
        return False
    try:
        return np.shares_memory(out, array, max_work=_MOST_OVERLAP_WORK)  # type: ignore[arg-type]
    except Exception as error:
        # np.exceptions.TooHardError, which NumPy has had in two places: then it is safer to refuse.
        if type(error).__name__ != "TooHardError":
            raise
        return True
