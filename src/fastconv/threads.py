"""How many threads a call uses and how exactly it computes; what this build is.

The number of threads of the process is kept by the engine. `threads` and `precision` set aside
what holds for the current thread or task alone, in context variables, which the plan asks for
through `current` and `current_precision`. The package has a function of this module's name, so
import from the module, ``from .threads import current``, rather than the module itself.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from . import cpus
from ._core import runtime
from ._version import __version__
from .errors import describe, value_error
from .geometry import plain_int, plain_word

PRECISIONS = ("highest", "high")

_threads: ContextVar[int | None] = ContextVar("fastconv_threads", default=None)
PRECISION: ContextVar[str] = ContextVar("fastconv_precision", default="high")


# multiply-adds below which one more thread costs more than it brings
WORK_OF_A_THREAD = 1 << 19


def useful_threads(work: int) -> int:
    """Return how many threads a call with this many multiply-adds runs on."""
    threads = max(1, min(current(), work // WORK_OF_A_THREAD))
    # drivers cut the work for as many as there are: what threads share out, one would do twice
    return 1 if threads > 1 and runtime.alone() else threads


def one_thread_serves(work: int) -> bool:
    """Return whether that is one thread, however many there are."""
    return work < 2 * WORK_OF_A_THREAD


def set_num_threads(n: int) -> None:
    """Set how many threads a call uses, for the whole process.

    Parameters
    ----------
    n : int
        At least 1. Results do not depend on it.

    See Also
    --------
    threads : The same for a block of code.

    Examples
    --------
    >>> import fastconv as fc
    >>> before = fc.get_num_threads()
    >>> fc.set_num_threads(1)
    >>> fc.get_num_threads()
    1
    >>> fc.set_num_threads(before)
    """
    runtime.set_num_threads(_checked_threads("set_num_threads", n))


def get_num_threads() -> int:
    """Return how many threads a call from here would use.

    It is what `threads` set for the current thread or task, else what `set_num_threads` set, else
    what the environment asked for at import: FASTCONV_NUM_THREADS, then OMP_NUM_THREADS, then the
    number of CPUs that the affinity and the quota of the process allow.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> import fastconv as fc
    >>> with fc.threads(2):
    ...     fc.get_num_threads()
    2
    """
    return current()


def threads(n: int) -> AbstractContextManager[None]:
    """Set how many threads the calls in a ``with`` block use.

    It holds for the current thread or task alone.

    Parameters
    ----------
    n : int
        At least 1. Results do not depend on it.

    Returns
    -------
    context manager
        For one use.

    Examples
    --------
    >>> import fastconv as fc
    >>> with fc.threads(1):
    ...     fc.get_num_threads()
    1
    """
    return _held(_threads, _checked_threads("threads", n))


def precision(level: str) -> AbstractContextManager[None]:
    """Set how exactly the calls in a ``with`` block compute.

    It holds for the current thread or task alone, and for gradients too.

    Parameters
    ----------
    level : {"highest", "high"}
        "high", the default, allows algorithms that save multiplications and lose some bits;
        "highest" allows direct summation only, and sums float32 (and what is smaller) in float64,
        rounding once at the end: for two to six times the time, and copies of the arrays.

    Returns
    -------
    context manager
        For one use.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> with fc.precision("highest"):
    ...     y = fc.conv2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3)))
    """
    return _held(PRECISION, plain_word("precision", "level", level, PRECISIONS))


def current() -> int:
    """Return the number of threads for a call in the current context."""
    number = _threads.get()
    return runtime.get_num_threads() if number is None else number


def current_precision() -> str:
    """Return "highest" or "high", as the current context has it."""
    return PRECISION.get()


def show_config(mode: str = "text") -> dict[str, Any] | None:
    """Show the version, the compiler, the instruction sets and the threads.

    Parameters
    ----------
    mode : {"text", "dicts"}
        Whether to print it or to return it.

    Returns
    -------
    dict or None
        None if it was printed.

    Examples
    --------
    >>> import fastconv as fc
    >>> sorted(fc.show_config("dicts"))
    ['compiler', 'isa', 'openmp', 'precision', 'threads', 'version']
    """
    mode = plain_word("show_config", "mode", mode, ("text", "dicts"))
    config: dict[str, Any] = {
        "version": __version__,
        "compiler": runtime.compiler(),
        "isa": {
            "chosen": runtime.isa(),
            "built": list(runtime.isas_built()),
            "supported": list(runtime.isas_supported()),
        },
        "openmp": runtime.openmp(),
        "threads": current(),
        "precision": current_precision(),
    }
    if mode == "dicts":
        return config
    isa = config["isa"]
    print(f"fastconv {config['version']}")
    print(f"  compiler    {config['compiler']}")
    print(f"  isa         {isa['chosen']}")
    print(f"    built     {', '.join(isa['built'])}")
    print(f"    supported {', '.join(isa['supported'])}")
    print(f"  openmp      {'yes' if config['openmp'] else 'no, one thread'}")
    print(f"  threads     {config['threads']}")
    print(f"  precision   {config['precision']}")
    return None


def configure(environment: Mapping[str, str] = os.environ) -> None:
    """Apply FASTCONV_NUM_THREADS, OMP_NUM_THREADS and FASTCONV_ISA, as is done at import."""
    runtime.set_num_threads(cpus.default_threads(environment))
    name = environment.get("FASTCONV_ISA", "").strip()
    if name:
        if name not in runtime.isas_supported():
            rule = "one of " + ", ".join(runtime.isas_supported()) + " on this machine"
            raise value_error("fastconv", "FASTCONV_ISA", rule, describe(name))
        runtime.select_isa(name)


@contextmanager
def _held(variable: ContextVar, value: object) -> Generator[None, None, None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _checked_threads(function: str, n: object) -> int:
    rule = f"an int from 1 to {cpus.MOST_THREADS}"
    number = plain_int(function, "n", n, rule)
    if not 1 <= number <= cpus.MOST_THREADS:
        raise value_error(function, "n", rule, number)
    return number


configure()
