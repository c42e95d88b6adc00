"""Files that may be anything: opened without waiting, read up to a limit, written as a whole."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"{os.fspath(path)!r} is larger than {most} bytes")
        return file.read(size)


@contextmanager
def durable_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write; it takes the place of `path` once all of it is on the disk.

    Whenever the process or the machine stops, `path` is the old file or the new one. What a
    process that was killed left behind, the next call for this path takes away.

    Raises
    ------
    OSError
        If something can't be written. The old file is still there then, whole; or, if the disk
        fails after that, the new one.
    """
    # A link stays a link, and what it leads to is replaced.
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    directory = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        remove_stale(folder, name)
        with whole_file(path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write, which takes the place of `path` if nothing was raised.

    For many files at a time, which are cheaply written again: none is brought to the disk, and
    what a killed process left in their folder is for the caller to `remove_stale`.
    """
    folder, name = os.path.split(path)
    handle, part = _open_part(folder, _beginning(name))
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            with suppress(FileNotFoundError):
                os.fchmod(handle, stat.S_IMODE(os.stat(path).st_mode))
            yield file
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
    finally:
        # Only now, for without a lock it would be taken for a part that was left behind.
        os.close(handle)


def remove_stale(folder: str, name: str | None = None) -> None:
    """Remove what killed processes left of a file that they wrote to a folder, or of any."""
    beginning = ".*" if name is None else re.escape(_beginning(name))
    pattern = re.compile(rf"\.{beginning}\.[0-9a-f]{{16}}\.part", re.DOTALL)
    for entry in os.listdir(folder):
        if not pattern.fullmatch(entry):
            continue
        part = os.path.join(folder, entry)
        try:
            with open_regular(part) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(part)
        except (OSError, ValueError):
            continue  # somebody is writing it, or it is not ours to remove


def _beginning(name: str) -> str:
    """Return as much of a name as a longer one may begin with: names have a greatest length."""
    return name[:50]


def _open_part(folder: str, name: str) -> tuple[int, str]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        part = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.part")
        handle = os.open(part, flags, 0o666)
        try:
            # Whoever writes holds the lock, so a part without one was left behind. Between the
            # two calls it looked so too, and may be gone.
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return handle, part
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part)
            os.close(handle)
            raise
        os.close(handle)
