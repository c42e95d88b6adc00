"""CIFAR-10: 60,000 images of 32x32 pixels in ten classes.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..config import image_data_format
from ..errors import describe, type_error
from ..files import read_at_most
from .archives import read_members
from .download import download
from .pickles import PickledArray, load_arrays

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

label_names = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

Images = tuple[np.ndarray, np.ndarray]

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
# The real files: 170 MB in all, expanding to 186 MB, in batches of 31 MB.
_ARCHIVE_BYTES = 200_000_000
_EXPANDED_BYTES = 400_000_000
_BATCH_BYTES = 40_000_000

_TRAIN = [f"data_batch_{number}" for number in range(1, 6)]
_TEST = "test_batch"
_PYTHON_FOLDER, _BINARY_FOLDER = "cifar-10-batches-py", "cifar-10-batches-bin"
_FOLDERS = {_PYTHON_FOLDER: "", _BINARY_FOLDER: ".bin"}
# As they are called where they come from, then as Keras 2 and Keras 3 store them.
_ARCHIVES = (
    "cifar-10-python.tar.gz",
    "cifar-10-binary.tar.gz",
    "cifar-10-batches-py.tar.gz",
    "cifar-10-batches-py-target_archive",
)
_KERAS_FOLDER = "cifar-10-batches-py-target"


def load_data(path: str | os.PathLike[str] | None = None) -> tuple[Images, Images]:
    """Return CIFAR-10's images and labels.

    Parameters
    ----------
    path : path, optional
        ``cifar-10-python.tar.gz`` or ``cifar-10-binary.tar.gz``, a folder that one of them was
        unpacked to, or one that holds them. By default they are looked for in ``datasets`` of
        ``$FASTCONV_HOME`` (``~/.fastconv``) and of ``$KERAS_HOME`` (``~/.keras``); if they are in
        neither, they are downloaded to the first, 170 MB.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of numpy.ndarray
        uint8. Images are (50000, 32, 32, 3) and (10000, 32, 32, 3), or (50000, 3, 32, 32) and so
        on if `fastconv.config.image_data_format()` is "channels_first"; labels are (50000, 1) and
        (10000, 1), each an index of `label_names`.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ConnectionError
        If the download fails. The message says where a copy of the archive may be put.
    ValueError
        If a file is damaged, incomplete, or anything else than it should be.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((50000, 32, 32, 3), (50000, 1))
    """
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise type_error("load_data", "path", "a path or None", describe(path))
    source = _cached() if path is None else _at(Path(path))
    if source is None:
        if path is not None:
            raise FileNotFoundError(
                f"load_data: path must be a copy of CIFAR-10, got {str(path)!r}"
            )
        source = _home("FASTCONV_HOME", ".fastconv") / _ARCHIVES[0]
        download(URL, source, SHA256, _ARCHIVE_BYTES)
    parts = _read(source)
    train = [parts[name] for name in _TRAIN]
    x_train, y_train = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    return (x_train, y_train), parts[_TEST]


def _home(variable: str, default: str) -> Path:
    home = os.environ.get(variable)
    return (Path(home) if home else Path.home() / default) / "datasets"


def _cached() -> Path | None:
    """Return where a copy lies already, if there is one."""
    homes = _home("FASTCONV_HOME", ".fastconv"), _home("KERAS_HOME", ".keras")
    found = (_at(home) for home in homes if home.is_dir())
    return next((source for source in found if source), None)


def _at(path: Path) -> Path | None:
    """Return the archive or the folder of batches that a path is or holds; None if neither."""
    if not path.is_dir():
        return path if path.exists() else None
    places = [path, *(path / name for name in _FOLDERS)]
    places += [path / _KERAS_FOLDER / name for name in _FOLDERS]
    for place in places:
        if any((place / (_TEST + suffix)).exists() for suffix in _FOLDERS.values()):
            return place
    archives = (path / name for name in _ARCHIVES)
    return next((archive for archive in archives if archive.is_file()), None)


def _read(source: Path) -> dict[str, Images]:
    """Return the images and labels of each batch."""
    files = _folder_files(source) if source.is_dir() else _archive_files(source)
    batches = {}
    for name, suffix, data in files:
        parse = _parse_binary if suffix else _parse_python
        batches[name] = _checked(*parse(data, f"{source}: {name}{suffix}"), f"{source}: {name}")
    missing = [name for name in (*_TRAIN, _TEST) if name not in batches]
    if missing:
        raise ValueError(
            f"{str(source)!r} is no complete CIFAR-10: {', '.join(missing)} is missing"
        )
    return batches


def _folder_files(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield the name, the suffix and the bytes of each batch in a folder."""
    suffix = "" if (folder / _TEST).exists() else _FOLDERS[_BINARY_FOLDER]
    for name in (*_TRAIN, _TEST):
        if (folder / (name + suffix)).exists():
            yield name, suffix, read_at_most(folder / (name + suffix), _BATCH_BYTES)


def _archive_files(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield the same out of an archive, whose folder tells which version it is."""
    members = {
        f"{folder}/{name}{suffix}": (name, suffix)
        for folder, suffix in _FOLDERS.items()
        for name in (*_TRAIN, _TEST)
    }
    found = read_members(archive, members, _BATCH_BYTES, _EXPANDED_BYTES)
    for member in list(found):
        yield *members[member], found.pop(member)


def _parse_python(data: bytes, name: str) -> Images:
    """Return rows of pixels and the labels of a pickled batch."""
    batch = load_arrays(data, name)
    pixels, labels = batch.get("data"), batch.get("labels")
    if not isinstance(pixels, PickledArray) or pixels.array is None:
        raise ValueError(f"{name!r} has no array of pixels")
    if not isinstance(labels, list) or not all(
        type(label) is int and 0 <= label < len(label_names) for label in labels
    ):
        raise ValueError(f"{name!r} has no list of labels from 0 to {len(label_names) - 1}")
    return pixels.array, np.array(labels, np.uint8)


def _parse_binary(data: bytes, name: str) -> Images:
    """Return the same of a binary batch: a label and its pixels, image after image."""
    if len(data) % (1 + _PIXELS):
        raise ValueError(f"{name!r} must have {1 + _PIXELS} bytes an image, got {len(data)} in all")
    images = np.frombuffer(data, np.uint8).reshape(-1, 1 + _PIXELS)
    return images[:, 1:], images[:, 0]


def _checked(pixels: np.ndarray, labels: np.ndarray, name: str) -> Images:
    """Return images in the layout in use, and their labels in a column."""
    samples = len(labels)
    if not samples or pixels.shape != (samples, _PIXELS):
        raise ValueError(f"{name!r} has pixels of shape {pixels.shape} for {samples} labels")
    if labels.max() >= len(label_names):
        raise ValueError(
            f"{name!r} has the label {labels.max()}; {len(label_names) - 1} is the last"
        )
    images = pixels.reshape(samples, 3, _SIDE, _SIDE)
    if image_data_format() == "channels_last":
        images = images.transpose(0, 2, 3, 1)
    # A copy: contiguous, and writable where the pixels are the bytes of a file.
    return images.copy("C"), labels.reshape(samples, 1).copy()
