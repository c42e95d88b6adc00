"""Small data in the form of the real: a CIFAR-10 archive, and photographs named as Kaggle's.

    python examples/small_data.py FOLDER

The other examples take the real data where a path is given, and these where none is. What is drawn
is simple, a shape in a colour for each class with noise over it, so that a network learns it soon.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32


def shapes(labels: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
    """Draw an image (side, side, 3) of uint8 for each label: stripes of a slope and a colour."""
    rows, columns = np.mgrid[:side, :side] / side
    images = np.empty((len(labels), side, side, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        angle = np.pi * label / 10 + generator.normal(0, 0.05)
        along = np.cos(angle) * rows + np.sin(angle) * columns
        stripes = np.sin(2 * np.pi * (3 + label % 3) * (along + generator.random()))
        colour = 0.5 + 0.5 * np.cos(2 * np.pi * (label / 10 + np.arange(3) / 3))
        picture = (
            0.5 + 0.25 * stripes[..., None] * colour + generator.normal(0, 0.1, (side, side, 3))
        )
        image[...] = np.clip(255 * picture, 0, 255)
    return images


def write_cifar10(path: Path, images_a_batch: int = 100, seed: int = 1) -> Path:
    """Write an archive like cifar-10-binary.tar.gz, with fewer images, and return its path."""
    generator = np.random.default_rng(seed)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            labels = generator.integers(0, 10, images_a_batch).astype(np.uint8)
            images = shapes(labels, SIDE, generator).transpose(0, 3, 1, 2)
            records = np.concatenate([labels[:, None], images.reshape(images_a_batch, -1)], axis=1)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = records.size
            archive.addfile(member, io.BytesIO(records.astype(np.uint8).tobytes()))
    return path


def write_cats_and_dogs(folder: Path, each: int = 60, seed: int = 2) -> Path:
    """Write cat.0.jpg, dog.0.jpg, ... of several sizes to a folder, and return it."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for label, name in enumerate(("cat", "dog")):
        for number in range(each):
            size = tuple(int(side) for side in generator.integers(160, 320, 2))
            drawn = shapes(np.array([5 * label]), 160, generator)[0]
            Image.fromarray(drawn).resize(size).save(folder / f"{name}.{number}.jpg", quality=90)
    return folder


def main() -> None:
    """Write both to the folder named on the command line."""
    folder = Path(sys.argv[1])
    print(write_cifar10(folder / "cifar-10-binary.tar.gz"))
    print(write_cats_and_dogs(folder / "train"))


if __name__ == "__main__":
    main()
