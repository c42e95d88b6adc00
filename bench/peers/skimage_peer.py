"""scikit-image: its own correlation (most of its filters call scipy.ndimage, timed by itself)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..problems import Layer, Pool, Problem
from .base import Arrays, Contender, need
from .scipy_peers import PlaneLoop


class ScikitImage(PlaneLoop):
    """filters.correlate_sparse, and measure.block_reduce for pools without overlap."""

    name = "scikit-image"

    def __init__(self) -> None:
        import skimage
        import skimage.filters
        import skimage.measure

        self.filters: Any = skimage.filters
        self.measure: Any = skimage.measure
        self.version = skimage.__version__

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        if isinstance(problem, Layer):
            return super().prepare(op, problem, arrays, reuse)
        need(op in ("max_pool", "avg_pool"), "no gradients, no indices")
        need(not reuse, "timed on fresh outputs")
        need(self.threads == 1, "runs on one thread")
        return self._block_reduce(op, problem, arrays["x"])

    def _block_reduce(self, op: str, pool: Pool, x: np.ndarray) -> Contender:
        need(pool.kernel == pool.stride and pool.padding == 0, "windows may not overlap")
        rows, columns = (size * pool.stride for size in pool.out_shape[2:])
        block = (1, 1, pool.kernel, pool.kernel)
        function = np.max if op == "max_pool" else np.mean
        reduce = self.measure.block_reduce
        return Contender(lambda: reduce(x[:, :, :rows, :columns], block, function))

    def plane(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return self.filters.correlate_sparse(image, kernel, mode="valid")
