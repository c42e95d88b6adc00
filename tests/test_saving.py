"""Models to files, JSON and pickles, and back: all that they are, or an error and nothing."""

import contextlib
import copy
import json
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest

from fastconv import callbacks, config, files, layers, losses, metrics, models, optimizers, utils
from fastconv.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    InputLayer,
    MaxPooling2D,
)
from fastconv.models import Model, Sequential, clone_model, load_model, model_from_json

OWN = ".fastconv"


@pytest.fixture(autouse=True)
def seeded():
    utils.set_random_seed(11)


def sequential():
    return Sequential(
        [
            Conv2D(3, 3, activation="relu", input_shape=(6, 6, 2)),
            BatchNormalization(),
            MaxPooling2D(),
            Flatten(),
            Dropout(0.3),
            Dropout(0.2, seed=5),
            Dense(4, activation="softmax"),
        ]
    )


def several():
    """Two inputs and outputs, a shared layer, and models within models."""
    a, b = Input((4,), name="a"), Input((4,), name="b")
    shared = Dense(4, name="shared")
    inside = Input((4,))
    inmost = [Input((4,)), Dense(4, activation="tanh"), Dropout(0.2), Dropout(0.2, seed=5)]
    deeper = Sequential(inmost, name="deeper")
    inner = Model(inside, Add()([deeper(inside), inside]), name="inner")
    left, right = inner(shared(a)), inner(inner(shared(b)))
    both = Concatenate()([left, right, a])
    return Model([a, b], {"q": Add()([left, right]), "p": Dense(2)(both)}, name="net")


def part():
    """A model that begins and ends inside of another."""
    whole = sequential()
    return Model(whole.layers[0].output, [layer.output for layer in whole.layers[2:4]])


def fixed():
    """A model whose inputs know how many samples there will be; a part of it begins inside."""
    a, b = Input((4, 2), batch_size=6), Input(batch_shape=(6, 2))
    y = Add()([Dense(2)(a), b])
    whole = Model([a, b], Dense(3)(y))
    return Model(y, whole.output)


def named():
    """Dicts of inputs and outputs, of a model and of one within."""
    a, b = Input((3,)), Input((2,))
    inner = Model({"z": a, "c": b}, {"y": Dense(2)(a), "d": Dense(3)(Concatenate()([a, b]))})
    x, other = Input((2,)), Input((3,))
    made = inner({"c": x, "z": other})
    return Model({"u": other, "e": x}, {"w": made["y"], "f": Dense(4)(made["d"])})


MAKERS = {
    "fixed": fixed,
    "named": named,
    "sequential": sequential,
    "several": several,
    "part": part,
}


def data_of(model, samples=10):
    rng = np.random.default_rng(3)
    shapes = model.input_shape if model.takes_list else [model.input_shape]
    x = [rng.standard_normal((samples, *shape[1:])).astype("float32") for shape in shapes]
    outputs = model.output_shape if isinstance(model.output_shape, list) else [model.output_shape]
    y = [rng.random((samples, *shape[1:])).astype("float32") for shape in outputs]
    return (x if model.takes_list else x[0]), (y if len(outputs) > 1 else y[0])


def arrays_of(model):
    found = dict(enumerate(model.get_weights()))
    if model.compiled:
        found.update(model.optimizer.get_state())
    return found


def assert_equal(first, second):
    assert (first.input_shape, first.output_shape) == (second.input_shape, second.output_shape)
    a, b = arrays_of(first), arrays_of(second)
    assert list(a) == list(b)
    for key, array in a.items():
        assert array.dtype == b[key].dtype
        assert np.array_equal(array, b[key]), key
    assert first.get_config() == second.get_config()
    x, _ = data_of(first)
    one, other = (listed(model.predict(x, verbose=0)) for model in (first, second))
    assert all(np.array_equal(p, q) for p, q in zip(one, other, strict=True))


def listed(outputs):
    if isinstance(outputs, dict):
        return list(outputs.values())
    return outputs if isinstance(outputs, list) else [outputs]


def through_file(model, folder):
    model.save(folder / f"m{OWN}")
    return load_model(folder / f"m{OWN}")


