from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def multiply(
    a: Array,
    b: Array,
    c: Array,
    bias: Array | None,
    a_transposed: bool,
    b_transposed: bool,
    threads: int,
) -> None: ...
