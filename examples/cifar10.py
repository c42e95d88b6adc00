"""CIFAR-10: a network of five convolutions, trained and judged.

    python examples/cifar10.py [--data ARCHIVE | --download] [--epochs 40] [--output FOLDER]

ARCHIVE is cifar-10-python.tar.gz or cifar-10-binary.tar.gz; with --download it is fetched, once.
Without either, a small archive of the same form is made, for a check that all of it works.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from small_data import write_cifar10

from fastconv.datasets import cifar10
from fastconv.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from fastconv.models import Sequential
from fastconv.optimizers import SGD
from fastconv.plotting import plot_history, plot_samples
from fastconv.utils import to_categorical

BATCH, CLASSES = 32, 10


def network(height: int, width: int) -> Sequential:
    """Return five convolutions and two dense layers."""
    model = Sequential()
    model.add(
        Conv2D(
            filters=128, kernel_size=(3, 3), input_shape=(height, width, 3), strides=1,
            padding="same", activation="relu",
        )
    )  # fmt: skip
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Conv2D(filters=128, kernel_size=(3, 3), strides=1, activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Dropout(0.25))
    for filters in (64, 32, 32):
        model.add(Conv2D(filters=filters, kernel_size=(2, 2), strides=1, activation="relu"))
        model.add(MaxPooling2D(pool_size=(1, 1)))
    model.add(Dropout(0.25))
    model.add(Flatten())
    model.add(Dense(64, activation="relu"))
    model.add(Dense(CLASSES, activation="softmax"))
    model.compile(
        optimizer=SGD(learning_rate=1e-2), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def parts(data: tuple) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return images and labels to train on, to validate with (a tenth) and to test with."""
    (x, y), test = data
    held = len(x) // 10
    return {"train": (x[held:], y[held:]), "validation": (x[:held], y[:held]), "test": test}


def main() -> None:
    """Load, look at some, train, evaluate, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--output", type=Path, default=Path("cifar10-output"))
    arguments = parser.parse_args()
    output, small = arguments.output, arguments.data is None and not arguments.download
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        path = write_cifar10(Path(scratch) / "cifar-10-binary.tar.gz") if small else arguments.data
        found = parts(cifar10.load_data(path))
    for name, (images, labels) in found.items():
        print(f"{name} dataset: ", images.shape, labels.shape)
        plot_samples(
            images[:10], labels[:10], cifar10.label_names, path=output / f"{name}-samples.png"
        )
    scaled = {
        name: (images.astype("float32") / 255, to_categorical(labels, CLASSES))
        for name, (images, labels) in found.items()
    }
    x_train, y_train = scaled["train"]
    model = network(*x_train.shape[1:3])
    history = model.fit(
        x_train,
        y_train,
        batch_size=BATCH,
        epochs=arguments.epochs or (3 if small else 40),
        validation_data=scaled["validation"],
        verbose=1,
    )
    model.summary()
    assert model.count_params() == 229_834
    loss, accuracy = model.evaluate(*scaled["test"], verbose=0)
    print(f"Accuracy: {100 * accuracy:.2f}% | Loss: {loss:.5f}")
    plot_history(history, path=output / "curves.png")
    print("written:", output)


if __name__ == "__main__":
    main()
