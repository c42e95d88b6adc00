"""Callbacks that watch one number of the logs: whether it still becomes better."""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..geometry.plain import plain_flag, plain_int, plain_real, plain_word
from ..metrics import direction_of
from .base import Callback, Logs


class MonitorCallback(Callback):
    """Base of the callbacks that watch one number of the logs.

    Parameters
    ----------
    monitor : str
        Its name in the logs.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" knows it of losses and of the model's metrics.
    baseline : float, optional
        What counts as the best value before there is one.
    min_delta : float
        By how much a value must be better to count as better.

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong kind; in "auto", at the end of the first epoch, if what is
        watched is of an unknown name.

    Examples
    --------
    >>> MonitorCallback("val_loss").is_improvement(0.5, 0.75)
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        if not isinstance(monitor, str):
            raise type_error(kind, "monitor", "a name in the logs", describe(monitor))
        self.monitor = monitor
        self.mode = plain_word(kind, "mode", mode, ("auto", "min", "max"))
        self.best = None if baseline is None else plain_number(kind, "baseline", baseline)
        self.min_delta = abs(plain_number(kind, "min_delta", min_delta))
        self._sign = {"min": -1.0, "max": 1.0}.get(self.mode)

    def is_improvement(self, value: float, reference: float | None) -> bool:
        """Return whether `value` is better than `reference`, by more than `min_delta`."""
        if self._sign is None:
            self._sign = self._known_sign()
        if reference is None:
            return True
        if math.isnan(reference):
            # Nothing is above or below NaN: once it was the best, it would remain so for ever.
            return not math.isnan(value)
        return bool(self._sign * value - self.min_delta > self._sign * reference)

    def _known_sign(self) -> float:
        name = self.monitor.removeprefix("val_")
        direction = direction_of(name)
        if direction is None and name.endswith("_loss"):
            direction = "down"
        for metric in getattr(self.model, "metrics", None) or ():
            own = getattr(metric, "name", None)
            # With several outputs the output's name precedes.
            if own is not None and (name == own or name.endswith(f"_{own}")):
                direction = getattr(metric, "direction", None) or direction
        if direction is None:
            rule = f"'min' or 'max' to watch {self.monitor}"
            raise value_error(type(self).__name__, "mode", rule, "'auto'")
        return 1.0 if direction == "up" else -1.0

    def monitored(self, logs: Logs | None) -> float | None:
        """Return the number that is watched; if it isn't there, warn and return None."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            there = ", ".join(logs or {}) or "nothing"
            message = f"{type(self).__name__}: no {self.monitor!r} in the logs, but {there}"
            warnings.warn(message, stacklevel=3)
        return value


