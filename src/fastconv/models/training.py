"""compile, fit, evaluate, predict: what a model does with data."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import callbacks as callbacks_module
from .. import optimizers
from ..errors import value_error
from ..geometry import plain_flag, plain_int
from ..layers import Training
from ..layers.base import positive_int
from ..memory import Recycler, recycles
from ..random import new_generator
from .compiled import Compiled
from .data import ArrayData
from .feeding import Feeding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..layers import Layer
    from ..layers.base import Array
    from .data import Batch, Data


class Trainer(Feeding):
    """The part of a model that learns and judges; `Model` is the other part."""

    # what Model has
    forward: Any
    prepared: Any
    structured: Any
    weight_gradients: Any
    trainable_weights: Any
    output_names: Any

    optimizer: Any = None
    loss: Any = None
    stop_training = False
    history: Any = None
    _compiled: Compiled | None = None
    _generator: np.random.Generator | None = None
    _memory: Recycler | None = None
    _seeded: dict[Layer, np.random.Generator] | None = None

    # ------------------------------------------------------------------------------ compile

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Say how the model is trained and judged.

        Parameters
        ----------
        optimizer : str or Optimizer
            See `fastconv.optimizers`.
        loss : str, Loss, or a list or dict of them
            See `fastconv.losses`; one for all outputs, or one for each, None for those that are
            not trained on.
        loss_weights : list or dict of float, optional
            What the losses of several outputs are multiplied by.
        metrics, weighted_metrics : list, optional
            Names or objects, see `fastconv.metrics`; lists or a dict of them for several outputs.
            The second kind is weighted as the loss is.

        Raises
        ------
        ValueError, TypeError
            If there is no such optimizer, loss or metric.

        Examples
        --------
        >>> from fastconv.layers import Dense
        >>> from fastconv.models import Sequential
        >>> model = Sequential([Dense(1, input_shape=(3,))])
        >>> model.compile("sgd", loss="mse", metrics=["mae"])
        """
        self.optimizer = optimizers.get(optimizer)
        self._compiled = Compiled(loss, loss_weights, metrics, weighted_metrics)
        self.loss = loss

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    @property
    def metrics(self) -> list[Any]:
        """The metrics' objects, once data were seen."""
        return [] if self._compiled is None else [entry[2] for entry in self._compiled.metrics]

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns."""
        return self._need_compiled("metrics_names").names()

    def reset_metrics(self) -> None:
        """Begin the averages of loss and metrics anew."""
        self._need_compiled("reset_metrics").reset()

    def _need_compiled(self, function: str) -> Compiled:
        if self._compiled is None:
            raise ValueError(f"{function}: call compile first")
        return self._compiled

    # ---------------------------------------------------------------------------------- fit

    @recycles(until_it_returns=True)
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> Any:
        """Train.

        Parameters
        ----------
        x, y : array_like, or lists or dicts of them
            Samples and what is wanted of them. Or x alone: a generator, a sequence of batches, a
            data set, which yields (x, y) or (x, y, sample_weight).
        batch_size : int, optional
            Samples a step; by default 32.
        epochs : int
            How many times through the data; those before `initial_epoch` are left out.
        verbose : {"auto", 0, 1, 2}
            0 is silent, 1 (and "auto") a progress line, 2 one line an epoch.
        callbacks : list of Callback, optional
            See `fastconv.callbacks`.
        validation_split : float
            The share of the samples, the last ones, that are not trained on but judged.
        validation_data : tuple or iterable, optional
            (x, y) or (x, y, sample_weight), or batches, judged after each `validation_freq` epochs.
        shuffle : bool
            Whether the samples are mixed anew each epoch; iterables have their own order.
        class_weight : dict from int to float, optional
            What the loss of samples of a class is multiplied by.
        sample_weight : array_like, optional
            What the loss of each sample is multiplied by.
        initial_epoch : int
            The number of the first epoch.
        steps_per_epoch, validation_steps : int, optional
            Batches an epoch, and of the validation; by default all there are.
        validation_batch_size : int, optional
            By default `batch_size`.
        validation_freq : int
            Every which epoch is followed by a validation.

        Returns
        -------
        History
            Its ``history`` has a list a metric, one number an epoch.

        Raises
        ------
        ValueError, TypeError
            If the data do not suit the model, or an argument is none of these.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv.layers import Dense
        >>> from fastconv.models import Sequential
        >>> model = Sequential([Dense(1, input_shape=(1,), kernel_initializer="zeros")])
        >>> model.compile("rmsprop", loss="mse")
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> history = model.fit(x, 2 * x + 1, epochs=1000, verbose=0)
        >>> bool(history.history["loss"][-1] < 0.1 * history.history["loss"][0])
        True
        """
        compiled = self._need_compiled("fit")
        epochs = positive_int("fit", "epochs", epochs)
        initial_epoch = plain_int("fit", "initial_epoch", initial_epoch, "an int")
        validation_freq = positive_int("fit", "validation_freq", validation_freq)
        plain_flag("fit", "shuffle", shuffle)
        data, held = self._training_data(
            x, y, batch_size, sample_weight, class_weight, steps_per_epoch, validation_split
        )
        if validation_data is not None:
            held = self._validation_data(
                validation_data,
                batch_size if validation_batch_size is None else validation_batch_size,
                validation_steps,
            )
        elif isinstance(held, ArrayData):
            if validation_batch_size is not None:
                size = positive_int("fit", "validation_batch_size", validation_batch_size)
                held.batch_size = size
            if validation_steps is not None:
                held.limit = positive_int("fit", "validation_steps", validation_steps)
        watchers = callbacks_module.CallbackList(
            callbacks, add_history=True, add_progbar=_speaks(verbose), model=self,
            verbose=_verbosity(verbose), epochs=epochs, steps=data.steps,
        )  # fmt: skip
        self.stop_training = False
        training = self._training()
        watchers.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(initial_epoch, epochs):
            watchers.on_epoch_begin(epoch)
            order = training.generator if shuffle else None
            if not self._run_epoch(data, order, training, watchers):
                if epoch == initial_epoch:
                    raise ValueError("fit: there is no data in x")
                warnings.warn(f"fit: x has no data for epoch {epoch + 1}", stacklevel=2)
                break
            logs = compiled.results()
            if held is not None and (epoch + 1) % validation_freq == 0:
                judged = self._judge(held, watchers)
                logs = {**logs, **{f"val_{name}": value for name, value in judged.items()}}
                compiled.reset()
            watchers.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        watchers.on_train_end(logs)
        return self.history

    def _run_epoch(self, data: Data, order: Any, training: Training, watchers: Any) -> int:
        """Train on the batches of an epoch, and return how many there were."""
        compiled = self._need_compiled("fit")
        compiled.reset()
        steps = 0
        for batch in data.batches(order):
            watchers.on_train_batch_begin(steps)
            self._train_step(batch, training)
            watchers.on_train_batch_end(steps, compiled.results())
            steps += 1
            if self.stop_training:
                break
        return steps

    def _train_step(self, batch: Batch, training: Training) -> None:
        compiled = self._need_compiled("fit")
        x, y, weights = batch
        if y is None:
            raise value_error("fit", "y", "what is wanted of the samples", "None")
        outputs, saved = self.forward(self._taken("fit", x), training)
        single = not isinstance(outputs, list)
        grads = compiled.update(y, [outputs] if single else outputs, weights, self.output_names)
        found = self.weight_gradients(grads[0] if single else grads, saved)
        variables = self.trainable_weights
        if not self.optimizer.built:
            self.optimizer.build(variables)
        self.optimizer.apply(found, variables)

    def _training(self) -> Training:
        """Return the model's randomness: of shuffling and of dropout; saved with it."""
        if self._generator is None:
            self._generator = new_generator()
        return Training(self._generator, self._seeded_generators())

    def _seeded_generators(self) -> dict[Layer, np.random.Generator]:
        if self._seeded is None:
            self._seeded = {}
        return self._seeded

    # ----------------------------------------------------------------------------- evaluate

    @recycles(until_it_returns=True)
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss and the metrics of data.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks
            As of `fit`.
        steps : int, optional
            How many batches; by default all there are.
        return_dict : bool
            Whether names go with the numbers.

        Returns
        -------
        float, list of float or dict
            The loss; with metrics a list of it and of them, see `metrics_names`.

        Raises
        ------
        ValueError, TypeError
            If the data do not suit the model.
        """
        compiled = self._need_compiled("evaluate")
        data = self._data("evaluate", x, y, sample_weight, batch_size, steps)
        watchers = callbacks_module.CallbackList(
            callbacks, add_progbar=_speaks(verbose), model=self, verbose=_verbosity(verbose),
            epochs=1, steps=data.steps,
        )  # fmt: skip
        logs = self._judge(data, watchers)
        return logs if return_dict else compiled.listed(logs)

    def _judge(self, data: Data, watchers: Any) -> dict[str, float]:
        compiled = self._need_compiled("evaluate")
        compiled.reset()
        watchers.on_test_begin()
        step = -1
        for step, (x, y, weights) in enumerate(data.batches(None)):
            watchers.on_test_batch_begin(step)
            if y is None:
                raise value_error("evaluate", "y", "what is wanted of the samples", "None")
            outputs, _ = self.forward(self._taken("evaluate", x), None)
            single = not isinstance(outputs, list)
            compiled.update(
                y, [outputs] if single else outputs, weights, self.output_names, gradients=False
            )
            watchers.on_test_batch_end(step, compiled.results())
        if step < 0:
            raise ValueError("evaluate: there is no data in x")
        logs = compiled.results()
        watchers.on_test_end(logs)
        return logs

    # ------------------------------------------------------------------------------ predict

    @recycles(until_it_returns=True)
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Return the outputs for samples.

        Parameters
        ----------
        x : array_like, a list or dict of them, or batches
            The samples; of batches (x, y) only x is used.
        batch_size : int, optional
            Samples at a time; by default 32.
        verbose, callbacks
            As of `fit`.
        steps : int, optional
            How many batches; by default all there are.

        Returns
        -------
        ndarray, or a list or dict of them
            An array for each output, with the samples in front.

        Raises
        ------
        ValueError, TypeError
            If the data do not suit the model.
        """
        data = self._data("predict", x, None, None, batch_size, steps, targets=False)
        watchers = callbacks_module.CallbackList(
            callbacks, add_progbar=_speaks(verbose), model=self, verbose=_verbosity(verbose),
            epochs=1, steps=data.steps,
        )  # fmt: skip
        samples = data.samples if isinstance(data, ArrayData) and steps is None else None
        collected = _Collected(samples)
        watchers.on_predict_begin()
        compute: Any = None
        for step, (inputs, _, _) in enumerate(data.batches(None)):
            watchers.on_predict_batch_begin(step)
            taken = self._taken("predict", inputs)
            if compute is None:
                compute = self.prepared()
            outputs = compute(taken)
            collected.add(outputs if isinstance(outputs, list) else [outputs], len(inputs[0]))
            watchers.on_predict_batch_end(step)
        watchers.on_predict_end()
        return self.structured(collected.result())

    # -------------------------------------------------------------------------- one batch

    @recycles()
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one step of training on one batch, and return its loss and metrics.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As of `fit`.
        return_dict : bool
            Whether names go with the numbers.

        Returns
        -------
        float, list of float or dict
            As of `evaluate`, before the step.

        Raises
        ------
        ValueError, TypeError
            If the data do not suit the model.
        """
        compiled = self._need_compiled("train_on_batch")
        data = self._arrays("train_on_batch", x, y, sample_weight, None, class_weight)
        compiled.reset()
        batch = (data.x, data.y, data.weights)
        self._train_step(batch, self._training())
        logs = compiled.results()
        return logs if return_dict else compiled.listed(logs)

    @recycles()
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return the loss and metrics of one batch; see `evaluate`."""
        samples = self._arrays("test_on_batch", x, y, sample_weight, None).samples
        return self.evaluate(x, y, samples, 0, sample_weight, return_dict=return_dict)

    @recycles()
    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for one batch; see `predict`."""
        outputs, _ = self.forward(self._taken("predict_on_batch", self._listed_x(x)), None)
        return self.structured(outputs if isinstance(outputs, list) else [outputs])


class _Collected:
    """The outputs of batches, one after the other: written where they belong if that is known."""

    def __init__(self, samples: int | None) -> None:
        self.samples, self.done = samples, 0
        self.parts: list[list[Array]] = []
        self.whole: list[Array] = []

    def add(self, outputs: Sequence[Array], taken: int) -> None:
        """Take the outputs for as many samples as were `taken`."""
        if any(len(output) != taken for output in outputs):
            self.samples = None  # a layer joins samples, so nobody knows how many there will be
        if self.samples is None:
            self.parts.append(list(outputs))
            return
        if not self.whole:
            self.whole = [np.empty((self.samples, *o.shape[1:]), o.dtype) for o in outputs]
        count = len(outputs[0])
        for whole, output in zip(self.whole, outputs, strict=True):
            whole[self.done : self.done + count] = output
        self.done += count

    def result(self) -> list[Array]:
        if self.samples is None:
            self.whole = [np.concatenate(arrays) for arrays in zip(*self.parts, strict=True)]
        if not self.whole:
            raise ValueError("predict: there is no data in x")
        return self.whole


def _speaks(verbose: Any) -> bool:
    return _verbosity(verbose) != 0


def _verbosity(verbose: Any) -> int:
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    rule = "'auto', 0, 1 or 2"
    number = (
        int(verbose) if isinstance(verbose, bool) else plain_int("fit", "verbose", verbose, rule)
    )
    if number not in (0, 1, 2):
        raise value_error("fit", "verbose", rule, number)
    return number
