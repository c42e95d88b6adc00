"""Every check of shapes and sizes and every size formula, once; nothing else raises for a shape.

plain    what a caller wrote, as exact ints, words and tuples of them
sizes    the formulas along one axis, and the limits
shapes   four dimensions in either data format
kernel   a convolution without its image
conv     ConvGeometry, of a convolution, a transposed one and their gradients
pool     PoolGeometry
"""

from .conv import ConvGeometry, conv_geometry, conv_transpose_geometry
from .kernel import checked_arguments
from .plain import DATA_FORMATS, plain_flag, plain_int, plain_real, plain_shape, plain_word
from .pool import PoolGeometry, pool_geometry, unpool_geometry
from .shapes import check_shape

__all__ = [
    "DATA_FORMATS",
    "ConvGeometry",
    "PoolGeometry",
    "check_shape",
    "checked_arguments",
    "conv_geometry",
    "conv_transpose_geometry",
    "plain_flag",
    "plain_int",
    "plain_real",
    "plain_shape",
    "plain_word",
    "pool_geometry",
    "unpool_geometry",
]
