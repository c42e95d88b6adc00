"""What Keras has in ``keras.preprocessing.image``: the generator of batches, and single images."""

from .directory import DirectoryIterator
from .generator import ImageDataGenerator
from .iterator import Iterator
from .numpy_iterator import NumpyArrayIterator
from .pictures import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "DirectoryIterator",
    "ImageDataGenerator",
    "Iterator",
    "NumpyArrayIterator",
    "array_to_img",
    "img_to_array",
    "load_img",
    "save_img",
]
