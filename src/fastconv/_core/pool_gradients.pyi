from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def max_pool_grad_x(
    numbers: Array, grad: Array, indices: Array, out: Array, threads: int
) -> bool: ...
def avg_pool_grad_x(numbers: Array, grad: Array, out: Array, threads: int) -> None: ...
