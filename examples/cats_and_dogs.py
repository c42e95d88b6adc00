"""Cats and dogs: a network trained from folders of photographs.

    python examples/cats_and_dogs.py [--photos FOLDER] [--epochs 100] [--output FOLDER]

The folder of photos holds cat.0.jpg, dog.0.jpg, ... as Kaggle's "Dogs vs. Cats" does (train.zip,
unpacked). Without it a few drawings of the same form are made and trained on, for a check that all
of it works.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from small_data import write_cats_and_dogs

from fastconv import layers, models, optimizers
from fastconv.datasets import cats_vs_dogs
from fastconv.plotting import plot_history
from fastconv.preprocessing.image import ImageDataGenerator

IMAGE = (150, 150)


def network() -> models.Sequential:
    """Return three convolutions, each followed by a pool, and two dense layers."""
    model = models.Sequential()
    model.add(layers.Conv2D(16, (3, 3), activation="relu", input_shape=(*IMAGE, 3)))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(32, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(32, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(
        loss="binary_crossentropy",
        optimizer=optimizers.RMSprop(learning_rate=1e-4),
        metrics=["acc"],
    )
    return model


def folders(photos: Path, target: Path, sizes: tuple[int, int, int], batch: int) -> tuple:
    """Deal the photographs out, and return what yields batches of two of the parts."""
    cats_vs_dogs.split(photos, target, sizes)
    scaled = ImageDataGenerator(rescale=1.0 / 255)
    return tuple(
        scaled.flow_from_directory(
            target / part, target_size=IMAGE, batch_size=batch, class_mode="binary"
        )
        for part in ("train", "validation")
    )


def main() -> None:
    """Train, draw the curves, save and reload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--output", type=Path, default=Path("cats-and-dogs-output"))
    arguments = parser.parse_args()
    output = arguments.output
    with tempfile.TemporaryDirectory() as scratch:
        photos, sizes, steps, epochs = arguments.photos, (10000, 1000, 1000), (100, 50), 100
        if photos is None:
            photos = write_cats_and_dogs(Path(scratch) / "photos")
            sizes, steps, epochs = (40, 10, 10), (4, 1), 6
        train, validation = folders(photos, output / "photos", sizes, 20)
        model = network()
        model.summary()
        assert model.count_params() == 4_750_337
        history = model.fit(
            train,
            steps_per_epoch=steps[0],
            epochs=arguments.epochs or epochs,
            validation_data=validation,
            validation_steps=steps[1],
        )
    model.save(output / "cats_and_dogs.fastconv")
    again = models.load_model(output / "cats_and_dogs.fastconv")
    images, _ = validation[0]
    assert (again.predict(images, verbose=0) == model.predict(images, verbose=0)).all()
    plot_history(history, path=output / "curves.png")
    print("written:", output / "cats_and_dogs.fastconv", output / "curves.png")


if __name__ == "__main__":
    main()
