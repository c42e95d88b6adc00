"""Chosen members of a .tar.gz, read in one pass: nothing is extracted to disk, nothing unbounded.

The standard library's tarfile takes the headers of an archive at their word, some of which say how
much memory to fill. Here a header is 512 bytes, a member is read only if its name is asked for and
its size allowed, and the stream as a whole may not grow past a limit.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Collection
from typing import BinaryIO

from ..files import open_regular

_BLOCK = 512
_CHUNK = 1 << 20
_REGULAR = (b"0", b"\0")
# The checksum counts its own field as spaces.
_SUM = slice(148, 156)


def read_members(
    path: str | os.PathLike[str], names: Collection[str], most: int, most_in_all: int
) -> dict[str, bytes]:
    """Return the regular files called `names` that an archive has.

    Parameters
    ----------
    path : path
        A tar archive, compressed by gzip.
    names : collection of str
        Exact names. What has another name is passed over, whatever it is.
    most, most_in_all : int
        Bytes allowed of a member, and of all that the archive expands to.

    Returns
    -------
    dict of str to bytes
        Those that were found.

    Raises
    ------
    ValueError
        If the archive is damaged, cut off, no such archive, or larger than allowed.
    OSError
        If it can't be opened.
    """
    with open_regular(path) as file:
        try:
            with gzip.open(file) as stream:
                return _read(_Bounded(stream, most_in_all), names, most)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise ValueError(f"{os.fspath(path)!r} can't be read as .tar.gz: {error}") from error


class _Bounded:
    """A stream that ends in an error where it is cut off, and where it passes a limit."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, most: int):
        self.stream = stream
        self.left = most

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise ValueError("it expands to more than a data set of this kind has")
        data = self.stream.read(size)
        if len(data) != size:
            raise ValueError("it ends too early")
        return data

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.read(min(size, _CHUNK)))

    def drain(self) -> None:
        """Read to the end: gzip compares its checksum there."""
        while data := self.stream.read(_CHUNK):
            self.left -= len(data)
            if self.left < 0:
                raise ValueError("it expands to more than a data set of this kind has")


def _read(stream: _Bounded, names: Collection[str], most: int) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    while (header := stream.read(_BLOCK)).strip(b"\0"):
        name, size = _name_and_size(header)
        if name in names and header[156:157] in _REGULAR:
            if size > most:
                raise ValueError(f"{name} is larger than {most} bytes")
            if name in members:
                raise ValueError(f"{name} is there twice")
            members[name] = stream.read(size)
        else:
            stream.skip(size)
        stream.skip(-size % _BLOCK)
    stream.drain()
    return members


def _name_and_size(header: bytes) -> tuple[str, int]:
    try:
        plain = header[: _SUM.start] + b" " * 8 + header[_SUM.stop :]
        if int(header[_SUM].strip(b" \0"), 8) != sum(plain):
            raise ValueError
        # Sizes past 8 GB are written in another way, which none of these files needs.
        size = int(header[124:136].strip(b" \0"), 8)
    except ValueError:
        raise ValueError("a header is damaged") from None
    if size < 0:
        raise ValueError("a header is damaged")
    return header[:100].split(b"\0")[0].decode("utf-8", "replace"), size
