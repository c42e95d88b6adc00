"""Batches of images with their labels, one epoch each time they are iterated over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..config import checked_data_format
from ..errors import value_error
from ..geometry import plain_flag, plain_int, plain_word
from ..random import checked_seed, new_generator
from .directory import read_array
from .loader import AHEAD, ON_ERROR, Batch, Loader, checked_workers
from .pictures import CHANNELS, Look, centre, checked_size
from .resize import RESIZES, resized

NAME = "image_dataset_from_directory"
_LABEL_MODES = ("int", "categorical", "binary")


class Settings:
    """The arguments that say what a batch is like, checked."""

    def __init__(
        self,
        label_mode: object,
        color_mode: object,
        batch_size: object,
        image_size: object,
        interpolation: object,
        crop_to_aspect_ratio: object,
        data_format: object,
        seed: object,
        on_error: object,
        workers: object,
    ):
        if isinstance(image_size, int) and not isinstance(image_size, bool):
            image_size = (image_size, image_size)
        self.label_mode = (
            None if label_mode is None else plain_word(NAME, "label_mode", label_mode, _LABEL_MODES)
        )
        color = plain_word(NAME, "color_mode", color_mode, tuple(CHANNELS))
        self.look = Look(color, None, "nearest", False)
        rule = "an int of at least 1"
        self.batch_size = plain_int(NAME, "batch_size", batch_size, rule)
        if self.batch_size < 1:
            raise value_error(NAME, "batch_size", rule, self.batch_size)
        self.size = checked_size(NAME, "image_size", image_size)
        self.interpolation = plain_word(NAME, "interpolation", interpolation, RESIZES)
        self.crop = plain_flag(NAME, "crop_to_aspect_ratio", crop_to_aspect_ratio)
        self.data_format = checked_data_format(NAME, data_format)
        self.seed = (
            int(new_generator().integers(10**6)) if seed is None else checked_seed(NAME, seed)
        )
        self.on_error = plain_word(NAME, "on_error", on_error, ON_ERROR)
        self.workers = checked_workers(NAME, workers)

    def shape(self) -> tuple[int, ...]:
        """Return the shape of one image in a batch."""
        channels = CHANNELS[self.look.color_mode]
        last = self.data_format == "channels_last"
        return (*self.size, channels) if last else (channels, *self.size)

    def load(self, path: str) -> np.ndarray:
        """Return a file's image in that shape."""
        # As bytes, of which few become floats; images of more bits fit float32 as well.
        x = read_array(NAME, path, self.look, None, "channels_last")
        if self.crop:
            top, left, bottom, right = centre(x.shape[0], x.shape[1], *self.size)
            x = x[top:bottom, left:right]
        x = resized(x, *self.size, self.interpolation)
        return x if self.data_format == "channels_last" else x.transpose(2, 0, 1)

    def targets(self, numbers: np.ndarray, class_names: list[str]) -> np.ndarray:
        """Return the labels of a batch."""
        if self.label_mode == "binary":
            return numbers.astype(np.float32)[:, None]
        if self.label_mode == "categorical":
            return (numbers[:, None] == np.arange(len(class_names))).astype(np.float32)
        return numbers


class ImageDataset:
    """Batches of images and labels; made by `image_dataset_from_directory`.

    Each iteration is an epoch, which has its own order if the data set is shuffled. Following
    batches are loaded by threads meanwhile.

    Attributes
    ----------
    class_names : list of str or None
        The classes in the order of their numbers.
    file_paths : list of str
        The images, in the order in which they are without further shuffling.
    labels : numpy.ndarray of int32 or None
        The class of each.
    """

    def __init__(
        self,
        file_paths: list[str],
        labels: np.ndarray | None,
        class_names: list[str] | None,
        settings: Settings,
        shuffle: bool,
    ):
        self.file_paths, self.labels, self.class_names = file_paths, labels, class_names
        self.batch_size = settings.batch_size
        self._settings = settings
        self._shuffle = shuffle
        self._epochs = 0
        self._warned: set[str] = set()

    def __len__(self) -> int:
        return -(-len(self.file_paths) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = np.arange(len(self.file_paths))
        if self._shuffle:
            order = np.random.default_rng([self._settings.seed, self._epochs]).permutation(order)
            self._epochs += 1
        return self._epoch(order)

    def _epoch(self, order: np.ndarray) -> Iterator[Any]:
        settings = self._settings
        # An epoch has its own loader, so its threads end with it, and a forked child has some.
        loader = Loader(settings.shape(), "float32", settings.workers)
        queue: deque[Batch] = deque()
        try:
            for start in range(0, len(order), self.batch_size):
                indices = order[start : start + self.batch_size]
                queue.append(loader.start(self._load, indices, [None] * len(indices)))
                if len(queue) > (AHEAD if settings.workers else 0):
                    yield from self._finished(queue.popleft())
            while queue:
                yield from self._finished(queue.popleft())
        finally:
            for batch in queue:
                batch.cancel()

    def _finished(self, batch: Batch) -> Iterator[Any]:
        """Yield a batch, unless none of its images can be read."""
        x, indices = batch.wait(self._settings.on_error, self._warned)
        if not len(indices):
            return
        if self.labels is None:
            yield x
        else:
            yield x, self._settings.targets(self.labels[indices], self.class_names or [])

    def _load(self, index: int, drawn: None) -> np.ndarray:
        return self._settings.load(self.file_paths[index])
