"""Files of named arrays in the format of safetensors, read without trusting them.

Eight bytes, little-endian, tell the length of a header in JSON; it has the type, the shape and the
place of every array, and texts under ``__metadata__``. The arrays follow without gaps. The
`safetensors` package reads these files too.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import describe, value_error
from ..files import open_regular

MOST_HEADER = 1 << 24
# Of JSON: a network of a thousand layers has some 60,000 values, and 1000 classes.
_MOST_VALUES, _MOST_CLASSES = 1_000_000, 20_000
_MOST_AXES = 32
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BOOL": "bool",
    **{f"{kind}{8 * size}": f"{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}
_NAMES = {np.dtype(dtype): name for name, dtype in _TYPES.items()}


class Entry(NamedTuple):
    """What the header says of an array."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


class TensorsFile:
    """A file of arrays, open for reading: all of its header is checked, no array is read yet.

    Parameters
    ----------
    function : str
        What an error names.
    path : str or os.PathLike
        A regular file.

    Raises
    ------
    OSError
        If it can't be opened.
    ValueError
        If it is no such file, or its header contradicts itself or the file's size.
    """

    def __init__(self, function: str, path: str | os.PathLike[str]) -> None:
        self.function, self.path = function, os.fspath(path)
        self._file: BinaryIO = open_regular(path)
        try:
            self.metadata, self.entries = self._header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TensorsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, name: str) -> np.ndarray:
        """Return an array; the header was compared with the file's size before."""
        entry = self.entries[name]
        array = np.empty(entry.shape, entry.dtype)
        self._file.seek(self._begin + entry.start)
        content = array.reshape(-1).view(np.uint8).data
        if self._file.readinto(content) != array.nbytes:  # type: ignore[attr-defined]
            raise self._wrong("as long as its header says", "a shorter one")
        return array.astype(entry.dtype.newbyteorder("="), copy=False)

    def _header(self) -> tuple[dict[str, str], dict[str, Entry]]:
        size = os.fstat(self._file.fileno()).st_size
        length = int.from_bytes(self._file.read(8), "little")
        if not 2 <= length <= min(size - 8, MOST_HEADER):
            rule = f"with a header of 2 to {MOST_HEADER} bytes, as safetensors has it"
            raise self._wrong(rule, f"{length} in a file of {size} bytes")
        self._begin = 8 + length
        header = parse(self.function, self.path, self._file.read(length))
        if not isinstance(header, dict):
            raise self._wrong("with a dict as header", describe(header))
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(t, str) for t in metadata.values()):
            raise self._wrong("with texts as metadata", describe(metadata))
        entries = {name: self._entry(name, given) for name, given in header.items()}
        end = 0
        for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
            if entry.start != end:
                raise self._wrong("without gaps or overlaps", f"one before {describe(name)}")
            end = entry.stop
        if end != size - self._begin:
            raise self._wrong("as long as its header says", f"{size} bytes")
        return metadata, entries

    def _entry(self, name: str, given: Any) -> Entry:
        if not isinstance(given, dict) or set(given) != {"dtype", "shape", "data_offsets"}:
            raise self._wrong(f"with dtype, shape and offsets of {describe(name)}", describe(given))
        shape, offsets = given["shape"], given["data_offsets"]
        known = _TYPES.get(given["dtype"]) if isinstance(given["dtype"], str) else None
        if known is None:
            raise self._wrong(f"of types {', '.join(_TYPES)}", describe(given["dtype"]))
        dtype = np.dtype(known).newbyteorder("<")
        if not _sizes(shape) or len(shape) > _MOST_AXES:
            raise self._wrong(f"with a shape for {describe(name)}", describe(shape))
        if not _sizes(offsets) or len(offsets) != 2:
            raise self._wrong(f"with two offsets of {describe(name)}", describe(offsets))
        start, stop = offsets
        if stop - start != math.prod(shape) * dtype.itemsize:
            raise self._wrong(f"with offsets that fit {describe(name)}", describe(offsets))
        return Entry(dtype, tuple(shape), start, stop)

    def _wrong(self, rule: str, got: str) -> ValueError:
        return value_error(self.function, "filepath", f"a whole file {rule}", got)


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**62 for n in value)


def parse(function: str, path: str, text: bytes | str) -> Any:
    """Return what a text of JSON says; ValueError for anything else.

    For names given twice, too, and for more values than any model has: an empty dict takes two
    bytes in a file, and thirty times as many in memory.
    """
    classes = itertools.count(1)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name stands there twice")
        if "class_name" in found and next(classes) > _MOST_CLASSES:
            raise ValueError(f"more than {_MOST_CLASSES} objects with a class")
        return found

    signs: tuple[Any, ...] = (b"{", b"[", b",") if isinstance(text, bytes) else ("{", "[", ",")
    try:
        if sum(map(text.count, signs)) > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES} values")
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        got = f"{type(error).__name__}: {error}"
        raise value_error(function, "filepath", "a file of valid JSON", got) from error


def write_tensors(file: BinaryIO, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write arrays and texts to a file that is open for writing."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        kind = _NAMES[array.dtype.newbyteorder("=")]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    # padded, so that the arrays can be mapped into memory as they lie
    text += b" " * (-len(text) % 8)
    if len(text) > MOST_HEADER:
        raise value_error("save", "model", f"described by {MOST_HEADER} bytes at most", len(text))
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for array in arrays.values():
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        file.write(plain.reshape(-1).view(np.uint8).data)
