"""Keras's files, both ways: Keras loads what we save, and we load what Keras saves."""

import json
import zipfile

import numpy as np
import pytest
from arrays import generator
from beside_keras import as_numpy, keras_in
from layer_cases import CASES

import fastconv
from fastconv import layers, models, optimizers

h5py = pytest.importorskip("h5py", reason="Keras's files are HDF5")
ENDINGS = (".keras", ".h5", ".weights.h5")
pytestmark = pytest.mark.filterwarnings("ignore:.*HDF5 file.*", "ignore:.*legacy.*")


@pytest.fixture
def keras():
    with keras_in("float32") as module:
        yield module


def model_of(case, layers, models, dtype="float32"):
    """Make a model of one layer, of one of the two libraries."""
    shapes = case.symbolic_shape()
    inputs = [
        layers.Input(shape[1:], name=f"in{i}")
        for i, shape in enumerate(shapes if case.several else [shapes])
    ]
    layer = getattr(layers, case.kind)(**case.keywords, name="tested")
    return models.Model(
        inputs if case.several else inputs[0], layer(inputs if case.several else inputs[0])
    )


def randomize(model, name):
    rng = generator(f"weights of {name}")
    model.set_weights([rng.uniform(0.5, 1.5, np.shape(w)) for w in model.get_weights()])


def save(model, path):
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)


def load(load_model, fresh, path):
    if path.name.endswith(".weights.h5"):
        fresh.load_weights(path)
        return fresh
    return load_model(path)


