"""What fails on purpose: allocations and calls to the file system, by a library that is preloaded.

`run` starts a script under it; the script takes hold of it by `Faults`. No build of fastconv is
special for that, and nothing of it is in a release.
"""

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Of PyDataMem_SetHandler, in NumPy's table of functions.
_SET_HANDLER = 304
KILL, KILL_HALFWAY, DISK_FULL = -1, -2, -3


def library(folder):
    """Compile the library to a folder, or skip the test and say why."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        pytest.skip("the library that lets calls fail is written for glibc")
    if compiler is None:
        pytest.skip("no C compiler to make the library that lets calls fail")
    if os.environ.get("FASTCONV_SANITIZE"):
        pytest.skip("the sanitizer's own allocator is preloaded")
    target = Path(folder) / "faults.so"
    command = [compiler, "-std=gnu11", "-O1", "-shared", "-fPIC", "-fno-builtin"]
    command += ["-o", str(target), str(HERE / "faults.c"), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"the library that lets calls fail could not be compiled: {done.stderr[-300:]}")
    return target


def run(library, script, argument, timeout, **environment):
    """Run a script of this folder under the library; return what it printed, from JSON."""
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "OMP_WAIT_POLICY": "passive",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / script)],
        input=json.dumps(argument),
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
    )
    assert done.returncode == 0, f"ended by {done.returncode}: {done.stderr[-3000:]}"
    return json.loads(done.stdout)


class Faults:
    """The library, in a process that it was preloaded to."""

    def __init__(self):
        self._library = ctypes.CDLL(None)
        self._library.fault_log.restype = ctypes.c_char_p
        for name in ("disarm_memory", "of_others", "live", "kept", "disarm_files"):
            getattr(self._library, f"fault_{name}").restype = ctypes.c_long
        for name in ("arm_memory", "arm_files"):
            getattr(self._library, f"fault_{name}").restype = None
        self.arm_memory = self._library.fault_arm_memory
        self.arm_memory.argtypes = [ctypes.c_long, ctypes.c_long]
        self.disarm_memory = self._library.fault_disarm_memory
        self.of_others = self._library.fault_of_others
        self.live = self._library.fault_live
        self.keep, self.kept = self._library.fault_keep, self._library.fault_kept
        self.denied_to_ours = self._library.fault_denied_to_ours
        self.arm_files = self._library.fault_arm_files
        self.arm_files.argtypes = [ctypes.c_long, ctypes.c_int]
        self.disarm_files = self._library.fault_disarm_files

    def watch(self, interpreter, ours, numpy):
        """Say where the code of each is, as beginnings of paths."""
        for kind, places in enumerate((interpreter, ours, numpy)):
            pairs = list(addresses_of(tuple(places)))
            array = (ctypes.c_size_t * len(pairs))(*pairs)
            self._library.fault_code(kind, array, len(pairs) // 2)

    def lend_to_numpy(self):
        """Let the memory of arrays count, in this thread."""
        from numpy._core._multiarray_umath import _ARRAY_API

        api = ctypes.pythonapi
        api.PyCapsule_GetPointer.restype = ctypes.c_void_p
        api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
        api.PyCapsule_New.restype = ctypes.py_object
        api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        handler = ctypes.addressof(ctypes.c_char.in_dll(self._library, "fault_data"))
        self._capsule = api.PyCapsule_New(handler, b"mem_handler", None)
        table = ctypes.cast(
            api.PyCapsule_GetPointer(_ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p)
        )
        set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
        set_handler(self._capsule)

    def log(self):
        """Return names and paths of the calls to the file system since they were armed."""
        return [line.split(" ", 1) for line in self._library.fault_log().decode().splitlines()]


def addresses_of(places):
    """Yield where the code of files is whose paths begin with one of these: begin, end, ..."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            addresses, mode, *_, path = line.split(maxsplit=5)
            if "x" in mode and path.strip().startswith(places):
                yield from (int(address, 16) for address in addresses.split("-"))


def code_of_python():
    """Return where the code of the interpreter lies, and of its own modules."""
    places = [os.path.realpath(sys.executable)]
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].strip()
            if "/libpython3" in path or "/lib-dynload/" in path:
                places.append(path)
    return places
