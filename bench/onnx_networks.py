"""Times whole networks beside ONNX Runtime and onnx's evaluator: `python -m bench.onnx_networks`.

The networks are those whose graphs ship with onnx, with random weights (`bench.light_models`). Ours
and ONNX Runtime's outputs are compared before anything is timed, and both run in turn. The stock
evaluator takes seconds an image, so one image has to do, and it is asked for by --stock.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np
import onnxruntime
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from threadpoolctl import threadpool_limits

import fastconv as fc
from fastconv.backends.onnx import ops, prepare

from .light_models import NAMES, images, input_name, network
from .timing import Timing, interleaved

TOLERANCE = 5e-6  # of the largest output


def session(model: ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """Return ONNX Runtime's session for a model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # else its idle threads would keep a core from whoever is timed next
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def evaluators(model: ModelProto, feeds: dict[str, np.ndarray]) -> str:
    """Return how many images a second onnx's evaluator makes, as it is and with our operators."""
    speeds = []
    for new_ops in (None, ops):
        evaluator = ReferenceEvaluator(model, new_ops=new_ops)
        start = perf_counter()
        evaluator.run(None, feeds)
        speeds.append(len(next(iter(feeds.values()))) / (perf_counter() - start))
    return f"   evaluator {speeds[0]:7.3f}/s, with our operators {speeds[1]:6.2f}/s"


def run(name: str, threads: int, samples: int, seconds: float, stock: bool) -> float:
    """Time one network, print a line, and return ONNX Runtime's time over ours."""
    model = network(name, samples)
    x = images(model)
    feeds = {input_name(model): x}
    with fc.threads(threads), threadpool_limits(threads, user_api="blas"):
        prepared, peer = prepare(model), session(model, threads)
        expected, found = peer.run(None, feeds)[0], prepared.run([x])[0]
        error = np.abs(found - expected).max() / np.abs(expected).max()
        if not error <= TOLERANCE:
            raise SystemExit(f"{name}: the error is {error:.1e} of the largest output")
        calls = {"ours": lambda: prepared.run([x]), "theirs": lambda: peer.run(None, feeds)}
        first = dict.fromkeys(calls, 0.0)
        timings = interleaved(calls, first, seconds, pause=0.002)
        ours, theirs = timings["ours"], timings["theirs"]
        slow = evaluators(model, feeds) if stock else ""
    ratio = theirs.minimum / ours.minimum
    print(
        f"{name:14} {threads} thread{'s' if threads > 1 else ' '}"
        f" {1e3 * ours.minimum:7.1f} ms {speed(ours, samples)}"
        f"   ONNX Runtime {1e3 * theirs.minimum:7.1f} ms {speed(theirs, samples)}"
        f"   ratio {ratio:5.2f}, of medians {theirs.median / ours.median:5.2f}"
        f"   error {error:.0e}{slow}",
        flush=True,
    )
    return ratio


def speed(timing: Timing, samples: int) -> str:
    """Return images a second."""
    return f"{samples / timing.minimum:6.1f}/s"


def main() -> None:
    """Time all networks."""
    parser = argparse.ArgumentParser(
        prog="bench.onnx_networks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("networks", nargs="*", default=NAMES, metavar="network", help=str(NAMES))
    parser.add_argument("--threads", default="1,2", help="comma-separated")
    parser.add_argument("--samples", type=int, default=1, help="images at once")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each contender")
    parser.add_argument("--stock", action="store_true", help="onnx's own evaluator too")
    arguments = parser.parse_args()
    print("random images and weights, float32; minimum of all calls, images a second")
    for threads in map(int, arguments.threads.split(",")):
        ratios = [
            run(name, threads, arguments.samples, arguments.seconds, arguments.stock)
            for name in arguments.networks
        ]
        mean = np.exp(np.log(ratios).mean())
        print(f"geometric mean of the ratios, ONNX Runtime / ours: {mean:.2f}")


if __name__ == "__main__":
    main()