WAYS = {
    "file": through_file,
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "copy": lambda model, folder: copy.deepcopy(model),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", MAKERS)
def test_models_come_back(make, way, tmp_path):
    model = MAKERS[make]()
    again = WAYS[way](model, tmp_path)
    assert type(again) is type(model)
    assert not again.compiled
    assert_equal(model, again)
    assert not {id(v) for v in model.weights} & {id(v) for v in again.weights}


@pytest.mark.parametrize("make", MAKERS)
def test_descriptions_come_back(make):
    model = MAKERS[make]()
    config = json.loads(json.dumps(model.get_config()))
    again = type(model).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    again = model_from_json(model.to_json(indent=1))
    again.set_weights(model.get_weights())
    assert_equal(model, again)
    assert [w.shape for w in clone_model(model).get_weights()] == [
        w.shape for w in model.get_weights()
    ]


def test_shared_layers_stay_shared(tmp_path):
    model = several()
    again = through_file(model, tmp_path)
    assert len(again.get_layer("shared").nodes) == 2
    assert len(again.get_layer("inner").nodes) == 3
    assert again.count_params() == model.count_params()
    assert again.output_names == ["p", "q"]


def test_a_layer_of_two_models_is_refused(tmp_path):
    x = Input((3,))
    layer = Dense(3)
    inner = Sequential([Input((3,)), layer])
    model = Model(x, layer(inner(x)))
    with pytest.raises(ValueError, match="in a single model"):
        model.save(tmp_path / "m")
    again = pickle.loads(pickle.dumps(model))  # which can say it
    assert again.count_params() == 12
    assert_equal(model, again)


COMPILED = {
    "momentum": lambda: optimizers.SGD(0.002, momentum=0.9, nesterov=True),
    "rmsprop": lambda: optimizers.RMSprop(momentum=0.3, centered=True),
    "adam": lambda: optimizers.Adam(0.003, amsgrad=True, clipnorm=1.0),
    "schedule": lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)),
}


@pytest.mark.parametrize("way", [*WAYS, ".keras", ".h5"])
@pytest.mark.parametrize("make", ["sequential", "several"])
@pytest.mark.parametrize("name", COMPILED)
def test_training_goes_on_exactly(make, name, way, tmp_path):
    if way.startswith("."):
        pytest.importorskip("h5py", reason="Keras's files are HDF5")
    model = MAKERS[make]()
    x, y = data_of(model)
    model.compile(COMPILED[name](), "mse", metrics=["mae"] if make == "sequential" else None)
    model.fit(x, y, batch_size=3, epochs=2, verbose=0)
    if way.startswith("."):
        model.save(tmp_path / f"m{way}")
        again = load_model(tmp_path / f"m{way}")
    else:
        again = WAYS[way](model, tmp_path)
    histories = [one.fit(x, y, batch_size=3, epochs=3, verbose=0).history for one in (model, again)]
    assert histories[0] == histories[1]
    assert_equal(model, again)


def test_frozen_layers_and_changed_rates_are_kept(tmp_path):
    model = sequential()
    x, y = data_of(model)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    model.layers[0].trainable = False
    model.optimizer.learning_rate = 0.1 + 0.2
    model.fit(x, y, verbose=0)  # the slots are of more weights than are trained now
    again = through_file(model, tmp_path)
    assert again.optimizer.learning_rate == 0.1 + 0.2
    for one in (model, again):
        one.fit(x, y, verbose=0)
    assert_equal(model, again)
    pytest.importorskip("h5py", reason="Keras's files are HDF5")
    with pytest.raises(ValueError, match="compiled after"):
        model.save(tmp_path / "m.keras")


def test_what_was_compiled_is_kept(tmp_path):
    model = several()
    x, y = data_of(model)
    model.compile(
        "rmsprop",
        {"p": losses.MeanAbsoluteError(reduction="sum"), "q": "mse"},
        loss_weights={"p": 0.5, "q": 2},
        metrics={"p": [metrics.MeanSquaredError(name="m")]},
        weighted_metrics=[["mae"], None],
    )
    wanted = model.evaluate(x, y, verbose=0, return_dict=True)
    again = through_file(model, tmp_path)
    assert again.evaluate(x, y, verbose=0, return_dict=True) == wanted
    assert not load_model(tmp_path / f"m{OWN}", compile=False).compiled


