from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def max_pool(numbers: Array, x: Array, out: Array, indices: Array | None, threads: int) -> None: ...
def avg_pool(numbers: Array, x: Array, out: Array, threads: int) -> None: ...
