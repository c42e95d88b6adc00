"""A LeNet under autograd, with its own convolution and pool, and with ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from autograd.scipy.signal import convolve

from fastconv.backends.autograd import conv4d, max_pool2d

# kernels are (channels, filters, rows, columns), as autograd's example has them
SHAPES = (
    *((1, 6, 5, 5), (1, 6, 1, 1)),
    *((6, 16, 5, 5), (1, 16, 1, 1)),
    *((256, 120), (120,)),
    *((120, 10), (10,)),
)
SAMPLES = 256


def its_convolution(x: Any, w: Any) -> Any:
    return convolve(x, w, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid")


def our_convolution(x: Any, w: Any) -> Any:
    return conv4d(x, anp.swapaxes(w, 0, 1), "valid")


def its_pool(x: Any) -> Any:
    samples, channels, rows, columns = x.shape
    windows = anp.reshape(x, (samples, channels, rows // 2, 2, columns // 2, 2))
    return anp.max(anp.max(windows, axis=5), axis=3)


def our_pool(x: Any) -> Any:
    return max_pool2d(x, 2)


def step(convolution: Callable, pool: Callable) -> Callable:
    """Return the loss and its gradients, of weights, images and one-hot labels."""

    def loss(weights: Any, x: Any, labels: Any) -> Any:
        first, first_bias, second, second_bias, dense, dense_bias, last, last_bias = weights
        x = pool(convolution(x, first) + first_bias)
        x = pool(convolution(x, second) + second_bias)
        x = anp.tanh(anp.dot(anp.reshape(x, (len(x), -1)), dense) + dense_bias)
        scores = anp.dot(x, last) + last_bias
        scores = scores - anp.log(anp.sum(anp.exp(scores), 1, keepdims=True))
        return -anp.sum(scores * labels)

    return value_and_grad(loss)


def steps(dtype: str) -> dict[str, Callable[[], np.ndarray]]:
    """Return the three steps; each gives all gradients in one array."""
    random = np.random.default_rng(0)
    weights = [(0.1 * random.standard_normal(shape)).astype(dtype) for shape in SHAPES]
    x = random.standard_normal((SAMPLES, 1, 28, 28)).astype(dtype)
    labels = np.eye(10, dtype=dtype)[random.integers(0, 10, SAMPLES)]

    def run(gradients: Callable) -> np.ndarray:
        return np.concatenate([part.ravel() for part in gradients(weights, x, labels)[1]])

    ways = {
        "our convolution and pool": step(our_convolution, our_pool),
        "our convolution, its pool": step(our_convolution, its_pool),
        "its own": step(its_convolution, its_pool),
    }
    return {name: lambda way=way: run(way) for name, way in ways.items()}
