from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def all_finite(w: Array) -> bool: ...
def pack(numbers: Array, w: Array, threads: int, highest: bool, algorithm: str) -> Array: ...
def forward(
    numbers: Array,
    x: Array,
    w: Array,
    bias: Array | None,
    out: Array,
    relu: bool,
    threads: int,
    highest: bool,
    algorithm: str,
    packed: Array | None = None,
) -> None: ...
def grad_x(
    numbers: Array,
    grad: Array,
    w: Array,
    bias: Array | None,
    out: Array,
    threads: int,
    highest: bool,
    algorithm: str,
) -> None: ...
def grad_x_by_scatter(
    numbers: Array,
    grad: Array,
    w: Array,
    bias: Array | None,
    out: Array,
    threads: int,
    highest: bool,
) -> None: ...
def turned_fits(numbers: Array) -> bool: ...
def scatter_fits(numbers: Array) -> bool: ...
def band_fits(numbers: Array, gradient: bool) -> bool: ...
def strips_fit(numbers: Array, gradient: bool) -> bool: ...
def planes_serve(numbers: Array, gradient: bool) -> bool: ...
def lanes_hold_groups(numbers: Array, gradient: bool) -> bool: ...
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
