"""The public operations: arrays and sizes in, checks, one call of the plan, an array out.

arrays    which arrays are taken, dtypes, `out`
run       what conv2d, conv4d and conv_transpose2d have in common
conv, conv4d, conv_transpose, pool, prepare    the functions themselves
"""

from .conv import conv2d, conv2d_grad_w, conv2d_grad_x
from .conv4d import conv4d, conv4d_grad_w, conv4d_grad_x
from .conv_transpose import conv_transpose2d, conv_transpose2d_grad_w, conv_transpose2d_grad_x
from .pool import avg_pool2d, avg_pool2d_grad_x, max_pool2d, max_pool2d_grad_x
from .prepare import PreparedConv2D, prepare_conv2d

__all__ = [
    "PreparedConv2D",
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
    "max_pool2d",
    "max_pool2d_grad_x",
    "prepare_conv2d",
]