def assert_same(ours, theirs, x):
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert np.array_equal(a, b)
    if x is None:
        return
    a, b = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    for one, other in zip(listed(a), listed(b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def listed(outputs):
    if isinstance(outputs, dict):
        return list(outputs.values())
    return outputs if isinstance(outputs, list) else [outputs]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_goes_to_keras_and_back(case, ending, keras, tmp_path):
    ours = model_of(case, layers, models)
    randomize(ours, case)
    path = tmp_path / f"ours{ending}"
    save(ours, path)
    theirs = load(keras.models.load_model, model_of(case, keras.layers, keras.models), path)
    x = case.x(dtype="float32")
    if case.kind == "AveragePooling2D" and "padding" in case.arguments:
        # on PyTorch, Keras counts repeated edges as elements: only the configuration is compared
        x = None
    assert_same(ours, theirs, x)
    randomize(theirs, f"their {case}")
    path = tmp_path / f"theirs{ending}"
    save(theirs, path)
    assert_same(load(models.load_model, model_of(case, layers, models), path), theirs, x)


def branched(layers, models):
    """A model with all there is: two inputs, a shared layer, models within, two outputs."""
    image, row = layers.Input((6, 6, 2), name="image"), layers.Input((3,), name="row")
    body = models.Sequential(
        [
            layers.Input((6, 6, 2)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ],
        name="body",
    )
    side = layers.Input((3,), name="side")
    head = models.Model(side, layers.Dense(3, activation="tanh")(side), name="head")
    shared = layers.Dense(3, name="shared")
    left, right = shared(body(image)), shared(row)
    both = layers.Add()([head(left), head(head(right))])
    first = layers.Dense(2, name="first")(both)
    second = layers.Dense(1, name="second")(layers.Concatenate()([both, left]))
    return models.Model([image, row], [first, second], name="branched")


def data(samples=12):
    rng = np.random.default_rng(5)
    x = [rng.standard_normal((samples, *shape)).astype("float32") for shape in ((6, 6, 2), (3,))]
    y = [rng.standard_normal((samples, size)).astype("float32") for size in (2, 1)]
    return x, y


MAKERS = {
    "SGD": {"learning_rate": 0.03, "momentum": 0.9},
    "RMSprop": {"learning_rate": 0.002, "momentum": 0.5, "centered": True},
    "Adam": {"learning_rate": 0.003, "amsgrad": True},
}


def states(optimizer):
    return [
        np.asarray(v.value if isinstance(v.value, np.ndarray) else as_numpy(v.value))
        for v in optimizer.variables
    ]


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("name", MAKERS)
def test_training_goes_on_in_keras_and_back(name, ending, keras, tmp_path):
    x, y = data()
    ours = branched(layers, models)
    loss = ["mse", "mae"]
    ours.compile(getattr(optimizers, name)(**MAKERS[name]), loss=loss)
    ours.fit(x, y, batch_size=4, epochs=2, verbose=0)
    path = tmp_path / f"ours{ending}"
    ours.save(path)
    theirs = keras.models.load_model(path)
    assert_same(ours, theirs, x)
    if ending == ".keras":  # Keras forgets the slots of its older files
        for a, b in zip(states(ours.optimizer), states(theirs.optimizer), strict=True):
            np.testing.assert_array_equal(a, b)
        for _ in range(3):
            ours.train_on_batch(x, y)
            theirs.train_on_batch(x, y)
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    # of Keras's own making
    theirs = branched(keras.layers, keras.models)
    theirs.compile(getattr(keras.optimizers, name)(**MAKERS[name]), loss=["mean_squared_error"] * 2)
    theirs.fit(x, y, batch_size=4, epochs=2, verbose=0)
    path = tmp_path / f"theirs{ending}"
    theirs.save(path)
    back = models.load_model(path)
    assert_same(back, theirs, x)
    for a, b in zip(states(back.optimizer), states(theirs.optimizer), strict=True):
        np.testing.assert_array_equal(a, b)
    assert back.optimizer.iterations == 6
    again = tmp_path / f"again{ending}"
    back.save(again)
    assert_same(models.load_model(again), theirs, x)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_skipped_is_what_keras_skips(ending, keras, tmp_path):
    def make(lib, units):
        inputs = lib.layers.Input((4,))
        y = lib.layers.Dense(3, bias_initializer="ones", name="a")(inputs)
        y = lib.layers.Dense(units, bias_initializer="ones", name="b")(y)
        inner = lib.models.Sequential([lib.layers.Input((units,)), lib.layers.Dense(2)])
        return lib.models.Model(inputs, lib.layers.Dense(2, bias_initializer="ones")(inner(y)))

    theirs = make(keras, 5)
    randomize(theirs, "skipped")
    save(theirs, tmp_path / f"m{ending}")
    found = []
    for lib in (keras, fastconv):
        model = make(lib, 6)
        model.set_weights([np.zeros(np.shape(w)) for w in model.get_weights()])
        with pytest.warns(UserWarning, match="loaded|mismatch|left as"):
            model.load_weights(tmp_path / f"m{ending}", skip_mismatch=True)
        found.append([bool(np.any(w)) for w in model.get_weights()])
    # of one weight that has another shape Keras leaves that alone, or that and those before it
    assert found[1] == [True, True, False, False, False, False, True, True]
    assert all(theirs or not ours for theirs, ours in zip(*found, strict=True))


def test_schedules_losses_and_metrics_are_kept(keras, tmp_path):
    theirs = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    theirs.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2)],
    )
    x, y = np.ones((5, 4), "float32"), np.arange(5) % 3
    theirs.fit(x, y, epochs=3, verbose=0)
    theirs.save(tmp_path / "m.keras")
    ours = models.load_model(tmp_path / "m.keras")
    assert type(ours.optimizer._learning_rate).__name__ == "ExponentialDecay"
    found, wanted = ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    ours.save(tmp_path / "o.keras")
    again = keras.models.load_model(tmp_path / "o.keras")
    np.testing.assert_allclose(again.evaluate(x, y, verbose=0), wanted, rtol=1e-5)


def test_structures_are_kept(keras, tmp_path):
    def make(layers, models):
        a, b = layers.Input((2,), name="a"), layers.Input((2,), name="b")
        y = layers.Add(name="y")([a, b])
        inner = models.Model({"b": a, "a": b}, {"q": y, "p": layers.Dense(1)(y)})
        c, d = layers.Input((2,), name="c"), layers.Input((2,), name="d")
        made = inner({"a": d, "b": c})
        return models.Model({"d": d, "c": c}, {"s": layers.Dense(1)(made["p"]), "r": made["q"]})

    x = {"c": np.ones((3, 2)), "d": np.arange(6.0).reshape(3, 2)}
    theirs = make(keras.layers, keras.models)
    theirs.save(tmp_path / "m.keras")
    ours = models.load_model(tmp_path / "m.keras")
    assert (ours.input_names, ours.output_names) == (["c", "d"], ["r", "s"])
    ours.save(tmp_path / "o.keras")
    back = keras.models.load_model(tmp_path / "o.keras")
    want = theirs.predict(x, verbose=0)
    for model in (ours, back):
        found = model.predict(x, verbose=0)
        assert sorted(found) == sorted(want)
        for name, array in found.items():
            np.testing.assert_allclose(array, want[name], rtol=1e-5)


