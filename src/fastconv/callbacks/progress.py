"""How far training is, on the terminal: by tqdm where it is installed, else in plain lines."""

from __future__ import annotations

import sys
from importlib import import_module
from time import perf_counter
from typing import Any

from .base import Callback, Logs

# Seconds between two pictures of the bar: drawing one takes longer than a small model's batch.
REFRESH = 0.1
# Without batches a second: loss and metrics shall find room in 80 columns.
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class ProgbarLogger(Callback):
    """Show loss and metrics as they come.

    The model's ``verbose`` decides: 0 shows nothing, 1 a bar for each epoch, 2 one line. Bars are
    tqdm's and go to standard error; without tqdm, 1 is as 2. Lines go to standard output.

    Examples
    --------
    >>> progress = ProgbarLogger()
    >>> progress.set_params({"verbose": 2, "epochs": 3, "steps": 10})
    >>> progress.on_train_begin()
    >>> progress.on_epoch_begin(0)
    >>> progress.on_epoch_end(0, {"loss": 0.5, "acc": 0.75})  # doctest: +ELLIPSIS
    Epoch 1/3 - ...s - loss: 0.5000 - acc: 0.7500
    """

    def __init__(self) -> None:
        super().__init__()
        self.verbose = 1
        self.epochs = 1
        self.target: int | None = None
        self._training = False
        self._bar: Any = None
        self._title = ""
        self._logs: Logs | None = None
        self._seen = self._drawn = 0
        self._start = self._last = 0.0

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs = params.get("epochs") or 1
        self.target = params.get("steps")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._training = False
        self._close()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._open(f"Epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._training:
            self._open("Evaluate")
        elif self._bar is not None:
            # A validation takes a while: the bar must not wait just short of its end.
            self._draw(self._logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._training:
            self._update(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._training:
            self._finish(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._open("Predict")

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish(None)

    def _open(self, title: str) -> None:
        self._close()
        self._title = title
        self._seen = self._drawn = 0
        self._start = self._last = perf_counter()
        if self.verbose == 1:
            kind = _bar_class()
            if kind is not None:
                # It draws when told to; its own rules of when are replaced by REFRESH.
                self._bar = kind(
                    desc=title,
                    total=self.target,
                    unit="batch",
                    bar_format=_FORMAT if self.target else None,
                    file=sys.stderr,
                    dynamic_ncols=True,
                    mininterval=0,
                    miniters=1,
                )

    def _update(self, batch: int, logs: Logs | None) -> None:
        self._seen = batch + 1
        if self._bar is not None:
            self._logs = logs
            now = perf_counter()
            if now - self._last >= REFRESH:
                self._last = now
                self._draw(logs)

    def _draw(self, logs: Logs | None) -> None:
        self._bar.set_postfix_str(_text(logs, "=", ", "), refresh=False)
        self._bar.update(self._seen - self._drawn)
        self._drawn = self._seen

    def _finish(self, logs: Logs | None) -> None:
        if self._bar is not None:
            # The last picture stays, and isn't cut at the terminal's width: it has the validation.
            self._bar.dynamic_ncols = self._bar.ncols = None
            self._draw(logs)
            # That draws too, also if no batch was to be added.
            self._close()
        elif self.verbose:
            seconds = f"{perf_counter() - self._start:.1f}s"
            text = _text(logs, ": ", " - ")
            print(" - ".join(filter(None, [self._title, seconds, text])), flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _bar_class() -> Any:
    """Return tqdm's bar, without the thread that it would start to watch slow bars; or None."""
    try:
        tqdm = import_module("tqdm")
    except ImportError:
        return None
    return type("Bar", (tqdm.tqdm,), {"monitor_interval": 0})


def _text(logs: Logs | None, equals: str, comma: str) -> str:
    return comma.join(f"{name}{equals}{_number(value)}" for name, value in (logs or {}).items())


def _number(value: Any) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return f"{number:.4f}" if number == 0 or 1e-3 <= abs(number) < 1e6 else f"{number:.4e}"
