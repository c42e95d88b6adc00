"""SciPy's ways to correlate, in the loops it takes to do many images, channels and filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..problems import Layer, Problem
from ..timing import once
from .base import Arrays, Contender, Peer, dilated, need, padded

Plane = Callable[[np.ndarray, np.ndarray], np.ndarray]


class PlaneLoop(Peer):
    """A function of two planes, called for every sample, filter and channel."""

    threads = 1

    def set_threads(self, count: int) -> None:
        self.threads = count

    def plane(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """The "valid" cross-correlation of a plane with a kernel."""
        raise NotImplementedError

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        need(isinstance(problem, Layer) and op == "forward", "correlation only")
        assert isinstance(problem, Layer)
        need(not reuse, "timed on fresh outputs")
        need(self.threads == 1, "runs on one thread")
        x, w = padded(arrays["x"], problem), dilated(arrays["w"], problem)
        self.plane(x[0, 0], w[0, 0])
        seconds = min(once(lambda: self.plane(x[0, 0], w[0, 0])) for _ in range(3))
        planes = problem.samples * problem.filters * w.shape[1]
        return Contender(lambda: self.loop(problem, arrays["x"], w), estimate=seconds * planes)

    def loop(self, layer: Layer, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x = padded(x, layer)
        out = np.zeros(layer.out_shape, x.dtype)
        group, channels = layer.filters // layer.groups, w.shape[1]
        step = layer.stride
        for sample in range(layer.samples):
            for which in range(layer.filters):
                start = which // group * channels
                for channel in range(channels):
                    full = self.plane(x[sample, start + channel], w[which, channel])
                    out[sample, which] += full[::step, ::step]
        return out


class ScipySignal(PlaneLoop):
    """What the three functions of scipy.signal share."""

    def __init__(self) -> None:
        import scipy
        import scipy.signal

        self.signal: Any = scipy.signal
        self.version = scipy.__version__


class ScipyCorrelate(ScipySignal):
    """scipy.signal.correlate, which chooses between sums and the Fourier transform by itself."""

    name = "scipy.correlate"

    def plane(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return self.signal.correlate(image, kernel, mode="valid")


class ScipyChannels(ScipySignal):
    """A function that takes all channels of an image at once; their sum is left to NumPy."""

    function: Callable[..., np.ndarray]

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        contender = super().prepare(op, problem, arrays, reuse)
        assert isinstance(problem, Layer)
        x, w = padded(arrays["x"], problem), dilated(arrays["w"], problem)
        channels = w.shape[1]
        seconds = min(once(lambda: self.stack(x[0, :channels], w[0])) for _ in range(2))
        contender.estimate = seconds * problem.samples * problem.filters
        return contender

    def loop(self, layer: Layer, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        x = padded(x, layer)
        out = np.empty(layer.out_shape, x.dtype)
        group, channels = layer.filters // layer.groups, w.shape[1]
        step = layer.stride
        for sample in range(layer.samples):
            for which in range(layer.filters):
                start = which // group * channels
                full = self.stack(x[sample, start : start + channels], w[which])
                out[sample, which] = full[::step, ::step]
        return out

    def stack(self, images: np.ndarray, kernels: np.ndarray) -> np.ndarray:
        flipped = kernels[:, ::-1, ::-1]
        return self.function(images, flipped, mode="valid", axes=(1, 2)).sum(axis=0)

    def plane(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return self.stack(image[None], kernel[None])


class ScipyFft(ScipyChannels):
    """scipy.signal.fftconvolve."""

    name = "scipy.fftconvolve"

    def __init__(self) -> None:
        super().__init__()
        self.function = self.signal.fftconvolve


class ScipyOverlapAdd(ScipyChannels):
    """scipy.signal.oaconvolve."""

    name = "scipy.oaconvolve"

    def __init__(self) -> None:
        super().__init__()
        self.function = self.signal.oaconvolve


class ScipyNdimage(PlaneLoop):
    """scipy.ndimage.correlate, of which the part without borders is kept."""

    name = "scipy.ndimage"

    def __init__(self) -> None:
        import scipy
        import scipy.ndimage

        self.ndimage: Any = scipy.ndimage
        self.version = scipy.__version__

    def plane(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        full = self.ndimage.correlate(image, kernel, mode="constant")
        return inner(full, image, kernel)


def inner(full: np.ndarray, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The "valid" part of a result centred on element size // 2 of the kernel."""
    (height, width), (kernel_h, kernel_w) = image.shape, kernel.shape
    top, left = kernel_h // 2, kernel_w // 2
    return full[top : top + height - kernel_h + 1, left : left + width - kernel_w + 1]
