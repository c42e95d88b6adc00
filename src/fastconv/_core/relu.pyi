from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def relu_gradient(grad: Array, y: Array, out: Array, threads: int) -> None: ...
