"""Arrays of a model's steps: what one frees the next one takes, see `_core.recycling`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ._core.recycling import Recycler

__all__ = ["Recycler", "recycles"]

Method = TypeVar("Method", bound=Callable[..., Any])


def recycles(until_it_returns: bool = False) -> Callable[[Method], Method]:
    """Let the arrays that a method makes take the memory of those that its object freed.

    The object keeps its recycler in ``_memory``. What then waits goes back to the system when
    the method returns, or else with the object.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
            memory = self._memory
            if memory is None:
                memory = self._memory = Recycler()
            try:
                with memory.use():
                    return method(self, *arguments, **keywords)
            finally:
                if until_it_returns:
                    memory.release()

        return call  # type: ignore[return-value]

    return decorate
