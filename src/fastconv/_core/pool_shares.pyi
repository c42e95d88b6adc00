from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def max_pool_codes_grad_x(
    numbers: Array, grad: Array, codes: Array, out: Array, threads: int
) -> None: ...