def test_json_goes_both_ways(keras):
    theirs = keras.models.model_from_json(branched(layers, models).to_json())
    ours = models.model_from_json(branched(keras.layers, keras.models).to_json())
    kinds = [[type(layer).__name__ for layer in model.layers] for model in (ours, theirs)]
    assert [kind.replace("Functional", "Model") for kind in kinds[1]] == kinds[0]
    assert ours.count_params() == theirs.count_params()


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_what_we_lack_is_named(keras, ending, tmp_path):
    L = keras.layers

    def refusal(*layers):
        path = tmp_path / f"m{ending}"
        keras.Sequential([L.Input((8, 8, 2)), *layers]).save(path)
        with pytest.raises(ValueError) as info:  # noqa: PT011 - the text is looked at
            models.load_model(path)
        return str(info.value)

    assert "'LayerNormalization'" in refusal(L.LayerNormalization())
    assert "'Lambda'" in refusal(L.Lambda(lambda x: x))
    assert "kernel_regularizer" in refusal(L.Dense(2, kernel_regularizer="l2"))
    assert "kernel_constraint" in refusal(L.Conv2D(2, 3, kernel_constraint="non_neg"))
    assert "activation" in refusal(L.Dense(2, activation="gelu"))


def test_custom_objects_are_named(keras, tmp_path):
    @keras.saving.register_keras_serializable(package="mine")
    class Dense(keras.layers.Dense):
        pass

    keras.Sequential([keras.layers.Input((2,)), Dense(2)]).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="mine>Dense"):
        models.load_model(tmp_path / "m.keras")


# ------------------------------------------------------------------------------- hostile files


@pytest.fixture
def saved(tmp_path):
    model = models.Sequential([layers.Dense(3, input_shape=(4,))], name="small")
    model.compile("adam", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 3)), verbose=0)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    model.save(tmp_path / "m.h5")
    return model, tmp_path


def test_links_lead_nowhere(saved):
    model, folder = saved
    with h5py.File(folder / "secret.h5", "w") as file:
        file["0"] = np.ones((4, 3), "float32")
    path = folder / "m.weights.h5"
    for link in (h5py.ExternalLink(str(folder / "secret.h5"), "/0"), h5py.SoftLink("/vars")):
        with h5py.File(path, "a") as file:
            del file["layers/dense/vars/0"]
            file["layers/dense/vars/0"] = link
        with pytest.raises(ValueError, match="without links"):
            model.load_weights(path)


@pytest.mark.parametrize("how", ["external", "chunks", "never written", "virtual"])
def test_arrays_lie_in_the_file(saved, how):
    model, folder = saved
    path = folder / "m.weights.h5"
    (folder / "raw").write_bytes(bytes(48))
    with h5py.File(path, "a") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        if how == "external":
            group.create_dataset("0", (4, 3), "f4", external=[(str(folder / "raw"), 0, 48)])
        elif how == "chunks":
            group.create_dataset("0", (4, 3), "f4", chunks=(1, 1), compression="gzip")
        elif how == "virtual":
            group.create_virtual_dataset("0", h5py.VirtualLayout((4, 3), "f4"))
        else:
            group.create_dataset("0", (4, 3), "f4")
    with pytest.raises(ValueError, match="in one piece"):
        model.load_weights(path)


def rewritten(path, change):
    """Change members of an archive: a dict of names and bytes."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)


def test_a_bomb_is_not_unpacked(saved):
    _, folder = saved
    rewritten(folder / "m.keras", lambda members: members.update({"config.json": bytes(1 << 26)}))
    with pytest.raises(ValueError, match="of at most"):
        models.load_model(folder / "m.keras")
    rewritten(folder / "m.keras", lambda members: members.pop("config.json"))
    with pytest.raises(ValueError, match=r"config\.json"):
        models.load_model(folder / "m.keras")
    (folder / "m.keras").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="archive"):
        models.load_model(folder / "m.keras")


def test_sizes_are_believed_only_if_the_file_has_them(saved):
    _, folder = saved

    def enlarge(members):
        config = json.loads(members["config.json"])
        config["config"]["layers"][1]["config"]["units"] = 2**40
        members["config.json"] = json.dumps(config).encode()

    rewritten(folder / "m.keras", enlarge)
    with pytest.raises(ValueError, match="of shape"):
        models.load_model(folder / "m.keras")


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_damaged_files_raise(saved, ending):
    model, folder = saved
    path = folder / f"m{ending}"
    whole = path.read_bytes()
    before = model.get_weights()
    for length in range(0, len(whole), max(1, len(whole) // 37)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError):  # noqa: PT011 - many messages
            (model.load_weights if ending == ".weights.h5" else models.load_model)(path)
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(a, b)
