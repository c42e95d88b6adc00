from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def band_fits(numbers: Array, algorithm: str) -> bool: ...
def grad_w(
    numbers: Array,
    grad: Array,
    x: Array,
    out: Array,
    threads: int,
    highest: bool,
    algorithm: str,
    grad_bias: Array | None = None,
) -> None: ...
def grad_bias(numbers: Array, grad: Array, out: Array, threads: int) -> None: ...
