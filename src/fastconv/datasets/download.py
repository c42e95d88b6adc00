"""A file fetched once: checked by its hash, and in place only when it is whole."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..files import durable_file

_CHUNK = 1 << 20
_SECONDS_OF_SILENCE = 60


def download(url: str, target: Path, sha256: str, most: int) -> None:
    """Download a file.

    Parameters
    ----------
    url : str
        Where from.
    target : Path
        Where to; its folder is made.
    sha256 : str
        The hash that its bytes must have, in hexadecimal.
    most : int
        No more bytes than these are taken.

    Raises
    ------
    ConnectionError
        If it can't be fetched. The message says how to do without the network.
    ValueError
        If it is another file, which is not kept.
    OSError
        If it can't be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"Downloading data from {url}")
    with durable_file(target) as file:
        digest = _fetch(url, file, most, target)
        if digest != sha256:
            text = f"{url} gave a file of SHA-256 {digest}, expected {sha256}: it was not kept"
            raise ValueError(text)


def _fetch(url: str, file: BinaryIO, most: int, target: Path) -> str:
    """Write what an address gives to a file and return its hash."""
    digest, left = hashlib.sha256(), most
    for chunk in _chunks(url, target):
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"{url} gave more than {most} bytes: they were not kept")
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()


def _chunks(url: str, target: Path) -> Iterator[bytes]:
    """Yield what an address gives; apart from the writing, whose errors are another matter."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS_OF_SILENCE) as answer:
            expected = answer.headers.get("Content-Length")
            got = 0
            while chunk := answer.read(_CHUNK):
                got += len(chunk)
                yield chunk
            if expected is not None and got < int(expected):
                raise OSError(f"the connection was lost after {got} of {expected} bytes")
    except (OSError, http.client.HTTPException) as error:
        text = f"can't download {url} ({error}); fetch it by other means and put it at {target}"
        raise ConnectionError(text) from error
