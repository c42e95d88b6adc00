"""Models to files and back.

An ending decides: ``.keras``, ``.weights.h5`` and ``.h5`` are Keras's formats (`keras_format`,
`keras_legacy`); any other, by custom ``.fastconv``, is a file of safetensors (`tensors`), whose
metadata has the architecture, the arguments of `compile` and the state of training.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..extras import need
from ..files import durable_file
from ..geometry import plain_flag
from ..layers.base import assign_all, postponed_weights
from .config import described, layer_paths, named_variables
from .copies import checked_classes, model_from
from .keras_format import (
    Skipped,
    archive,
    keras_weights,
    read_archive,
    read_archive_weights,
    read_weights,
)
from .keras_legacy import read_legacy_weights, read_whole_model, whole_model
from .tensors import TensorsFile, parse, write_tensors
from .training_config import (
    build_optimizer,
    check_steps,
    compile_config,
    compile_from,
    reading,
    restore_randomness,
    training_state,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..layers import Variable
    from .model import Model

    Classes = dict[str, Any]
    Path = str | os.PathLike[str]

_VERSION = "1"


def save_model(model: Any, filepath: Path, overwrite: bool = True) -> None:
    """Write a model to a file; see `Model.save`."""
    path = _to_write("save", filepath, overwrite)
    model._need_built("save")
    if path.endswith(".weights.h5"):
        rule = "a path that does not end in .weights.h5: that is for save_weights"
        raise value_error("save", "filepath", rule, describe(path))
    if path.endswith(".keras"):
        content = archive(model)
    elif path.endswith((".h5", ".hdf5")):
        content = whole_model(model)
    else:
        _save_own(model, path)
        return
    with durable_file(path) as file:
        file.write(content)


def _save_own(model: Any, path: str) -> None:
    variables = named_variables("save", model)
    arrays = {name: variable.value for name, variable in variables.items()}
    description = {**described(model), "compile_config": compile_config(model)}
    state = training_state(model, {id(v): name for name, v in variables.items()})
    if model.compiled:
        optimizer = model.optimizer.get_state()
        arrays.update({f"optimizer/{name}": array for name, array in optimizer.items()})
    metadata = {
        "format": "fastconv",
        "version": _VERSION,
        "model": json.dumps(description),
        "training": json.dumps(state),
    }
    with durable_file(path) as file:
        write_tensors(file, arrays, metadata)


def load_model(
    filepath: Path, custom_objects: Classes | None = None, compile: bool = True
) -> Model:
    """Return the model of a file that `Model.save` wrote, or Keras.

    Nothing in the file is run. What it says is checked before memory is taken for it.

    Parameters
    ----------
    filepath : str or os.PathLike
        Of any of the formats of `Model.save`.
    custom_objects : dict, optional
        Classes by name, for layers, losses, metrics and optimizers of your own.
    compile : bool
        Whether the model is compiled as it was, with the optimizer's state.

    Returns
    -------
    Model
        Training goes on, bit for bit, as if it had not been interrupted.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it is no whole file of a model, or one with parts that fastconv doesn't have.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastconv.layers import Dense
    >>> from fastconv.models import Sequential, load_model
    >>> model = Sequential([Dense(2, input_shape=(3,))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.fastconv")
    ...     model.save(path)
    ...     again = load_model(path)
    >>> x = np.ones((1, 3))
    >>> bool(np.array_equal(model(x), again(x)))
    True
    """
    path, classes = _plain("load_model", filepath), checked_classes("load_model", custom_objects)
    with reading("load_model", "file"):
        if path.endswith(".keras"):
            return read_archive("load_model", path, classes, compile)
        if path.endswith((".h5", ".hdf5")):
            return read_whole_model("load_model", path, classes, compile)
        return _load_own(path, classes, compile)


def _load_own(path: str, classes: Classes, compile: bool) -> Model:
    function = "load_model"
    with TensorsFile(function, path) as file:
        if file.metadata.get("format") != "fastconv" or "model" not in file.metadata:
            rule = "a model's file; one of weights alone is for load_weights"
            raise value_error(function, "filepath", rule, describe(path))
        if file.metadata.get("version") != _VERSION:
            rule = f"of version {_VERSION}"
            raise value_error(function, "filepath", rule, describe(file.metadata.get("version")))
        description = parse(function, path, file.metadata["model"])
        training = parse(function, path, file.metadata.get("training", "{}"))
        with postponed_weights():
            model: Any = model_from(function, description, classes)
        variables = named_variables(function, model)
        _compare(file, "layers/", variables, True)
        for name, variable in variables.items():
            variable.value = file.read(name)
        restore_randomness(function, model, training)
        if compile and description.get("compile_config"):
            compile_from(function, model, description["compile_config"], classes)
            if "optimizer_variables" in training:
                build_optimizer(function, model, training["optimizer_variables"], variables)
            state = {f"optimizer/{n}": a for n, a in model.optimizer.get_state().items()}
            _compare(file, "optimizer/", state, True)
            state = {n.removeprefix("optimizer/"): file.read(n) for n in state}
            model.optimizer.set_state(state)
            check_steps(function, model)
        return model


def _compare(
    file: TensorsFile, prefix: str, expected: Mapping[str, Variable | np.ndarray], same_type: bool
) -> None:
    """Raise unless a file has arrays of these names, shapes and types, and no others."""
    found = {name for name in file.entries if name.startswith(prefix)}
    differing = sorted(found ^ set(expected))
    if differing:
        rule = "a file with the arrays that the model has"
        got = f"a difference in {differing[0]!r} and {len(differing) - 1} more"
        raise value_error(file.function, "filepath", rule, got)
    for name, array in expected.items():
        entry = file.entries[name]
        fits = entry.shape == array.shape and entry.dtype.kind in "fiub"
        if not fits or (same_type and entry.dtype.newbyteorder("=") != array.dtype):
            rule = f"a file with {name!r} of shape {array.shape} and dtype {array.dtype}"
            raise value_error(
                file.function, "filepath", rule, f"shape {entry.shape}, dtype {entry.dtype.name}"
            )


# ------------------------------------------------------------------------------------ weights


def save_weights(model: Any, filepath: Path, overwrite: bool = True) -> None:
    """Write the weights of a model to a file; see `Model.save_weights`."""
    path = _to_write("save_weights", filepath, overwrite)
    model._need_built("save_weights")
    if path.endswith(".weights.h5"):
        content = keras_weights(model)
        with durable_file(path) as file:
            file.write(content)
        return
    if path.endswith((".keras", ".h5", ".hdf5")):
        rule = "a path that ends in .weights.h5, or in nothing that Keras knows"
        raise value_error("save_weights", "filepath", rule, describe(path))
    variables = named_variables("save_weights", model)
    arrays = {name: variable.value for name, variable in variables.items()}
    with durable_file(path) as file:
        write_tensors(file, arrays, {"format": "fastconv", "version": _VERSION})


def load_weights(model: Any, filepath: Path, skip_mismatch: bool = False) -> None:
    """Read the weights of a model from a file; see `Model.load_weights`."""
    function, path = "load_weights", _plain("load_weights", filepath)
    skipped: Skipped = [] if plain_flag(function, "skip_mismatch", skip_mismatch) else None
    model._need_built(function)
    with reading(function, "file"):
        if path.endswith(".keras"):
            read_archive_weights(function, path, model, skipped)
        elif path.endswith(".weights.h5"):
            read_weights(function, path, model, skipped)
        elif path.endswith((".h5", ".hdf5")):
            read_legacy_weights(function, path, model, skipped)
        else:
            _read_own_weights(function, path, model, skipped)
    if skipped:
        text = f"{function}: the file has other weights for {', '.join(skipped)}, left as they are"
        warnings.warn(text, stacklevel=3)


def _read_own_weights(function: str, path: str, model: Any, skipped: Skipped) -> None:
    variables = named_variables(function, model)
    with TensorsFile(function, path) as file:
        if skipped is None:
            _compare(file, "layers/", variables, False)
        else:
            for prefix, layer in layer_paths(model):
                names = {name for name in variables if name.rpartition("/")[0] == prefix}
                if not _has_alike(file, prefix, {name: variables[name] for name in names}):
                    skipped.append(layer.name)
                    variables = {n: v for n, v in variables.items() if n not in names}
        values = [file.read(name) for name in variables]
    assign_all(function, list(variables.values()), values)


def _has_alike(file: TensorsFile, layer: str, variables: Mapping[str, Variable]) -> bool:
    """Return whether a file has the weights of a layer, and no others of it."""
    found = {name: e for name, e in file.entries.items() if name.rpartition("/")[0] == layer}
    return set(found) == set(variables) and all(
        entry.shape == variables[name].shape and entry.dtype.kind in "fiub"
        for name, entry in found.items()
    )


def _plain(function: str, filepath: Any) -> str:
    if not isinstance(filepath, (str, os.PathLike)):
        raise type_error(function, "filepath", "a path", describe(filepath))
    path = os.fspath(filepath)
    if not isinstance(path, str):
        raise type_error(function, "filepath", "a path of text", describe(path))
    return path


def _to_write(function: str, filepath: Any, overwrite: Any) -> str:
    path = _plain(function, filepath)
    if path.endswith((".keras", ".h5", ".hdf5")):
        need("h5py", function, "keras")  # before anything is computed
    if not overwrite and os.path.lexists(path):
        raise value_error(function, "overwrite", "True for a file that exists", "False")
    return path
