"""The part of a model that is written down: to files, to JSON, to pickles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..errors import describe, type_error
from ..layers import Input, InputLayer
from ..layers.graph import Node, structured
from . import config, config_reading, saving
from .training_config import compile_config, reading

if TYPE_CHECKING:
    import os

    Path = str | os.PathLike[str]

# What `_set_graph` makes anew; `history` leads to callbacks, and from them to anything.
_NOT_PICKLED = {
    *("nodes", "inputs", "outputs", "input_layers", "graph_nodes", "_layers", "history"),
    "_plan",
}


class Saveable:
    """What `Model` inherits beside training."""

    def save(self, filepath: Path, overwrite: bool = True) -> None:
        """Write the model, the arguments of `compile` and the state of training to a file.

        The file is complete or not there: it takes the place of an older one when all of it is
        on the disk.

        Parameters
        ----------
        filepath : str or os.PathLike
            ``.keras`` and ``.h5`` are Keras's formats (they need h5py). Any other ending, by custom
            ``.fastconv``, is a file of safetensors, from which training goes on bit for bit.
        overwrite : bool
            Whether a file that exists is replaced.

        Raises
        ------
        OSError
            If the file can't be written.
        ValueError, TypeError
            If the model has no weights yet, or something that can't be written down: a learning
            rate that is a function, a layer shared with a model within.

        Examples
        --------
        See `load_model`.
        """
        saving.save_model(self, filepath, overwrite)

    def save_weights(self, filepath: Path, overwrite: bool = True) -> None:
        """Write the weights to a file.

        Parameters
        ----------
        filepath : str or os.PathLike
            ``.weights.h5`` is Keras's format; any other ending, by custom ``.safetensors``, is a
            file of safetensors, with names such as layers/conv2d_1/kernel.
        overwrite : bool
            Whether a file that exists is replaced.

        Raises
        ------
        OSError
            If the file can't be written.
        ValueError, TypeError
            If the model has no weights yet, or the ending is that of whole models of Keras's.
        """
        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Path, skip_mismatch: bool = False) -> None:
        """Read the weights from a file; all are checked before any is written.

        The optimizer stays as it is.

        Parameters
        ----------
        filepath : str or os.PathLike
            What `save_weights` or `save` wrote, or Keras.
        skip_mismatch : bool
            Whether layers of which the file has other weights are left as they are, and named in
            a warning; of Keras's older ``.h5`` the number of layers must be the same.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError, TypeError
            If it is no such file, or of a model of other weights.
        """
        saving.load_weights(self, filepath, skip_mismatch)

    def get_config(self) -> dict[str, Any]:
        """Return the layers and how they are connected, in Keras's structure, without weights."""
        return config.model_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return a new model of a configuration.

        Parameters
        ----------
        config : dict
            What `get_config` returned, here or in Keras.
        custom_objects : dict, optional
            Classes by name, for layers of your own.

        Raises
        ------
        ValueError, TypeError
            If it is no configuration, or one with layers that fastconv doesn't have.
        """
        function = f"{cls.__name__}.from_config"
        if not isinstance(config, dict):
            raise type_error(function, "config", "a dict", describe(config))
        read: Any = config_reading.functional_from
        kind: Any = cls
        if "input_layers" not in config:
            from .sequential import Sequential

            read = config_reading.sequential_from
            kind = cls if issubclass(cls, Sequential) else Sequential
        with reading(function, "configuration", "config"):
            return read(function, kind, config, dict(custom_objects or {}))

    def to_json(self, **keywords: Any) -> str:
        """Return the architecture, and the arguments of `compile`, as a text.

        Parameters
        ----------
        **keywords
            Handed on to `json.dumps`.

        Returns
        -------
        str
            For `model_from_json`, here or in Keras.
        """
        model: Any = self
        description = config.described(model)
        compiled = compile_config(model)
        if compiled:
            description["compile_config"] = compiled
        return json.dumps(description, **keywords)

    # ---------------------------------------------------------------------------- pickles

    def __reduce__(self) -> Any:
        # Flat: a pickle of nodes that lead to nodes would be as deep as the graph.
        model: Any = self
        state = {name: value for name, value in vars(self).items() if name not in _NOT_PICKLED}
        graph = flat_graph(model) if config.is_functional(model) else None
        return _bare, (type(self),), {"state": state, "graph": graph}

    def __setstate__(self, given: dict[str, Any]) -> None:
        model: Any = self
        vars(self).update(given["state"])
        model.nodes = []
        if given["graph"] is None:
            model._rebuild()
        else:
            model._set_graph(*graph_again(given["graph"]))


def _bare(kind: Any) -> Any:
    return kind.__new__(kind)


def flat_graph(model: Any) -> dict[str, Any]:
    """Return the calls of a model as a list of layers, places of tensors and shapes."""
    place_of: dict[int, int] = {}
    inputs = []
    for tensor in model.inputs:
        place_of[id(tensor)] = len(place_of)
        layer = tensor.node.layer
        # a model that begins inside of another one gets an input there
        outside = None if isinstance(layer, InputLayer) else f"{layer.name}_input"
        inputs.append((None if outside else layer, tensor.shape, tensor.dtype, outside))
    calls = []
    for node in model.graph_nodes:
        if isinstance(node.layer, InputLayer):
            continue
        places = [place_of[id(tensor)] for tensor in node.inputs]
        for tensor in node.outputs:
            place_of.setdefault(id(tensor), len(place_of))
        outputs = [(place_of[id(tensor)], tensor.shape) for tensor in node.outputs]
        calls.append((node.layer, places, outputs, node.single))
    return {
        "inputs": inputs,
        "calls": calls,
        "outputs": [place_of[id(tensor)] for tensor in model.outputs],
        "structures": (model._input_structure, model._output_structure),
    }


def graph_again(flat: dict[str, Any]) -> tuple[Any, Any]:
    """Make the calls of `flat_graph`; return a model's inputs and outputs."""
    tensors: dict[int, Any] = {}
    for place, (layer, shape, dtype, name) in enumerate(flat["inputs"]):
        made = Input(batch_shape=shape, dtype=dtype, name=name) if layer is None else layer.input
        tensors[place] = made
    ends = [tensors[place] for place in range(len(flat["inputs"]))]
    for layer, places, outputs, single in flat["calls"]:
        node = Node(layer, [tensors[p] for p in places], [shape for _, shape in outputs], single)
        for tensor, (place, _) in zip(node.outputs, outputs, strict=True):
            tensors.setdefault(place, tensor)
    inputs, outputs = flat["structures"]
    return structured(ends, inputs), structured([tensors[p] for p in flat["outputs"]], outputs)
