from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

class Call:
    note: object
    def __init__(
        self,
        first: Array,
        second: Array | None,
        arguments: tuple[object, ...],
        out_shape: tuple[int, ...],
        note: object = None,
    ) -> None: ...

class Convolution(Call):
    def describe(
        self,
        numbers: Array,
        first: Array,
        second: Array,
        view: Array,
        op: str,
        algorithm: str,
        finite: bool,
        relu: bool,
        packed: Array | None,
    ) -> bool: ...

class Calls:
    latest: Any
    def __init__(self, precision: object) -> None: ...
    def clear(self) -> None: ...
    def run(
        self,
        first: object,
        second: object,
        bias: object,
        arguments: tuple[object, ...],
        out: object = None,
    ) -> Any: ...
    def wants(self, first: object, second: object, arguments: tuple[object, ...]) -> bool: ...
    def keep(self, first: Array, second: Array | None, call: Call) -> None: ...
