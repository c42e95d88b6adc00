"""Keras's ImageDataGenerator: what is done to images on their way into batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..config import checked_data_format, checked_dtype
from ..errors import describe, type_error, value_error
from ..geometry import plain_flag, plain_int, plain_word
from ..random import checked_seed, new_generator
from . import options
from .changes import Changes, Parameters, Scaling
from .directory import DirectoryIterator
from .listing import Path
from .numpy_iterator import NumpyArrayIterator
from .options import NAME
from .transforms import FILL_MODES


class ImageDataGenerator:
    """Changes images at random, scales them, and gives them out in batches.

    An image goes through the random changes, then `preprocessing_function`, `rescale`, and the
    centring and scaling by mean and standard deviation, of itself or of the data set.

    Parameters
    ----------
    featurewise_center, featurewise_std_normalization : bool
        Subtract the data set's mean of each channel, divide by its standard deviation (and
        centre): call `fit` first.
    samplewise_center, samplewise_std_normalization : bool
        The same with mean and deviation of the image as a whole.
    zca_whitening : False
        It is not supported, so `zca_epsilon` has no effect.
    rotation_range : float
        Degrees, to either side.
    width_shift_range, height_shift_range : float, int or sequence
        A fraction of the size, or from 1 on pixels; a sequence holds the shifts to choose from.
    brightness_range : pair of floats, optional
        Factors between which one is drawn; values become whole ones from 0 to 255.
    shear_range : float
        Degrees.
    zoom_range : float or pair of floats
        Factors between which one is drawn for each axis; a float z is for (1 - z, 1 + z).
    channel_shift_range : float
        How far all values may be shifted.
    fill_mode : {"nearest", "constant", "reflect", "wrap"}
        What is seen beyond the edges; `cval` is the value for "constant".
    horizontal_flip, vertical_flip : bool
        Whether half of the images are flipped.
    rescale : float, optional
        A factor, such as 1 / 255.
    preprocessing_function : callable, optional
        Takes an image as an array and returns one of the same shape. Several threads may call it.
    data_format, dtype : str, optional
        Of the batches; by default those of `fastconv.config`.
    validation_split : float
        The fraction of images that is the subset "validation".
    interpolation_order : {0, 1}
        Whether a moved pixel is that of the nearest place, or interpolated.

    Raises
    ------
    ValueError, TypeError
        If an argument makes no sense, or is not supported.

    Examples
    --------
    >>> generator = ImageDataGenerator(rescale=1 / 255, horizontal_flip=True)
    >>> x = np.full((8, 32, 32, 3), 255, np.uint8)
    >>> batch, labels = next(generator.flow(x, np.arange(8), batch_size=4, seed=1))
    >>> batch.shape, batch.dtype, float(batch.max())
    ((4, 32, 32, 3), dtype('float32'), 1.0)
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: float | Sequence[float] = 0.0,
        height_shift_range: float | Sequence[float] = 0.0,
        brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: str | None = None,
    ):
        if plain_flag(NAME, "zca_whitening", zca_whitening):
            raise value_error(NAME, "zca_whitening", "False: it is not supported", True)
        if preprocessing_function is not None and not callable(preprocessing_function):
            got = describe(preprocessing_function)
            raise type_error(NAME, "preprocessing_function", "a function or None", got)
        if plain_int(NAME, "interpolation_order", interpolation_order, "0 or 1") not in (0, 1):
            raise value_error(NAME, "interpolation_order", "0 or 1", interpolation_order)
        self.data_format = checked_data_format(NAME, data_format)
        self.dtype = checked_dtype(NAME, dtype)
        self.validation_split = options.split(NAME, validation_split)
        self._changes = Changes(
            options.number("rotation_range", rotation_range),
            options.shifts("width_shift_range", width_shift_range),
            options.shifts("height_shift_range", height_shift_range),
            None
            if brightness_range is None
            else options.pair("brightness_range", brightness_range),
            options.number("shear_range", shear_range),
            options.zooms(zoom_range),
            options.number("channel_shift_range", channel_shift_range),
            plain_word(NAME, "fill_mode", fill_mode, FILL_MODES),
            options.number("cval", cval),
            plain_flag(NAME, "horizontal_flip", horizontal_flip),
            plain_flag(NAME, "vertical_flip", vertical_flip),
            interpolation_order,
        )
        # To divide by a deviation is to centre too, as in Keras.
        std = plain_flag(NAME, "featurewise_std_normalization", featurewise_std_normalization)
        own_std = plain_flag(NAME, "samplewise_std_normalization", samplewise_std_normalization)
        self._scaling = Scaling(
            preprocessing_function,
            None if rescale is None else options.number("rescale", rescale),
            plain_flag(NAME, "samplewise_center", samplewise_center) or own_std,
            own_std,
            plain_flag(NAME, "featurewise_center", featurewise_center) or std,
            std,
        )

    @property
    def mean(self) -> np.ndarray | None:
        """The mean of each channel that `fit` found."""
        return self._scaling.mean

    @property
    def std(self) -> np.ndarray | None:
        """The standard deviation of each channel that `fit` found."""
        return self._scaling.std

    def flow(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        seed: int | None = None,
        save_to_dir: None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> NumpyArrayIterator:
        """Return an iterator over images in an array.

        Parameters
        ----------
        x : array_like
            (samples, height, width, channels) or (samples, channels, height, width), as
            `data_format` says, of any real type.
        y, sample_weight : array_like, optional
            Labels and weights, one a sample, given along with the images.
        batch_size, shuffle, seed
            As `fastconv.preprocessing.image.Iterator` takes them.
        save_to_dir : None
            Not supported, nor what goes with it.
        ignore_class_split : bool
            Whether the subsets may have different labels.
        subset : {"training", "validation"}, optional
            Which part; "validation" is the first `validation_split` of the samples.

        Returns
        -------
        NumpyArrayIterator

        Raises
        ------
        ValueError, TypeError
            If an argument makes no sense.

        Examples
        --------
        >>> batches = ImageDataGenerator().flow(np.zeros((6, 8, 8, 1)), batch_size=4, seed=0)
        >>> len(batches), next(batches).shape
        (2, (4, 8, 8, 1))
        """
        _refuse_saving("flow", save_to_dir)
        return NumpyArrayIterator(
            x,
            y,
            self,
            batch_size=batch_size,
            shuffle=shuffle,
            sample_weight=sample_weight,
            seed=seed,
            subset=subset,
            ignore_class_split=ignore_class_split,
        )

    def flow_from_directory(
        self,
        directory: Path,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        *,
        on_error: str = "raise",
        workers: int | None = None,
    ) -> DirectoryIterator:
        """Return an iterator over a folder of images that has a folder for each class.

        Parameters
        ----------
        directory, target_size, color_mode, classes, class_mode, follow_links, subset
            As `fastconv.preprocessing.image.DirectoryIterator` takes them.
        batch_size, shuffle, seed, on_error, workers
            As `fastconv.preprocessing.image.Iterator` takes them.
        interpolation, keep_aspect_ratio
            As `fastconv.utils.load_img` takes them.
        save_to_dir : None
            Not supported, nor what goes with it.

        Returns
        -------
        DirectoryIterator

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
        >>> generator = ImageDataGenerator(rescale=1 / 255)
        >>> batches = generator.flow_from_directory(
        ...     folder, target_size=(150, 150), batch_size=20, class_mode="binary", shuffle=False
        ... )
        Found 2 images belonging to 2 classes.
        >>> x, y = next(batches)
        >>> x.shape, y
        ((2, 150, 150, 3), array([0., 1.], dtype=float32))
        """
        _refuse_saving("flow_from_directory", save_to_dir)
        return DirectoryIterator(
            directory,
            self,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            follow_links=follow_links,
            subset=subset,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            on_error=on_error,
            workers=workers,
        )

    def get_random_transform(
        self, img_shape: tuple[int, ...], seed: int | None = None
    ) -> Parameters:
        """Draw the changes to one image of a shape, by name; see `apply_transform`."""
        return self.draw(_rng("get_random_transform", seed), img_shape)

    def draw(self, rng: np.random.RandomState, img_shape: tuple[int, ...]) -> Parameters:
        """Draw the same from a generator of random numbers; for iterators."""
        first = 1 if self.data_format == "channels_first" else 0
        height, width = img_shape[first : first + 2]
        return self._changes.draw(rng, height, width)

    def finish(self, x: np.ndarray, transform_parameters: Mapping[str, Any]) -> np.ndarray:
        """Return an image changed and standardized; x may be overwritten. For iterators."""
        return self._scaling.apply(self.apply_transform(x, transform_parameters))

    def apply_transform(self, x: np.ndarray, transform_parameters: Mapping[str, Any]) -> np.ndarray:
        """Return one image with the changes that `get_random_transform` drew."""
        last = self.data_format == "channels_last"
        image = self._changes.apply(x if last else x.transpose(1, 2, 0), transform_parameters)
        return image if last else image.transpose(2, 0, 1)

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """Return one image with changes drawn at random."""
        image = np.asarray(x, self.dtype)
        return self.apply_transform(image, self.get_random_transform(image.shape, seed))

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Return an image or a batch after `preprocessing_function`, `rescale` and the rest."""
        return self._scaling.apply(np.array(x, self.dtype))

    def fit(
        self, x: ArrayLike, augment: bool = False, rounds: int = 1, seed: int | None = None
    ) -> None:
        """Find the mean and deviation of each channel, for the options "featurewise".

        Parameters
        ----------
        x : array_like
            Images, as `flow` takes them.
        augment : bool
            Whether they are changed at random first, each of them `rounds` times.
        rounds : int
            At least 1.
        seed : int, optional
            Repeats these changes.

        Raises
        ------
        ValueError, TypeError
            If an argument makes no sense.
        """
        images = np.array(x, self.dtype)
        if images.ndim != 4 or not images.size:
            raise value_error("fit", "x", "an array of images, of 4 axes", describe(images))
        if plain_int("fit", "rounds", rounds, "an int of at least 1") < 1:
            raise value_error("fit", "rounds", "an int of at least 1", rounds)
        if self._scaling.rescale:
            images *= self._scaling.rescale
        if plain_flag("fit", "augment", augment):
            rng = _rng("fit", seed)
            repeated = [image for _ in range(rounds) for image in images]
            images = np.stack([self.apply_transform(i, self.draw(rng, i.shape)) for i in repeated])
        last = self.data_format == "channels_last"
        self._scaling.fit(images, (0, 1, 2) if last else (0, 2, 3))


def _rng(function: str, seed: object) -> np.random.RandomState:
    if seed is None:
        return np.random.RandomState(int(new_generator().integers(2**32)))
    return np.random.RandomState(checked_seed(function, seed))


def _refuse_saving(function: str, save_to_dir: object) -> None:
    if save_to_dir is not None:
        hint = "None: save the images of a batch by fastconv.utils.save_img"
        raise value_error(function, "save_to_dir", hint, describe(save_to_dir))
