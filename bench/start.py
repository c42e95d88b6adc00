"""Times `import fastconv` beside NumPy's own import, in new processes: `python -m bench.start`."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from . import store
from .machine import Neighbours, describe
from .problems import FOLDER
from .timing import Timing

# fastconv's import brings NumPy's, so their difference is what it costs beside
IMPORTS = ("numpy", "fastconv")
SCRIPT = """
from time import perf_counter
start = perf_counter()
import {}
print(perf_counter() - start)
"""
WHEELS = FOLDER.parent / "dist"


def once(name: str) -> float:
    """Return the seconds of an import in a new process."""
    command = [sys.executable, "-c", SCRIPT.format(name)]
    # the first import may keep what it compiles, as an installed package's is kept
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def imports(rounds: int) -> dict[str, Timing]:
    """Time the imports in turn; the first round reads the files and doesn't count."""
    for name in IMPORTS:
        once(name)
    seconds: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name in IMPORTS:
            seconds[name].append(once(name))
    return {
        name: Timing(min(values), statistics.median(values), rounds)
        for name, values in seconds.items()
    }


def wheel() -> tuple[str, int] | None:
    """Return name and size of the wheel that was built last, if there is one."""
    found = sorted(WHEELS.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    return (found[-1].name, found[-1].stat().st_size) if found else None


def main(arguments: list[str] | None = None) -> int:
    """Time the imports, and look at the wheel."""
    parser = argparse.ArgumentParser(prog="bench.start", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=30, help="processes of each; default: %(default)s")
    add("--quick", action="store_true")
    add("--part", default="start", help="name in the results file; default: %(default)s")
    add("--output", type=Path, default=FOLDER / "results" / "results.json")
    options = parser.parse_args(arguments)
    machine, others = describe(), Neighbours()
    found = imports(3 if options.quick else options.rounds)
    for name, timing in found.items():
        print(f"import {name}: {1e3 * timing.minimum:.1f} ms, median {1e3 * timing.median:.1f}")
    built = wheel()
    print("wheel: {}, {:,} bytes".format(*built) if built else "no wheel in dist/: make build")
    machine["others"] = others.share()
    content = {
        "machine": machine,
        "imports": {name: asdict(timing) for name, timing in found.items()},
        "wheel": built,
    }
    store.put(options.output, options.part, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
