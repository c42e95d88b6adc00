"""Times training beside Keras on PyTorch, and PyTorch's eager step: `python -m bench.training`.

The networks are those of examples/. The others get the same layers, the same weights, and the same
batches (PyTorch alone with channels first); all go on training, epoch by epoch in turn. The share
of what is neither convolution, pooling, matrix products nor the optimizer's update is measured in
a run of its own, for the clock is read around every one of them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
from threadpoolctl import threadpool_limits

import fastconv as fc
from fastconv import layers, models, ops, optimizers

from . import store
from .machine import Neighbours, cpus, describe
from .peers import OURS
from .problems import FOLDER
from .timing import Timing

EXAMPLES = Path(__file__).parents[1] / "examples"
# script, function that makes the network, its arguments, samples a batch
NETWORKS = {
    "small CIFAR-10": ("layer_arithmetic", "small_network", (), 32),
    "cats and dogs": ("cats_and_dogs", "network", (), 20),
    "CIFAR-10": ("cifar10", "network", (32, 32), 32),
}
LOSSES = {1: "binary_crossentropy", 10: "categorical_crossentropy"}
OPTIMIZER = {"learning_rate": 1e-4}
# What `fit` is for; the rest is what it costs beside.
WORK = {
    ops: [name for name in ops.__all__ if name.startswith(("conv", "max_pool", "avg_pool"))],
    layers.MaxPooling2D: ["forward", "forward_after_relu", "backward"],
    layers.Dense: ["forward", "backward", "weight_gradients"],
    optimizers.RMSprop: ["apply"],
}


def network(name: str) -> models.Sequential:
    """Make the network of an example."""
    script, function, arguments, _ = NETWORKS[name]
    sys.path.insert(0, str(EXAMPLES))
    try:
        return getattr(importlib.import_module(script), function)(*arguments)
    finally:
        sys.path.pop(0)


def data(model: models.Sequential, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and one-hot (or binary) labels, random."""
    random = np.random.default_rng(0)
    units = model.output_shape[-1]
    x = random.random((samples, *model.input_shape[1:]), np.float32)
    labels = random.integers(0, max(units, 2), samples)
    return x, np.eye(units, dtype=np.float32)[labels] if units > 1 else labels[:, None]


@contextmanager
def clocks(spent: list[float]):
    """Add the seconds of all that WORK names; of calls within calls the outer one counts."""
    inside = [False]

    def timed(function: Callable) -> Callable:
        def call(*arguments, **keywords):
            if inside[0]:
                return function(*arguments, **keywords)
            inside[0] = True
            start = perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                spent[0] += perf_counter() - start
                inside[0] = False

        return call

    kept = [(owner, name, getattr(owner, name)) for owner, names in WORK.items() for name in names]
    for owner, name, function in kept:
        setattr(owner, name, timed(function))
    try:
        yield
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def epoch(fit: Callable, y: np.ndarray, batch: int) -> float:
    """Seconds of one epoch."""
    start = perf_counter()
    fit(y, batch_size=batch, epochs=1, verbose=0)
    return perf_counter() - start


def peers(model: models.Sequential, x: np.ndarray, threads: int) -> dict[str, Callable]:
    """Return what trains the network's twins: their `fit` and the images as they want them."""
    found: dict[str, Callable] = {}
    try:
        import torch

        from .torch_training import Trainer
    except ImportError:
        return found
    torch.set_num_threads(threads)
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    found["PyTorch"] = partial(Trainer(model, model.optimizer).fit, first)
    try:
        import keras
    except ImportError:
        return found
    other = keras.Sequential.from_config(model.get_config())
    other.set_weights(model.get_weights())
    loss = model.loss
    other.compile(keras.optimizers.RMSprop(**OPTIMIZER), loss=loss, metrics=["acc"])
    found["Keras"] = partial(other.fit, x)
    return found


def run(name: str, threads: int, rounds: int, steps: int) -> dict[str, object]:
    """Time one network, print a line, and return the seconds of a step."""
    model, batch = network(name), NETWORKS[name][3]
    loss = LOSSES[model.output_shape[-1]]
    x, y = data(model, batch * steps)
    model.compile(optimizers.RMSprop(**OPTIMIZER), loss=loss, metrics=["acc"])
    contenders = {OURS: partial(model.fit, x), **peers(model, x, threads)}
    seconds: dict[str, list[float]] = {who: [] for who in contenders}
    with fc.threads(threads), threadpool_limits(threads, user_api="blas"):
        for fit in contenders.values():
            epoch(fit, y, batch)
        for _ in range(rounds):
            for who, fit in contenders.items():
                seconds[who].append(epoch(fit, y, batch) / steps)
        spent = [0.0]
        with clocks(spent):
            whole = epoch(contenders[OURS], y, batch)
    beside = 1 - spent[0] / whole
    timings = {
        who: Timing(min(values), statistics.median(values), rounds * steps)
        for who, values in seconds.items()
    }
    print(line(name, threads, timings, beside), flush=True)
    steps_of = {who: asdict(timing) for who, timing in timings.items()}
    return {"network": name, "threads": threads, "steps": steps_of, "beside": beside}


def line(name: str, threads: int, timings: dict[str, Timing], beside: float) -> str:
    """Return what was measured as text."""
    ours = timings[OURS]
    text = f"{name:16} {threads} thread{'s' if threads > 1 else ' '}"
    text += f" {1e3 * ours.minimum:8.1f} ms   beside the work {100 * beside:4.1f} %"
    for who, theirs in timings.items():
        if who != OURS:
            text += f"   {who} / ours {theirs.minimum / ours.minimum:5.2f}"
            text += f", of medians {theirs.median / ours.median:5.2f}"
    return text


def main(arguments: list[str] | None = None) -> int:
    """Time all networks."""
    parser = argparse.ArgumentParser(prog="bench.training", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--threads", default="1,2", help="comma-separated; default: %(default)s")
    add("--rounds", type=int, default=5)
    add("--steps", type=int, default=10, help="batches an epoch")
    add("--quick", action="store_true", help="two rounds of two batches")
    add("--part", default="training", help="name in the results file; default: %(default)s")
    add("--output", type=Path, default=FOLDER / "results" / "results.json")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.steps = 2, 2
    warnings.simplefilter("ignore")
    machine, others = describe(), Neighbours()
    print("a step of training, float32, RMSprop: the smallest of all epochs")
    found = [
        run(name, threads, options.rounds, options.steps)
        for threads in map(int, options.threads.split(","))
        if threads <= (cpus() or threads)
        for name in NETWORKS
    ]
    machine["others"] = others.share()
    store.put(options.output, options.part, {"machine": machine, "records": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