class EarlyStopping(MonitorCallback):
    """End training when a number has not become better for some epochs.

    Parameters
    ----------
    monitor : str
        The number's name in the logs.
    min_delta : float
        By how much it must be better to count as better.
    patience : int
        For how many epochs it may fail to become better.
    verbose : int
        1 prints when and why.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better.
    baseline : float, optional
        What must be beaten within `patience` epochs.
    restore_best_weights : bool
        Whether the model gets the weights of the best epoch back at the end of training.
    start_from_epoch : int
        Epochs before this one don't count.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong kind.

    Notes
    -----
    Prechelt, "Early stopping - but when?" (1998).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(stop_training=False)
    >>> stopping = EarlyStopping(patience=1)
    >>> stopping.set_model(model)
    >>> stopping.on_train_begin()
    >>> for epoch, loss in enumerate([0.5, 0.75]):
    ...     stopping.on_epoch_end(epoch, {"val_loss": loss})
    >>> model.stop_training
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, baseline, min_delta)
        kind = type(self).__name__
        self.baseline = self.best
        self.patience = _count(kind, "patience", patience)
        self.verbose = _count(kind, "verbose", verbose)
        self.restore_best_weights = plain_flag(kind, "restore_best_weights", restore_best_weights)
        self.start_from_epoch = _count(kind, "start_from_epoch", start_from_epoch)
        self._reset()

    def _reset(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.monitored(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        better = self.is_improvement(current, self.best)
        if better:
            self.best, self.best_epoch = current, epoch
            if self.baseline is None or self.is_improvement(current, self.baseline):
                self.wait = 0
        if better and self.restore_best_weights:
            self.best_weights = self.model.get_weights()
        if not better and self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Back to the weights of epoch {self.best_epoch + 1}, the best")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Lower the learning rate when a number has not become better for some epochs.

    Parameters
    ----------
    monitor : str
        The number's name in the logs.
    factor : float
        Below 1: what the learning rate is multiplied by.
    patience : int
        For how many epochs the number may fail to become better.
    verbose : int
        1 prints when.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better.
    min_delta : float
        By how much it must be better to count as better.
    cooldown : int
        How many epochs after a reduction don't count.
    min_lr : float
        The lowest learning rate.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong kind.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0))
    >>> callback = ReduceLROnPlateau(factor=0.5, patience=1)
    >>> callback.set_model(model)
    >>> for epoch, loss in enumerate([0.5, 0.75]):
    ...     callback.on_epoch_end(epoch, {"val_loss": loss})
    >>> model.optimizer.learning_rate
    0.5
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, None, min_delta)
        kind = type(self).__name__
        self.factor = plain_number(kind, "factor", factor)
        if not 0 <= self.factor < 1:
            raise value_error(kind, "factor", "a number from 0 to below 1", describe(factor))
        self.patience = _count(kind, "patience", patience)
        self.verbose = _count(kind, "verbose", verbose)
        self.cooldown = _count(kind, "cooldown", cooldown)
        self.min_lr = plain_number(kind, "min_lr", min_lr)
        self.cooldown_counter = self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.cooldown_counter = self.wait = 0

    def in_cooldown(self) -> bool:
        """Return whether epochs don't count now."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = self.monitored(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(current, self.best):
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        old = float(optimizer.learning_rate)
        if old > self.min_lr:
            optimizer.learning_rate = max(old * self.factor, self.min_lr)
            self.cooldown_counter, self.wait = self.cooldown, 0
            if self.verbose:
                print(f"Epoch {epoch + 1}: learning rate {old:g} -> {optimizer.learning_rate:g}")


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, as training goes on.

    Parameters
    ----------
    filepath : str or os.PathLike
        Where to; ``{epoch}``, ``{batch}`` and names of the logs are replaced, with format
        specifications if wanted: ``"{epoch:02d}-{val_loss:.2f}.keras"``. Epochs count from 1.
        Missing directories are made.
    monitor : str
        What decides which is the best.
    verbose : int
        1 prints what is saved.
    save_best_only : bool
        Whether to save only when the number watched is the best so far.
    save_weights_only : bool
        Whether to call ``model.save_weights`` rather than ``model.save``.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better.
    save_freq : "epoch" or int
        When: at the end of each epoch, or after so many batches.
    initial_value_threshold : float, optional
        What the first value must be better than.

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong kind: of Keras's endings ``.weights.h5`` is for weights,
        ``.keras`` and ``.h5`` are for whole models. Any other is fastconv's own.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> checkpoint = ModelCheckpoint("{epoch}-{loss:.1f}.keras")
    >>> checkpoint.set_model(SimpleNamespace(save=print))
    >>> checkpoint.on_epoch_end(0, {"loss": 0.25})
    1-0.2.keras
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        kind = type(self).__name__
        if not isinstance(filepath, (str, os.PathLike)):
            raise type_error(kind, "filepath", "a path", describe(filepath))
        self.filepath = os.fspath(filepath)
        self.verbose = _count(kind, "verbose", verbose)
        self.save_best_only = plain_flag(kind, "save_best_only", save_best_only)
        self.save_weights_only = plain_flag(kind, "save_weights_only", save_weights_only)
        whole = not self.filepath.endswith(".weights.h5")
        if self.save_weights_only == whole and self.filepath.endswith((".keras", ".h5")):
            rule = "a path that ends in .weights.h5 where weights alone are saved, else not"
            raise value_error(kind, "filepath", rule, describe(self.filepath))
        self.save_freq = save_freq
        if save_freq != "epoch" and _count(kind, "save_freq", save_freq) < 1:
            raise value_error(kind, "save_freq", "'epoch' or an int of at least 1", save_freq)
        self._epoch = self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq != "epoch":
            self._batches += 1
            if self._batches >= int(self.save_freq):
                self._batches = 0
                self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, dict(logs or {}))

    def _save(self, epoch: int, names: dict[str, Any]) -> None:
        if self.save_best_only:
            # Without the number (there is a warning) rather a model too many than none.
            current = self.monitored(names)
            if current is not None:
                if not self.is_improvement(current, self.best):
                    return
                self.best = current
        try:
            path = self.filepath.format(**{**names, "epoch": epoch + 1})
        except (KeyError, IndexError, ValueError) as error:
            rule = "a format of epoch, batch and names of the logs"
            raise value_error(type(self).__name__, "filepath", rule, self.filepath) from error
        directory = os.path.dirname(path)
        if directory:
            os.makedirs(directory, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


def plain_number(kind: str, argument: str, value: Any) -> float:
    """Return `value`, which must be a finite number, as a float."""
    rule = "a finite number"
    number = plain_real(kind, argument, value, rule)
    if not math.isfinite(number):
        raise value_error(kind, argument, rule, describe(value))
    return number


def _count(kind: str, argument: str, value: Any) -> int:
    rule = "an int of at least 0"
    if isinstance(value, (bool, np.bool_)):
        value = int(value)
    number = plain_int(kind, argument, value, rule)
    if number < 0:
        raise value_error(kind, argument, rule, describe(value))
    return number
