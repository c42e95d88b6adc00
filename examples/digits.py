"""Handwritten digits: a small network learns them in under a minute, and shows what it sees.

    python examples/digits.py [--output FOLDER]

The 1797 digits of 8x8 pixels that come with scikit-learn; a fifth of them is held back.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from fastconv.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from fastconv.models import Sequential
from fastconv.plotting import feature_maps, plot_history, plot_samples
from fastconv.utils import set_random_seed


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return images and labels to train on, then those held back."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("float32")
    order = np.random.default_rng(0).permutation(len(images))
    held = len(images) // 5
    train, test = order[held:], order[:held]
    return images[train], labels[train], images[test], labels[test]


def network() -> Sequential:
    """Return two convolutions and two dense layers."""
    model = Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(32, 3, padding="same", activation="relu"),
            Conv2D(64, 3, padding="same", activation="relu"),
            MaxPooling2D(2),
            Dropout(0.25),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.5),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Train, judge, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("digits-output"))
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    set_random_seed(1)
    x_train, y_train, x_test, y_test = digits()
    model = network()
    model.summary()
    start = time.perf_counter()
    history = model.fit(
        x_train, y_train, batch_size=32, epochs=20, validation_data=(x_test, y_test)
    )
    seconds = time.perf_counter() - start
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"{100 * accuracy:.1f} % of {len(x_test)} digits held back, after {seconds:.0f} s")
    assert accuracy >= 0.98
    plot_history(history, path=output / "curves.png")
    guessed = model.predict(x_test[:20], verbose=0).argmax(axis=1)
    plot_samples(x_test[:20], y_test[:20], predictions=guessed, path=output / "digits.png")
    feature_maps(model, x_test[:1]).save(output / "layers.png")
    print("written:", output)


if __name__ == "__main__":
    main()