def test_float64_is_kept(tmp_path):
    model = Sequential([Input((2,), dtype="float64"), Dense(3, dtype="float64")])
    again = through_file(model, tmp_path)
    assert again.weights[0].dtype == "float64"
    assert_equal(model, again)
    assert config.floatx() == "float32"


class Doubled(layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight("factor", (1,), lambda shape, dtype: np.full(shape, 2.0))

    def forward(self, x, training=None):
        return x * self.factor.value, x

    def backward(self, grad, saved):
        return grad * self.factor.value, [(grad * saved).sum().reshape(1)]


class Halved(losses.MeanSquaredError):
    pass


def test_classes_of_ones_own_are_named_by_who_loads(tmp_path):
    model = Sequential([Input((2,)), Doubled()])
    model.compile("sgd", Halved())
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="Doubled"):
        load_model(tmp_path / "m")
    again = load_model(tmp_path / "m", {"Doubled": Doubled, "Halved": Halved})
    assert_equal(model, again)
    assert_equal(model, pickle.loads(pickle.dumps(model)))
    assert isinstance(clone_model(model).layers[0], Doubled)


def test_what_cannot_be_written_down_is_named(tmp_path):
    with pytest.raises(ValueError, match="save: sequential must be called"):
        Sequential([Dense(2)], name="sequential").save(tmp_path / "m")
    model = sequential()
    model.compile(optimizers.SGD(lambda: 0.1), "mse")
    with pytest.raises(TypeError, match="learning_rate"):
        model.save(tmp_path / "m")
    for wrong in (3, None, b"m"):
        with pytest.raises(TypeError, match="filepath"):
            model.save(wrong)
        with pytest.raises(TypeError, match="filepath"):
            load_model(wrong)
    with pytest.raises(ValueError, match=r"save_weights"):
        model.save(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        model.save_weights(tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("ending", [".safetensors", ".weights.h5", OWN, ".keras", ".h5"])
def test_weights_come_back(ending, tmp_path):
    if ending not in (OWN, ".safetensors"):
        pytest.importorskip("h5py", reason="Keras's files are HDF5")
    model, other = several(), several()
    path = tmp_path / f"m{ending}"
    (model.save_weights if "we" in ending or "safe" in ending else model.save)(path)
    other.load_weights(path)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(a, b)
    wrong = Sequential([Dense(2, input_shape=(3,))])
    before = wrong.get_weights()
    with pytest.raises(ValueError, match="load_weights"):
        wrong.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, wrong.get_weights(), strict=True))


def four(units=5, more=()):
    sizes = {"a": 3, "b": units, "c": 2, **dict.fromkeys(more, 4)}
    named = [
        Dense(size, name=name, bias_initializer="random_normal") for name, size in sizes.items()
    ]
    return Sequential([Input((4,)), *named, Dropout(0.5)])


@pytest.mark.parametrize("ending", [OWN, ".safetensors", ".weights.h5", ".keras", ".h5"])
def test_layers_that_a_file_does_not_fit_may_be_skipped(ending, tmp_path):
    if ending not in (OWN, ".safetensors"):
        pytest.importorskip("h5py", reason="Keras's files are HDF5")
    model, path = four(), tmp_path / f"m{ending}"
    (model.save_weights if "we" in ending or "safe" in ending else model.save)(path)
    cases = [(four(units=6), ["b", "c"]), (four(), [])]
    if ending != ".h5":  # whose layers must be as many
        cases.append((four(more=["e"]), ["e"]))
    for other, skipped in cases:
        before = {layer.name: layer.get_weights() for layer in other.layers}
        if not skipped:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                other.load_weights(path, skip_mismatch=True)
        else:
            with pytest.raises(ValueError, match="load_weights: "):
                other.load_weights(path)
            with pytest.warns(UserWarning, match=f"weights for {', '.join(skipped)}, left") as told:
                other.load_weights(path, skip_mismatch=True)
            assert told[0].filename == __file__  # it points to the call
        for layer in other.layers[:-1]:
            kept = layer.name in skipped
            want = before[layer.name] if kept else model.get_layer(layer.name).get_weights()
            for a, b in zip(layer.get_weights(), want, strict=True):
                assert np.array_equal(a, b)
    if ending == ".h5":
        with pytest.raises(ValueError, match="a file with 4 layers"):
            four(more=["e"]).load_weights(path, skip_mismatch=True)
    with pytest.raises(TypeError, match="skip_mismatch must be True or False"):
        model.load_weights(path, skip_mismatch="yes")
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="load_weights: "):
        model.load_weights(path, skip_mismatch=True)


