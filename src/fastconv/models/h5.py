"""HDF5 files of weights, written to memory and read without trusting them.

Only groups and plain arrays that lie in the file itself are read: no links, no filters, nothing
that would be larger in memory than it is in the file.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from ..errors import describe, value_error
from ..extras import need
from ..files import open_regular

# of attributes in a file, as HDF5 has it
_MOST_ATTRIBUTE = 64512
# how a global heap begins, its version included, and the least that it takes
_HEAP, _LEAST_HEAP = b"GCOL\x01", 4096
_CHUNK = 1 << 24


@contextmanager
def written() -> Iterator[tuple[Any, io.BytesIO]]:
    """Give a file to fill, and the bytes that it will be."""
    h5py = need("h5py", "save", "keras")
    # In memory: an error of a full disk, raised below HDF5, would not come through.
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file, content


@contextmanager
def opened(function: str, source: Any) -> Iterator[Any]:
    """Give the file of a path, or of an open file of bytes."""
    h5py = need("h5py", function, "keras")
    stream = open_regular(source) if isinstance(source, str) else source
    try:
        _check_heaps(function, stream)
        try:
            file = h5py.File(stream, "r")
        except (OSError, RuntimeError) as error:
            raise value_error(function, "filepath", "an HDF5 file", str(error)) from error
        with file:
            try:
                yield file
            except (OSError, RuntimeError) as error:  # what HDF5 says of damage
                raise value_error(function, "filepath", "a whole file", str(error)) from error
    finally:
        stream.close()


def _check_heaps(function: str, stream: BinaryIO) -> None:
    """Raise if a heap, where texts lie, has an object that does not end in it.

    HDF5 goes from object to object by their sizes, and through such a one in circles.
    """
    size = stream.seek(0, os.SEEK_END)
    for place in _found_in(stream, _HEAP):
        stream.seek(place + 8)
        length = int.from_bytes(stream.read(8), "little")
        if not _LEAST_HEAP <= length <= size - place:
            continue  # these bytes mean something else, or HDF5 says that they are damaged
        heap, at = stream.read(length - 16), 0
        while at + 16 <= len(heap):
            index = int.from_bytes(heap[at : at + 2], "little")
            length = int.from_bytes(heap[at + 8 : at + 16], "little")
            needed = 16 + (length + 7) // 8 * 8 if index else length
            if not 16 <= needed <= len(heap) - at:
                got = f"a heap with an object of {length} bytes"
                raise value_error(function, "filepath", "a whole file", got)
            at += needed
    stream.seek(0)


def _found_in(stream: BinaryIO, text: bytes) -> Iterator[int]:
    """Yield where a text stands in a file."""
    begin, before = 0, b""
    while True:
        stream.seek(begin)
        read = stream.read(_CHUNK)
        if not read:
            return
        content = before + read
        at = content.find(text)
        while at >= 0:
            yield begin - len(before) + at
            at = content.find(text, at + 1)
        begin, before = begin + len(read), content[1 - len(text) :]


def group(function: str, parent: Any, path: str) -> Any:
    """Return a group within another, of the same file; None if there is none."""
    h5py = need("h5py", function, "keras")
    here = parent
    for name in path.split("/"):
        here = _own(function, here, name)
        if here is None:
            return None
        if not isinstance(here, h5py.Group):
            raise value_error(function, "filepath", f"a file with a group {path!r}", "no group")
    return here


def _own(function: str, parent: Any, name: str) -> Any:
    h5py = need("h5py", function, "keras")
    link = parent.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        rule = "a file without links to elsewhere"
        raise value_error(function, "filepath", rule, f"{type(link).__name__} {name!r}")
    return parent[name]


def arrays(
    function: str, parent: Any, names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    """Return arrays of a group, each of the shape that is expected of it."""
    datasets = [
        _dataset(function, parent, name, shape) for name, shape in zip(names, shapes, strict=True)
    ]
    return [np.asarray(dataset[()]) for dataset in datasets]


def shapes(function: str, parent: Any, names: Sequence[str]) -> list[tuple[int, ...] | None]:
    """Return the shapes of arrays of a group, None where there is no array."""
    return [getattr(_found(function, parent, name), "shape", None) for name in names]


def _found(function: str, parent: Any, path: str) -> Any:
    folder, _, name = path.rpartition("/")
    inside = group(function, parent, folder) if folder else parent
    return None if inside is None else _own(function, inside, name)


def _dataset(function: str, parent: Any, path: str, shape: tuple[int, ...]) -> Any:
    h5py = need("h5py", function, "keras")
    dataset = _found(function, parent, path)
    where = f"{parent.name}/{path}"
    if not isinstance(dataset, h5py.Dataset):
        raise value_error(function, "filepath", f"a file with an array {where!r}", "none")
    if dataset.shape != shape or dataset.dtype.kind not in "fiub":
        got = f"shape {describe(dataset.shape)}, dtype {dataset.dtype}"
        raise value_error(function, "filepath", f"a file with {where!r} of shape {shape}", got)
    size = math.prod(shape) * dataset.dtype.itemsize
    plain = not (dataset.external or dataset.is_virtual or dataset.chunks)
    if not plain or (size and dataset.id.get_storage_size() != size):
        rule = f"a file that holds all of {where!r}, in one piece"
        raise value_error(function, "filepath", rule, "chunks, or an array that lies elsewhere")
    return dataset


def vars_of(
    function: str, file: Any, path: str, expected: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    """Return the arrays "0", "1", ... of a part of a model, which must be of these shapes."""
    found = group(function, file, f"{path}/vars" if path else "vars")
    count = 0 if found is None else len(found)
    if count != len(expected):
        rule = f"a file with {len(expected)} arrays in {path}/vars"
        raise value_error(function, "filepath", rule, count)
    names = [str(i) for i in range(len(expected))]
    return arrays(function, found, names, expected) if expected else []


def has_vars(function: str, file: Any, path: str, expected: Sequence[tuple[int, ...]]) -> bool:
    """Return whether a part of a model has arrays of these shapes, and no others."""
    found = group(function, file, f"{path}/vars")
    if found is None or len(found) != len(expected):
        return not expected and found is None
    return shapes(function, found, [str(i) for i in range(len(expected))]) == list(expected)


def set_names(parent: Any, name: str, names: Sequence[str]) -> None:
    """Write a list of names as an attribute, or as name0, name1, ... where one has no room."""
    given = np.asarray([one.encode() for one in names])
    pieces = 1
    while any(part.nbytes > _MOST_ATTRIBUTE for part in np.array_split(given, pieces)):
        pieces += 1
        if pieces > len(names):
            rule = f"with names of at most {_MOST_ATTRIBUTE} bytes"
            raise value_error("save", "model", rule, "a longer one")
    if pieces == 1:
        parent.attrs[name] = given
        return
    for i, part in enumerate(np.array_split(given, pieces)):
        parent.attrs[f"{name}{i}"] = part


def names_in(function: str, parent: Any, name: str) -> list[str]:
    """Return a list of names that `set_names` wrote, or Keras."""
    keys = [name] if name in parent.attrs else []
    while not keys or keys[0] != name:
        if f"{name}{len(keys)}" not in parent.attrs:
            break
        keys.append(f"{name}{len(keys)}")
    if not keys:
        raise value_error(function, "filepath", f"a file with {name} of {parent.name}", "none")
    return [text for key in keys for text in texts(function, parent, key)]


def texts(function: str, parent: Any, name: str) -> list[str]:
    """Return an attribute of one text or of several."""
    h5py = need("h5py", function, "keras")
    attribute = parent.attrs.get_id(name)
    if 0 in attribute.shape:  # no text at all, which Keras writes as an array of no floats
        return []
    kind = attribute.get_type()
    # HDF5 has been seen to crash on values of types that damage has made.
    if type(kind) is not h5py.h5t.TypeStringID:
        raise value_error(
            function, "filepath", f"a file with a text as {name}", type(kind).__name__
        )
    found = np.asarray(parent.attrs[name], object).reshape(-1).tolist()
    return [one if isinstance(one, str) else one.decode(errors="replace") for one in found]
