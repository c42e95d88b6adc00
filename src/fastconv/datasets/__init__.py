"""Data sets: CIFAR-10 as arrays, Kaggle's cats and dogs as folders."""

from . import cats_vs_dogs, cifar10

__all__ = ["cats_vs_dogs", "cifar10"]
