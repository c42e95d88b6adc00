"""Fast convolution and pooling for NumPy arrays, and a thin layer API over them."""

import importlib as _importlib

from ._version import __version__
from .ops import (
    avg_pool2d,
    avg_pool2d_grad_x,
    conv2d,
    conv2d_grad_w,
    conv2d_grad_x,
    conv4d,
    conv4d_grad_w,
    conv4d_grad_x,
    conv_transpose2d,
    conv_transpose2d_grad_w,
    conv_transpose2d_grad_x,
    max_pool2d,
    max_pool2d_grad_x,
    prepare_conv2d,
)
from .threads import get_num_threads, precision, set_num_threads, show_config, threads

# The layer API is imported when it is asked for: who wants an operation does not wait for it.
_PARTS = (
    "activations",
    "callbacks",
    "config",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "plotting",
    "preprocessing",
    "utils",
)


def __getattr__(name: str) -> object:
    if name in _PARTS:
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})


__all__ = [
    "__version__",
    "avg_pool2d",
    "avg_pool2d_grad_x",
    "conv2d",
    "conv2d_grad_w",
    "conv2d_grad_x",
    "conv4d",
    "conv4d_grad_w",
    "conv4d_grad_x",
    "conv_transpose2d",
    "conv_transpose2d_grad_w",
    "conv_transpose2d_grad_x",
    "get_num_threads",
    "max_pool2d",
    "max_pool2d_grad_x",
    "precision",
    "prepare_conv2d",
    "set_num_threads",
    "show_config",
    "threads",
]
