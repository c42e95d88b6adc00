"""Geometries made with the defaults of the public functions."""

from fastconv.geometry import conv_geometry, conv_transpose_geometry, pool_geometry


def conv(x_shape, w_shape, stride=1, padding=0, dilation=1, groups=1, data_format="NCHW", **same):
    return conv_geometry(
        "conv2d", x_shape, w_shape, stride, padding, dilation, groups, data_format, **same
    )


def transposed(
    x_shape, w_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1, layout="NCHW"
):
    sizes = stride, padding, output_padding, groups, dilation
    return conv_transpose_geometry("conv_transpose2d", x_shape, w_shape, *sizes, layout)


def pool(
    x_shape,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    count_include_pad=True,
    data_format="NCHW",
):
    flags = ceil_mode, count_include_pad, data_format
    return pool_geometry("max_pool2d", x_shape, kernel_size, stride, padding, dilation, *flags)
