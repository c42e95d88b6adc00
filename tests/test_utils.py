"""Labels, norms, and the helpers that files and extras share."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastconv import config, extras, files, layers, utils


@pytest.fixture
def floatx():
    yield config.set_floatx
    config.set_floatx("float32")


@pytest.fixture(scope="module")
def keras():
    os.environ["KERAS_BACKEND"] = "torch"
    pytest.importorskip("torch", reason="PyTorch is not installed")
    return pytest.importorskip("keras", reason="Keras is not installed")


LABELS = [
    np.array([3, 0, 1]),
    np.array([[3], [0], [1]]),
    np.array([[1, 2], [0, 2]], np.uint8),
    np.array([[[1], [2]]]),
    np.array([2.0, 1.0], np.float32),
    np.array([True, False]),
    np.array(2),
    np.array([1]),
]


@pytest.mark.parametrize("classes", [None, 5])
@pytest.mark.parametrize("labels", LABELS, ids=lambda x: f"{x.dtype}{x.shape}")
def test_to_categorical_is_keras(keras, labels, classes):
    ours = utils.to_categorical(labels, classes)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, keras.utils.to_categorical(labels, classes))


def test_to_categorical_takes_the_dtype_of_layers(floatx):
    floatx("float64")
    assert utils.to_categorical([1], 2).dtype == np.float64


def test_to_categorical_of_nothing():
    assert utils.to_categorical(np.zeros((0, 1), int), 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("x", "classes", "error", "argument"),
    [
        ([-1, 2], None, ValueError, "x"),
        ([0, 3], 3, ValueError, "x"),
        ([0.5], None, ValueError, "x"),
        ([np.nan], None, ValueError, "x"),
        ([np.inf], None, ValueError, "x"),
        (["cat"], None, TypeError, "x"),
        ([1j], None, TypeError, "x"),
        ([], None, ValueError, "num_classes"),
        ([0], 0, ValueError, "num_classes"),
        ([0], -2, ValueError, "num_classes"),
        ([0], 2.0, TypeError, "num_classes"),
        ([0], True, TypeError, "num_classes"),
    ],
)
def test_to_categorical_refuses(x, classes, error, argument):
    with pytest.raises(error, match=f"to_categorical: {argument} must be"):
        utils.to_categorical(x, classes)


@pytest.mark.parametrize("order", [1, 2, np.inf])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 4)])
def test_normalize_is_keras(keras, shape, order):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    x[..., :1] = 0
    x[0] = 0
    ours = utils.normalize(x, -1, order)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, keras.utils.normalize(x, -1, order), rtol=1e-6)


def test_normalize_along_the_first_axis():
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(np.linalg.norm(utils.normalize(x, 0), axis=0), 1)
    np.testing.assert_allclose(utils.normalize([3, 4]), [[0.6, 0.8]])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((["a"],), TypeError),
        ((3.0,), ValueError),
        (([1.0], 1), ValueError),
        (([1.0], 0.5), TypeError),
    ],
)
def test_normalize_refuses(arguments, error):
    with pytest.raises(error, match="normalize: "):
        utils.normalize(*arguments)


def test_clear_session_begins_the_names_anew(keras):
    named = []
    for lib in (keras.utils, keras.layers), (utils, layers):
        clear_session, made = lib[0].clear_session, []
        for _ in range(2):
            clear_session()
            made += [lib[1].Dense(1), lib[1].Dense(1), lib[1].MaxPooling2D()]
        named.append([layer.name for layer in made])
    assert named[0] == named[1] == ["dense", "dense_1", "max_pooling2d"] * 2


def test_every_name_is_there():
    assert all(callable(getattr(utils, name)) for name in utils.__all__)


def test_a_missing_package_is_named():
    with pytest.raises(ImportError, match=r"split needs no_such: pip install fastconv\[layers\]"):
        extras.need("no_such.part", "split")


def test_utils_need_no_extra():
    code = (
        "import sys; sys.modules['PIL'] = sys.modules['tqdm'] = None;"
        "import fastconv.utils, fastconv.datasets, fastconv.preprocessing.image as image\n"
        "try: image.load_img('x.png')\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "load_img needs Pillow: pip install fastconv[layers]"


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    failed = []

    def attempt():
        with pytest.raises(ValueError, match="no regular file"):
            files.open_regular(tmp_path / "pipe")
        failed.append(False)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert failed == [False]


def test_other_things_are_refused(tmp_path):
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="no regular file"):
            files.open_regular(path)
    with pytest.raises(FileNotFoundError):
        files.open_regular(tmp_path / "nothing")


def test_a_file_longer_than_allowed_is_not_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert files.read_at_most(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        files.read_at_most(tmp_path / "file", 4)


def test_a_file_is_whole_or_not_there(tmp_path):
    def fail_in_the_middle():
        with files.whole_file(tmp_path / "file") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_in_the_middle()
    assert list(tmp_path.iterdir()) == []
    with files.whole_file(tmp_path / "file") as file:
        file.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
