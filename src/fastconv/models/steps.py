"""The calls of a graph in the order of computation, and what of them is known beforehand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..layers import Layer, Tensor
    from ..layers.graph import Node


class Step:
    """One call; places are those of arrays in a list.

    Attributes
    ----------
    layer : Layer
        What is called, on one array (`single`) or on a list, of `dtype`.
    inputs, outputs, last_used : list of int
        Places: what it takes, what it makes, and what nobody takes after it.
    relu : int or None
        Of a maximum over what another step's relu made: which step that is.
    """

    def __init__(self, node: Node, place_of: dict[int, int]) -> None:
        self.layer: Layer = node.layer
        self.dtype = np.dtype(node.layer.dtype)
        self.single = node.single
        self.inputs = [place_of[id(tensor)] for tensor in node.inputs]
        self.outputs = [place_of[id(tensor)] for tensor in node.outputs]
        self.last_used: list[int] = []
        self.relu: int | None = None


class Plan:
    """All steps between the inputs and the outputs of a model.

    Attributes
    ----------
    steps : list of Step
        In an order in which each finds what it needs.
    places : int
        How many arrays there are, `inputs` and `outputs` among them.
    """

    def __init__(self, nodes: list[Node], inputs: list[Tensor], outputs: list[Tensor]) -> None:
        place_of: dict[int, int] = {}
        for tensor in [*inputs, *(t for node in nodes for t in node.outputs)]:
            place_of.setdefault(id(tensor), len(place_of))
        self.places = len(place_of)
        self.inputs = [place_of[id(tensor)] for tensor in inputs]
        self.outputs = [place_of[id(tensor)] for tensor in outputs]
        self.steps = [Step(node, place_of) for node in nodes if node.inputs]
        needed = set(self.outputs)
        for step in reversed(self.steps):
            step.last_used = [p for p in {*step.inputs, *step.outputs} if p not in needed]
            needed.update(step.inputs)
        self._find_relus()

    def _find_relus(self) -> None:
        """Find the maxima over a relu that nobody else looks at.

        A maximum is above 0 where its element is, so the relu lets a gradient pass where the
        maximum does: a window's one number tells, its layer sees to that, and the relu's output
        need not be kept.
        """
        takers = Counter([*self.outputs, *(p for step in self.steps for p in step.inputs)])
        made_by = {p: i for i, step in enumerate(self.steps) for p in step.outputs}
        for step in self.steps:
            maker = made_by.get(step.inputs[0])
            if maker is None or takers[step.inputs[0]] > 1 or not step.layer.takes_maximum:
                continue
            other = self.steps[maker].layer
            if other.ends_in_relu and other.dtype == step.layer.dtype:
                step.relu = maker
