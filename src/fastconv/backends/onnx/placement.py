"""Where results go: into memory that is no longer read, or where a Concat will want them.

A result may take the memory of an input that is read for the last time, if no view of it is left:
nobody but steps that make fresh arrays has read it. The inputs of a Concat of channels, of one
image, are written where they lie one behind the other, so that nothing is left to be copied; of
Concats of Concats, as in a DenseNet, all lie in the last one's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .graph import Graph
from .steps import Concat, Step

Array = NDArray[Any]
Arenas = dict[int, Array]


class Place(NamedTuple):
    """Channels of an array that several results share; `root` is the last Concat's number."""

    root: int
    start: int
    stop: int
    channels: int

    def view(self, arenas: Arenas, shape: tuple[int, ...], dtype: np.dtype) -> Array | None:
        """Return the memory for a result; None if it is not what was planned, or of many images."""
        if len(shape) < 2 or shape[0] != 1 or shape[1] != self.stop - self.start:
            return None
        whole = (1, self.channels, *shape[2:])
        arena = arenas.get(self.root)
        if arena is None:
            arena = arenas[self.root] = np.empty(whole, dtype)
        if arena.shape != whole or arena.dtype != dtype:
            return None
        return arena[:, self.start : self.stop]


class Route:
    """What a step may do with memory, and what is read no more after it."""

    def __init__(
        self, place: Place | None, overwritable: Sequence[int], frees: Sequence[str], root: int | None
    ) -> None:
        self.place = place
        self.overwritable = tuple(overwritable)
        self.frees = frees
        self.root = root

    def target(
        self, arrays: list[Any], arenas: Arenas, shape: tuple[int, ...], dtype: np.dtype
    ) -> Array | None:
        """Return where the result goes, if it has to go somewhere; see `steps.Target`."""
        if self.place is not None:
            return self.place.view(arenas, shape, dtype)
        for i in self.overwritable:
            if arrays[i].shape == shape and arrays[i].dtype == dtype:
                return arrays[i]
        return None


def routes(steps: Sequence[Step], graph: Graph) -> list[Route]:
    """Plan the memory of all steps."""
    places = _places(steps, graph)
    makers = {name: step for step in steps for name in step.node.outputs if name}
    readers: dict[str, list[int]] = {}
    for number, step in enumerate(steps):
        for name in step.node.reads:
            readers.setdefault(name, []).append(number)

    def is_free(name: str, number: int) -> bool:
        if name not in makers or name in places or name in graph.outputs:
            return False
        others = readers[name][:-1]
        return (
            makers[name].fresh
            and readers[name][-1] == number
            and name not in steps[number].node.captured
            and all(steps[other].fresh for other in others)
        )

    found = []
    for number, step in enumerate(steps):
        inputs = step.node.inputs
        # A third array is read after the first sum was written.
        two = range(min(2, len(inputs))) if step.overwrites else ()
        overwritable = [i for i in two if inputs[i] and is_free(inputs[i], number)]
        kept = {*graph.outputs, *graph.constants}
        frees = [
            name
            for name in {*step.node.reads, *filter(None, step.node.outputs)} - kept
            if readers.get(name, [number])[-1] == number
        ]
        place = places.get(step.node.outputs[0]) if step.places else None
        root = number if isinstance(step, Concat) else None
        found.append(Route(place, overwritable, frees, root))
    return found


def _places(steps: Sequence[Step], graph: Graph) -> dict[str, Place]:
    """Return the places of results, from the last Concat to the first."""
    makers = {name: step for step in steps for name in step.node.outputs if name}
    places: dict[str, Place] = {}
    for number in reversed(range(len(steps))):
        step = steps[number]
        widths = _widths(step, graph)
        if not isinstance(step, Concat) or widths is None:
            continue
        inputs, out = step.node.inputs, step.node.outputs[0]
        step.parts = tuple(pairwise(accumulate(widths, initial=0)))
        place = places.get(out) or _behind_each_other(inputs, places)
        if place is None:
            place = Place(number, 0, sum(widths), sum(widths))
        elif out not in places:
            step.is_view = True
        places[out] = place
        for name, (start, stop) in zip(inputs, step.parts, strict=True):
            maker = makers.get(name)
            if maker is None or not maker.places or name in graph.outputs or name in places:
                continue
            if inputs.count(name) == 1 and len(maker.node.outputs) == 1:
                start, stop = place.start + start, place.start + stop
                places[name] = Place(place.root, start, stop, place.channels)
    return places


def _widths(step: Step, graph: Graph) -> list[int] | None:
    """Return how many channels each input of a Concat of channels has, if that is known."""
    if not isinstance(step, Concat):
        return None
    shapes = [graph.shapes.get(name) for name in step.node.inputs]
    axis = step.node.attributes["axis"]
    widths = []
    for shape in shapes:
        if shape is None or len(shape) < 2 or axis % len(shape) != 1 or shape[1] is None:
            return None
        widths.append(shape[1])
    return widths


def _behind_each_other(inputs: Sequence[str], places: dict[str, Place]) -> Place | None:
    """Return the place of all inputs of a Concat, if that is what they have already."""
    found = [places.get(name) for name in inputs]
    first = found[0]
    if first is None:
        return None
    stop = first.start
    for place in found:
        if place is None or place.root != first.root or place.start != stop:
            return None
        stop = place.stop
    return Place(first.root, first.start, stop, first.channels)
