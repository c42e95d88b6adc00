"""The one list of problems: every test of an operation draws from here. Shapes are NCHW."""

from dataclasses import dataclass
from math import prod
from typing import Any

from fastconv._core import runtime

ISAS = runtime.isas_supported()
DATA_FORMATS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class Case:
    """A convolution of x (samples, channels, height, width) with w (filters, ...)."""

    name: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1

    @property
    def keywords(self):
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    @property
    def out_channels(self):
        return self.w[0]

    def __str__(self):
        return self.name


@dataclass(frozen=True)
class TransposeCase(Case):
    """A transposed convolution of x with w (channels, filters // groups, ...)."""

    output_padding: Any = 0

    @property
    def keywords(self):
        return {**super().keywords, "output_padding": self.output_padding}

    @property
    def out_channels(self):
        return self.w[1] * self.groups


@dataclass(frozen=True)
class PoolCase:
    """A pool, maximum or average, of x."""

    name: str
    x: tuple[int, ...]
    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    count_include_pad: bool = True

    @property
    def keywords(self):
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "ceil_mode": self.ceil_mode,
        }

    @property
    def average_keywords(self):
        return {**self.keywords, "count_include_pad": self.count_include_pad}

    def __str__(self):
        return self.name


CONV_CASES = (
    # the smallest
    Case("one_pixel", (1, 1, 1, 1), (1, 1, 1, 1)),
    Case("one_window", (1, 1, 3, 3), (1, 1, 3, 3)),
    Case("row_kernel_on_row", (1, 1, 1, 9), (1, 1, 1, 3)),
    Case("column_kernel_on_column", (1, 1, 9, 1), (1, 1, 3, 1)),
    Case("impulse_size", (1, 1, 5, 7), (1, 1, 2, 3)),
    Case("one_pixel_padded", (2, 3, 1, 1), (5, 3, 3, 3), padding=1),
    Case("4x4_same", (3, 5, 4, 4), (8, 5, 3, 3), padding="same"),
    Case("kernel_larger_than_image", (2, 3, 2, 3), (4, 3, 5, 5), padding=2),
    Case("padding_larger_than_kernel", (1, 2, 3, 4), (3, 2, 2, 2), padding=5),
    Case("padding_larger_strided", (2, 1, 2, 2), (3, 1, 3, 3), stride=2, padding=((6, 4), (5, 7))),
    Case("stride_larger_than_kernel", (2, 3, 11, 13), (4, 3, 2, 2), stride=(3, 5)),
    Case("stride_larger_than_image", (1, 2, 3, 3), (2, 2, 3, 3), stride=7, padding=1),
    # 1x1
    Case("1x1", (2, 16, 7, 7), (24, 16, 1, 1)),
    Case("1x1_grey", (1, 1, 9, 10), (3, 1, 1, 1)),
    Case("1x1_wide", (1, 64, 5, 50), (49, 64, 1, 1)),
    Case("1x1_deep", (2, 400, 7, 7), (33, 400, 1, 1)),
    Case("1x1_many_filters", (1, 17, 4, 5), (300, 17, 1, 1)),
    Case("1x1_blocks", (2, 20, 23, 25), (70, 20, 1, 1)),
    Case("1x1_blocks_to_many_filters", (1, 64, 18, 18), (400, 64, 1, 1)),
    Case("1x1_blocks_of_many_channels", (3, 400, 9, 18), (48, 400, 1, 1)),
    Case("1x1_stride2", (2, 15, 9, 8), (17, 15, 1, 1), stride=2),
    Case("1x1_padded", (1, 5, 6, 7), (8, 5, 1, 1), padding=2),
    Case("1x1_stride_of_one_column", (2, 5, 19, 1), (7, 5, 1, 1), stride=(1, 3)),
    Case("1x1_stride_of_one_row", (2, 20, 1, 18), (5, 20, 1, 1), stride=(4, 1)),
    Case("1x1_groups", (2, 12, 6, 6), (18, 12 // 3, 1, 1), groups=3),
    # even kernels
    Case("2x2_valid", (2, 3, 8, 9), (16, 3, 2, 2)),
    Case("2x2_same", (2, 16, 16, 16), (32, 16, 2, 2), padding="same"),
    Case("2x2_full", (1, 5, 6, 5), (8, 5, 2, 2), padding="full"),
    Case("2x2_stride2", (3, 8, 10, 10), (15, 8, 2, 2), stride=2),
    Case("2x2_small_map", (5, 64, 6, 6), (32, 64, 2, 2)),
    Case("4x4_stride2_same", (2, 3, 17, 15), (8, 3, 4, 4), stride=2, padding="same"),
    Case("6x6_colour", (2, 3, 24, 23), (32, 3, 6, 6)),
    # 3x3, from few to many channels and filters
    Case("3x3_grey", (1, 1, 30, 33), (1, 1, 3, 3)),
    Case("3x3_colour", (2, 3, 20, 22), (16, 3, 3, 3)),
    Case("3x3_colour_padded", (1, 3, 32, 32), (100, 3, 3, 3), padding=1),
    Case("3x3_to_one_filter", (2, 64, 9, 11), (1, 64, 3, 3), padding=1),
    Case("3x3_5_to_3", (2, 5, 10, 16), (3, 5, 3, 3), padding=1),
    Case("3x3_8_to_8", (3, 8, 7, 7), (8, 8, 3, 3), padding=1),
    Case("3x3_15_to_15", (2, 15, 12, 13), (15, 15, 3, 3), padding=1),
    Case("3x3_16_to_16", (2, 16, 14, 14), (16, 16, 3, 3), padding=1),
    Case("3x3_16_to_32_valid", (3, 16, 19, 21), (32, 16, 3, 3)),
    Case("3x3_17_to_33", (2, 17, 13, 15), (33, 17, 3, 3), padding=1),
    Case("3x3_33_to_17", (1, 33, 25, 12), (17, 33, 3, 3), padding=((2, 0), (0, 2))),
    Case("3x3_48_to_49", (1, 48, 12, 12), (49, 48, 3, 3), padding="same"),
    Case("3x3_64_to_64", (2, 64, 22, 25), (64, 64, 3, 3), padding=1),
    Case("3x3_130_to_100", (1, 130, 14, 17), (100, 130, 3, 3), padding=1),
    Case("3x3_64_full", (1, 64, 11, 13), (64, 64, 3, 3), padding="full"),
    Case("3x3_100_at_8", (2, 100, 8, 8), (128, 100, 3, 3), padding=1),
    Case("3x3_512_at_7", (1, 512, 7, 7), (512, 512, 3, 3), padding=1),
    Case("3x3_valid_6_to_4", (5, 128, 6, 6), (64, 128, 3, 3)),
    # widths about multiples of the vectors, pixel panels that straddle images
    *(
        Case(f"3x3_width_{width}", (2, 4, 5, width), (9, 4, 3, 3), padding=1)
        for width in (15, 16, 17, 31, 33, 47, 48, 49, 50)
    ),
    Case("3x3_width_150", (1, 16, 9, 150), (16, 16, 3, 3)),
    Case("5_images_of_5x5", (5, 7, 5, 5), (13, 7, 3, 3), padding=1),
    Case("4_images_of_3x3", (4, 33, 3, 3), (47, 33, 2, 2), padding="same"),
    Case("tall_band", (1, 3, 300, 20), (6, 3, 3, 3), padding=1),
    Case("wide_band", (1, 2, 9, 700), (5, 2, 3, 3), padding=1),
    Case("wide_band_deep", (1, 40, 4, 500), (12, 40, 3, 3), padding="same"),
    # larger and rectangular kernels
    Case("5x5_same", (2, 12, 14, 13), (20, 12, 5, 5), padding="same"),
    Case("5x5_colour", (1, 3, 40, 48), (8, 3, 5, 5), padding=2),
    Case("7x7_grey", (1, 1, 33, 40), (1, 1, 7, 7), padding=3),
    Case("7x7_stem", (1, 3, 56, 50), (64, 3, 7, 7), stride=2, padding=3),
    Case("11x11_stride4", (1, 3, 47, 45), (16, 3, 11, 11), stride=4, padding=2),
    Case("7x3", (1, 16, 16, 17), (17, 16, 7, 3), padding=1),
    Case("3x7", (1, 17, 16, 15), (16, 17, 3, 7), padding=1),
    Case("9x6_deep", (2, 33, 12, 11), (20, 33, 9, 6), padding=(4, 3)),
    Case("3x3_stride2_deep", (2, 70, 9, 10), (40, 70, 3, 3), stride=2, padding=1),
    Case("1x7", (2, 8, 9, 17), (10, 8, 1, 7), padding=(0, 3)),
    Case("7x1", (2, 8, 17, 9), (10, 8, 7, 1), padding=(3, 0)),
    Case("2x5_asymmetric", (2, 6, 9, 12), (7, 6, 2, 5), padding=((1, 0), (3, 2))),
    Case("image_sized_kernel", (3, 6, 9, 8), (10, 6, 9, 8)),
    # strides
    Case("3x3_stride2", (2, 16, 14, 15), (24, 16, 3, 3), stride=2, padding=1),
    Case("3x3_stride2_same_even", (2, 3, 16, 18), (8, 3, 3, 3), stride=2, padding="same"),
    Case("3x3_stride2_deep", (2, 64, 13, 14), (65, 64, 3, 3), stride=2, padding=1),
    Case("3x3_stride3", (1, 5, 20, 22), (9, 5, 3, 3), stride=3, padding=1),
    Case("3x3_stride1_by_2", (2, 8, 11, 20), (16, 8, 3, 3), stride=(1, 2), padding=1),
    Case("3x3_stride3_by_1", (2, 8, 20, 33), (16, 8, 3, 3), stride=(3, 1), padding=1),
    Case("5x5_stride2_uneven", (2, 4, 18, 17), (6, 4, 5, 5), stride=2, padding=((1, 2), (2, 1))),
    Case("rows_never_read", (2, 3, 12, 14), (4, 3, 3, 3), stride=5),
    # dilation
    Case("3x3_dilation2", (2, 16, 15, 16), (16, 16, 3, 3), padding=2, dilation=2),
    Case("3x3_dilation2_by_3", (1, 5, 14, 18), (8, 5, 3, 3), padding="same", dilation=(2, 3)),
    Case("3x3_dilation2_stride2", (2, 9, 17, 15), (8, 9, 3, 3), 2, 1, 2),
    Case("2x2_dilation4_valid", (1, 3, 9, 9), (4, 3, 2, 2), dilation=4),
    Case("taps_never_inside", (1, 2, 3, 3), (3, 2, 3, 3), padding=9, dilation=8),
    Case("2x3_dilated_full", (1, 2, 5, 6), (3, 2, 2, 3), padding="full", dilation=(3, 2)),
    # groups and depthwise
    Case("groups2", (2, 8, 9, 10), (12, 4, 3, 3), padding=1, groups=2),
    Case("groups4_wide", (2, 64, 12, 13), (64, 16, 3, 3), padding=1, groups=4),
    Case("groups3_stride2", (2, 9, 11, 12), (15, 3, 3, 3), stride=2, padding=1, groups=3),
    Case("groups32_of_4", (1, 128, 9, 9), (128, 4, 3, 3), padding=1, groups=32),
    Case("groups4_of_7_to_5", (1, 28, 7, 11), (20, 7, 3, 3), padding=1, groups=4),
    Case("groups3_of_16_to_4", (2, 48, 6, 7), (12, 16, 2, 3), stride=2, padding=1, groups=3),
    Case("depthwise", (2, 8, 14, 16), (8, 1, 3, 3), padding=1, groups=8),
    Case("depthwise_wide", (1, 5, 12, 150), (5, 1, 3, 3), padding=1, groups=5),
    Case("depthwise_7x7", (2, 33, 7, 7), (33, 1, 3, 3), padding="same", groups=33),
    Case("depthwise_stride2", (2, 17, 15, 18), (17, 1, 3, 3), stride=2, padding=1, groups=17),
    Case("depthwise_multiplier", (2, 5, 9, 12), (15, 1, 3, 3), padding=1, groups=5),
    Case("depthwise_multiplier_s2", (1, 3, 13, 13), (6, 1, 5, 5), 2, "same", groups=3),
    Case("depthwise_dilated", (1, 16, 12, 18), (16, 1, 3, 3), padding=2, dilation=2, groups=16),
    Case("depthwise_5x5", (1, 6, 20, 49), (6, 1, 5, 5), padding=2, groups=6),
    Case("depthwise_even", (1, 48, 8, 9), (48, 1, 2, 4), padding="same", groups=48),
)

NAMED = {case.name: case for case in CONV_CASES}
# One case or more for each way to compute a convolution that the engine may choose.
FEW_CASES = tuple(
    NAMED[name]
    for name in (
        "3x3_grey",
        "3x3_colour",
        "3x3_16_to_32_valid",
        "3x3_48_to_49",
        "1x1",
        "1x1_stride2",
        "2x2_same",
        "5x5_same",
        "3x3_stride2",
        "3x3_dilation2",
        "groups2",
        "depthwise",
        "depthwise_stride2",
        "depthwise_multiplier",
        "padding_larger_than_kernel",
    )
)


def up_to(size):
    """Return the cases whose arrays x and w have at most this product of sizes."""
    return tuple(case for case in CONV_CASES if prod(case.x) * prod(case.w) <= size)


SMALL_CASES, MODERATE_CASES = up_to(10**7), up_to(10**9)

CONV4D_CASES = (
    Case("impulse_size", (1, 1, 5, 7), (1, 1, 2, 3), padding="valid"),
    Case("even_same", (2, 3, 6, 7), (4, 3, 2, 4), padding="same"),
    Case("odd_same", (2, 3, 9, 9), (5, 3, 3, 5), padding="same"),
    Case("even_full", (1, 2, 5, 4), (3, 2, 4, 2), padding="full"),
    Case("kernel_larger_same", (2, 2, 3, 4), (3, 2, 5, 6), padding="same"),
    Case("kernel_larger_full", (1, 2, 2, 2), (3, 2, 3, 5), padding="full"),
    Case("many_channels_same", (2, 20, 13, 16), (18, 20, 3, 3), padding="same"),
    Case("photo_bank", (1, 3, 40, 61), (8, 3, 5, 5), padding="same"),
    Case("same_stride2", (2, 3, 8, 9), (4, 3, 4, 4), stride=2, padding="same"),
    Case("same_stride3_by_2", (1, 2, 11, 10), (3, 2, 3, 2), stride=(3, 2), padding="same"),
    Case("same_dilated", (1, 2, 9, 11), (3, 2, 2, 3), padding="same", dilation=(2, 3)),
    Case("full_stride2", (2, 2, 6, 7), (3, 2, 3, 4), stride=2, padding="full"),
    Case("valid_groups", (2, 6, 9, 8), (4, 3, 3, 2), padding="valid", groups=2),
    Case("asymmetric_padding", (2, 3, 6, 8), (5, 3, 2, 3), padding=((2, 0), (1, 3))),
    Case("pair_of_paddings", (1, 3, 6, 5), (2, 3, 3, 3), padding=(2, 1)),
    Case("grey_100", (1, 1, 100, 100), (1, 1, 3, 3), padding="valid"),
)

TRANSPOSE_CASES = (
    TransposeCase("one_pixel", (1, 1, 1, 1), (1, 1, 3, 3)),
    TransposeCase("1x1", (2, 5, 4, 6), (5, 9, 1, 1)),
    TransposeCase("3x3", (2, 8, 7, 9), (8, 16, 3, 3)),
    TransposeCase("3x3_cropped", (2, 16, 14, 13), (16, 20, 3, 3), padding=1),
    TransposeCase("3x3_deep", (1, 80, 7, 7), (80, 40, 3, 3), padding=1),
    TransposeCase("2x2_stride2", (2, 16, 8, 8), (16, 8, 2, 2), stride=2),
    TransposeCase("3x3_stride2_output_padding", (2, 6, 7, 6), (6, 5, 3, 3), 2, 1, output_padding=1),
    TransposeCase("4x4_stride2", (2, 12, 5, 7), (12, 3, 4, 4), stride=2, padding=1),
    TransposeCase("5x5_stride3_by_2", (1, 4, 5, 6), (4, 7, 5, 5), (3, 2), 2, output_padding=(2, 1)),
    TransposeCase("holes", (2, 3, 4, 5), (3, 4, 2, 2), stride=4, output_padding=3),
    TransposeCase("dilation2", (1, 4, 6, 7), (4, 5, 3, 3), padding=2, dilation=2),
    TransposeCase("dilated_output_padding", (1, 3, 5, 4), (3, 2, 2, 3), 2, 1, 3, output_padding=2),
    TransposeCase("groups2", (2, 8, 6, 5), (8, 3, 3, 3), 2, 1, groups=2, output_padding=(1, 0)),
    TransposeCase("depthwise", (2, 9, 6, 7), (9, 1, 3, 3), padding=1, groups=9),
    TransposeCase("depthwise_stride2", (1, 17, 5, 9), (17, 1, 4, 4), 2, 1, groups=17),
    TransposeCase("asymmetric", (2, 3, 6, 8), (3, 4, 3, 4), 2, padding=((0, 1), (2, 1))),
    TransposeCase("wide", (1, 3, 3, 90), (3, 2, 3, 3), stride=2, padding=1, output_padding=1),
    TransposeCase("many_filters", (1, 33, 4, 4), (33, 100, 3, 3), stride=2, padding=1),
)

POOL_CASES = (
    PoolCase("one_pixel", (1, 1, 1, 1), 1),
    PoolCase("1x1", (2, 3, 4, 5), 1),
    PoolCase("whole_image", (2, 3, 4, 5), (4, 5)),
    PoolCase("2x2_s2", (2, 5, 16, 18), 2),
    PoolCase("2x2_s2_odd", (3, 4, 7, 9), 2),
    PoolCase("2x2_s2_odd_ceil", (3, 4, 7, 9), 2, ceil_mode=True),
    PoolCase("2x2_s2_tiny", (1, 1, 2, 2), 2),
    PoolCase("2x2_s2_columns", (2, 3, 12, 2), 2),
    *(PoolCase(f"2x2_s2_width_{width}", (1, 3, 4, width), 2) for width in (31, 32, 33, 34, 63, 65)),
    PoolCase("2x2_s2_wide", (1, 2, 6, 700), 2),
    PoolCase("2x2_s2_many_channels", (2, 70, 4, 4), 2),
    PoolCase("2x2_s2_padded", (2, 3, 7, 8), 2, padding=1, count_include_pad=False),
    PoolCase("2x2_s1", (2, 3, 8, 33), 2, stride=1),
    PoolCase("2x2_s1_same", (2, 17, 6, 7), 2, 1, "same", count_include_pad=False),
    PoolCase("3x3_s2", (2, 5, 15, 17), 3, stride=2),
    PoolCase("3x3_s2_padded", (2, 16, 14, 14), 3, stride=2, padding=1),
    PoolCase("3x3_s2_ceil", (2, 16, 14, 14), 3, 2, ceil_mode=True),
    PoolCase("3x3_s2_padded_ceil", (1, 5, 12, 13), 3, 2, 1, ceil_mode=True),
    PoolCase("3x3_s2_uncounted", (1, 5, 12, 13), 3, 2, 1, 1, True, False),
    PoolCase("3x3_s1", (2, 9, 12, 14), 3, stride=1, padding=1),
    PoolCase("3x3_s1_uncounted", (2, 9, 12, 50), 3, 1, 1, count_include_pad=False),
    PoolCase("3x3_s3", (2, 4, 12, 13), 3),
    PoolCase("3x2_s2_by_1", (2, 3, 9, 18), (3, 2), stride=(2, 1)),
    PoolCase("1x3_s1", (1, 4, 5, 40), (1, 3), 1, (0, 1)),
    PoolCase("3x1_s2_by_1", (1, 4, 11, 20), (3, 1), (2, 1), (1, 0)),
    PoolCase("5x5_s1_same", (1, 3, 11, 20), 5, 1, "same"),
    PoolCase("4x4_s3_same", (1, 3, 11, 13), 4, 3, "same", count_include_pad=False),
    PoolCase("asymmetric", (2, 3, 8, 9), 3, 2, ((1, 0), (0, 1))),
    PoolCase("asymmetric_ceil", (2, 3, 8, 10), 3, 2, ((1, 0), (0, 1)), ceil_mode=True),
    PoolCase("stride_larger_than_kernel", (2, 3, 13, 17), 2, stride=(3, 5)),
    PoolCase("dilation2", (2, 3, 12, 21), 3, 2, 1, dilation=2),
    PoolCase("dilation_ceil", (1, 3, 13, 12), (2, 3), 2, 1, (3, 2), True),
    PoolCase("dilation_uncounted", (1, 3, 13, 12), (2, 3), 2, (0, 1), (3, 2), True, False),
    PoolCase("tall", (1, 2, 300, 5), 3, 2, 1),
    # planes of several blocks
    PoolCase("2x2_s2_blocks", (1, 3, 90, 37), 2),
    PoolCase("3x3_s2_blocks", (1, 3, 90, 40), 3, 2, 1),
    PoolCase("3x3_s1_blocks", (1, 3, 70, 50), 3, 1, 1),
    PoolCase("global_7x7", (2, 64, 7, 7), 7),
    # as many taps as a byte has numbers for, and one more
    PoolCase("15x17_s6", (1, 3, 22, 30), (15, 17), 6, (2, 4)),
    PoolCase("16x16_s5", (1, 3, 24, 26), 16, 5, (3, 4)),
)

# samples, channels, units of a dense layer: one row and few, ragged edges, sums cut into blocks
DENSE_CASES = [
    (1, 1, 1),
    (1, 5, 33),
    (2, 400, 64),
    (3, 70, 49),
    (4, 1, 17),
    (9, 33, 16),
    (20, 1000, 130),
    (32, 31, 500),
    (7, 2100, 700),
    (300, 40, 24),
]
