"""Plant faults in copies of this checkout, and see whether our own tests find them: `make mutants`.

    python tests/trust/mutants.py [--seed 1] [--areas winograd ...] [--each 1]

For each area of the engine, faults are chosen by rule (mutations.py), one after the other. A copy
is built with it and the area's own tests run, then all those of numbers, each time to the first
failure. A fault that doesn't compile, or whose machine code is the same, isn't counted, nor one of
EQUIVALENT, which cannot be seen in any result. What survives lacks a test: status 1.

Kernels are built for one instruction set, without much optimization, and only its tests run; a
fault of theirs stands in one part alone (setup.py's PARTS), float32, and then in the next if none
of its tests found it. The tests that failed are repeated without a fault, where they must pass.
"""

import argparse
import os
import re
import resource
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import setuptools
from mutations import Site, ordered_sites

ROOT = Path(__file__).resolve().parents[2]
CORE = "src/fastconv/_core"
KERNELS = f"{CORE}/kernels"
MINUTES_OF_A_RUN = 40
MEMORY = 16 << 30  # of a process: a fault may ask for more than there is
EFFORT = ["-O1", "-fexpensive-optimizations"]  # the latter for sums of products to be rounded once
TRIES = 40  # sites of an area that may turn out not to count, one after the other

# area: files, the tests that are nearest
AREAS = {
    "winograd kernels": ("kernels/winograd.h", "winograd"),
    "strip kernels": ("kernels/strips.h", "strips"),
    "register tiles": ("kernels/tiles.h", "kernels"),
    "vectors": ("kernels/simd.h", "kernels"),
    "depthwise kernels": ("kernels/depthwise.h", "kernels"),
    "packing kernels": ("kernels/move.h", "kernels"),
    "interleaving": ("kernels/interleave.h kernels/bytes.h", "kernels pool_codes pool"),
    "pool windows": ("kernels/windows.h", "pool pool_codes"),
    "pool maxima": ("kernels/highest.h kernels/maximum.h", "pool pool_codes"),
    "gathered gradients": ("kernels/gather.h", "pool"),
    "means": ("kernels/means.h kernels/spread.h", "pool"),
    "shared gradients": ("kernels/shares.h", "pool_codes pool"),
    "optimizers": ("kernels/update.h update.pyx", "optimizers"),
    "winograd": ("winograd.pyx winograd_tiles.pyx winograd_tiles.pxd", "winograd kernels"),
    "winograd gradient": ("winograd_gradient.pyx", "winograd kernels"),
    "strips": ("strips.pyx strip_tiles.pyx strip_tiles.pxd", "strips kernels"),
    "direct": ("direct.pyx", "kernels"),
    "panels": ("panels.pyx taps.pyx taps.pxd", "kernels"),
    "rows": ("rows.pyx", "kernels"),
    "scatter": ("scatter.pyx", "kernels"),
    "depthwise": ("depthwise.pyx depthwise_gradient.pyx", "kernels"),
    "grouped": ("grouped.pyx", "kernels"),
    "planes": ("planes.pyx", "kernels"),
    "weights": ("lanes.pyx dot.pyx weights.pyx weights.pxd", "kernels"),
    "bias sums": ("bias_sums.pxd relu.pyx", "kernels layers"),
    "problems": ("problem.pxd packing.pxd patch.pxd", "kernels"),
    "relaid": ("relay.pyx ../relaid.py ../by_taps.py", "relaid kernels"),
    "pools": ("pool.pyx pool_rows.pyx pool_pixels.pyx windows.pxd", "pool pool_codes"),
    "pool gradients": ("pool_gradients.pyx pool_shares.pyx", "pool pool_codes pool_pieces"),
    "dense": ("products.pyx", "dense"),
    "small calls": ("small.pyx small_steps.pyx ../small.py", "small steps"),
    "geometry of convolutions": (
        "../geometry/conv.py ../geometry/kernel.py ../geometry/sizes.py",
        "geometry geometry_cache conv_transpose",
    ),
    "geometry of pools": (
        "../geometry/pool.py ../geometry/shapes.py ../geometry/plain.py",
        "geometry_pool geometry geometry_cache",
    ),
    "choice": ("../plan.py ../choice.py ../ops/run.py", "kernels conv winograd"),
}
# What else looks at numbers, or at memory: run where the nearest find nothing.
NUMBERS = (
    "kernels winograd strips relaid pool pool_codes pool_pieces pool_workspace small steps dense "
    "prepare conv conv_transpose geometry geometry_cache geometry_pool numbers properties arrays "
    "reference bad_arguments optimizers layers guard together threads determinism workspace memory "
    "training models"
)
# Found in the line, and in what it became: why no result can tell.
EQUIVALENT = {
    (r"count_products\(p, taps\) <", "<="): "parts of as many products: shorter or longer ones",
    (r"larger\(FEWEST", ""): "how high strips are: at least one row either way",
    (r"memset\(<char \*> panels\[i\]\.x", ""): "lanes that no pixel has: their sums are dropped",
    (r"most = IMAGE_BYTES|<= most //", ""): "a limit of what stays in the cache",
    (r"\bPARALLEL_BYTES\b", ""): "no result depends on the number of threads",
    (r"prefetch|\bask_(ahead|for)\b", ""): "it asks for memory ahead of its use",
    (r"p\[0\]", r"p\[0 \+ 1\]"): "compilers keep a copy there; the address sanitizer's to find",
    (r"step == 1 \|\| step == 2", "&&"): "the loop for any step does the same, slower",
}


