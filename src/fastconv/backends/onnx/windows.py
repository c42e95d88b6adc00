"""The attributes that say where a window goes: auto_pad, pads, strides, dilations, kernel_shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...errors import describe, value_error

Pair = tuple[int, int]
AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


class Window(NamedTuple):
    """What stands for each spatial axis; at least two of them, for one is lifted to a row."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: tuple[Pair, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """How many elements the window spans."""
        sizes = zip(self.kernel, self.dilations, strict=True)
        return tuple((kernel - 1) * dilation + 1 for kernel, dilation in sizes)

    def outputs(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Return how many places the window has, never past the padding."""
        axes = zip(spatial, self.padding, self.reach, self.strides, strict=True)
        return tuple((size + sum(pad) - reach) // step + 1 for size, pad, reach, step in axes)


def window_of(
    op: str, spatial: Sequence[int], kernel: Sequence[int], attributes: Mapping[str, Any]
) -> Window:
    """Return the window of an operator on an image; `kernel` is that of the weights, if any."""
    axes = len(spatial)
    kernel = sizes(op, "kernel_shape", attributes, axes, 1, kernel)
    strides = sizes(op, "strides", attributes, axes, 1)
    dilations = sizes(op, "dilations", attributes, axes, 1)
    auto_pad = auto_pad_of(op, attributes)
    if auto_pad == "NOTSET":
        padding = pairs(op, attributes, axes)
    elif auto_pad == "VALID":
        padding = ((0, 0),) * axes
    else:
        totals = []
        for size, step, taps, dilation in zip(spatial, strides, kernel, dilations, strict=True):
            reach = (taps - 1) * dilation + 1
            totals.append(max((-(-size // step) - 1) * step + reach - size, 0))
        padding = tuple(shared(total, auto_pad == "SAME_LOWER") for total in totals)
    if axes == 1:
        return Window((1, *kernel), (1, *strides), (1, *dilations), ((0, 0), *padding))
    return Window(kernel, strides, dilations, padding)


def auto_pad_of(op: str, attributes: Mapping[str, Any]) -> str:
    """Return the checked word."""
    word = attributes.get("auto_pad") or "NOTSET"
    if word not in AUTO_PADS:
        raise value_error(op, "auto_pad", "one of " + ", ".join(AUTO_PADS), describe(word))
    return word


def shared(total: int, larger_first: bool) -> Pair:
    """Divide padding among both sides: of an odd number the larger part goes to one of them."""
    larger = total - total // 2
    return (larger, total // 2) if larger_first else (total // 2, larger)


def sizes(
    op: str,
    name: str,
    attributes: Mapping[str, Any],
    axes: int,
    smallest: int,
    default: Sequence[int] = (),
) -> tuple[int, ...]:
    """Return the ints of an attribute, one a spatial axis; by default the smallest ones."""
    given = attributes.get(name)
    default = tuple(default) or (smallest,) * axes
    # Empty lists are what some exporters write for "none".
    found = tuple(int(value) for value in given) if given is not None and len(given) else default
    if len(found) != axes or min(found) < smallest:
        rule = f"{axes} ints of at least {smallest}, one a spatial axis of x"
        raise value_error(op, name, rule, describe(found))
    return found


def pairs(op: str, attributes: Mapping[str, Any], axes: int) -> tuple[Pair, ...]:
    """Return `pads`, all befores and then all afters, as a pair an axis."""
    given = attributes.get("pads")
    flat = [int(value) for value in given] if given is not None and len(given) else [0] * 2 * axes
    if len(flat) != 2 * axes or min(flat) < 0:
        rule = f"{2 * axes} ints of at least 0: all befores, then all afters"
        raise value_error(op, "pads", rule, describe(flat))
    return tuple(zip(flat[:axes], flat[axes:], strict=True))


def check_rank(op: str, x_shape: Sequence[int], least: int = 3) -> None:
    """Raise if an image has no spatial axis."""
    if len(x_shape) < least:
        rule = f"of at least {least} axes: samples, channels and spatial ones"
        raise value_error(op, "X", rule, f"shape {tuple(x_shape)}")
