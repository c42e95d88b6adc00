from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def update(
    step: Any, w: Array, g: Array, slots: dict[str, Array], factor: float, threads: int
) -> None: ...