@dataclass(frozen=True)
class Kernels:
    """How the kernels of one instruction set are compiled here: setup.py's flags, less effort."""

    isa: str
    flags: dict[str, list[str]]  # by library, float32 first

    def compile(self, tree: Path, library: str) -> bytes:
        """Return the object file of one of its parts."""
        target = tree / f"{library}.o"
        words = [*compiler(), "-fPIC", *self.flags[library], "-c", f"{self.isa}.c", "-o", target]
        run(words, cwd=tree / KERNELS)
        return target.read_bytes()

    def link(self, tree: Path) -> None:
        """Link the module that holds the kernels, of objects there are and of what was built."""
        built = tree / "build" / f"temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
        objects = list(tree.glob("*.o"))
        others = [
            file
            for file in built.glob("libfastconv_*.a")
            if file.stem[3:] not in {part.stem for part in objects}
        ]
        target = tree / CORE / f"runtime{sysconfig.get_config_var('EXT_SUFFIX')}"
        words = [*compiler(), "-shared", "-fopenmp", built / CORE / "runtime.o", *objects]
        run([*words, "-Wl,--start-group", *others, "-Wl,--end-group", "-o", target])


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def run(words: list, **options) -> subprocess.CompletedProcess:
    limits = {"check": True, "capture_output": True, "text": True, "timeout": 1800}
    return subprocess.run([str(word) for word in words], **limits, **options)


def kernels_of(tree: Path) -> Kernels:
    """Ask setup.py how it compiles, and take AVX2 or what comes next to it."""
    with mock.patch.object(setuptools, "setup"):
        names = runpy.run_path(str(tree / "setup.py"))
    isa = "avx2" if "avx2" in names["UNITS"] and "avx2" in isas(tree) else "baseline"
    built = dict(names["kernel_libraries"]())
    parts = sorted(names["PARTS"], key=["FLOAT32", "FLOAT64", "INT64", "INTEGERS"].index)
    libraries = [f"fastconv_{isa}_{part.lower()}" for part in parts]
    flags = {name: [*built[name]["cflags"], *EFFORT] for name in libraries}
    return Kernels(isa, flags)


def isas(tree: Path) -> tuple[str, ...]:
    code = "from fastconv._core import runtime; print(*runtime.isas_supported())"
    return tuple(run([sys.executable, "-c", code], env=environment(tree)).stdout.split())


def environment(tree: Path, isa: str = "") -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(tree / "src"),
        "FASTCONV_ISA": isa,
        "PYTHONHASHSEED": "0",
    }


def build(tree: Path) -> None:
    """Build what changed, as a developer does."""
    run([sys.executable, "setup.py", "build_clib", "build_ext", "--inplace"], cwd=tree)


