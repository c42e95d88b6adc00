"""Measures what a call takes beside its arrays: `python -m bench.memory`.

Each call runs in a fork of its own, on one thread; measured is the growth of the process's largest
resident size while it runs, inputs and output allocated before. The batches are enlarged until the
images are larger than any workspace may be, so that a copy of them would be seen. What
`prepare_conv2d` takes are the packed weights.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import fastconv as fc

from . import store
from .machine import describe
from .peers.ours import Fastconv
from .problems import FOLDER, QUICK, Layer, Problem, problems_of

OPS = ("forward", "prepared", "grad_x", "grad_w", "max_pool", "avg_pool", "avg_pool_grad_x")
IMAGES = 32 << 20  # bytes of x, twice what a workspace may be
MOST = 512 << 20  # bytes of an output


@dataclass
class Growth:
    """Bytes that one call took beside its arrays."""

    op: str
    problem: str
    images: int  # bytes of x, or of its gradient
    grown: int
    packed: int = 0  # of these, the weights as the kernels want them

    @property
    def workspace(self) -> int:
        return max(0, self.grown - self.packed)


def enlarged(problem: Problem) -> Problem:
    """Return the problem with samples enough for `IMAGES`, unless their output were enormous."""
    image, output = (4 * int(np.prod(shape[1:])) for shape in (problem.x_shape, problem.out_shape))
    samples = min(-(-IMAGES // image), MOST // output)
    return replace(problem, samples=max(problem.samples, samples))


def arrays_of(problem: Problem) -> dict[str, np.ndarray]:
    """Return arrays in memory that is there already: their pages are not what is measured."""
    shapes = {"x": problem.x_shape, "grad": problem.out_shape}
    if isinstance(problem, Layer):
        shapes["w"] = problem.w_shape
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def ready(op: str, problem: Problem) -> Callable[[], Any]:
    """Return a call that allocates nothing but what it needs for itself.

    It keeps all arrays: what were freed before it would hide as much of what it takes.
    """
    arrays = arrays_of(problem)
    call = Fastconv().bound(op, problem, arrays)
    written = {"grad_x": "x", "grad_w": "w", "avg_pool_grad_x": "x"}.get(op, "grad")
    return lambda: call(out=arrays[written])


def packing(problem: Layer) -> Callable[[], Any]:
    """Return a call that packs the weights."""
    arrays = arrays_of(problem)
    return lambda: Fastconv().bound("prepared", problem, arrays)


def grown(make: Callable[[], Callable[[], Any]]) -> int:
    """Return by how much the largest resident size grows while what is made runs, in a fork."""
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            run = make()
            before = largest()
            with fc.threads(1):
                run()
            os.write(write, str(largest() - before).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.wait()
    with os.fdopen(read) as answer:
        text = answer.read()
    if not text:
        raise SystemExit("a call did not return")
    return int(text)


def largest() -> int:
    """Return the largest resident size so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: list[str] | None = None) -> int:
    """Measure every operation on every problem."""
    parser = argparse.ArgumentParser(prog="bench.memory", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--layers", default="*", help="names: comma-separated patterns")
    add("--quick", action="store_true")
    add("--part", default="memory", help="name in the results file; default: %(default)s")
    add("--output", type=Path, default=FOLDER / "results" / "results.json")
    options = parser.parse_args(arguments)
    if options.quick and options.layers == "*":
        options.layers = QUICK
    if sys.platform != "linux":
        print("elsewhere than on Linux resident sizes have other units: not measured")
        return 1
    found = []
    for op in OPS:
        for problem in problems_of(op, options.layers):
            large = enlarged(problem)
            growth = Growth(op, problem.name, 4 * int(np.prod(large.x_shape)), 0)
            if isinstance(large, Layer) and op != "prepared":
                growth.packed = grown(lambda large=large: packing(large))
            growth.grown = grown(lambda op=op, large=large: ready(op, large))
            found.append(growth)
        worst = max((g for g in found if g.op == op), key=lambda g: g.workspace, default=None)
        if worst:
            print(f"{op}: at most {worst.workspace / 2**20:.1f} MB ({worst.problem})", flush=True)
    content = {"machine": describe(), "records": [asdict(growth) for growth in found]}
    store.put(options.output, options.part, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
