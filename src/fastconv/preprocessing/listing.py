"""Which images a folder has, and which class each of them belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from ..errors import describe, type_error, value_error

Path = str | os.PathLike[str]


def checked_directory(function: str, directory: object) -> str:
    """Return a folder's path; whether it is there shows when it is read."""
    if not isinstance(directory, (str, os.PathLike)):
        raise type_error(function, "directory", "a path", describe(directory))
    path = os.fspath(directory)
    if not os.path.isdir(path):
        error = NotADirectoryError if os.path.exists(path) else FileNotFoundError
        raise error(f"{function}: directory must be a folder, got {path!r}")
    return path


def checked_classes(
    function: str, argument: str, directory: str, classes: object, hidden: bool
) -> list[str]:
    """Return the names of the folders that are classes: those given, or all in order.

    `hidden` says whether these may begin with a dot.
    """
    found = sorted(
        entry.name
        for entry in os.scandir(directory)
        if entry.is_dir() and (hidden or not entry.name.startswith("."))
    )
    if classes is None or (isinstance(classes, (list, tuple)) and not classes):
        return found
    rule = "names of folders in the directory, each once"
    if not isinstance(classes, Sequence) or isinstance(classes, (str, bytes)):
        raise type_error(function, argument, rule, describe(classes))
    if not all(isinstance(name, str) for name in classes):
        raise type_error(function, argument, rule, describe(classes))
    absent = sorted(set(classes) - set(found))
    if absent or len(set(classes)) != len(classes):
        got = f"{absent[0]!r}, which is none" if absent else describe(classes)
        raise value_error(function, argument, rule, got)
    return list(classes)


def images_below(
    directory: str, folder: str, suffixes: tuple[str, ...], follow_links: bool
) -> list[str]:
    """Return the paths, relative to the directory, of all images in a folder of it, in order."""
    top = os.path.join(directory, folder)
    walked = sorted(os.walk(top, onerror=_raise, followlinks=follow_links), key=lambda at: at[0])
    return [
        os.path.relpath(os.path.join(root, name), directory)
        for root, _, names in walked
        for name in sorted(names)
        if name.lower().endswith(suffixes)
    ]


def _raise(error: OSError) -> NoReturn:
    # os.walk passes over folders that can't be read, unless told otherwise.
    raise error
