"""Extensions and compiler flags; everything else stands in pyproject.toml.

Environment: FASTCONV_SANITIZE=address,undefined builds with those sanitizers (make asan).
"""

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib

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
MODULES = [
    *("runtime", "taps", "direct", "panels", "rows", "scatter", "conv"),
    *("depthwise", "depthwise_gradient", "grouped", "planes"),
    *("winograd_tiles", "winograd", "winograd_gradient", "strips"),
    *("lanes", "dot", "weights", "relu", "pool", "pool_rows", "pool_pixels", "pool_gradients"),
    *("relay", "pool_shares", "recycling", "update", "products", "small", "small_steps"),
]


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

    units = [library(f"fastconv_{isa}", [f"{isa}.c"], flags) for isa, flags in UNITS.items()]
    return [library("fastconv_dispatch", ["dispatch.c", "workspace.c"], []), *units]


def extensions() -> list[Extension]:
    openmp = openmp_flags()
    return [
        Extension(
            f"fastconv._core.{name}",
            [f"{CORE}/{name}.pyx"],
            include_dirs=[np.get_include(), CORE],
            # what the kernel libraries are made of: linked anew when it changes
            depends=sorted(str(path) for path in Path(KERNELS).glob("*.[ch]")),
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_1_25_API_VERSION"),  # works on every later one
            ],
            extra_compile_args=[*FLAGS, *sanitizer_flags(), *(openmp if name == "runtime" else [])],
            extra_link_args=[*sanitizer_flags(), *(openmp if name == "runtime" else [])],
        )
        for name in MODULES
    ]


class ParallelBuild(build_clib):
    """Compiles the units, which take most of the time, beside each other."""

    def build_libraries(self, libraries: list[tuple[str, dict]]) -> None:
        build = super().build_libraries
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda library: build([library]), libraries))


if sys.platform == "win32":
    sys.exit("fastconv: MSVC is not supported yet; use GCC or Clang on Linux or macOS")

setup(
    cmdclass={"build_clib": ParallelBuild},
    options={"build_ext": {"parallel": os.cpu_count()}},
    libraries=kernel_libraries(),
    ext_modules=cythonize(
        extensions(),
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
        },
        include_path=["src"],
    ),
)
