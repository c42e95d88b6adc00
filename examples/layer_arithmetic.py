"""Convolution and pooling layers: how large their output is, and how many parameters they have.

    python examples/layer_arithmetic.py

It ends with an error if a number is not as it should be.
"""

from math import ceil

import numpy as np

from fastconv.layers import Conv2D, Dense, Flatten, MaxPooling2D
from fastconv.models import Sequential


def size(height: int, kernel: int, stride: int, padding: str) -> int:
    """Return the rows of an output."""
    return ceil(height / stride) if padding == "same" else ceil((height - kernel + 1) / stride)


def one_layer(layer: Conv2D | MaxPooling2D, shape: tuple[int, ...], parameters: int) -> None:
    """Print the table of a network of one layer, and compare it with the formulas."""
    model = Sequential()
    model.add(layer)
    model.summary()
    if isinstance(layer, Conv2D):
        rows, columns, inputs, filters = layer.kernel.shape
        assert layer.count_params() == rows * columns * inputs * filters + filters
        height = layer.build_shape[1]
        assert shape[1] == size(height, rows, layer.strides[0], layer.padding)
    assert model.output_shape == shape, model.output_shape
    assert model.count_params() == parameters, model.count_params()


def small_network() -> Sequential:
    """Return three convolutions, each followed by a pool, and two dense layers for ten classes."""
    model = Sequential()
    model.add(
        Conv2D(
            filters=16, kernel_size=2, padding="same", activation="relu", input_shape=(32, 32, 3)
        )
    )
    model.add(MaxPooling2D(pool_size=2))
    model.add(Conv2D(filters=32, kernel_size=2, padding="same", activation="relu"))
    model.add(MaxPooling2D(pool_size=2))
    model.add(Conv2D(filters=64, kernel_size=2, padding="same", activation="relu"))
    model.add(MaxPooling2D(pool_size=2))
    model.add(Flatten())
    model.add(Dense(500, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    return model


def main() -> None:
    """Print all tables."""
    grey = (200, 200, 1)
    one_layer(Conv2D(16, 2, strides=2, input_shape=grey), (None, 100, 100, 16), 80)
    one_layer(Conv2D(16, 4, strides=2, input_shape=grey), (None, 99, 99, 16), 272)
    one_layer(Conv2D(32, 2, strides=2, input_shape=grey), (None, 100, 100, 32), 160)
    one_layer(Conv2D(16, 2, strides=2, input_shape=(480, 480, 3)), (None, 240, 240, 16), 208)
    same = Conv2D(32, 3, strides=2, padding="same", activation="relu", input_shape=(128, 128, 3))
    one_layer(same, (None, 64, 64, 32), 896)
    one_layer(MaxPooling2D(2, strides=2, input_shape=(100, 100, 15)), (None, 50, 50, 15), 0)
    model = small_network()
    model.summary()
    assert [layer.count_params() for layer in model.layers[:6:2]] == [208, 2080, 8256]
    assert model.count_params() == 528_054
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    probabilities = model.predict(np.zeros((2, 32, 32, 3)), verbose=0)
    assert np.allclose(probabilities.sum(axis=1), 1)


if __name__ == "__main__":
    main()
