"""Keras's image_dataset_from_directory: a folder of images as a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..extras import need
from ..geometry import plain_flag, plain_int, plain_word
from . import options
from .image_dataset import NAME, ImageDataset, Settings
from .listing import Path, checked_classes, checked_directory, images_below

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_SUBSETS = ("training", "validation", "both")


def image_dataset_from_directory(
    directory: Path,
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int = 32,
    image_size: int | tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    *,
    on_error: str = "raise",
    workers: int | None = None,
) -> Any:
    """Return a data set of the images in a folder.

    Parameters
    ----------
    directory : path
        The folder. Images are its .bmp, .gif (their first frame), .jpeg, .jpg and .png files.
    labels : "inferred", sequence of int, or None
        The folders in the directory are classes; or a label for each image, in the order of their
        paths; or there are none.
    label_mode : {"int", "categorical", "binary", None}
        Labels of a batch are int32 (n,), one-hot float32 (n, classes), float32 (n, 1) of 0 and 1
        for two classes, or there are none.
    class_names : sequence of str, optional
        The classes' folders, in the order of their numbers; by default all, by name.
    color_mode : {"rgb", "rgba", "grayscale"}
        3, 4 or 1 channels.
    batch_size : int
        Images in a batch; the last of an epoch may have fewer.
    image_size : (height, width) or int
        What they are resized to.
    shuffle : bool
        Whether to shuffle the images, and then anew for each epoch.
    seed : int, optional
        Repeats the orders. The first one is Keras's, so the subsets are too.
    validation_split : float, optional
        The fraction of images that is for validation, the last ones of the shuffled.
    subset : {"training", "validation", "both"}, optional
        Which part; "both" returns a list of the two.
    interpolation : {"bilinear", "nearest"}
        How images are resized, which is TensorFlow's way, without smoothing.
    follow_links : bool
        Whether links to folders are followed.
    crop_to_aspect_ratio : bool
        Whether the centre is cut out in the shape of image_size, rather than the whole distorted.
    pad_to_aspect_ratio : False
        Not supported.
    data_format : {"channels_last", "channels_first"}, optional
        The layout, by default `fastconv.config.image_data_format()`.
    verbose : bool
        Whether to print how many files of how many classes were found.
    on_error : {"raise", "skip"}
        What happens to images that can't be read: a ValueError that names the file, or the batch
        lacks them, with a warning the first time.
    workers : int, optional
        Threads that load, by default one per CPU; 0 to load in the caller's.

    Returns
    -------
    ImageDataset or list of two
        It gives batches (images, labels), or images alone; images are float32.

    Raises
    ------
    ValueError, TypeError
        If an argument makes no sense, or there are no images.
    OSError
        If a folder can't be read.
    ImportError
        If there is no Pillow.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastconv.utils import save_img
    >>> temporary = tempfile.TemporaryDirectory()
    >>> folder = temporary.name
    >>> for name in ("cats", "dogs"):
    ...     os.mkdir(os.path.join(folder, name))
    ...     save_img(os.path.join(folder, name, "0.png"), np.zeros((9, 9, 3)))
    >>> data = image_dataset_from_directory(folder, image_size=(64, 64), shuffle=False)
    Found 2 files belonging to 2 classes.
    >>> [(x.shape, y) for x, y in data]
    [((2, 64, 64, 3), array([0, 1], dtype=int32))]
    """
    need("PIL.Image", NAME)
    if plain_flag(NAME, "pad_to_aspect_ratio", pad_to_aspect_ratio):
        raise value_error(NAME, "pad_to_aspect_ratio", "False: it is not supported", True)
    shuffled = plain_flag(NAME, "shuffle", shuffle)
    split = _checked_split(validation_split, subset, shuffled, seed)
    settings = Settings(
        label_mode,
        color_mode,
        batch_size,
        image_size,
        interpolation,
        crop_to_aspect_ratio,
        data_format,
        seed,
        on_error,
        workers,
    )
    path = checked_directory(NAME, directory)
    links = plain_flag(NAME, "follow_links", follow_links)
    with_labels = None if settings.label_mode is None else labels
    files, numbers, names = _index(path, with_labels, class_names, links)
    if plain_flag(NAME, "verbose", verbose):
        classes = "" if names is None else f" belonging to {len(names)} classes"
        print(f"Found {len(files)} files{classes}.")
    if settings.label_mode == "binary" and names is not None and len(names) != 2:
        rule = f"'int' or 'categorical' for {len(names)} classes"
        raise value_error(NAME, "label_mode", rule, "'binary'")
    if shuffled:
        # Keras shuffles twice in the same way, so the order is one.
        order = np.random.RandomState(settings.seed).permutation(len(files))
        files = [files[place] for place in order]
        numbers = None if numbers is None else numbers[order]
    parts = [
        ImageDataset(
            files[part], None if numbers is None else numbers[part], names, settings, again
        )
        for part, again in _parts(len(files), split, subset, shuffled)
    ]
    if not all(part.file_paths for part in parts):
        rule = f"a folder with enough images ({', '.join(_SUFFIXES)})"
        raise value_error(NAME, "directory", rule, f"{path!r} with {len(files)}")
    return parts if subset == "both" else parts[0]


def _checked_split(fraction: object, subset: object, shuffle: bool, seed: object) -> float:
    """Return the fraction for validation, 0 if there are no subsets."""
    split = 0.0 if fraction is None else options.split(NAME, fraction)
    if subset is not None:
        plain_word(NAME, "subset", subset, _SUBSETS)
    if bool(split) != (subset is not None):
        raise value_error(NAME, "subset", "given together with validation_split", describe(subset))
    if split and shuffle and seed is None:
        rule = "given, so that training and validation don't overlap"
        raise value_error(NAME, "seed", rule, None)
    return split


def _index(
    directory: str, labels: object, class_names: object, follow_links: bool
) -> tuple[list[str], np.ndarray | None, list[str] | None]:
    """Return the paths of all images, the numbers of their classes, and the classes' names."""
    if isinstance(labels, str) and labels == "inferred":
        names = checked_classes(NAME, "class_names", directory, class_names, hidden=False)
        found = [images_below(directory, name, _SUFFIXES, follow_links) for name in names]
        numbers = np.repeat(np.arange(len(names), dtype=np.int32), [len(files) for files in found])
        files = [os.path.join(directory, file) for files in found for file in files]
        return files, numbers, names
    if class_names is not None:
        raise value_error(NAME, "class_names", "None unless labels are inferred", "others")
    files = [
        os.path.join(directory, file)
        for file in images_below(directory, "", _SUFFIXES, follow_links)
    ]
    if labels is None:
        return files, None, None
    given = _checked_labels(labels, len(files))
    return files, given, [str(label) for label in sorted(set(given.tolist()))]


def _checked_labels(labels: object, files: int) -> np.ndarray:
    rule = f"'inferred', None, or an int for each of the {files} images"
    if not isinstance(labels, (list, tuple, np.ndarray)):
        raise type_error(NAME, "labels", rule, describe(labels))
    if len(labels) != files:
        raise value_error(NAME, "labels", rule, describe(labels))
    return np.array([plain_int(NAME, "labels", label, rule) for label in labels], np.int32)


def _parts(
    samples: int, split: float, subset: str | None, shuffle: bool
) -> list[tuple[slice, bool]]:
    """Return which images belong to each data set, and whether it is shuffled for each epoch."""
    if not split:
        return [(slice(None), shuffle)]
    last = samples - int(split * samples)
    training, validation = (slice(last), shuffle), (slice(last, None), shuffle)
    if subset == "both":
        return [training, (slice(last, None), False)]
    return [training if subset == "training" else validation]
