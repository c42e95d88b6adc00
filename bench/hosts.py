"""Times `fastconv.backends` beside what the hosts compute with themselves: `python -m bench.hosts`.

One thread, one core. Results are compared before anything is timed, and all contenders run in
turn. What isn't installed is left out, and said to be. Networks of ONNX: `bench.onnx_networks`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import fastconv as fc

from . import store
from .keras_worker import MODELS, WAYS
from .machine import Neighbours, describe
from .problems import FOLDER
from .timing import Timing, interleaved, pin

TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}  # of the largest value
Found = tuple[str, dict[str, Timing]]  # what was timed, and each one's time, ours first


def compare(what: str, results: dict[str, np.ndarray]) -> None:
    """Stop unless all results are the same."""
    first, *others = results
    expected = results[first]
    for name in others:
        error = np.abs(results[name] - expected).max() / np.abs(expected).max()
        if not error <= TOLERANCE[expected.dtype]:
            raise SystemExit(f"{what}: {name} differs from {first} by {error:.1e}")


def time_calls(what: str, calls: dict[str, Callable[[], Any]], seconds: float) -> Found:
    """Time calls in turn whose results are the same."""
    compare(what, {name: np.asarray(call()) for name, call in calls.items()})
    return what, interleaved(calls, dict.fromkeys(calls, 0.0), seconds)


class Worker:
    """A process that runs a Keras model one way."""

    def __init__(self, way: str, model: str, samples: int, file: Path) -> None:
        command = [sys.executable, "-m", "bench.keras_worker", way, model, str(samples), str(file)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, cwd=FOLDER.parent, **pipes)
        self.file = file

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ready(self) -> str:
        """Wait until it has predicted once; return why it can't, or nothing."""
        for line in self.process.stdout:
            if line.strip() == "ready":
                return ""
        errors = self.process.stderr.read().strip().splitlines()
        return errors[-1] if errors else "it ended"

    def seconds(self) -> float:
        """Let it predict, and return how long that took."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def keras_models(seconds: float) -> Iterator[Found]:
    """Time predictions of Keras models on its NumPy backend, with our kernels and with its own."""
    if importlib.util.find_spec("keras") is None:  # importing it would choose a backend
        raise ImportError("No module named 'keras'")
    for model in MODELS:
        for samples in (1, 8):
            yield keras_model(model, samples, seconds)


def keras_model(model: str, samples: int, seconds: float) -> Found:
    """Time one model in as many processes as there are ways to run it."""
    what = f"Keras {model}, {samples} image{'s' if samples > 1 else ''}"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers = {}
        for way in WAYS:
            worker = stack.enter_context(Worker(way, model, samples, folder / f"{way}.npy"))
            if reason := worker.ready():
                print(f"  left out: {WAYS[way]}: {reason}")
            else:
                workers[way] = worker
        compare(what, {way: np.load(worker.file) for way, worker in workers.items()})
        taken: dict[str, list[float]] = {way: [] for way in workers}
        while any(sum(times) < seconds for times in taken.values()) or len(taken["ours"]) < 3:
            for way, worker in workers.items():
                taken[way].append(worker.seconds())
    return what, {
        WAYS[way]: Timing(min(times), statistics.median(times), len(times))
        for way, times in taken.items()
    }


def autograd_step(seconds: float) -> Iterator[Found]:
    """Time a step of a LeNet under autograd, written as in its own example of a network."""
    from .autograd_lenet import steps

    for dtype in ("float64", "float32"):
        what = f"autograd, gradient of a LeNet, 256 images of 28x28, {dtype}"
        yield time_calls(what, steps(dtype), seconds)


def pytensor_convolutions(seconds: float) -> Iterator[Found]:
    """Time convolutions under PyTensor, and their gradients, beside its convolve2d by broadcast."""
    import pytensor
    import pytensor.tensor as pt
    from pytensor.tensor.signal.conv import convolve2d

    from fastconv.backends.pytensor import conv4d

    x, w = pt.tensor4("x"), pt.tensor4("w")
    outputs = {
        "backends.pytensor.conv4d": conv4d(x, w, "valid"),
        "convolve2d": convolve2d(x[:, None], w[None], "valid").sum(2),
    }
    random = np.random.default_rng(0)
    for x_shape, w_shape in (
        ((1, 1, 64, 64), (1, 1, 5, 5)),
        ((1, 1, 512, 512), (1, 1, 5, 5)),
        ((16, 3, 64, 64), (8, 3, 5, 5)),
    ):
        arrays = [random.standard_normal(shape) for shape in (x_shape, w_shape)]
        arrays = [array.astype(pytensor.config.floatX) for array in arrays]
        for what, made in (
            ("forward", lambda y: y),
            ("gradient for w", lambda y: pytensor.grad((y**2).sum(), w)),
        ):
            functions = {name: pytensor.function([x, w], made(y)) for name, y in outputs.items()}
            calls = {
                name: lambda function=function, arrays=arrays: function(*arrays)
                for name, function in functions.items()
            }
            yield time_calls(f"PyTensor, {what}, {x_shape} by {w_shape}", calls, seconds)


HOSTS: dict[str, Callable[[float], Iterator[Found]]] = {
    "keras": keras_models,
    "autograd": autograd_step,
    "pytensor": pytensor_convolutions,
}


def show(found: Found) -> None:
    """Print each one's time, and the others' / ours."""
    what, timings = found
    ours = next(iter(timings.values()))
    print(what)
    for name, timing in timings.items():
        line = f"  {name:36} {1e3 * timing.minimum:9.3f} ms, median {1e3 * timing.median:9.3f}"
        if timing is not ours:
            line += f"   / ours {timing.minimum / ours.minimum:6.2f}"
            line += f", of medians {timing.median / ours.median:6.2f}"
        print(line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Time all hosts that are installed."""
    parser = argparse.ArgumentParser(prog="bench.hosts", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--hosts", default=",".join(HOSTS), help="comma-separated; default: %(default)s")
    add("--seconds", type=float, default=3.0, help="for each contender")
    add("--quick", action="store_true")
    add("--part", default="hosts", help="name in the results file; default: %(default)s")
    add("--output", type=Path, default=FOLDER / "results" / "hosts.json")
    options = parser.parse_args(arguments)
    seconds = 0.1 if options.quick else options.seconds
    warnings.filterwarnings("ignore", category=UserWarning)  # of what Numba leaves to Python
    pin("one")
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that are started
    fc.set_num_threads(1)
    machine, others = describe(), Neighbours()
    records = []
    for host in options.hosts.split(","):
        try:
            for what, timings in HOSTS[host](seconds):
                show((what, timings))
                times = {name: asdict(timing) for name, timing in timings.items()}
                records.append({"host": host, "what": what, "times": times})
        except ImportError as error:
            print(f"left out: {host}: {error}")
    machine["others"] = others.share()
    store.put(options.output, options.part, {"machine": machine, "records": records})
    return 0


if __name__ == "__main__":
    sys.exit(main())
