"""Objects to JSON and back: a class's name and its configuration, in Keras's form.

Only names that the house lists are looked up: reading a file never runs code of the file.
"""

from __future__ import annotations

from typing import Any

from .errors import describe, type_error, value_error


def serialize(thing: Any, module: str) -> dict[str, Any]:
    """Return the description of an object that has `get_config`."""
    return {
        "module": f"keras.{module}",
        "class_name": type(thing).__name__,
        "config": thing.get_config(),
        "registered_name": None,
    }


def deserialize(function: str, argument: str, described: object, classes: dict[str, Any]) -> Any:
    """Return the object that `serialize` described, of one of `classes`."""
    if not isinstance(described, dict) or "class_name" not in described:
        raise type_error(function, argument, "a dict with a class_name", describe(described))
    name = described["class_name"]
    if not isinstance(name, str) or name not in classes:
        raise value_error(function, argument, f"one of {', '.join(sorted(classes))}", name)
    config = described.get("config", {})
    if not isinstance(config, dict):
        raise type_error(function, argument, "a class_name with a dict config", describe(config))
    return classes[name].from_config(config)
