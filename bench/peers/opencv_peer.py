"""OpenCV's filter2D: one plane, one kernel; for few channels, looped over."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..problems import Layer, Problem
from .base import Arrays, Contender, dilated, need
from .scipy_peers import PlaneLoop, inner

MOST_CHANNELS = 3  # an image filter: timed on images


class OpenCV(PlaneLoop):
    """cv2.filter2D with a border of zeros; its centre is element size // 2, as in scipy.ndimage."""

    name = "opencv"

    def __init__(self) -> None:
        import cv2

        self.cv2: Any = cv2
        self.version = cv2.__version__

    def set_threads(self, count: int) -> None:
        self.cv2.setNumThreads(count)  # `threads`, the loop's own, stays 1

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        need(isinstance(problem, Layer), "no pools")
        assert isinstance(problem, Layer)
        need(problem.channels <= MOST_CHANNELS, f"timed up to {MOST_CHANNELS} channels")
        if problem.channels > 1 or problem.samples > 1 or problem.filters > 1:
            return super().prepare(op, problem, arrays, reuse)
        need(op == "forward", "no gradients")
        return self._single(problem, arrays, reuse)

    def _single(self, layer: Layer, arrays: Arrays, reuse: bool) -> Contender:
        """One grey image and one kernel: a single call, no copy of the image."""
        image, kernel = arrays["x"][0, 0], dilated(arrays["w"], layer)[0, 0]
        rows, columns = kernel.shape
        odd = rows % 2 == columns % 2 == 1
        same = odd and layer.padding == ((rows // 2,) * 2, (columns // 2,) * 2)
        need(same or layer.padding == ((0, 0), (0, 0)), "borders of zeros: same or none")
        filter2d, border, step = self.cv2.filter2D, self.cv2.BORDER_CONSTANT, layer.stride
        out = np.empty_like(image) if reuse else None

        def run() -> np.ndarray:
            full = filter2d(image, -1, kernel, dst=out, borderType=border)
            return (full if same else inner(full, image, kernel))[::step, ::step]

        return Contender(run, lambda result: np.asarray(result)[None, None])

    def plane(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        full = self.cv2.filter2D(image, -1, kernel, borderType=self.cv2.BORDER_CONSTANT)
        return inner(full, image, kernel)