def test_safetensors_reads_our_files(tmp_path):
    safetensors = pytest.importorskip("safetensors", reason="it reads what we write")
    numpy = pytest.importorskip("safetensors.numpy", reason="it reads what we write")
    model = sequential()
    model.save(tmp_path / "m")
    found = numpy.load_file(tmp_path / "m")
    assert np.array_equal(found["layers/conv2d/kernel"], model.layers[0].kernel.value)
    assert len(found) == len(model.weights)
    with safetensors.safe_open(tmp_path / "m", "np") as file:
        assert json.loads(file.metadata()["model"])["class_name"] == "Sequential"
    # and what it writes, we read
    numpy.save_file({k: v + 1 for k, v in found.items()}, tmp_path / "w")
    model.load_weights(tmp_path / "w")
    assert np.array_equal(model.layers[-1].kernel.value, found["layers/dense/kernel"] + 1)


# ------------------------------------------------------------------------------------- pickles


def test_deep_graphs_are_pickled():
    x = tensor = Input((2,))
    for _ in range(1500):
        tensor = layers.Activation("relu")(tensor)
    model = Model(x, tensor)
    again = pickle.loads(pickle.dumps(model))
    assert len(again.layers) == 1501
    assert model_from_json(model.to_json()).get_config() == model.get_config()


def test_layers_and_variables_are_pickled():
    model = sequential()
    for layer in model.layers:
        again = pickle.loads(pickle.dumps(layer))
        assert again.get_config() == layer.get_config()
        assert not again.nodes
        for a, b in zip(layer.weights, again.weights, strict=True):
            assert (a.path, a.trainable) == (b.path, b.trainable)
            assert np.array_equal(a.value, b.value)
    assert pickle.loads(pickle.dumps(model.layers[0])).activation is model.layers[0].activation
    again = pickle.loads(pickle.dumps(model.inputs[0].node.layer))
    assert isinstance(again, InputLayer)
    assert again.input.shape == model.inputs[0].shape


def test_what_two_models_share_stays_shared():
    whole = sequential()
    features = Model(whole.inputs, whole.layers[3].output)
    one, other = pickle.loads(pickle.dumps((whole, features)))
    assert one.layers[0].kernel is other.layers[1].kernel


def test_an_empty_sequential_is_pickled():
    model = Sequential([Dense(2), Dense(3)])
    again = pickle.loads(pickle.dumps(model))
    assert not again.built
    assert again(np.ones((1, 4))).shape == (1, 3)


# ---------------------------------------------------------------------------------- atomicity


def failing(monkeypatch, module, name, after):
    """Let a function raise at its call number `after`; return how often it was called."""
    calls = []
    real = getattr(module, name)

    def called(*arguments, **keywords):
        calls.append(1)
        if len(calls) == after:
            raise OSError(28, "No space left on device")
        return real(*arguments, **keywords)

    monkeypatch.setattr(module, name, called)
    return calls


@pytest.mark.parametrize("ending", [OWN, ".keras", ".h5"])
@pytest.mark.parametrize(
    ("name", "after"), [("fsync", 1), ("fsync", 2), ("replace", 1), ("open", 1), ("fdopen", 1)]
)
def test_a_failing_call_leaves_a_whole_file(name, after, ending, tmp_path, monkeypatch):
    if ending != OWN:
        pytest.importorskip("h5py", reason="Keras's files are HDF5")
    old, new = sequential(), sequential()
    path = tmp_path / f"m{ending}"
    old.save(path)
    with monkeypatch.context() as patched:
        failing(patched, files.os, name, after)
        with pytest.raises(OSError, match="No space"):
            new.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    # the folder is synchronized after the new file took its place
    assert_equal(load_model(path), new if (name, after) == ("fsync", 2) else old)


