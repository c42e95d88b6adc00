"""Files that may be anything: opened without waiting, read up to a limit, written as a whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FLAGS |= getattr(os, "O_CLOEXEC", 0)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; a pipe, a device or a folder is refused, never waited for.

    Raises
    ------
    OSError
        If the file can't be opened.
    ValueError
        If it is no regular file.
    """
    # What is opened is judged, not the name: that may mean another file a moment later.
    handle = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{os.fspath(path)!r} is no regular file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_at_most(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the bytes of a regular file; ValueError, before any is read, if more than `most`."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"{os.fspath(path)!r} is larger than {most} bytes")
        return file.read(most)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give a name beside `path` to write to; it takes the name `path` if nothing was raised.

    So who looks finds a complete file or none, also after a crash.
    """
    folder, name = os.path.split(os.fspath(path))
    part = os.path.join(folder, f".{name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        if os.path.lexists(part):
            os.unlink(part)
