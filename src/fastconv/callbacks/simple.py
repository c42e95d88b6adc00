"""Callbacks that log to a file, set the learning rate, or stop at the first NaN."""

from __future__ import annotations

import csv
import inspect
import math
import os
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from ..errors import describe, type_error
from ..geometry.plain import plain_flag, plain_int
from .base import Callback, Logs
from .monitor import plain_number


class CSVLogger(Callback):
    """Write the logs of each epoch to a file, a line an epoch.

    Parameters
    ----------
    filename : str or os.PathLike
        The file. Columns are ``epoch``, counted from 0, and the names of the first epoch's logs in
        alphabetical order; without validation in it, columns for one follow. What is missing in a
        line is ``NA``.
    separator : str
        Between columns.
    append : bool
        Whether to go on with a file that exists.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    OSError
        If the file can't be written, when training begins.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "log.csv")
    ...     logger = CSVLogger(path)
    ...     logger.on_train_begin()
    ...     logger.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
    ...     logger.on_train_end()
    ...     with open(path) as file:
    ...         print(file.read(), end="")
    epoch,loss,val_loss
    0,0.5,0.75
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(filename, (str, os.PathLike)):
            raise type_error("CSVLogger", "filename", "a path", describe(filename))
        if not isinstance(separator, str) or len(separator) != 1:
            raise type_error("CSVLogger", "separator", "a single character", describe(separator))
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = plain_flag("CSVLogger", "append", append)
        self.keys: list[str] | None = None
        self._file: TextIO | None = None
        self._writer: Any = None
        self._header = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.on_train_end()
        filled = os.path.exists(self.filename) and os.path.getsize(self.filename) > 0
        self._header = not (self.append and filled)
        whole = not (self.append and filled) or _ends_a_line(self.filename)
        self._file = open(self.filename, "a" if self.append else "w", newline="")  # noqa: SIM115
        if not whole:  # a line that a full disk, say, cut off
            self._file.write("\n")
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self._file is None:
            self.on_train_begin()
        assert self._file is not None
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(name.startswith("val_") for name in self.keys):
                self.keys += [f"val_{name}" for name in self.keys]
            self._writer = csv.writer(self._file, delimiter=self.sep, lineterminator="\n")
            if self._header:
                self._writer.writerow(["epoch", *self.keys])
        self._writer.writerow([epoch, *(logs.get(name, "NA") for name in self.keys)])
        # Whoever follows a long training reads the file while it is written.
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of each epoch; the logs get it as ``learning_rate``.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``, which returns the new rate.
    verbose : int
        1 prints it.

    Raises
    ------
    TypeError
        If `schedule` can't be called, or doesn't return a number.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0))
    >>> scheduler = LearningRateScheduler(lambda epoch, rate: rate / 2)
    >>> scheduler.set_model(model)
    >>> scheduler.on_epoch_begin(0)
    >>> model.optimizer.learning_rate
    0.5
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise type_error("LearningRateScheduler", "schedule", "a function", describe(schedule))
        self.schedule = schedule
        self._takes_rate = _takes_two(schedule)
        self.verbose = plain_int("LearningRateScheduler", "verbose", verbose, "0 or 1")

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        old = (float(optimizer.learning_rate),) if self._takes_rate else ()
        rate = self.schedule(epoch, *old)
        optimizer.learning_rate = plain_number(type(self).__name__, "schedule's result", rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class TerminateOnNaN(Callback):
    """End training when the loss of a batch is NaN or infinite.

    Parameters
    ----------
    raise_error : bool
        Whether to raise RuntimeError rather than to set ``model.stop_training``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> callback = TerminateOnNaN()
    >>> callback.set_model(SimpleNamespace(stop_training=False))
    >>> callback.on_train_batch_end(7, {"loss": float("nan")})
    Batch 7: the loss is nan, training ends
    >>> callback.model.stop_training
    True
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = plain_flag("TerminateOnNaN", "raise_error", raise_error)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(np.float64(loss)):
            return
        if self.raise_error:
            raise RuntimeError(f"TerminateOnNaN: the loss of batch {batch} is {loss}")
        print(f"Batch {batch}: the loss is {loss}, training ends")
        self.model.stop_training = True


def _ends_a_line(filename: str) -> bool:
    with open(filename, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _takes_two(function: Callable[..., Any]) -> bool:
    """Return whether a function takes two arguments; without calling it, for it may raise too."""
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:
        # A builtin that doesn't say.
        return True
    return True
