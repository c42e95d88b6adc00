"""Dictionaries of uint8 arrays out of pickles that may come from anywhere.

A pickle is a program. Before this one runs its instructions are counted, and what it may call are
the few objects below: they build nothing but uint8 arrays, hold no state, and can't be changed.
NumPy's own functions are not among them, for a pickle can make those allocate or hold objects.
"""

from __future__ import annotations

import io
import pickle
import pickletools

import numpy as np

# 10,000 labels and file names take some 40,000 instructions.
_MOST_INSTRUCTIONS = 500_000
_UINT8 = ("u1", b"u1", "|u1", b"|u1")


class PickledArray:
    """A uint8 array on its way out of a pickle; `array` is None until its state has come."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise pickle.UnpicklingError("an array has an unknown form")
        _, shape, dtype, fortran, data = state
        if type(dtype) is not _Uint8 or type(data) is not bytes or type(shape) is not tuple:
            raise pickle.UnpicklingError("an array is not of uint8")
        array = np.frombuffer(data, np.uint8)
        self.array = array.reshape(shape, order="F" if fortran else "C")


class _Uint8:
    """Stands for the dtype uint8."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Take byte order and alignment, of which uint8 has none."""


class _MakeArray:
    """Stands for NumPy's `_reconstruct`, whose arguments are always those of an empty array."""

    __slots__ = ()

    def __call__(self, *ignored: object) -> PickledArray:
        return PickledArray()


class _MakeDtype:
    __slots__ = ()

    def __call__(self, name: object, *ignored: object) -> _Uint8:
        if name not in _UINT8:
            raise pickle.UnpicklingError("an array is not of uint8")
        return _Uint8()


class _Encode:
    """Stands for `codecs.encode` as bytes are pickled: latin-1 alone, which can't grow them."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("bytes are written in an unknown form")
        return text.encode("latin-1")


class _ArrayType:
    """Stands for the class `ndarray`, which only `_reconstruct` is given."""

    __slots__ = ()


# Instances, not functions and classes: a pickle may set attributes of what it is given.
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy._core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy", "ndarray"): _ArrayType(),
    ("numpy", "dtype"): _MakeDtype(),
    ("_codecs", "encode"): _Encode(),
    ("codecs", "encode"): _Encode(),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            text = f"it asks for {module}.{name}, which is not needed to hold arrays"
            raise pickle.UnpicklingError(text[:200]) from None


def load_arrays(data: bytes, name: str) -> dict[str, object]:
    """Return the dictionary that a pickle holds: str keys, its arrays as `PickledArray`.

    Parameters
    ----------
    data : bytes
        The pickle, written by Python 2 or 3.
    name : str
        The file that it comes from, for the message.

    Raises
    ------
    ValueError
        If it is damaged, holds no dictionary, or asks for anything but arrays of uint8.
    """
    try:
        _check_instructions(data)
        loaded = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        if type(loaded) is not dict:
            raise pickle.UnpicklingError("it holds no dictionary")
        return {_text(key): value for key, value in loaded.items()}
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ValueError(f"{name!r} is no batch of CIFAR-10: {error}") from error


def _text(key: object) -> str:
    """Return a key as text: Python 2 wrote bytes."""
    if type(key) is bytes:
        return key.decode("utf-8")
    if type(key) is str:
        return key
    raise pickle.UnpicklingError("a key of it is no text")


def _check_instructions(data: bytes) -> None:
    """Refuse what would fill memory: many tiny objects, or a place far out in the memo."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        far = "PUT" in opcode.name and isinstance(argument, int) and argument > _MOST_INSTRUCTIONS
        if far or count > _MOST_INSTRUCTIONS:
            raise pickle.UnpicklingError("it has more instructions than a batch needs")
