"""Extensions and compiler flags; everything else stands in pyproject.toml.

Environment: FASTCONV_SANITIZE=address,undefined builds with those sanitizers (make asan), and
FASTCONV_SANITIZE=thread with that one (make tsan).
"""

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

CORE = "src/fastconv/_core"
KERNELS = f"{CORE}/kernels"
# -fwrapv: integers wrap as NumPy's do.  No -ffast-math: inf, NaN and signed zeros count.
FLAGS = ["-O3", "-std=gnu11", "-fwrapv", "-fno-math-errno", "-fno-trapping-math"]
# one unit an ISA: its name, and the flags that choose its instructions
UNITS = {"baseline": []}
if platform.machine() in ("x86_64", "AMD64"):
    UNITS["avx2"] = ["-mavx2", "-mfma"]
    UNITS["avx512"] = [
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ]
# unit.h: dtypes that are compiled beside each other; the first knows the others
PARTS = ("INTEGERS", "FLOAT32", "FLOAT64", "INT64")
# Pools of seven integers: -O3 takes twice as long, and makes them faster in baseline alone.
QUICKER = {(isa, "INTEGERS"): ["-O2", "-ftree-vectorize"] for isa in ("avx2", "avx512")}
MODULES = [
    *("taps", "direct", "panels", "rows", "scatter", "conv"),
    *("depthwise", "depthwise_gradient", "grouped", "planes"),
    *("winograd_tiles", "winograd", "winograd_gradient"),
    *("strip_tiles", "strips"),
    *("lanes", "dot", "weights", "relu", "pool", "pool_rows", "pool_pixels", "pool_gradients"),
    *("relay", "pool_shares", "recycling", "update", "products", "small", "small_steps"),
    "runtime",  # waits for the kernels, so it is the last
]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}


def sanitizer_flags() -> list[str]:
    sanitizers = os.environ.get("FASTCONV_SANITIZE", "")
    if not sanitizers:
        return ["-g0"]  # Python's own flags ask for debugging data three times the code's size
    return [f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer", "-O1", "-g1"]


def openmp_flags() -> list[str]:
    """The flag that turns OpenMP on, or none (one thread) if the compiler lacks it."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }")
        command = [*compiler.split(), str(source), "-fopenmp", "-o", str(Path(folder, "probe"))]
        try:
            found = subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            found = False
    if not found:
        warnings.warn("fastconv: no OpenMP found, building for one thread", stacklevel=2)
    return ["-fopenmp"] if found else []


def kernel_libraries() -> list[tuple[str, dict]]:
    headers = sorted(str(path) for path in Path(KERNELS).glob("*.h"))

    def library(name: str, sources: list[str], flags: list[str]) -> tuple[str, dict]:
        flags = [*FLAGS, *flags, *sanitizer_flags()]
        paths = [f"{KERNELS}/{source}" for source in sources]
        return name, {"sources": paths, "cflags": flags, "obj_deps": {"": headers}}

    parts = [
        library(
            f"fastconv_{isa}_{part.lower()}",
            [f"{isa}.c"],
            [*flags, *QUICKER.get((isa, part), []), f"-DPARTS={part}"],
        )
        for isa, flags in UNITS.items()
        for part in PARTS
    ]
    return [library("fastconv_dispatch", ["dispatch.c", "workspace.c"], []), *parts]


def extensions() -> list[Extension]:
    openmp = openmp_flags()
    kernels = [name for name, _ in kernel_libraries()]
    sources = sorted(str(path) for path in Path(KERNELS).glob("*.[ch]"))
    memory = [f"{KERNELS}/kernels.h", f"{KERNELS}/workspace.c"]
    support = [
        f"{CORE}/{name}.h"
        for name in ("runtime_support", "floating_point", "signals", "thread_start")
    ]
    return [
        Extension(
            f"fastconv._core.{name}",
            [f"{CORE}/{name}.pyx"],
            include_dirs=[np.get_include(), CORE],
            # runtime alone has kernels in it; it is linked anew when one of them changes
            libraries=kernels if name == "runtime" else kernels[:1],
            depends=[*support, *sources] if name == "runtime" else memory,
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_1_25_API_VERSION"),  # works on every later one
            ],
            extra_compile_args=[*FLAGS, *sanitizer_flags(), *(openmp if name == "runtime" else [])],
            extra_link_args=[*sanitizer_flags(), *(openmp if name == "runtime" else [])],
        )
        for name in MODULES
    ]


class KernelBuild(build_clib):
    """Begins to compile the kernels, which takes most of the time; ModuleBuild waits for them."""

    begun: list[Future]

    def build_libraries(self, libraries: list[tuple[str, dict]]) -> None:
        pool = ThreadPoolExecutor(os.cpu_count())
        self.begun = [pool.submit(self.build_one, library) for library in libraries]
        self.begun[0].result()  # what every module is linked with

    def build_one(self, library: tuple[str, dict]) -> None:
        build = copy(self)  # parts have their source in common, so their objects lie apart
        build.build_temp = os.path.join(self.build_temp, library[0])
        build_clib.build_libraries(build, [library])


class ModuleBuild(build_ext):
    """Cython and the modules, beside the kernels; `runtime`, which has these in it, is the last."""

    def build_extensions(self) -> None:
        self.run_command("build_clib")
        self.compiler.set_libraries([])  # each extension names its own
        generated = cythonize(
            self.extensions, compiler_directives=DIRECTIVES, include_path=["src"], quiet=True
        )
        for extension, made in zip(self.extensions, generated, strict=True):
            extension.sources = made.sources
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        if ext.name.endswith(".runtime"):
            for library in self.get_finalized_command("build_clib").begun:
                library.result()
        super().build_extension(ext)


if sys.platform == "win32":
    sys.exit("fastconv: MSVC is not supported yet; use GCC or Clang on Linux or macOS")

setup(
    cmdclass={"build_clib": KernelBuild, "build_ext": ModuleBuild},
    options={"build_ext": {"parallel": os.cpu_count()}},
    libraries=kernel_libraries(),
    ext_modules=extensions(),
)
