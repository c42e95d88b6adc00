"""Keras 3's own files: ``.keras``, an archive of JSON and HDF5, and ``.weights.h5``.

Weights lie in layers/<class>_<number>/vars/0, 1, ...: classes in snake case, counted within each
model in the order of its layers. The optimizer's state lies beside them in optimizer/vars.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import struct
import zipfile
import zlib
from typing import Any

from ..errors import value_error
from ..files import open_regular
from ..layers import Layer, Variable
from ..layers.base import assign_all, postponed_weights
from . import h5
from .config import described, layer_paths, named_variables
from .config_reading import layer_from
from .tensors import MOST_HEADER, parse
from .training_config import (
    check_steps,
    compile_config,
    compile_from,
    randomness,
    restore_randomness,
)

# names of layers that are left as they are; None: an error instead
Skipped = list[str] | None
# the release whose structure this is
KERAS_VERSION = "3.15.1"
_MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
# Others may ask for gigabytes before they unpack anything.
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, UnicodeError),
    *(NotImplementedError, RuntimeError, EOFError),
)
# Of an archive's list of its members; each becomes an object ten times as large.
_MOST_DIRECTORY = 1 << 20


def archive(model: Any) -> bytes:
    """Return a whole ``.keras`` file: model, arguments of `compile`, optimizer's state."""
    description = described(model)
    description["compile_config"] = compile_config(model) or {}
    metadata = {
        "keras_version": KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        # beyond Keras, which does not look at it
        "fastconv": randomness(model),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("metadata.json", json.dumps(metadata))
        file.writestr("config.json", json.dumps(description))
        file.writestr("model.weights.h5", keras_weights(model))
    return content.getvalue()


def keras_weights(model: Any) -> bytes:
    """Return a whole ``.weights.h5`` file; with the optimizer's state, as Keras has it."""
    named_variables("save_weights", model)  # raises for what this layout can't say
    with h5.written() as (file, content):
        _write_vars(file, "", model.name, [])
        for path, layer in layer_paths(model):
            variables = [] if hasattr(layer, "graph_layers") else in_keras_order(layer)
            _write_vars(file, path, layer.name, [v.value for v in variables])
        if model.compiled and check_optimizer("save", model):
            state = [variable.value for variable in model.optimizer.variables]
            _write_vars(file, "optimizer", model.optimizer.name, state)
    return content.getvalue()


def _write_vars(file: Any, path: str, name: str, values: list[Any]) -> None:
    group = file.create_group(f"{path}/vars" if path else "vars")
    group.attrs["name"] = name
    for i, value in enumerate(values):
        group.create_dataset(str(i), data=value)


def in_keras_order(layer: Layer) -> list[Variable]:
    """Return a layer's weights: those made to be trained first, frozen or not."""
    return sorted(layer.variables, key=lambda variable: not variable.trainable)


def check_optimizer(function: str, model: Any) -> bool:
    """Return whether there is a state of the optimizer to write; raise if Keras would misread it.

    Its formats do not say which weights the slots are of, but take those that are trained now.
    """
    if not model.optimizer.built:
        return False
    slots, trained = model.optimizer._variables, model.trainable_weights
    if len(slots) != len(trained) or any(a is not b for a, b in zip(slots, trained, strict=True)):
        rule = "compiled after its layers were made trainable or not (or saved as .fastconv)"
        raise value_error(function, "model", rule, "an optimizer of other weights")
    return True


# ------------------------------------------------------------------------------------ reading


def read_archive(function: str, path: str, classes: dict[str, Any], compile: bool) -> Any:
    """Return the model of a ``.keras`` file."""
    config, metadata, content = _members(function, path, _MEMBERS)
    description = parse(function, path, config)
    with postponed_weights():
        model: Any = layer_from(function, description, classes)
    with h5.opened(function, io.BytesIO(content)) as file:
        place_weights(function, model, _read_layers(function, model, file))
        compiled = description.get("compile_config")
        if compile and compiled:
            compile_from(function, model, compiled, classes)
            place_optimizer(function, model, lambda shapes: _optimizer(function, file, shapes))
    own = parse(function, path, metadata).get("fastconv")
    if isinstance(own, dict):
        restore_randomness(function, model, own)
    return model


def read_archive_weights(function: str, path: str, model: Any, skipped: Skipped = None) -> None:
    """Read the weights of a ``.keras`` file into a model; see `read_weights`."""
    (content,) = _members(function, path, _MEMBERS[2:])
    read_weights(function, io.BytesIO(content), model, skipped)


def read_weights(function: str, source: Any, model: Any, skipped: Skipped = None) -> None:
    """Read a ``.weights.h5`` file into a model; the optimizer's state there is left alone.

    Where the file has other weights for a layer, the layer's name is put on a list, if there is
    one, instead of an error.
    """
    with h5.opened(function, source) as file:
        pairs = _read_layers(function, model, file, skipped)
    assign_all(function, [variable for variable, _ in pairs], [value for _, value in pairs])


class _Archive(io.BufferedReader):
    """A file of which no more than `most` bytes are read at once: the list of members, at first."""

    most = _MOST_DIRECTORY

    def read(self, size: int | None = -1) -> bytes:
        asked = size
        if asked is None or asked < 0:
            asked = os.fstat(self.fileno()).st_size - self.tell()
        if asked > self.most:
            raise zipfile.BadZipFile(f"a list of members of {asked} bytes")
        return super().read(size)


def _members(function: str, path: str, names: tuple[str, ...]) -> list[bytes]:
    found = []
    with _Archive(open_regular(path).detach()) as stream:  # type: ignore[attr-defined]
        size = os.fstat(stream.fileno()).st_size
        try:
            with zipfile.ZipFile(stream) as file:
                stream.most = size
                for name in names:
                    info = file.getinfo(name)
                    # Keras packs nothing, so who claims to grow this much is no model
                    most = size * 20 if name.endswith(".h5") else min(size * 20, MOST_HEADER)
                    if info.file_size > most:
                        rule = f"an archive with {name} of at most {most} bytes"
                        raise value_error(function, "filepath", rule, info.file_size)
                    if info.compress_type not in _PACKED:
                        rule = "an archive whose members are stored or deflated"
                        raise value_error(function, "filepath", rule, info.compress_type)
                    with file.open(info) as member:
                        found.append(member.read(info.file_size))
        except KeyError as error:
            rule = f"an archive with {', '.join(names)}"
            raise value_error(function, "filepath", rule, str(error)) from error
        except _DAMAGE as error:
            raise value_error(function, "filepath", "a .keras archive", str(error)) from error
    return found


def _read_layers(
    function: str, model: Any, file: Any, skipped: Skipped = None
) -> list[tuple[Variable, Any]]:
    pairs: list[tuple[Variable, Any]] = []
    for path, layer in layer_paths(model):
        if hasattr(layer, "graph_layers"):
            continue
        variables = in_keras_order(layer)
        shapes = [variable.shape for variable in variables]
        if skipped is not None and not h5.has_vars(function, file, path, shapes):
            skipped.append(layer.name)
            continue
        values = h5.vars_of(function, file, path, shapes)
        pairs.extend(zip(variables, values, strict=True))
    return pairs


def place_weights(function: str, model: Any, pairs: list[tuple[Variable, Any]]) -> None:
    """Give a model, made with weights postponed, those that were read."""
    named = named_variables(function, model)
    if len(named) != len(pairs):
        rule = f"a file with {len(named)} weights"
        raise value_error(function, "filepath", rule, len(pairs))
    for variable, value in pairs:
        variable.value = value.astype(variable.dtype, order="C", copy=False)


def place_optimizer(function: str, model: Any, read: Any) -> None:
    """Build a model's optimizer and give it the state that `read` returns for shapes of slots."""
    values = read(None)
    if values is None:
        return
    model.optimizer.build(model.trainable_weights)
    shapes = [variable.value.shape for variable in model.optimizer.variables]
    model.optimizer.set_weights(read(shapes))
    check_steps(function, model)


def _optimizer(function: str, file: Any, shapes: Any) -> Any:
    found = h5.group(function, file, "optimizer/vars")
    if shapes is None:
        # A state without slots is that of plain SGD, or of an optimizer that made no step.
        return None if found is None or not len(found) else found
    return h5.vars_of(function, file, "optimizer", shapes)
