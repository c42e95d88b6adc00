"""Files that may be anything: opened without waiting, read up to a limit, written as a whole."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
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


@contextmanager
def durable_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write; it takes the place of `path` once all of it is on the disk.

    Whenever the process or the machine stops, `path` is the old file or the new one. What a
    process that was killed left behind, the next call for this path takes away.

    Raises
    ------
    OSError
        If something can't be written. The old file is still there then, whole.
    """
    # A link stays a link, and what it leads to is replaced.
    path = os.path.realpath(path)
    # Of the name only the beginning, for names have a greatest length.
    folder, name = os.path.dirname(path), os.path.basename(path)[:50]
    _remove_stale(folder, name)
    handle, part = _open_part(folder, name)
    try:
        with os.fdopen(handle, "wb") as file:
            if os.path.exists(path):
                os.fchmod(handle, stat.S_IMODE(os.stat(path).st_mode))
            yield file
            file.flush()
            os.fsync(handle)
            os.replace(part, path)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _open_part(folder: str, name: str) -> tuple[int, str]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        part = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.part")
        handle = os.open(part, flags, 0o666)
        # Whoever writes holds the lock, so a part without one was left behind. Between the two
        # calls it looked so too, and may be gone.
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, part
        os.close(handle)


def _remove_stale(folder: str, name: str) -> None:
    pattern = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.part")
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
