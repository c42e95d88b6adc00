"""Batches out of a folder of images, read and decoded by threads ahead of their use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import value_error
from ..extras import need
from ..geometry import plain_flag, plain_word
from .iterator import Iterator
from .listing import Path, checked_classes, checked_directory, images_below
from .options import SUBSETS
from .pictures import CHANNELS, BrokenImageError, Look, checked_look, checked_size, read_image

if TYPE_CHECKING:
    from .changes import Parameters
    from .generator import ImageDataGenerator

_NAME = "flow_from_directory"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
_CLASS_MODES = ("categorical", "binary", "sparse", "input")


class DirectoryIterator(Iterator):
    """Batches of the images in a folder that has a folder for each class.

    Parameters
    ----------
    directory : path
        The folder. Images are its .png, .jpg, .jpeg, .bmp, .ppm, .tif and .tiff files, those in
        folders further down too.
    image_data_generator : ImageDataGenerator
        What is done to them.
    target_size : (height, width)
        What they are resized to.
    color_mode : {"rgb", "rgba", "grayscale"}
        3, 4 or 1 channels.
    classes : sequence of str, optional
        The classes' folders, in the order of their numbers; by default all, by name.
    class_mode : {"categorical", "binary", "sparse", "input", None}
        Labels are one-hot rows, 0 and 1 for two classes, the classes' numbers, the images
        themselves, or there are none.
    batch_size, shuffle, seed, on_error, workers
        See `Iterator`.
    follow_links : bool
        Whether links to folders are followed.
    subset : {"training", "validation"}, optional
        Which part of the images; "validation" is the first `validation_split` of each class.
    interpolation, keep_aspect_ratio
        See `fastconv.utils.load_img`.

    Attributes
    ----------
    samples, num_classes : int
        How many images and classes there are.
    class_indices : dict
        The number of each class.
    classes, labels : numpy.ndarray of int32
        The class of each image.
    filenames, filepaths : list of str
        The images, relative to the directory, and with it in front.
    image_shape : tuple
        The shape of one in a batch.

    Raises
    ------
    ValueError, TypeError
        If an argument makes no sense, or there are no images. While it is in use: if an image
        can't be read, unless `on_error` is "skip".
    """

    def __init__(
        self,
        directory: Path,
        image_data_generator: ImageDataGenerator,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        on_error: str = "raise",
        workers: int | None = None,
    ):
        need("PIL.Image", _NAME)
        self.directory = checked_directory(_NAME, directory)
        self.target_size = checked_size(_NAME, "target_size", target_size)
        self._look = checked_look(
            _NAME, color_mode, self.target_size, interpolation, keep_aspect_ratio
        )
        self.color_mode = self._look.color_mode
        self.class_mode = (
            None
            if class_mode is None
            else plain_word(_NAME, "class_mode", class_mode, _CLASS_MODES)
        )
        self.subset = None if subset is None else plain_word(_NAME, "subset", subset, SUBSETS)
        self.image_data_generator = image_data_generator
        self.data_format = image_data_generator.data_format
        self.dtype = self._dtype = image_data_generator.dtype
        self.image_shape = self._shape = _shape(self._look, self.target_size, self.data_format)
        names = checked_classes(_NAME, "classes", self.directory, classes, hidden=True)
        if self.class_mode == "binary" and len(names) > 2:
            rule = f"'categorical' or 'sparse' for {len(names)} classes"
            raise value_error(_NAME, "class_mode", rule, "'binary'")
        self._find(names, plain_flag(_NAME, "follow_links", follow_links))
        super().__init__(
            self.samples, batch_size, shuffle, seed, workers=workers, on_error=on_error
        )

    def _find(self, names: list[str], follow_links: bool) -> None:
        """List the images of all classes, or of the subset's part of each."""
        self.class_indices = {name: number for number, name in enumerate(names)}
        self.num_classes = len(names)
        self.filenames: list[str] = []
        numbers: list[int] = []
        for number, name in enumerate(names):
            found = images_below(self.directory, name, _SUFFIXES, follow_links)
            found = self._part(found)
            self.filenames += found
            numbers += [number] * len(found)
        self.samples = len(self.filenames)
        self.classes = np.array(numbers, np.int32)
        self.filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        if not self.samples:
            rule = f"a folder with a folder of images ({', '.join(_SUFFIXES)}) for each class"
            raise value_error(_NAME, "directory", rule, repr(self.directory))

    def _part(self, found: list[str]) -> list[str]:
        if self.subset is None:
            return found
        first = int(self.image_data_generator.validation_split * len(found))
        return found[:first] if self.subset == "validation" else found[first:]

    @property
    def labels(self) -> np.ndarray:
        """The class of each image."""
        return self.classes

    def _draw(self, rng: np.random.RandomState) -> Parameters:
        return self.image_data_generator.draw(rng, self._shape)

    def _load(self, index: int, drawn: Parameters) -> np.ndarray:
        x = read_array(_NAME, self.filepaths[index], self._look, self._dtype, self.data_format)
        return self.image_data_generator.finish(x, drawn)

    def _targets(self, x: np.ndarray, indices: np.ndarray) -> Any:
        numbers = self.classes[indices]
        if self.class_mode is None:
            return x
        if self.class_mode == "input":
            return x, x.copy()
        if self.class_mode == "categorical":
            return x, (numbers[:, None] == np.arange(self.num_classes)).astype(self._dtype)
        return x, numbers.astype(self._dtype)


def _shape(look: Look, size: tuple[int, int], data_format: str) -> tuple[int, ...]:
    channels = CHANNELS[look.color_mode]
    return (*size, channels) if data_format == "channels_last" else (channels, *size)


def read_array(
    function: str, path: str, look: Look, dtype: str | None, data_format: str
) -> np.ndarray:
    """Return a file's image as an array; what keeps it from being read is a BrokenImageError."""
    try:
        image = read_image(function, path, look)
    except OSError as error:
        raise BrokenImageError(f"{function}: can't open {path!r}: {error.strerror}") from error
    x = np.array(image, dtype)
    if x.ndim == 2:
        x = x[:, :, None]
    return x.transpose(2, 0, 1) if data_format == "channels_first" else x
