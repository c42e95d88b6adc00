"""Do all compute the same? Float64 results, for every contender before it is timed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import reference

from .peers import Peer
from .peers.base import Arrays
from .peers.ours import Fastconv
from .problems import Layer, Problem

TWIN_OPERATIONS = 2e8  # beyond, the plain NumPy twin takes seconds and PyTorch's float64 stands in
OUR_TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


class Expected:
    """The right results, from fastconv's plain NumPy twins where they are quick enough."""

    def __init__(self, peers: dict[str, Peer]) -> None:
        self.twin = Fastconv(reference)
        self.torch = peers.get("torch")

    def results(self, op: str, problem: Problem, arrays: Arrays) -> Any:
        """The float64 result of one operation (a tuple where there are two)."""
        wide = {name: array.astype(np.float64) for name, array in arrays.items()}
        quick = not isinstance(problem, Layer) or problem.operations <= TWIN_OPERATIONS
        judge = self.twin if quick or self.torch is None else self.torch
        contender = judge.prepare("forward" if op == "prepared" else op, problem, wide, False)
        return contender.to_numpy(contender.call())


def largest_error(result: Any, expected: Any) -> float:
    """The largest difference as a share of the largest value expected; inf if shapes differ."""
    if isinstance(expected, tuple):
        if not isinstance(result, tuple) or len(result) != len(expected):
            return float("inf")
        return max(largest_error(*pair) for pair in zip(result, expected, strict=True))
    result = np.asarray(result)
    if result.shape != expected.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    difference = np.max(np.abs(result - expected))
    return float(difference / max(float(np.max(np.abs(expected))), 1e-300))


def tolerance(name: str, peer: Peer, dtype: str) -> float:
    """What may be off: our own results by rounding, a peer's by whatever is still the same sum."""
    return OUR_TOLERANCE[dtype] if name.startswith("fastconv") else peer.tolerance
