"""The processor's modes of arithmetic, read and set through the C library."""

import contextlib
import ctypes
import ctypes.util
import platform
import struct
import sys
from pathlib import Path

FLAGS = 0x3F  # of MXCSR: what has happened, which is no mode
FLUSH = 0x8040  # denormal results, and operands, are zeros
ROUNDING = {"down": 0x2000, "up": 0x4000, "towards zero": 0x6000}
SETTINGS = {"usual": 0, "flush": FLUSH, **ROUNDING}
AT = 28  # where MXCSR is in glibc's fenv_t
KNOWN = sys.platform == "linux" and platform.machine() == "x86_64"


def _library():
    return ctypes.CDLL(ctypes.util.find_library("m"))


def read():
    """Return MXCSR without its flags, and the x87 unit's control word."""
    environment = ctypes.create_string_buffer(64)
    _library().fegetenv(environment)
    return struct.unpack_from("<I", environment, AT)[0] & ~FLAGS, environment.raw[:2]


@contextlib.contextmanager
def changed(bits):
    """Set bits of MXCSR for this thread."""
    library = _library()
    before, after = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    library.fegetenv(before)
    after[:] = before[:]
    struct.pack_into("<I", after, AT, struct.unpack_from("<I", before, AT)[0] | bits)
    library.fesetenv(after)
    try:
        yield
    finally:
        library.fesetenv(before)


def read_on_workers(threads):
    """Return the modes of the threads that help the calling one; None if there is no libgomp."""
    maps = Path("/proc/self/maps").read_text().split()
    path = next((word for word in maps if "libgomp" in word), None)
    if path is None:
        return None
    found = []
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: found.append(read()))
    ctypes.CDLL(path).GOMP_parallel(function, None, ctypes.c_uint(threads), ctypes.c_uint(0))
    return found