@pytest.mark.parametrize("write", range(1, 5))
def test_a_failing_write_leaves_the_old_file(write, tmp_path, monkeypatch):
    old, new = sequential(), sequential()
    path = tmp_path / "m"
    old.save(path)
    real = os.fdopen

    class Full:
        def __init__(self, file):
            self.file, self.calls = file, 0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            self.calls += 1
            if self.calls == write:
                raise OSError(28, "No space left on device")
            return self.file.write(content)

    with monkeypatch.context() as patched:
        patched.setattr(
            files.os,
            "fdopen",
            lambda h, mode, **more: Full(real(h, mode, **more)) if "w" in mode else real(h, mode),
        )
        with pytest.raises(OSError, match="No space"):
            new.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]
    assert_equal(load_model(path), old)


def test_a_killed_writer_leaves_the_old_file_and_its_litter_goes(tmp_path):
    model = sequential()
    path = tmp_path / "m"
    model.save(path)
    code = """
        import os, signal, sys
        from fastconv import files
        files.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
        with files.durable_file(sys.argv[1]) as file:
            file.write(b"half of it")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    assert_equal(load_model(path), model)
    with files.durable_file(path) as file, files.durable_file(path) as other:
        # the litter is gone, what others are writing stays
        assert len(list(tmp_path.iterdir())) == 3
        file.write(b"1")
        other.write(b"2")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]
    assert path.read_bytes() == b"1"


def test_links_and_modes_are_kept(tmp_path):
    model = sequential()
    (tmp_path / "deep").mkdir()
    real, link = tmp_path / "deep" / "m", tmp_path / "link"
    model.save(real)
    real.chmod(0o600)
    link.symlink_to(real)
    model.save(link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="overwrite"):
        model.save(link, overwrite=False)


def test_checkpoints_are_written(tmp_path):
    pytest.importorskip("h5py", reason="checkpoints are Keras's files")
    model = sequential()
    x, y = data_of(model)
    model.compile("adam", "mse")
    watchers = [
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.fastconv"),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
    ]
    model.fit(x, y, epochs=2, callbacks=watchers, verbose=0)
    assert_equal(load_model(tmp_path / "2.keras"), model)
    assert_equal(load_model(tmp_path / "2.fastconv"), model)
    other = sequential()
    other.load_weights(tmp_path / "2.weights.h5")
    assert all(map(np.array_equal, other.get_weights(), model.get_weights()))


# ------------------------------------------------------------------------------- hostile files


def packed(header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def entry(start, stop, shape=None, dtype="F32"):
    shape = [(stop - start) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


HOSTILE = {
    "empty": b"",
    "short": b"\x08",
    "length beyond": struct.pack("<Q", 2**63) + b"{}",
    "length of all": struct.pack("<Q", 2**24 + 1) + b"{}" + bytes(1 << 25),
    "no json": packed(b"hello"),
    "no dict": packed([1]),
    "deep": packed(b"[" * 1_000_000),
    "twice": packed(b'{"a":1,"a":2}'),
    "overlap": packed({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
    "gap": packed({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
    "beyond": packed({"a": entry(0, 400)}, bytes(12)),
    "too long": packed({"a": entry(0, 4)}, bytes(12)),
    "negative": packed({"a": entry(-4, 0, [1])}),
    "huge shape": packed({"a": entry(0, 4, [2**62, 2**62])}, bytes(4)),
    "wrapped shape": packed({"a": entry(0, 0, [2**32, 2**32])}),
    "many axes": packed({"a": entry(0, 4, [1] * 100000)}, bytes(4)),
    "bool": packed({"a": entry(0, 4, [True])}, bytes(4)),
    "float": packed({"a": entry(0, 4, [1.0])}, bytes(4)),
    "type": packed({"a": entry(0, 4, dtype="PICKLE")}, bytes(4)),
    "type of type": packed({"a": entry(0, 4, dtype=["F32"])}, bytes(4)),
    "metadata": packed({"__metadata__": {"model": 3}}),
    "no model": packed({"__metadata__": {"format": "fastconv", "version": "1"}}),
    "pickle": pickle.dumps({"a": 1}),
}


def limited(function, *arguments):
    """Call a function with 500 MB more of memory than there is now, within a second."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (500 << 20), before[1]))
    start = time.process_time()
    try:
        return function(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        assert time.process_time() - start < 2


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_raise(name, tmp_path):
    path = tmp_path / "m"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match="load_model: filepath") as info:
        limited(load_model, path)
    assert len(str(info.value)) <= 200


