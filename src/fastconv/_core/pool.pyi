from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def max_pool(
    numbers: Array, x: Array, out: Array, indices: Array | None, threads: int
) -> None: ...
def avg_pool(numbers: Array, x: Array, out: Array, threads: int) -> None: ...
def max_pool_grad_x(
    numbers: Array, grad: Array, indices: Array, out: Array, threads: int
) -> bool: ...
def avg_pool_grad_x(numbers: Array, grad: Array, out: Array, threads: int) -> None: ...
