"""Keras itself: which releases are known, how it is imported without JAX, what is exchanged."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...extras import need
from . import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec

# The releases whose backend was read and whose tests, or their results, ours was held against.
RELEASES = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
_BACKEND = "keras.src.backend.numpy"
# Who of the backend imports JAX. JAX's backend is imported for two functions alone.
_NEEDS_JAX = {f"{_BACKEND}.{name}" for name in ("nn", "math", "image")}
_JAX = ("jax", "jax.lax", "keras.src.backend.jax", "keras.src.backend.jax.math")
_NAMES = (
    "conv",
    "depthwise_conv",
    "separable_conv",
    "conv_transpose",
    "max_pool",
    "average_pool",
)
# What was there before, by name; empty while ours are not in its place.
_stock: dict[str, Callable[..., Any]] = {}


def enable() -> None:
    """Put our functions in the place of those of Keras's NumPy backend.

    Keras is imported if it isn't yet: then it gets the NumPy backend, unless KERAS_BACKEND names
    another, and needs no JAX; the few functions that do, Fourier transforms, say so when they are
    called. A second call changes nothing.

    Raises
    ------
    ImportError
        If Keras is not installed.
    RuntimeError
        If Keras has another backend, or is of a release that is not known.

    Examples
    --------
    >>> import fastconv.backends.keras
    >>> fastconv.backends.keras.enable()  # doctest: +SKIP
    >>> import keras  # doctest: +SKIP
    """
    if _stock:
        return
    _import_keras()
    module = _module()
    stock = {name: _checked(module, name) for name in _NAMES}
    _stock.update(stock)
    for name in _NAMES:
        setattr(module, name, getattr(nn, name))


def disable() -> None:
    """Put Keras's own functions back; without `enable` before nothing is done.

    Examples
    --------
    >>> import fastconv.backends.keras
    >>> fastconv.backends.keras.disable()
    """
    if _stock:
        module = _module()
        for name, function in _stock.items():
            setattr(module, name, function)
        _stock.clear()


def _import_keras() -> None:
    """Import Keras with its NumPy backend, or raise."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "numpy")
        if os.environ["KERAS_BACKEND"] == "numpy" and not _has_jax():
            sys.meta_path.insert(0, _FINDER)
    try:
        keras = need("keras", "fastconv.backends.keras", "keras-backend")
    finally:
        if _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)
    release = ".".join(keras.__version__.split(".")[:2])
    if release not in RELEASES:
        raise RuntimeError(
            f"fastconv.backends.keras: Keras must be of a release from {RELEASES[0]} to "
            f"{RELEASES[-1]}, got {keras.__version__}"
        )
    if keras.config.backend() != "numpy":
        raise RuntimeError(
            "fastconv.backends.keras: Keras must have its NumPy backend (KERAS_BACKEND=numpy), "
            f"got {keras.config.backend()}"
        )


def _has_jax() -> bool:
    try:
        return importlib.util.find_spec("jax") is not None
    except ImportError:
        return False


def _module() -> ModuleType:
    """Return the module that Keras's operations look their functions up in."""
    return importlib.import_module(f"{_BACKEND}.nn")


def _checked(module: ModuleType, name: str) -> Callable[..., Any]:
    """Return a function of the backend, if it takes the arguments that ours takes."""
    function = getattr(module, name, None)
    wanted = [*inspect.signature(getattr(nn, name)).parameters]
    if function is None or [*inspect.signature(function).parameters] != wanted:
        raise RuntimeError(
            f"fastconv.backends.keras: {module.__name__}.{name} must take {', '.join(wanted)}: "
            "this Keras is not of a known release"
        )
    return function


class _Absent(ModuleType):
    """Stands for a module that is not there, and says so when something of it is asked for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self.__name__}.{name}")


class _Missing:
    """Stands for a function of a module that is not there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: object, **kwargs: object) -> object:
        raise ImportError(f"Keras's NumPy backend needs JAX for {self._name}: pip install jax")


class _WithoutJax:
    """Loads the modules of the backend that import JAX, with something in its place.

    It stands there while such a module is run, no longer: other libraries ask whether there is a
    JAX.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _NEEDS_JAX:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                places = {name: _Absent(name) for name in _JAX if name not in sys.modules}
                places["jax"].__dict__["lax"] = places["jax.lax"]
                sys.modules.update(places)
                try:
                    run(module)
                finally:
                    for name in places:
                        del sys.modules[name]

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_FINDER: Any = _WithoutJax()
