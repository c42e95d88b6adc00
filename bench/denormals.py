"""Time operations on denormal numbers beside PyTorch: `python -m bench.denormals --help`.

A processor may take a hundred cycles for a product with such an operand, and everyone's kernels
pay for them. Nobody flushes here, so the question is who meets fewer of them. Each kind of input is
timed for ours and for PyTorch in turn, on one thread; `normal` is the same with usual numbers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from .peers import OURS, installed
from .peers.base import Arrays
from .problems import Layer, Problem, problems_of
from .report import geometric_mean
from .timing import interleaved, keep_freed_memory, once, pin

OPS = "forward,grad_x,grad_w,max_pool,max_pool_indices,max_pool_grad_x,avg_pool,avg_pool_grad_x"
LAYERS = (
    "s2_c2,s4_c1,s5_c2,s1_c1,s1_c2,rn50_3x3_128,rn50_1x1_64_256,rn50_3x3s2,mb_dw_s2,s2_p1,rn50_pool"
)
KINDS = ("normal", "denormal", "some")


def with_denormals(arrays: Arrays, kind: str) -> Arrays:
    """Return images and gradients of which none, all or a tenth is denormal."""
    if kind == "normal":
        return arrays
    random = np.random.default_rng(1)
    made = dict(arrays)
    for name in ("x", "grad"):
        array = arrays[name]
        tiny = array * (np.finfo(array.dtype).tiny / 16)
        chosen = random.random(array.shape) < 0.1 if kind == "some" else True
        made[name] = np.where(chosen, tiny, array)
    return made


def ratios(
    op: str, problem: Problem, dtype: str, kinds: tuple[str, ...], seconds: float
) -> Iterator[tuple[str, float, float]]:
    """Yield the kind of numbers, our seconds and PyTorch's."""
    peers, missing = installed("torch")
    if missing:
        raise SystemExit("PyTorch is not installed: there is nothing to compare with")
    for kind in kinds:
        arrays = with_denormals(problem.arrays(dtype), kind)
        calls = {}
        for name, peer in peers.items():
            peer.set_threads(1)
            calls[name] = peer.prepare(op, problem, arrays, True).call
        first = {name: once(call) for name, call in calls.items()}
        timings = interleaved(calls, first, seconds)
        yield kind, timings[OURS].minimum, timings["torch"].minimum


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.denormals", description=__doc__)
    add = parser.add_argument
    add("--ops", default=OPS, help="comma-separated, of: %(default)s")
    add("--layers", default=LAYERS, help="patterns of layers and pools; default: %(default)s")
    add("--dtype", default="float32", choices=("float32", "float64"))
    add("--kinds", default=",".join(KINDS), help="default: %(default)s")
    add("--seconds", type=float, default=0.05, help="for each contender on each problem")
    add("--samples", type=int, default=4, help="of each problem, at most")
    add("--pin", default="one", help="CPUs to stay on, comma-separated; default: %(default)s")
    options = parser.parse_args(arguments)
    pin(options.pin)
    keep_freed_memory()
    kinds = tuple(options.kinds.split(","))
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for op in options.ops.split(","):
        for problem in problems_of(op, options.layers):
            small = type(problem)(
                **{**vars(problem), "samples": min(problem.samples, options.samples)}
            )
            cells = []
            for kind, ours, theirs in ratios(op, small, options.dtype, kinds, options.seconds):
                found[kind].append(theirs / ours)
                cells.append(f"{kind} {ours * 1e3:9.3f} ms x{theirs / ours:6.2f}")
            what = "convolution" if isinstance(problem, Layer) else "pool"
            print(f"{op:16} {problem.name:16} {what:12}", *cells, sep="  ", flush=True)
    for kind, values in found.items():
        print(
            f"{kind}: PyTorch's time / ours {geometric_mean(values):.2f}, at least {min(values):.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
