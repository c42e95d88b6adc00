"""The step of an optimizer: what training needs beside the operations, no function for users."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import plan
from .arrays import contiguous

if TYPE_CHECKING:
    from .arrays import Array


class Step(NamedTuple):
    """A rule, "sgd", "rmsprop" or "adam", and its numbers; a rule doesn't look at the others'.

    The formulas are those of `reference.update`. Of the gradient's elements none counts for more
    than `clip`, and the weights lose `decay` times themselves first.
    """

    rule: str
    rate: float
    momentum: float = 0.0
    nesterov: bool = False
    rho: float = 0.0
    beta_1: float = 0.0
    beta_2: float = 0.0
    epsilon: float = 0.0
    clip: float = math.inf
    decay: float = 0.0


def update(step: Step, w: Array, g: Array, slots: dict[str, Array], factor: float = 1.0) -> None:
    """Change w and slots, by Keras's names for them, with the gradient factor * g.

    All are of one shape and of float32 or float64, the slots as NumPy makes arrays. Which slots
    there are decides about the rule's variant: momentum, "average_gradient" of a centered RMSprop,
    "velocity_hat" of amsgrad.
    """
    target = contiguous(w, w.dtype)
    gradient = contiguous(g, w.dtype)
    if np.may_share_memory(target, gradient):
        gradient = gradient.copy()
    plan.update_weights(step, target, gradient, slots, factor)
    if target is not w:
        w[...] = target
