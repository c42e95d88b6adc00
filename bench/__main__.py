"""All measurements, one after the other, and the targets beside them: `python -m bench`.

Each part runs in a process of its own (`python -m bench.run` and so on, which take more options),
the one-threaded ones on one core, and writes its share of one results file. Measured again, a part
is replaced; the table is made from all that the file holds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from .problems import FOLDER
from .readings import Readings
from .store import load
from .targets import table

ONE = ("--threads", "1", "--pin", "one")
# part: module, its arguments
PARTS = {
    "layers": ("run", *ONE, "--outputs", "fresh"),
    "reused": ("run", *ONE, "--outputs", "reused", "--peers", "torch,memory-copy"),
    "float64": (
        *("run", *ONE, "--outputs", "fresh", "--ops", "forward,grad_x,grad_w"),
        *("--dtype", "float64", "--peers", "torch", "--seconds", "0.5"),
    ),
    "threads": ("threads",),
    "neighbour": ("threads", "--neighbour"),
    "training": ("training",),
    "memory": ("memory",),
    "start": ("start",),
}
WITHOUT_LAYERS = ("training", "start")


def main() -> int:
    """Measure the parts that are wanted, print the table and draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--parts", default=",".join(PARTS), help="comma-separated; default: %(default)s")
    add("--quick", action="store_true", help="a few layers, a few calls: shows that all works")
    add("--layers", default="*", help="names of layers and pools: comma-separated patterns")
    add("--output", type=Path, help="default: bench/results/results.json, or quick.json")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    name = "quick" if options.quick else "results"
    output = options.output or FOLDER / "results" / f"{name}.json"
    failed = [part for part in parts if not measure(part, output, options.quick, options.layers)]
    print(f"\n{table(Readings(load(output)))}\n")
    if "layers" in parts and "layers" not in failed:
        draw(output)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(part: str, output: Path, quick: bool, layers: str) -> bool:
    """Run one part's process; whether it came to its end."""
    module, *arguments = PARTS[part]
    command = [sys.executable, "-m", f"bench.{module}", *arguments, "--part", part]
    command += ["--output", str(output)] + ["--quick"] * quick
    if part not in WITHOUT_LAYERS:
        command += ["--layers", layers]
    print(f"== {part}", flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=FOLDER.parent)
    try:
        process.wait()
    except KeyboardInterrupt:  # it got the signal too, and may write what it has
        process.wait()
        raise SystemExit("interrupted; the table is `python -m bench.targets`") from None
    print(f"== {part}: {time.perf_counter() - start:.0f} s\n", flush=True)
    return process.returncode == 0


def draw(output: Path) -> None:
    """Draw the picture beside the results, where matplotlib is installed."""
    try:
        from .chart import draw_chart
    except ImportError as error:
        print(f"no picture: {error}")
        return
    print(f"picture: {draw_chart(output, output.with_suffix('.png'))}")


if __name__ == "__main__":
    sys.exit(main())
