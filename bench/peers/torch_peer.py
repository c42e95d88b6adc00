"""PyTorch on the CPU (oneDNN); gradients by the functions its autograd calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..problems import Layer, Pool, Problem
from .base import Arrays, Contender, Peer

Calls = dict[str, Callable[[], Any]]


class Torch(Peer):
    """torch.nn.functional and torch.ops.aten, without recording gradients.

    Asymmetric padding is a `pad` of its own, as in torch's own padding="same". There is no `out=`
    for these: with reused outputs, malloc keeps the memory that the last result had.
    """

    name = "torch"

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.version = torch.__version__
        torch.set_grad_enabled(False)

    def set_threads(self, count: int) -> None:
        self.torch.set_num_threads(count)

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        tensors = {name: self.torch.from_numpy(array) for name, array in arrays.items()}
        if isinstance(problem, Layer):
            call = self._conv(problem, **tensors)[op]
        else:
            call = self._pool(problem, **tensors)[op]
        return Contender(call, _to_numpy)

    def _conv(self, layer: Layer, x: Any, w: Any, grad: Any) -> Calls:
        functional, aten = self.torch.nn.functional, self.torch.ops.aten
        (top, bottom), (left, right) = layer.padding
        padding = [top, left] if layer.symmetric else [0, 0]
        stride, dilation = [layer.stride] * 2, [layer.dilation] * 2

        def border(image: Any) -> Any:
            return image if layer.symmetric else functional.pad(image, (left, right, top, bottom))

        def forward() -> Any:
            return functional.conv2d(border(x), w, None, stride, padding, dilation, layer.groups)

        def backward(mask: list[bool]) -> Any:
            # torch has kept the padded image from the forward pass
            return aten.convolution_backward(
                grad, kept, w, None, stride, padding, dilation, False, [0, 0], layer.groups, mask
            )

        def grad_x() -> Any:
            full = backward([True, False, False])[0]
            if layer.symmetric:
                return full
            return functional.pad(full, (-left, -right, -top, -bottom))

        kept = border(x)
        return {
            "forward": forward,
            "prepared": forward,
            "grad_x": grad_x,
            "grad_w": lambda: backward([False, True, False])[1],
        }

    def _pool(self, pool: Pool, x: Any, grad: Any) -> Calls:
        functional, aten = self.torch.nn.functional, self.torch.ops.aten
        window = (pool.kernel, pool.stride, pool.padding)
        lists = [[size, size] for size in window]
        indices = functional.max_pool2d(x, *window, return_indices=True)[1]
        return {
            "max_pool": lambda: functional.max_pool2d(x, *window),
            "max_pool_indices": lambda: functional.max_pool2d(x, *window, return_indices=True),
            "max_pool_grad_x": lambda: aten.max_pool2d_with_indices_backward(
                grad, x, *lists, [1, 1], False, indices
            ),
            "avg_pool": lambda: functional.avg_pool2d(x, *window),
            "avg_pool_grad_x": lambda: aten.avg_pool2d_backward(grad, x, *lists, False, True, None),
        }


def _to_numpy(result: Any) -> np.ndarray | tuple[np.ndarray, ...]:
    if isinstance(result, tuple):
        return tuple(part.numpy() for part in result)
    return result.numpy()
