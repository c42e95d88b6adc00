"""What every layer of a small network makes of an image, as numbers and as pictures.

    python examples/seeing_layers.py [--output FOLDER]

The network is built both ways, as a Sequential and by calling layers on tensors, its weights are
set by hand, and the results are compared with what they must be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fastconv.layers import Activation, Conv2D, Dense, Flatten, Input, MaxPooling2D
from fastconv.models import Model, Sequential
from fastconv.plotting import show_deep_net

# one image, one channel, a diagonal whose middle is negative
X = np.zeros((1, 1, 5, 6))
for place, value in enumerate((1, 1, -1, -1, 1)):
    X[0, 0, place, place] = value
FILTERS, KERNEL = 3, (2, 2)


def sequential_model(use_bias: bool = True) -> Sequential:
    """Return the network, layer by layer."""
    model = Sequential()
    model.add(
        Conv2D(
            FILTERS, KERNEL, name="conv_1", padding="valid", use_bias=use_bias,
            input_shape=X.shape[1:], data_format="channels_first",
        )
    )  # fmt: skip
    model.add(Activation("relu", name="relu_1"))
    model.add(MaxPooling2D(pool_size=(2, 2), name="max_pool_1"))
    model.add(Flatten(name="flat"))
    model.add(Dense(1, name="dense_2"))
    model.add(Activation("sigmoid", name="sigmoid_2"))
    return model


def graph_model() -> Model:
    """Return the same network made of calls."""
    inputs = Input(X.shape[1:])
    convolved = Conv2D(FILTERS, KERNEL, name="conv1", data_format="channels_first")(inputs)
    active = Activation("relu", name="relu1")(convolved)
    # without data_format a pool takes the channels for rows, for columns come last
    pooled = MaxPooling2D(pool_size=(2, 2), name="max_pool1")(active)
    dense = Dense(1, name="dense1")(Flatten(name="flat1")(pooled))
    return Model(inputs=inputs, outputs=Activation("sigmoid", name="out_sig")(dense))


def weights() -> list[np.ndarray]:
    """Return kernel and bias of the convolution, then of the dense layer."""
    return [
        np.full((*KERNEL, 1, FILTERS), 2.0),
        np.full(FILTERS, 0.1),
        np.ones((10, 1)),
        np.full(1, 0.1),
    ]


def main() -> None:
    """Compute, check and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("layers-output"))
    output = parser.parse_args().output
    first, second = sequential_model(), graph_model()
    for model in (first, second):
        model.set_weights(weights())
        model.summary()
        assert model.count_params() == 26
    print("number of layers:", len(first.layers))
    for layer in first.layers:
        inner = Model(inputs=first.input, outputs=layer.output).predict(X, verbose=0)
        print(f"{layer.name}: {inner.shape}")
        if layer.name == "conv_1":
            np.testing.assert_allclose(inner[0, 0, 0], [4.1, 2.1, 0.1, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(first.predict(X, verbose=0), second.predict(X, verbose=0))
    assert Model(first.input, first.get_layer("max_pool_1").output).output_shape == (None, 1, 2, 5)
    assert sequential_model(use_bias=False).count_params() == 23
    output.mkdir(parents=True, exist_ok=True)
    pictures = show_deep_net(first, X)
    for name in ("layers.png", "layers.html"):
        pictures.save(output / name)
        print("written:", output / name)


if __name__ == "__main__":
    main()
