"""Callback, the list that calls them all, and the history it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import describe, type_error

Logs = dict[str, Any]

_EVENTS = (
    *("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end"),
    *(
        f"on_{phase}{part}_{edge}"
        for phase in ("train", "test", "predict")
        for part in ("", "_batch")
        for edge in ("begin", "end")
    ),
)


class Callback:
    """What is told how training goes: a subclass defines the methods it cares for.

    ``logs`` are dicts of floats: the loss and metrics so far of a batch, and at the end of an epoch
    those of the validation too, their names preceded by ``val_``. What a callback adds to the logs
    of an epoch's end is seen by those after it.

    Attributes
    ----------
    model : object
        The model; ``model.stop_training = True`` ends training after the epoch.
    params : dict
        ``"verbose"``, ``"epochs"`` and ``"steps"``, the number of batches.

    Examples
    --------
    >>> class Count(Callback):
    ...     batches = 0
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         self.batches += 1
    >>> count = Count()
    >>> CallbackList([count]).on_train_batch_end(0)
    >>> count.batches
    1
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] | None = None
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def set_model(self, model: Any) -> None:
        """Take note of the model."""
        self._model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take note of verbose, epochs and steps."""
        self.params = params

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Be told that an epoch of training begins; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Be told that an epoch of training, and its validation, is over."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Be told what `on_train_batch_begin` is, if that is not defined."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Be told what `on_train_batch_end` is, if that is not defined."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Be told that a batch of training begins; the first of an epoch is 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Be told that a batch of training is over."""
        self.on_batch_end(batch, logs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Be told that training begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Be told that training is over."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Be told that an evaluation, or a validation, begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Be told that an evaluation is over."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Be told that a batch of an evaluation begins."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Be told that a batch of an evaluation is over."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Be told that a prediction begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Be told that a prediction is over."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Be told that a batch of a prediction begins."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Be told that a batch of a prediction is over."""


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    **functions
        By the name of the method each stands for: ``on_epoch_end=lambda epoch, logs: ...``.

    Raises
    ------
    TypeError
        If there is no such method, or what is given can't be called.

    Examples
    --------
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> callback.on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    def __init__(self, **functions: Callable[..., Any] | None) -> None:
        super().__init__()
        for name, function in functions.items():
            if name not in _EVENTS:
                rule = "a method of Callback"
                raise type_error("LambdaCallback", name, rule, "another name")
            if function is None:
                continue
            if not callable(function):
                raise type_error("LambdaCallback", name, "a function", describe(function))
            setattr(self, name, function)


class History(Callback):
    """The logs of all epochs; what `fit` returns.

    Attributes
    ----------
    epoch : list of int
        The epochs of the last training.
    history : dict of str to list
        For each name in the logs its values, epoch by epoch.

    Examples
    --------
    >>> history = History()
    >>> history.on_train_begin()
    >>> history.on_epoch_end(0, {"loss": 0.5})
    >>> history.history
    {'loss': [0.5]}
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        if self.model is not None:
            self.model.history = self


class CallbackList(Callback):
    """Callbacks that are told everything in turn.

    Parameters
    ----------
    callbacks : Callback or sequence of Callback, optional
        They are told in this order.
    add_history, add_progbar : bool
        Whether a History and a ProgbarLogger follow, unless there is one already.
    model : object, optional
        The model.
    **params
        For `Callback.set_params`.

    Raises
    ------
    TypeError
        If something in the list is no Callback.

    Examples
    --------
    >>> callbacks = CallbackList(add_history=True)
    >>> [type(callback).__name__ for callback in callbacks.callbacks]
    ['History']
    """

    def __init__(
        self,
        callbacks: Callback | Sequence[Any] | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks = _flat(callbacks)
        if add_history and not any(isinstance(each, History) for each in self.callbacks):
            self.callbacks.append(History())
        if add_progbar:
            from .progress import ProgbarLogger

            if not any(isinstance(each, ProgbarLogger) for each in self.callbacks):
                self.callbacks.append(ProgbarLogger())
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def append(self, callback: Callback) -> None:
        """Add a callback at the end."""
        self.callbacks.extend(_flat(callback))

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            if isinstance(callback, History):
                model.history = callback
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_batch_begin(batch, logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_batch_end(batch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_begin(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_end(logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_begin(logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_end(logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_batch_begin(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_batch_end(batch, logs)


def _flat(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    if isinstance(callbacks, (list, tuple)):
        return [inner for item in callbacks for inner in _flat(item)]
    if not isinstance(callbacks, Callback):
        rule = "a Callback or a list of them"
        raise type_error("CallbackList", "callbacks", rule, describe(callbacks))
    return [callbacks]