def changed(path, change, training=None):
    """Write a file anew with another description."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header["__metadata__"]["model"])
    change(description)
    header["__metadata__"]["model"] = json.dumps(description)
    if training is not None:
        state = json.loads(header["__metadata__"]["training"])
        training(state)
        header["__metadata__"]["training"] = json.dumps(state)
    path.write_bytes(packed(header, content[8 + length :]))


def layer_of(description, index=-1):
    return description["config"]["layers"][index]


def set_in(index, key, value):
    return lambda description: layer_of(description, index)["config"].update({key: value})


def nested(description):
    inner = json.loads(json.dumps(description))
    for _ in range(300):
        inner = {"class_name": "Sequential", "config": {"name": "n", "layers": [inner]}}
    description.update(inner)


CHANGES = {
    "huge layer": set_in(-1, "units", 2**50),
    "endless layer": set_in(-1, "units", 10**30),
    "huge kernel": set_in(1, "filters", 2**40),
    "huge image": set_in(0, "batch_shape", [None, 2**60, 2**60, 2]),
    "unknown class": lambda d: layer_of(d).update(class_name="Lambda"),
    "class of another": lambda d: layer_of(d).update(registered_name="mine>Dense"),
    "module of another": lambda d: layer_of(d).update(module="os"),
    "class is no text": lambda d: layer_of(d).update(class_name=["Dense"]),
    "abstract class": lambda d: layer_of(d).update(class_name="Layer"),
    "no config": lambda d: layer_of(d).update(config=None),
    "unknown argument": set_in(-1, "regularizer", 1),
    "regularizer": set_in(-1, "kernel_regularizer", {"class_name": "L2", "config": {}}),
    "no dtype": set_in(-1, "dtype", {"config": "x"}),
    "dtype": set_in(-1, "dtype", "object"),
    "other dtype": set_in(-1, "dtype", "float64"),
    "initializer": set_in(-1, "kernel_initializer", {"class_name": "os.system", "config": {}}),
    "initializer's config": set_in(-1, "kernel_initializer", {"class_name": "Zeros", "config": 3}),
    "activation": set_in(-1, "activation", {"class_name": "function", "config": "eval"}),
    "name twice": lambda d: layer_of(d)["config"].update(name=layer_of(d, 1)["config"]["name"]),
    "name": set_in(-1, "name", "../x"),
    "no name": set_in(-1, "name", 7),
    "no layers": lambda d: d["config"].update(layers=None),
    "many layers": lambda d: d["config"].update(layers=[None] * 30000),
    "layers of none": lambda d: d["config"].update(layers=[None]),
    "nested": nested,
    "no model": lambda d: d.update(layer_of(d)),
    "optimizer": lambda d: d["compile_config"]["optimizer"].update(class_name="Nadam"),
    "no optimizer": lambda d: d["compile_config"].update(optimizer=None),
    "optimizer's config": lambda d: d["compile_config"]["optimizer"].update(config={"x": 1}),
    "another optimizer": lambda d: d["compile_config"]["optimizer"].update(
        class_name="SGD", config={}
    ),
    "loss": lambda d: d["compile_config"].update(loss="system"),
    "losses": lambda d: d["compile_config"].update(loss=[[["mse", 3]]]),
    "loss weights": lambda d: d["compile_config"].update(loss_weights=["x"]),
    "metrics": lambda d: d["compile_config"].update(metrics=[{"class_name": "Mean", "config": 1}]),
}
STATES = {
    "generator": lambda s: s["generator"].update(bit_generator="MT19937"),
    "generator's numbers": lambda s: s["generator"].update(state={"state": -1, "inc": "x"}),
    "generator's size": lambda s: s["generator"]["state"].update(state=2**200),
    "no generator": lambda s: s.update(generator=[1]),
    "a layer's generator": lambda s: s["seeded"].update({"layers/dropout_1": {"x": 1}}),
    "a layer's generator's kind": lambda s: s["seeded"]["layers/dropout_1"].update(
        bit_generator="MT19937"
    ),
    "a generator of no layer": lambda s: s["seeded"].update({"layers/dropout_7": None}),
    "no layers' generators": lambda s: s.update(seeded=[1]),
    "names": lambda s: s.update(optimizer_variables=["x"]),
    "names twice": lambda s: s["optimizer_variables"].append(s["optimizer_variables"][0]),
    "no names": lambda s: s.update(optimizer_variables={"a": 1}),
    "fewer names": lambda s: s["optimizer_variables"].pop(),
}


@pytest.fixture
def trained(tmp_path):
    model = sequential()
    x, y = data_of(model)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.parametrize("name", CHANGES)
def test_hostile_descriptions_raise(name, trained):
    changed(trained, CHANGES[name])
    with pytest.raises(ValueError, match="load_model: "):
        limited(load_model, trained)


@pytest.mark.parametrize("name", STATES)
def test_hostile_states_raise(name, trained):
    changed(trained, lambda description: None, STATES[name])
    with pytest.raises(ValueError):  # noqa: PT011 - of many parts
        limited(load_model, trained)


def call(history, **keywords):
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
    return {"args": [tensor], "kwargs": keywords}


GRAPHS = {
    "loop": [call(["d", 0, 0])],
    "nobody": [call(["x", 0, 0])],
    "no call": [call(["a", 1, 0])],
    "no output": [call(["a", 0, 5])],
    "negative": [call(["a", -1, 0])],
    "text": [call(["a", "0", 0])],
    "short": [call(["a"])],
    "none": [call(None)],
    "no dict": [3],
    "older": [[["a", 0, 0, {}]]],
    "keyword": [call(["a", 0, 0], training=True)],
    "many": [call(["a", 0, 0])] * 30000,
    "nothing": [],
    "null": None,
}


@pytest.mark.parametrize("name", GRAPHS)
def test_hostile_graphs_raise(name):
    x = Input((2,), name="a")
    config = Model(x, Dense(2, name="d")(x)).get_config()
    config["layers"][1]["inbound_nodes"] = GRAPHS[name]
    with pytest.raises(ValueError, match="from_config"):
        limited(Model.from_config, json.loads(json.dumps(config)))


def test_every_truncation_and_many_changes_raise_or_load(trained):
    whole = trained.read_bytes()
    rng = np.random.default_rng(8)
    for length in range(0, len(whole), len(whole) // 50):
        trained.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="load_model"):
            load_model(trained)
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, 6000, 3):
            content[place] = rng.integers(32, 127)
        trained.write_bytes(content)
        with contextlib.suppress(ValueError):
            load_model(trained)


def test_steps_below_none_raise(trained):
    model = load_model(trained)
    model.optimizer.iterations = -2
    model.save(trained)
    with pytest.raises(ValueError, match="0 steps or more"):
        load_model(trained)


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    model = sequential()
    monkeypatch.setitem(sys.modules, "h5py", None)
    for ending in (".keras", ".h5"):
        with pytest.raises(ImportError, match=r"pip install fastconv\[keras\]"):
            model.save(tmp_path / f"m{ending}")
    with pytest.raises(ImportError, match=r"save_weights needs h5py"):
        model.save_weights(tmp_path / "m.weights.h5")
    model.save(tmp_path / "m")  # its own format needs nothing
    assert_equal(model, load_model(tmp_path / "m"))


def test_pickles_are_small():
    model = sequential()
    model.compile("adam", "mse")
    model.fit(*data_of(model), verbose=0)
    weights = sum(array.nbytes for array in arrays_of(model).values())
    assert len(pickle.dumps(model)) < weights + 20000


def test_pipes_and_folders_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises((ValueError, OSError)):
            load_model(path)
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none")


def test_json_is_checked():
    for text in ("", "3", "{}", "[" * 100000, '{"class_name": "Dense", "config": {"units": 2}}'):
        with pytest.raises(ValueError, match="model_from_json"):
            model_from_json(text)
    with pytest.raises(TypeError, match="json_string"):
        model_from_json({})
    with pytest.raises(TypeError, match="config"):
        Model.from_config(3)
    with pytest.raises(TypeError, match="model"):
        clone_model(3)
    assert models.load_model is load_model
