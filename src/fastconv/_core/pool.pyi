from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def codes_fit(numbers: Array) -> bool: ...
def max_pool(
    numbers: Array,
    x: Array,
    out: Array,
    indices: Array | None,
    codes: Array | None,
    relu: bool,
    threads: int,
) -> None: ...
def avg_pool(numbers: Array, x: Array, out: Array, threads: int) -> None: ...
