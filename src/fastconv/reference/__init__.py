"""What every operation means, in plain NumPy: a twin of each public function, with its signature.

So have the codes of a max pool in training, the products of a dense layer and the step of an
optimizer, which are for layers and optimizers alone.

A kernel element at (row, column) is called a tap. For output pixel (i, j) it reads the image at

    (i * stride_h + row * dilation_h - pad_top, j * stride_w + column * dilation_w - pad_left)

and outputs for which that lies outside of the image skip the tap. So padding contributes nothing,
not even the NaN that an infinite weight times a zero would give. The convolution and its two
gradients walk over the same taps; they differ in which two of image, kernel and output they read
and which one they add to. The transposed convolution is the gradient with respect to the image.

Floating-point sums run in float64 (longdouble in longdouble) and are rounded to the result's type
once. Integers run in int64 and wrap around. Arguments are taken to be right: checking them is the
public functions' business.
The types of the arguments are those of the public functions, and not repeated here.
"""

from .conv import (
    conv2d,
    conv2d_grad_w,
    conv2d_grad_x,
    conv4d,
    conv4d_grad_w,
    conv4d_grad_x,
    conv_transpose2d,
    conv_transpose2d_grad_w,
    conv_transpose2d_grad_x,
)
from .dense import dense, dense_grad_w, dense_grad_x
from .pool import (
    avg_pool2d,
    avg_pool2d_grad_x,
    max_pool2d,
    max_pool2d_codes,
    max_pool2d_codes_grad_x,
    max_pool2d_grad_x,
)
from .update import update

__all__ = [
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
    "dense",
    "dense_grad_w",
    "dense_grad_x",
    "max_pool2d",
    "max_pool2d_codes",
    "max_pool2d_codes_grad_x",
    "max_pool2d_grad_x",
    "update",
]
