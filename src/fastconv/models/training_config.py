"""What `compile` was told and where randomness stands, to JSON and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import losses, metrics, optimizers
from ..errors import describe, value_error
from .config import layer_paths

if TYPE_CHECKING:
    from ..layers import Variable

    Classes = dict[str, Any]

_OWN_SETTINGS = ("loss", "loss_weights", "metrics", "weighted_metrics")


@contextmanager
def reading(function: str, what: str, argument: str = "filepath") -> Iterator[None]:
    """Turn what a file's content may raise, whoever notices it, into a ValueError."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(f"{function}: "):
            raise
        raise value_error(function, argument, f"a valid {what}", str(error)) from error
    except (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        got = f"{type(error).__name__}: {error}"
        raise value_error(function, argument, f"a valid {what}", got) from error


def compile_config(model: Any) -> dict[str, Any] | None:
    """Return the arguments of `compile`, as Keras writes them; None if it was not called."""
    if not model.compiled:
        return None
    given = model._compiled.arguments()
    return {
        "optimizer": optimizers.serialize(model.optimizer),
        "loss": _mapped(given["loss"], lambda one: _written(one, losses)),
        "loss_weights": _mapped(given["loss_weights"], float),
        **{
            name: _mapped(given[name], lambda one: _written(one, metrics))
            for name in ("metrics", "weighted_metrics")
        },
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Change the single items of an argument of `compile`."""
    if value is None:
        return None
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _mapped(one, change) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(one, change) for one in value]
    return change(value)


def _written(one: Any, module: Any) -> Any:
    # names stay names
    return one if isinstance(one, str) else module.serialize(module.get(one))


def compile_from(function: str, model: Any, config: Any, classes: Classes) -> None:
    """Compile a model as a configuration says; that of a model not compiled is None or empty."""
    if not config:
        return
    with reading(function, "description of compile"):
        optimizer = optimizers.deserialize(config["optimizer"], classes)
        changes: dict[str, Callable[[Any], Any]] = {
            "loss": lambda one: _named(one, losses.deserialize, classes),
            "loss_weights": float,
            "metrics": lambda one: _named(one, metrics.deserialize, classes),
            "weighted_metrics": lambda one: _named(one, metrics.deserialize, classes),
        }
        given = {name: _mapped(config.get(name), changes[name]) for name in _OWN_SETTINGS}
        model.compile(optimizer, **given)


def _named(given: Any, deserialize: Callable[..., Any], classes: Classes) -> Any:
    # Keras's way to name a function
    if isinstance(given, dict) and given.get("class_name") == "function":
        given = given.get("config")
        if given in classes:
            return classes[given]
    return deserialize(given, classes) if isinstance(given, dict) else given


def training_state(model: Any, names: dict[int, str]) -> dict[str, Any]:
    """Return what training depends on beside arrays; `names` are those of the weights, by id."""
    found = randomness(model)
    if model.compiled and model.optimizer.built:
        found["optimizer_variables"] = [names.get(id(v)) for v in model.optimizer._variables]
        if None in found["optimizer_variables"]:
            rule = "built for weights of this model"
            raise value_error("save", "optimizer", rule, "one of another model")
    return found


def randomness(model: Any) -> dict[str, Any]:
    """Return where the generators stand: of shuffling and dropout, and of layers with a seed."""
    own, seeded = model._generator, model._seeded or {}
    return {
        "generator": None if own is None else own.bit_generator.state,
        "seeded": {
            path: seeded[layer].bit_generator.state
            for path, layer in layer_paths(model)
            if layer in seeded
        },
    }


def restore_randomness(function: str, model: Any, state: dict[str, Any]) -> None:
    """Let the generators go on where they were; those that the state hasn't begin anew."""
    with reading(function, "generator state"):
        if state.get("generator") is not None:
            model._generator = _generator_at(function, state["generator"])
        given = state.get("seeded") or {}
        if given:
            layers = dict(layer_paths(model))
            model._seeded = {layers[path]: _generator_at(function, given[path]) for path in given}


def _generator_at(function: str, state: Any) -> np.random.Generator:
    if state["bit_generator"] != "PCG64":
        rule = "a file with the state of a PCG64"
        raise value_error(function, "filepath", rule, describe(state["bit_generator"]))
    generator = np.random.PCG64()
    generator.state = state
    return np.random.Generator(generator)


def build_optimizer(function: str, model: Any, names: Any, variables: dict[str, Variable]) -> None:
    """Make the optimizer's slots for the weights of these names."""
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise value_error(function, "filepath", "a file with names of weights", describe(names))
    for name in names:
        if name not in variables:
            rule = "a file whose optimizer knows the model's weights"
            raise value_error(function, "filepath", rule, describe(name))
    model.optimizer.build([variables[name] for name in names])


def check_steps(function: str, model: Any) -> None:
    """Raise if a file said that the optimizer made fewer steps than none."""
    if model.optimizer.iterations < 0:
        rule = "a file whose optimizer made 0 steps or more"
        raise value_error(function, "filepath", rule, model.optimizer.iterations)
