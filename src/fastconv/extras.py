"""Packages that only some functions need, imported when such a function is called."""

from __future__ import annotations

import importlib
from typing import Any

_PACKAGES = {"PIL": "Pillow"}


def need(module: str, function: str, extra: str = "layers") -> Any:
    """Return a module that comes with an extra, imported now.

    Parameters
    ----------
    module : str
        Its dotted name.
    function : str
        Who needs it, for the message.
    extra : str
        The extra of fastconv that brings it.

    Raises
    ------
    ImportError
        If it is not installed; the message says what to install.

    Examples
    --------
    >>> need("json", "a test").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        package = _PACKAGES.get(top, top)
        text = f"{function} needs {package}: pip install fastconv[{extra}]"
        raise ImportError(text, name=error.name, path=error.path) from error
