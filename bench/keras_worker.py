"""One way to run Keras's models, in a process of its own, as a backend is chosen once in a process.

`python -m bench.keras_worker WAY MODEL SAMPLES FILE` writes what the model predicts to FILE, and
then answers each line that it reads with the seconds of another `predict`.
"""

from __future__ import annotations

import os
import sys
from math import prod, sqrt
from typing import Any

import numpy as np

from .timing import once

WAYS = {
    "ours": "NumPy backend, fastconv's kernels",
    "stock": "NumPy backend, its own (JAX)",
    "torch": "PyTorch backend",
}
MODELS = ("Conv2D", "MobileNetV2", "ResNet50")


def import_keras(way: str) -> Any:
    """Import Keras as it is to run."""
    os.environ["KERAS_BACKEND"] = "torch" if way == "torch" else "numpy"
    if way == "ours":
        from fastconv.backends.keras import enable

        enable()
    import keras

    return keras


def make(keras: Any, name: str) -> Any:
    """Return a model, of weights that don't depend on the backend."""
    if name == "Conv2D":
        layer = keras.layers.Conv2D(64, 3, padding="same", activation="relu")
        model = keras.Sequential([keras.Input((56, 56, 64)), layer])
    else:
        model = getattr(keras.applications, name)(weights=None)
    random = np.random.default_rng(0)
    model.set_weights([_filled(random, weights) for weights in model.get_weights()])
    return model


def _filled(random: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    if weights.ndim < 2:
        return weights  # biases and what normalizes stay as they begin
    depthwise = weights.ndim == 4 and weights.shape[3] == 1
    inputs = prod(weights.shape[:2] if depthwise else weights.shape[:-1])
    return random.standard_normal(weights.shape, np.float32) * sqrt(2 / inputs)


def main() -> None:
    """Predict, and then once more for each line."""
    way, name, samples, file = sys.argv[1:]
    keras = import_keras(way)
    model = make(keras, name)
    shape = (int(samples), *model.input_shape[1:])
    x = np.random.default_rng(1).standard_normal(shape, np.float32)

    def predict() -> np.ndarray:
        return model.predict(x, batch_size=len(x), verbose=0)

    np.save(file, predict())
    print("ready", flush=True)
    for _ in sys.stdin:
        print(once(predict), flush=True)


if __name__ == "__main__":
    main()