class Workshop:
    """The unchanged copy, built; mutants are copies of it."""

    def __init__(self, folder: Path, nearest_alone: bool):
        self.nearest_alone = nearest_alone
        self.base = folder / "base"
        left_out = shutil.ignore_patterns(
            ".*", "dist", "docs", "bench", "__pycache__", "demo-output"
        )
        shutil.copytree(ROOT, self.base, ignore=left_out, dirs_exist_ok=True)
        build(self.base)
        self.kernels = kernels_of(self.base)
        self.objects: dict[str, bytes] = {}
        self.other_isas = [isa for isa in isas(self.base) if isa != self.kernels.isa]
        self.found_by: set[str] = set()

    def part_without(self, library: str) -> bytes:
        """Return a part of the kernels as it is without a fault."""
        if library not in self.objects:
            self.objects[library] = self.kernels.compile(self.base, library)
            self.kernels.link(
                self.base
            )  # what is tested without a fault is built like what has one
        return self.objects[library]

    def variants(self, site: Site) -> Iterator[Path]:
        """Yield copies with a fault: in each part of the kernels that it changes, or a module."""
        try:
            if site.path.startswith(KERNELS):
                for library in self.kernels.flags:
                    without = self.part_without(library)
                    tree = self.fresh(site)
                    (tree / f"{library}.o").unlink()
                    if self.kernels.compile(tree, library) != without:
                        self.kernels.link(tree)
                        yield tree
            else:
                tree = self.fresh(site)
                if site.path.startswith(CORE):
                    build(tree)
                yield tree
        except subprocess.CalledProcessError:
            return  # it does not compile

    def fresh(self, site: Site) -> Path:
        """Return a copy of the base and its builds, with a fault in its source."""
        tree = self.base.with_name("mutant")
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(self.base, tree, symlinks=True)
        site.mutate(tree)
        return tree

    def judge(self, site: Site, nearest: str) -> str | None:
        """Return which test found a fault, an empty string, or None where it changes no code."""
        test = None
        for tree in self.variants(site):
            test = self.verdict(tree, nearest)
            if test:
                break
        return test

    def tests(self, tree: Path, *words: str) -> tuple[int | None, str]:
        """Run pytest to the first failure: the status, None after too long, and that test."""
        log = tree / "tests.log"
        command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-x", "-v", "--tb=line"]
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, "-p", "no:cacheprovider", *words],
                cwd=tree,
                env=environment(tree, self.kernels.isa),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (MEMORY, MEMORY)),
            )
            try:
                status = process.wait(60 * MINUTES_OF_A_RUN)
            except subprocess.TimeoutExpired:
                status = None
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return status, failed_test(log.read_text(errors="replace"))

    def verdict(self, tree: Path, nearest: str) -> str:
        """Return which test found the fault of a tree, or an empty string."""
        selected = " and ".join(f"not {isa}" for isa in self.other_isas) or "not none"
        rest = [name for name in NUMBERS.split() if name not in nearest.split()]
        runs = ((nearest.split(), "not slow"), (rest, "not slow"), (NUMBERS.split(), "slow"))
        for names, speed in runs[: 1 if self.nearest_alone else None]:
            files = [f"tests/test_{name}.py" for name in names]
            status, test = self.tests(tree, *files, "-m", speed, "-k", selected)
            if status in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
                continue
            if status is None:
                return f"{test} (did not end)"
            self.found_by |= {test} if "::" in test else set()
            return f"{test} (killed by signal {-status})" if status < 0 else test
        return ""


def failed_test(log: str) -> str:
    """Return the test that failed, or the last one that ran."""
    failed = re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", log, re.M)
    began = re.findall(r"^(tests/\S+?::.*?)(?: [A-Z]+ +\[ *\d+%\]| ?Fatal.*| )?$", log, re.M)
    return [*failed, *began[-1:], "its import"][0]


def paths_of(area: str) -> list[str]:
    files, _ = AREAS[area]
    return [os.path.normpath(f"{CORE}/{file}") for file in files.split()]


def reason_of(site: Site) -> str:
    """Return why a fault can't be seen, if it is known that it can't."""
    for (before, after), reason in EQUIVALENT.items():
        if re.search(before, site.before) and re.search(after, site.after):
            return reason
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=1, help="faults an area")
    parser.add_argument("--areas", nargs="+", choices=AREAS, default=list(AREAS), metavar="AREA")
    parser.add_argument("--folder", type=Path, help="where copies are made; kept afterwards")
    parser.add_argument("--list", action="store_true", help="the first sites of each area")
    parser.add_argument("--nearest", action="store_true", help="an area's own tests alone")
    options = parser.parse_args()
    if options.list:
        for area in options.areas:
            print(f"== {area}", *ordered_sites(ROOT, paths_of(area), options.seed)[:8], sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        workshop = Workshop(options.folder or Path(temporary), options.nearest)
        survived = found = 0
        for area in options.areas:
            left = options.each
            for site in ordered_sites(workshop.base, paths_of(area), options.seed)[:TRIES]:
                if left == 0:
                    break
                begin = time.monotonic()
                print(f"[{area}] {site}", flush=True)
                reason = reason_of(site)
                test = None if reason else workshop.judge(site, AREAS[area][1])
                if test is None:
                    reason = reason or "it doesn't compile, or to the same machine code"
                    print(f"    not counted: {reason}", flush=True)
                    continue
                left -= 1
                found, survived = found + bool(test), survived + (not test)
                result = f"found by {test}" if test else "SURVIVED"
                print(f"    {result}, {time.monotonic() - begin:.0f} s", flush=True)
        print(f"== {found} of {found + survived} faults were found", flush=True)
        status, test = workshop.tests(workshop.base, *workshop.found_by)
    if status:
        print(f"== but {test} fails without a fault")
    return int(survived > 0 or bool(status))


if __name__ == "__main__":
    sys.exit(main())
