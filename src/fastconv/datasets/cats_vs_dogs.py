"""Kaggle's "Dogs vs. Cats": one folder of photos, dealt out to folders a generator can read."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..errors import describe, type_error, value_error
from ..extras import need
from ..files import open_regular, remove_stale, whole_file
from ..geometry import plain_flag, plain_int

PARTS = ("train", "validation", "test")
_CLASSES = {"cats": "cat", "dogs": "dog"}
_MOST_NAMED = 5
_CHUNK = 1 << 20

Path = str | os.PathLike[str]


class _Photo(NamedTuple):
    source: str
    target: str


def split(
    source: Path,
    target: Path,
    sizes: Sequence[int] = (10000, 1000, 1000),
    move: bool = False,
    progress: bool = True,
) -> dict[str, dict[str, int]]:
    """Deal photos ``cat.0.jpg``, ``dog.0.jpg`` ... out to folders of parts and classes.

    The first ones of each class go to ``target/train/cats`` and ``target/train/dogs``, the next
    ones to ``validation``, the next to ``test``. A run that was broken off may be repeated: what
    is complete is left as it is.

    Parameters
    ----------
    source : path
        The folder of photos, Kaggle's ``train``.
    target : path
        The folder to fill; it is made.
    sizes : three ints
        Photos of each class for train, validation and test.
    move : bool
        Whether to move the photos rather than to copy them.
    progress : bool
        Whether to show a progress bar, which needs tqdm.

    Returns
    -------
    dict
        How many photos are in each folder: ``{"train": {"cats": 10000, "dogs": 10000}, ...}``.

    Raises
    ------
    FileNotFoundError
        If photos are missing, before any is copied. The message names the first of them.
    ValueError, TypeError
        If an argument makes no sense.
    ImportError
        If there is no tqdm to show progress.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> temporary = tempfile.TemporaryDirectory()
    >>> folder = pathlib.Path(temporary.name)
    >>> for name in ("cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"):
    ...     _ = (folder / name).write_bytes(b"a photo")
    >>> split(folder, folder / "parts", sizes=(1, 1, 0), progress=False)["validation"]
    {'cats': 1, 'dogs': 1}
    >>> sorted(path.name for path in folder.glob("parts/*/*/*"))
    ['cat.0.jpg', 'cat.1.jpg', 'dog.0.jpg', 'dog.1.jpg']
    """
    for argument, path in (("source", source), ("target", target)):
        if not isinstance(path, (str, os.PathLike)):
            raise type_error("split", argument, "a path", describe(path))
    counts = _checked_sizes(sizes)
    moving = plain_flag("split", "move", move)
    show = _progress(plain_flag("split", "progress", progress))
    photos = list(_plan(os.fspath(source), os.fspath(target), counts))
    todo = [photo for photo in photos if not _is_done(photo)]
    _check_sources(todo)
    for folder in {os.path.dirname(photo.target) for photo in photos}:
        os.makedirs(folder, exist_ok=True)
        remove_stale(folder)
    for photo in show(todo):
        _deliver(photo, moving)
    if moving:
        for photo in photos:
            _remove_twin(photo)
    return {part: dict.fromkeys(_CLASSES, size) for part, size in zip(PARTS, counts, strict=True)}


def _checked_sizes(sizes: object) -> list[int]:
    rule = "three ints of at least 0"
    if not isinstance(sizes, Sequence) or isinstance(sizes, (str, bytes)):
        raise type_error("split", "sizes", rule, describe(sizes))
    if len(sizes) != len(PARTS):
        raise value_error("split", "sizes", rule, describe(sizes))
    counts = [plain_int("split", "sizes", size, rule) for size in sizes]
    if min(counts) < 0:
        raise value_error("split", "sizes", rule, describe(sizes))
    return counts


def _progress(wanted: bool) -> Callable[[Iterable[_Photo]], Iterable[_Photo]]:
    if not wanted:
        return lambda photos: photos
    tqdm = need("tqdm", "split's progress bar").tqdm
    return lambda photos: tqdm(photos, unit=" photos")


def _plan(source: str, target: str, counts: Sequence[int]) -> Iterable[_Photo]:
    for folder, animal in _CLASSES.items():
        first = 0
        for part, count in zip(PARTS, counts, strict=True):
            for number in range(first, first + count):
                name = f"{animal}.{number}.jpg"
                yield _Photo(os.path.join(source, name), os.path.join(target, part, folder, name))
            first += count


def _is_done(photo: _Photo) -> bool:
    """Return whether the target is complete: as long as its source, or moved already."""
    if not os.path.isfile(photo.target):
        return False
    if not os.path.isfile(photo.source):
        return True
    return os.path.getsize(photo.target) == os.path.getsize(photo.source)


def _check_sources(photos: Sequence[_Photo]) -> None:
    missing = [photo.source for photo in photos if not os.path.isfile(photo.source)]
    if missing:
        named = ", ".join(repr(path) for path in missing[:_MOST_NAMED])
        more = len(missing) - _MOST_NAMED
        and_more = f" and {more} more" if more > 0 else ""
        raise FileNotFoundError(f"split: photos are missing in source: {named}{and_more}")


def _deliver(photo: _Photo, moving: bool) -> None:
    if moving:
        try:
            os.replace(photo.source, photo.target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:  # to another disk it takes a copy
                raise
    with open_regular(photo.source) as source, whole_file(photo.target) as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _remove_twin(photo: _Photo) -> None:
    """Remove a source whose copy is complete: a move to another disk, or one broken off."""
    if not os.path.isfile(photo.source) or os.path.samefile(photo.source, photo.target):
        return
    # Being as long was enough to leave the target alone; to delete something it is not.
    if not filecmp.cmp(photo.source, photo.target, shallow=False):
        raise ValueError(
            f"split: {photo.source!r} and {photo.target!r} differ; neither was removed"
        )
    os.unlink(photo.source)
