"""NumPy alone: sliding windows and a matrix product; and the memory copy that bounds any pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..problems import Layer, Pool, Problem
from .base import Arrays, Contender, Peer, need, padded


class SlidingWindow(Peer):
    """sliding_window_view and tensordot (BLAS); the gradient of x adds shifted planes."""

    name = "numpy"

    def __init__(self) -> None:
        self.version = np.__version__
        self.limits: Any = None

    def set_threads(self, count: int) -> None:
        """NumPy has no such setting of its own: threadpoolctl tells its BLAS."""
        from threadpoolctl import threadpool_limits

        self.limits = threadpool_limits(count, user_api="blas")

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        need(not reuse, "timed on fresh outputs")
        if isinstance(problem, Layer):
            need(op != "prepared", "nothing to prepare")
            functions = {"forward": _forward, "grad_x": _grad_x, "grad_w": _grad_w}
            return Contender(lambda: _by_group(functions[op], problem, arrays, op))
        need(op in ("max_pool", "avg_pool"), "no gradients, no indices")
        return Contender(lambda: _pool(op, problem, arrays["x"]))


def _windows(x: np.ndarray, layer: Layer) -> np.ndarray:
    """A view: samples, channels, out rows, out columns, kernel rows, kernel columns."""
    step, spread = layer.stride, layer.dilation
    shape = [(size - 1) * spread + 1 for size in layer.w_shape[2:]]
    view = sliding_window_view(padded(x, layer), shape, axis=(2, 3))
    return view[:, :, ::step, ::step, ::spread, ::spread]


def _forward(layer: Layer, x: np.ndarray, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
    out = np.tensordot(_windows(x, layer), w, ((1, 4, 5), (1, 2, 3)))
    return out.transpose(0, 3, 1, 2)


def _grad_w(layer: Layer, x: np.ndarray, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
    return np.tensordot(grad, _windows(x, layer), ((0, 2, 3), (0, 2, 3)))


def _grad_x(layer: Layer, x: np.ndarray, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
    columns = np.tensordot(w, grad, ((0,), (1,)))  # channel, kernel, sample, out
    full = padded(np.zeros_like(x), layer)
    rows, width = grad.shape[2:]
    for i in range(layer.kernel_h):
        for j in range(layer.kernel_w):
            top, left = i * layer.dilation, j * layer.dilation
            target = full[
                :,
                :,
                top : top + (rows - 1) * layer.stride + 1 : layer.stride,
                left : left + (width - 1) * layer.stride + 1 : layer.stride,
            ]
            target += columns[:, i, j].transpose(1, 0, 2, 3)
    (top, _), (left, _) = layer.padding
    return full[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _by_group(
    function: Callable[..., np.ndarray], layer: Layer, arrays: Arrays, op: str
) -> np.ndarray:
    x, w, grad = arrays["x"], arrays["w"], arrays["grad"]
    if layer.groups == 1:
        return np.ascontiguousarray(function(layer, x, w, grad))
    parts = zip(
        np.split(x, layer.groups, axis=1),
        np.split(w, layer.groups, axis=0),
        np.split(grad, layer.groups, axis=1),
        strict=True,
    )
    axis = 0 if op == "grad_w" else 1
    return np.concatenate([function(layer, *part) for part in parts], axis=axis)


def _pool(op: str, pool: Pool, x: np.ndarray) -> np.ndarray:
    if pool.padding:
        value = -np.inf if op == "max_pool" else 0.0
        border = (pool.padding, pool.padding)
        x = np.pad(x, ((0, 0), (0, 0), border, border), constant_values=value)
    view = sliding_window_view(x, (pool.kernel, pool.kernel), axis=(2, 3))
    view = view[:, :, :: pool.stride, :: pool.stride]
    return view.max(axis=(4, 5)) if op == "max_pool" else view.mean(axis=(4, 5))


class MemoryCopy(Peer):
    """No peer: the time that copying as many bytes takes as a pool reads and writes."""

    name = "memory-copy"

    def __init__(self) -> None:
        self.version = np.__version__

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        need(isinstance(problem, Pool) and reuse, "for pools with reused outputs")
        x, grad = arrays["x"], arrays["grad"]
        moved = x.nbytes + grad.nbytes
        if "max_pool_" in op:
            moved += 8 * grad.size  # the indices
        source = np.ones(moved // 2, np.uint8)
        target = np.ones_like(source)
        return Contender(lambda: np.copyto(target, source), checked=False)
