"""Callbacks: told by hand what a model would tell them; Keras's are told the same."""

import builtins
import csv
import math
import os
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from fastconv import callbacks, metrics


class Model:
    """What callbacks use of a model; the epoch stands for the weights."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = SimpleNamespace(learning_rate=1.0)
        self.weights = []
        self.saved = []
        self.metrics = []

    def get_weights(self):
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path, overwrite=True):
        self.saved.append(path)

    def save_weights(self, path, overwrite=True):
        self.saved.append(("weights", path))


def told(callback, logs, model=None):
    """Tell a callback of epochs with these logs until it stops the model; return the model."""
    model = model or Model()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, each in enumerate(logs):
        callback.on_epoch_begin(epoch)
        model.weights = [np.array(epoch)]
        callback.on_epoch_end(epoch, each)
        if model.stop_training:
            break
    callback.on_train_end()
    return model


def losses(*values):
    return [{"val_loss": value} for value in values]


@pytest.fixture
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="the rules are compared with Keras's")


def test_every_event_reaches_every_callback():
    events = []

    class All(callbacks.Callback):
        pass

    def listener(name):
        return lambda self, *arguments, **named: events.append((name, arguments))

    names = [name for name in vars(callbacks.Callback) if name.startswith("on_")]
    assert len(names) == 16
    for name in names:
        setattr(All, name, listener(name))
    both = callbacks.CallbackList([All(), [All()]])
    for name in names:
        logs = {"loss": 1.0}
        arguments = (logs,) if name.split("_")[1:] in _EDGES else (3, logs)
        getattr(both, name)(*arguments)
        assert events == [(name, arguments)] * 2
        events.clear()


_EDGES = [[phase, edge] for phase in ("train", "test", "predict") for edge in ("begin", "end")]


def test_a_list_adds_what_is_missing():
    model = Model()
    own = callbacks.History()
    both = callbacks.CallbackList([own], add_history=True, add_progbar=True, model=model, epochs=3)
    kinds = [type(each).__name__ for each in both.callbacks]
    assert kinds == ["History", "ProgbarLogger"]
    assert model.history is own
    assert own.model is model
    assert own.params == {"epochs": 3}
    with pytest.raises(TypeError, match="callbacks must be a Callback or a list of them"):
        callbacks.CallbackList([3])


def test_logs_added_by_one_are_seen_by_the_next():
    model = Model()
    scheduler = callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch)
    both = callbacks.CallbackList([scheduler], add_history=True, model=model)
    both.on_train_begin()
    for epoch in range(3):
        both.on_epoch_begin(epoch)
        both.on_epoch_end(epoch, {"loss": 1.0})
    assert model.history.history == {"loss": [1.0] * 3, "learning_rate": [1.0, 0.5, 0.25]}
    assert model.history.epoch == [0, 1, 2]


def test_lambda():
    seen = []
    callback = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch), on_epoch_end=None
    )
    callbacks.CallbackList(callback).on_train_batch_end(4, {})
    assert seen == [4]
    with pytest.raises(TypeError, match="on_epoch must be a method of Callback"):
        callbacks.LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got 3"):
        callbacks.LambdaCallback(on_epoch_end=3)


STOPPING = [
    {"patience": 2},
    {"patience": 0},
    {"patience": 2, "min_delta": 0.1},
    {"patience": 1, "mode": "max"},
    {"patience": 3, "baseline": 0.35},
    {"patience": 1, "start_from_epoch": 4},
    {"patience": 2, "restore_best_weights": True},
    {"patience": 20, "restore_best_weights": True},
]


@pytest.mark.parametrize("options", STOPPING)
def test_early_stopping_as_keras(keras, options):
    rng = np.random.default_rng(8)
    for _ in range(20):
        logs = losses(*rng.uniform(0.3, 1, 12).round(1))
        ours = callbacks.EarlyStopping(**options)
        theirs = keras.callbacks.EarlyStopping(**options)
        one, other = told(ours, logs), told(theirs, logs)
        assert one.stop_training == other.stop_training
        assert ours.stopped_epoch == theirs.stopped_epoch
        assert ours.best == theirs.best
        assert one.weights == other.weights


def test_early_stopping_beyond_a_nan():
    """To Keras a NaN at first is the best for ever."""
    stopping = callbacks.EarlyStopping(patience=2)
    assert not told(stopping, losses(math.nan, 0.5, 0.4, 0.3, 0.2)).stop_training
    assert told(callbacks.EarlyStopping(patience=2), losses(*[math.nan] * 5)).stop_training


def test_early_stopping_says_so(capsys):
    told(callbacks.EarlyStopping(verbose=1, restore_best_weights=True), losses(0.5, 0.6))
    lines = ["Epoch 2: early stopping", "Back to the weights of epoch 1, the best"]
    assert capsys.readouterr().out.splitlines() == lines
    with pytest.warns(UserWarning, match="EarlyStopping: no 'val_loss' in the logs, but loss"):
        told(callbacks.EarlyStopping(), [{"loss": 1.0}])


def test_the_direction_is_known_of_metrics():
    def direction(monitor, model=None):
        callback = callbacks.MonitorCallback(monitor)
        callback.set_model(model or Model())
        return 1 if callback.is_improvement(2.0, 1.0) else -1

    assert direction("val_accuracy") == direction("acc") == 1
    assert direction("val_loss") == direction("val_mse") == -1
    model = Model()
    model.metrics = [metrics.BinaryAccuracy(name="hits"), metrics.MeanSquaredError(name="misses")]
    assert direction("val_hits", model) == 1
    assert direction("misses", model) == -1
    assert direction("val_left_hits", model) == 1
    assert direction("val_left_loss") == -1
    with pytest.raises(ValueError, match="mode must be 'min' or 'max' to watch val_mood"):
        direction("val_mood")


def test_checkpoints_by_epoch(tmp_path):
    path = tmp_path / "deep" / "{epoch:02d}-{val_loss:.2f}.keras"
    model = told(callbacks.ModelCheckpoint(path), losses(0.5, 0.75))
    directory = str(tmp_path / "deep")
    assert model.saved == [f"{directory}/01-0.50.keras", f"{directory}/02-0.75.keras"]
    assert os.path.isdir(directory)


def test_checkpoints_of_the_best(capsys):
    options = {"save_best_only": True, "save_weights_only": True, "verbose": 1}
    logs = losses(0.5, 0.6, 0.4, 0.4, 0.3)
    model = told(callbacks.ModelCheckpoint("{epoch}.weights.h5", **options), logs)
    assert model.saved == [("weights", f"{epoch}.weights.h5") for epoch in (1, 3, 5)]
    assert capsys.readouterr().out.splitlines()[1] == "Epoch 3: saved 3.weights.h5"
    best = callbacks.ModelCheckpoint(
        "best.keras", monitor="acc", save_best_only=True, initial_value_threshold=0.5
    )
    assert told(best, [{"acc": 0.4}, {"acc": 0.6}]).saved == ["best.keras"]
    with pytest.warns(UserWarning, match="no 'val_loss'"):
        saved = told(callbacks.ModelCheckpoint("m.keras", save_best_only=True), [{"loss": 1.0}])
    assert saved.saved == ["m.keras"]


def test_checkpoints_by_batches():
    callback = callbacks.ModelCheckpoint("{epoch}-{batch}.keras", save_freq=3)
    model = Model()
    callback.set_model(model)
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            callback.on_train_batch_end(batch, {"loss": 1.0})
        callback.on_epoch_end(epoch, {"loss": 1.0})
    assert model.saved == ["1-3.keras", "2-2.keras"]


@pytest.mark.parametrize("verbose", [0, 1])
def test_reduce_on_plateau_as_keras(keras, verbose, capsys):
    rng = np.random.default_rng(9)
    for options in ({"patience": 1}, {"patience": 2, "cooldown": 2}, {"min_lr": 0.2}):
        options = {"factor": 0.5, "patience": 1, "verbose": verbose, **options}
        logs = losses(*rng.uniform(0, 1, 15))
        copies = [dict(each) for each in logs]
        one = told(callbacks.ReduceLROnPlateau(**options), logs)
        other = told(keras.callbacks.ReduceLROnPlateau(**options), copies)
        assert one.optimizer.learning_rate == pytest.approx(float(other.optimizer.learning_rate))
        assert logs == copies
    assert bool(capsys.readouterr().out) == bool(verbose)


def test_csv_goes_on_below_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "log.csv"
    told(callbacks.CSVLogger(path), [{"loss": 0.5}])
    path.write_bytes(path.read_bytes() + b"1,0.")
    told(callbacks.CSVLogger(path, append=True), [{"loss": 0.25}])
    assert path.read_text().splitlines()[-2:] == ["1,0.", "0,0.25,NA"]


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv(tmp_path, separator):
    path = tmp_path / "log.csv"
    logs = [{"loss": 0.5, "acc": np.float32(0.25)}, {"loss": 0.4, "acc": 0.5, "val_loss": 0.75}]
    told(callbacks.CSVLogger(path, separator), logs)
    told(callbacks.CSVLogger(path, separator, append=True), logs[:1])
    rows = list(csv.reader(path.open(newline=""), delimiter=separator))
    assert rows == [
        ["epoch", "acc", "loss", "val_acc", "val_loss"],
        ["0", "0.25", "0.5", "NA", "NA"],
        ["1", "0.5", "0.4", "NA", "0.75"],
        ["0", "0.25", "0.5", "NA", "NA"],
    ]
    told(callbacks.CSVLogger(path, separator), [{"val_loss": 1.0, "loss": 2.0}])
    assert (
        path.read_text()
        == f"epoch{separator}loss{separator}val_loss\n0{separator}2.0{separator}1.0\n"
    )


def test_csv_can_be_read_while_training(tmp_path):
    logger = callbacks.CSVLogger(tmp_path / "log.csv")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 0.5, "val_loss": 1.0})
    assert (tmp_path / "log.csv").read_text() == "epoch,loss,val_loss\n0,0.5,1.0\n"
    logger.on_train_end()


def test_learning_rates(capsys):
    model = told(callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2, 1), [{}, {}])
    assert model.optimizer.learning_rate == 0.25
    assert capsys.readouterr().out.splitlines()[-1] == "Epoch 2: learning rate 0.25"

    def broken(epoch, rate):
        raise TypeError("its own")

    with pytest.raises(TypeError, match="its own"):
        told(callbacks.LearningRateScheduler(broken), [{}])
    with pytest.raises(TypeError, match="schedule's result must be a finite number, got None"):
        told(callbacks.LearningRateScheduler(lambda epoch, rate: None), [{}])


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32(np.nan)])
def test_terminate_on_nan(value, capsys):
    for error in (False, True):
        callback = callbacks.TerminateOnNaN(error)
        callback.set_model(Model())
        callback.on_train_batch_end(0, {"loss": 1.0})
        callback.on_train_batch_end(0, {})
        assert not callback.model.stop_training
        if error:
            with pytest.raises(RuntimeError, match="the loss of batch 3"):
                callback.on_train_batch_end(3, {"loss": value})
        else:
            callback.on_train_batch_end(3, {"loss": value})
            assert callback.model.stop_training
            assert "Batch 3: the loss is" in capsys.readouterr().out


# Progress.


def trained(verbose, epochs=2, batches=5):
    progress = callbacks.ProgbarLogger()
    progress.set_params({"verbose": verbose, "epochs": epochs, "steps": batches})
    progress.on_train_begin()
    for epoch in range(epochs):
        progress.on_epoch_begin(epoch)
        for batch in range(batches):
            progress.on_train_batch_end(batch, {"loss": 0.5, "acc": 0.25})
        progress.on_test_begin()
        progress.on_test_batch_end(0, {"loss": 9.0})
        progress.on_test_end({"loss": 9.0})
        progress.on_epoch_end(epoch, {"loss": 0.5, "acc": 0.25, "val_loss": 0.00001})
    progress.on_train_end()


def test_progress_is_silent(capsys):
    trained(0)
    assert capsys.readouterr() == ("", "")


def test_progress_in_lines(capsys):
    trained(2)
    out, err = capsys.readouterr()
    assert err == ""
    first, second = out.splitlines()
    assert first.startswith("Epoch 1/2 - ")
    assert first.endswith("s - loss: 0.5000 - acc: 0.2500 - val_loss: 1.0000e-05")
    assert second.startswith("Epoch 2/2 - ")


@pytest.mark.parametrize("verbose", [1, "auto"])
def test_progress_by_tqdm(capsys, monkeypatch, verbose):
    pytest.importorskip("tqdm", reason="the bars are tqdm's")
    monkeypatch.setenv("COLUMNS", "60")  # for less than the text needs
    trained(verbose)
    out, err = capsys.readouterr()
    assert out == ""
    *lines, rest = err.split("\n")
    last = [line.split("\r")[-1] for line in lines]
    assert len(last) == 2
    assert rest == ""
    assert last[1].startswith("Epoch 2/2: 100%")
    assert last[1].endswith("loss=0.5000, acc=0.2500, val_loss=1.0000e-05]")
    assert "5/5" in last[1]
    assert "9.0" not in err


def test_progress_without_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    trained(1)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_progress_of_evaluation_and_prediction(capsys):
    for verbose in (1, 2):
        progress = callbacks.ProgbarLogger()
        progress.set_params({"verbose": verbose, "epochs": 1, "steps": None})
        progress.on_test_begin()
        progress.on_test_batch_end(0, {"loss": 0.5})
        progress.on_test_end({"loss": 0.5})
        progress.on_predict_begin()
        progress.on_predict_batch_end(0)
        progress.on_predict_end()
    test, predict = capsys.readouterr().out.splitlines()[-2:]
    assert test.startswith("Evaluate - ")
    assert test.endswith(" - loss: 0.5000")
    assert predict.startswith("Predict - ")


def test_progress_is_drawn_seldom(monkeypatch, capsys):
    pytest.importorskip("tqdm", reason="the bars are tqdm's")
    now = [0.0]
    monkeypatch.setattr("fastconv.callbacks.progress.perf_counter", lambda: now[0])
    drawn = []
    monkeypatch.setattr(
        callbacks.ProgbarLogger, "_draw", lambda self, logs: drawn.append(self._seen)
    )
    progress = callbacks.ProgbarLogger()
    progress.set_params({"verbose": 1, "epochs": 1, "steps": 1000})
    progress.on_epoch_begin(0)
    for batch in range(1000):
        now[0] += 0.001
        progress.on_train_batch_end(batch, {"loss": 0.5})
    assert len(drawn) in (9, 10)
    progress.on_train_end()


def test_progress_costs_little():
    """A batch that isn't drawn costs a look at the clock: microseconds, and no thread."""
    pytest.importorskip("tqdm", reason="the bars are tqdm's")
    progress = callbacks.ProgbarLogger()
    progress.set_params({"verbose": 1, "epochs": 1, "steps": 10**6})
    progress.on_epoch_begin(0)
    logs = {"loss": 0.5}
    start = time.perf_counter()
    for batch in range(20000):
        progress.on_train_batch_end(batch, logs)
    seconds = time.perf_counter() - start
    progress.on_train_end()
    assert seconds < 1


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: callbacks.EarlyStopping(patience=-1), ValueError, "patience must be an int"),
        (lambda: callbacks.EarlyStopping(mode="up"), ValueError, "'auto' or 'min' or 'max'"),
        (lambda: callbacks.EarlyStopping(monitor=3), TypeError, "monitor must be a name"),
        (lambda: callbacks.EarlyStopping(min_delta="1"), TypeError, "min_delta"),
        (lambda: callbacks.ModelCheckpoint("m.weights.h5"), ValueError, "weights alone"),
        (lambda: callbacks.ModelCheckpoint("m.h5", save_weights_only=True), ValueError, "weights"),
        (lambda: callbacks.ModelCheckpoint(3), TypeError, "filepath must be a path"),
        (lambda: callbacks.ModelCheckpoint("m.h5", save_freq=0), ValueError, "save_freq"),
        (lambda: callbacks.ModelCheckpoint("m.h5", save_freq="batch"), TypeError, "save_freq"),
        (lambda: told(callbacks.ModelCheckpoint("{no}.h5"), [{}]), ValueError, "a format of epoch"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1), ValueError, "below 1, got 1"),
        (lambda: callbacks.CSVLogger(3), TypeError, "filename must be a path"),
        (lambda: callbacks.CSVLogger("a", ", "), TypeError, "a single character"),
        (lambda: callbacks.LearningRateScheduler(0.1), TypeError, "schedule must be a function"),
        (lambda: callbacks.TerminateOnNaN(1), TypeError, "raise_error must be True or False"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_tqdm_is_imported_only_for_a_bar(monkeypatch):
    """Training without bars must not need it, nor wait for it."""
    real = builtins.__import__

    def guarded(name, *arguments, **named):
        assert name != "tqdm"
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", guarded)
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    trained(2)
    assert "tqdm" not in sys.modules
