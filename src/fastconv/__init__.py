"""Fast convolution and pooling for NumPy arrays."""

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
