"""Images from files, folders and arrays, in batches and as Keras has them."""

from . import image
from .dataset import image_dataset_from_directory

__all__ = ["image", "image_dataset_from_directory"]
