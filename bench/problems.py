"""What is timed: the layers of layers.csv and the pools of pools.csv, and the arrays for them."""

from __future__ import annotations

import csv
import fnmatch
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

FOLDER = Path(__file__).parent
CONV_OPS = ("forward", "prepared", "grad_x", "grad_w")
POOL_OPS = ("max_pool", "max_pool_indices", "max_pool_grad_x", "avg_pool", "avg_pool_grad_x")
OPS = CONV_OPS + POOL_OPS
# of every kind of layer one or two: for runs that show whether all works
QUICK = (
    "s2_c2,s4_c1,s5_c2,s1_c2,s1_c4,gray_100,tiny_5x7,rn50_3x3_128,rn50_3x3_256,rn50_1x1_1024_256,"
    "rn50_3x3s2,mb_dw_s2,photo_filterbank,s2_p1,rn50_pool,photo"
)


@dataclass(frozen=True)
class Layer:
    """One convolution: a row of layers.csv; arrays are samples, channels, height, width."""

    name: str
    samples: int
    channels: int
    height: int
    width: int
    filters: int
    kernel_h: int
    kernel_w: int
    stride: int
    pad_top: int
    pad_bottom: int
    pad_left: int
    pad_right: int
    groups: int
    dilation: int

    ops: ClassVar[tuple[str, ...]] = CONV_OPS

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.pad_top, self.pad_bottom), (self.pad_left, self.pad_right)

    @property
    def symmetric(self) -> bool:
        return self.pad_top == self.pad_bottom and self.pad_left == self.pad_right

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.samples, self.channels, self.height, self.width

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return self.filters, self.channels // self.groups, self.kernel_h, self.kernel_w

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        sizes = (self.height, self.width), (self.kernel_h, self.kernel_w), self.padding
        rows, columns = (
            (size + before + after - (kernel - 1) * self.dilation - 1) // self.stride + 1
            for size, kernel, (before, after) in zip(*sizes, strict=True)
        )
        return self.samples, self.filters, rows, columns

    @property
    def operations(self) -> int:
        """Multiplications and additions of a forward pass, and of either gradient."""
        return 2 * int(np.prod(self.out_shape)) * int(np.prod(self.w_shape[1:]))

    def arrays(self, dtype: str) -> dict[str, np.ndarray]:
        """Random normal x, w and grad, the same ones every time."""
        random = np.random.default_rng(0)
        shapes = {"x": self.x_shape, "w": self.w_shape, "grad": self.out_shape}
        return {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


@dataclass(frozen=True)
class Pool:
    """One pool: a row of pools.csv."""

    name: str
    samples: int
    channels: int
    height: int
    width: int
    kernel: int
    stride: int
    padding: int

    ops: ClassVar[tuple[str, ...]] = POOL_OPS

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.samples, self.channels, self.height, self.width

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        rows, columns = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1
            for size in (self.height, self.width)
        )
        return self.samples, self.channels, rows, columns

    def arrays(self, dtype: str) -> dict[str, np.ndarray]:
        """Random normal x and grad, the same ones every time."""
        random = np.random.default_rng(0)
        shapes = {"x": self.x_shape, "grad": self.out_shape}
        return {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


Problem = Layer | Pool


def _read(file: str, kind: type[Any]) -> list[Any]:
    with open(FOLDER / file, newline="") as stream:
        rows = csv.DictReader(line for line in stream if not line.startswith("#"))
        numbers = [field.name for field in fields(kind) if field.name != "name"]
        return [kind(name=row["name"], **{key: int(row[key]) for key in numbers}) for row in rows]


def read_layers(pattern: str = "*") -> list[Layer]:
    """The layers whose name matches one of the comma-separated patterns."""
    return [row for row in _read("layers.csv", Layer) if _matches(row.name, pattern)]


def read_pools(pattern: str = "*") -> list[Pool]:
    """The pools whose name matches one of the comma-separated patterns."""
    return [row for row in _read("pools.csv", Pool) if _matches(row.name, pattern)]


def _matches(name: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, part.strip()) for part in pattern.split(","))


def problems_of(op: str, pattern: str = "*") -> list[Problem]:
    """The problems that `op` is timed on."""
    return [*(read_layers(pattern) if op in CONV_OPS else read_pools(pattern))]
