"""Ninety-six layers of networks that are in use, as convolutions of few images.

Channels, height and width; filters, kernel rows and columns; stride, padding, dilation, groups.
"""

from typing import NamedTuple


class Layer(NamedTuple):
    name: str
    image: tuple[int, int, int]
    filters: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: int | tuple[int, int] = 0
    dilation: int = 1
    groups: int = 1

    @property
    def keywords(self):
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def shapes(self, samples, data_format):
        """Return the shapes of x and w."""
        channels, height, width = self.image
        each = channels // self.groups
        if data_format == "NHWC":
            return (samples, height, width, channels), (*self.kernel, each, self.filters)
        return (samples, channels, height, width), (self.filters, each, *self.kernel)

    def __str__(self):
        return self.name


def _vgg(*sizes):
    for channels, size, filters in sizes:
        yield Layer(
            f"vgg_{channels}_{size}_to_{filters}", (channels, size, size), filters, (3, 3), 1, 1
        )


def _resnet(*sizes):
    for channels, size, filters, kernel, stride in sizes:
        name = f"resnet_{channels}_{size}_to_{filters}_{kernel}x{kernel}_stride{stride}"
        yield Layer(name, (channels, size, size), filters, (kernel, kernel), stride, kernel // 2)


def _depthwise(network, *sizes):
    for channels, size, kernel, stride in sizes:
        name = f"{network}_{channels}_{size}_{kernel}x{kernel}_stride{stride}"
        image, padding = (channels, size, size), kernel // 2
        yield Layer(name, image, channels, (kernel, kernel), stride, padding, 1, channels)


def _grouped(network, *sizes):
    for channels, size, filters, groups, stride in sizes:
        name = f"{network}_{channels}_{size}_{groups}_groups_stride{stride}"
        yield Layer(name, (channels, size, size), filters, (3, 3), stride, 1, 1, groups)


def _inception(*sizes):
    for channels, size, filters, rows, columns in sizes:
        name = f"inception_{channels}_{size}_{rows}x{columns}"
        padding = rows // 2, columns // 2
        yield Layer(name, (channels, size, size), filters, (rows, columns), 1, padding)


def _dilated(*sizes):
    for channels, size, filters, dilation in sizes:
        name = f"deeplab_{channels}_{size}_dilation{dilation}"
        yield Layer(name, (channels, size, size), filters, (3, 3), 1, dilation, dilation)


LAYERS = (
    # first layers
    Layer("resnet_stem", (3, 112, 112), 64, (7, 7), 2, 3),
    Layer("alexnet_stem", (3, 111, 111), 64, (11, 11), 4, 2),
    Layer("vgg_stem", (3, 64, 64), 64, (3, 3), 1, 1),
    Layer("mobilenet_stem", (3, 112, 112), 32, (3, 3), 2, 1),
    Layer("inception_stem", (3, 99, 99), 32, (3, 3), 2),
    Layer("convnext_stem", (3, 112, 112), 96, (4, 4), 4),
    Layer("vit_patches", (3, 96, 96), 192, (16, 16), 16),
    Layer("yolo_stem", (3, 96, 96), 32, (6, 6), 2, 2),
    Layer("unet_stem", (1, 92, 92), 64, (3, 3)),
    Layer("srcnn_stem", (1, 48, 48), 64, (9, 9), 1, 4),
    Layer("lenet_1", (1, 28, 28), 6, (5, 5), 1, 2),
    Layer("lenet_2", (6, 14, 14), 16, (5, 5)),
    Layer("cifar_1", (3, 32, 32), 32, (3, 3), 1, 1),
    Layer("cifar_2", (32, 30, 30), 64, (3, 3)),
    Layer("mnist_2", (32, 26, 26), 64, (3, 3)),
    Layer("atari_1", (4, 84, 84), 32, (8, 8), 4),
    Layer("atari_2", (32, 20, 20), 64, (4, 4), 2),
    Layer("atari_3", (64, 9, 9), 64, (3, 3)),
    Layer("alexnet_2", (64, 27, 27), 192, (5, 5), 1, 2),
    Layer("alexnet_3", (192, 13, 13), 384, (3, 3), 1, 1),
    *_vgg((64, 56, 64), (64, 40, 128), (128, 28, 128), (128, 28, 256), (256, 14, 256)),
    *_vgg((512, 7, 512), (16, 33, 16), (24, 19, 40)),
    *_resnet((64, 56, 64, 1, 1), (64, 28, 256, 1, 1), (256, 28, 64, 1, 1), (256, 28, 512, 1, 2)),
    *_resnet((512, 14, 128, 1, 1), (128, 14, 512, 1, 1), (512, 7, 2048, 1, 1)),
    *_resnet((64, 28, 128, 3, 2), (128, 28, 128, 3, 2), (256, 14, 256, 3, 2)),
    *_resnet((16, 32, 32, 3, 2), (64, 8, 64, 3, 1), (512, 14, 512, 3, 2)),
    *_depthwise("mobilenet", (32, 56, 3, 1), (64, 56, 3, 2), (128, 28, 3, 1), (256, 14, 3, 2)),
    *_depthwise("mobilenet", (512, 14, 3, 1), (1024, 7, 3, 1), (96, 56, 3, 2), (144, 28, 3, 1)),
    *_depthwise("efficientnet", (240, 28, 5, 2), (480, 14, 5, 1), (672, 14, 5, 2), (1152, 7, 5, 1)),
    *_depthwise("convnext", (96, 28, 7, 1), (192, 14, 7, 1), (384, 14, 7, 1), (768, 7, 7, 1)),
    *_grouped("resnext", (128, 28, 128, 32, 1), (256, 28, 256, 32, 2), (256, 14, 256, 32, 1)),
    *_grouped("resnext", (512, 14, 512, 32, 2), (1024, 7, 1024, 32, 1)),
    *_grouped("regnet", (48, 28, 48, 2, 1), (104, 28, 104, 13, 2), (208, 14, 208, 26, 1)),
    *_grouped("shufflenet", (60, 28, 60, 3, 1), (240, 14, 240, 4, 1)),
    *_inception(
        (128, 17, 128, 1, 7), (128, 17, 192, 7, 1), (384, 8, 384, 1, 3), (384, 8, 384, 3, 1)
    ),
    *_inception((48, 35, 64, 5, 5), (16, 28, 32, 5, 5), (24, 14, 64, 5, 5), (32, 7, 128, 5, 5)),
    *_dilated(
        (64, 33, 64, 2), (128, 17, 64, 4), (256, 17, 32, 6), (32, 65, 32, 2), (64, 33, 32, 12)
    ),
    # networks for images from images
    Layer("unet_out", (64, 64, 64), 2, (1, 1)),
    Layer("srcnn_2", (64, 40, 40), 32, (5, 5), 1, 2),
    Layer("srcnn_out", (32, 48, 48), 1, (5, 5), 1, 2),
    Layer("denoiser_out", (64, 48, 48), 3, (3, 3), 1, 1),
    Layer("dcgan_1", (3, 64, 64), 64, (4, 4), 2, 1),
    Layer("dcgan_out", (512, 4, 4), 1, (4, 4)),
    # odd ones
    Layer("densenet_1x1", (232, 28, 28), 128, (1, 1)),
    Layer("densenet_3x3", (128, 28, 28), 32, (3, 3), 1, 1),
    Layer("squeezenet_expand", (48, 13, 13), 192, (3, 3), 1, 1),
    Layer("detector_boxes", (256, 13, 13), 45, (1, 1)),
    Layer("detector_head", (256, 19, 19), 36, (3, 3), 1, 1),
    Layer("speech", (1, 40, 101), 64, (20, 8)),
    Layer("text", (1, 30, 50), 100, (3, 50)),
    Layer("edges", (1, 240, 320), 2, (3, 3), 1, 1),
    Layer("blur", (3, 120, 160), 3, (5, 5), 1, 2, 1, 3),
    Layer("strided_wide", (16, 31, 63), 24, (3, 5), 3, (1, 2)),
)
