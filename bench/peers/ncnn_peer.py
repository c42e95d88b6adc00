"""ncnn: a network of one layer, weights packed at load; images one by one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..problems import Layer, Problem
from .base import Arrays, Contender, Peer, need


class Ncnn(Peer):
    """Convolution, ConvolutionDepthWise and Pooling in float32, half precision off."""

    name = "ncnn"

    def __init__(self) -> None:
        import ncnn

        self.ncnn = ncnn
        self.version = ncnn.__version__
        self.threads = 1

    def set_threads(self, count: int) -> None:
        self.threads = count

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        need("grad" not in op and op != "max_pool_indices", "ncnn only infers")
        need(arrays["x"].dtype == np.float32, "ncnn has float32 and less")
        weights = arrays["w"] if isinstance(problem, Layer) else None
        net = self._load(_describe(op, problem), weights)
        images = [self.ncnn.Mat(image).clone() for image in arrays["x"]]

        def run() -> list[Any]:
            results = []
            for image in images:
                extractor = net.create_extractor()
                extractor.input("x", image)
                results.append(extractor.extract("y")[1])
            return results

        shape = problem.out_shape

        def to_numpy(results: list[Any]) -> np.ndarray:
            return np.stack([np.array(result) for result in results]).reshape(shape)

        run.keep = net  # type: ignore[attr-defined]  # an extractor doesn't keep its network alive
        return Contender(run, to_numpy)

    def _load(self, layer: str, weights: np.ndarray | None) -> Any:
        net = self.ncnn.Net()
        net.opt.num_threads = self.threads
        net.opt.use_vulkan_compute = False
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(net.opt, option, False)
        net.opt.use_bf16_storage = False
        with tempfile.TemporaryDirectory() as folder:
            param, model = Path(folder, "one.param"), Path(folder, "one.bin")
            param.write_text(f"7767517\n2 2\nInput x 0 1 x\n{layer}\n")
            # four zero bytes: what follows is plain float32
            model.write_bytes(b"" if weights is None else bytes(4) + weights.tobytes())
            net.load_param(str(param))
            net.load_model(str(model))
        return net


def _describe(op: str, problem: Problem) -> str:
    """The layer's line in ncnn's text format: numbered parameters."""
    if isinstance(problem, Layer):
        (top, bottom), (left, right) = problem.padding
        numbers = {
            0: problem.filters,
            1: problem.kernel_w,
            11: problem.kernel_h,
            2: problem.dilation,
            3: problem.stride,
            4: left,
            14: top,
            15: right,
            16: bottom,
            6: int(np.prod(problem.w_shape)),
        }
        kind = "Convolution"
        if problem.groups > 1:
            kind, numbers[7] = "ConvolutionDepthWise", problem.groups
    else:
        kind = "Pooling"
        numbers = {
            0: 1 if op == "avg_pool" else 0,
            1: problem.kernel,
            2: problem.stride,
            3: problem.padding,
            5: 1,  # sizes round down
            6: 1,  # padding counts in the average
        }
    return f"{kind} y 1 1 x y " + " ".join(f"{key}={value}" for key, value in numbers.items())
