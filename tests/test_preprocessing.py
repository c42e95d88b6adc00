"""Images from files, folders and arrays: Keras's values, in an order that threads don't change."""

import inspect
import io
import os
import struct
import threading
import time
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest

from fastconv import config, utils
from fastconv.preprocessing import image, image_dataset_from_directory, loader, transforms
from fastconv.preprocessing.image import ImageDataGenerator

PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
# Of Pillow's palettes, and of Keras's own code.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Palette images with Transparency"),
    pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*ImageDataGenerator specifies"),
]


@pytest.fixture(scope="module")
def keras():
    """Keras's generator, its arrays' functions and operations; its seeds are NumPy's global one."""
    os.environ["KERAS_BACKEND"] = "torch"
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found = pytest.importorskip("keras", reason="Keras is not installed")
    from keras.src.legacy.preprocessing import image as legacy

    found.legacy_image = legacy
    return found


def photo(number, height, width, mode="RGB"):
    """Return a smooth picture with some noise."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (5, 6, 4), np.uint8)
    picture = PIL.fromarray(coarse).resize((width, height), PIL.Resampling.BICUBIC)
    pixels = np.asarray(picture).astype(int) + rng.integers(-9, 9, (height, width, 4))
    return PIL.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


# name, mode, height, width; sizes above and below those asked for, one equal to it
PHOTOS = {
    "cats": [("a.jpg", "RGB", 40, 60), ("b.JPG", "L", 25, 20), ("c.png", "RGBA", 33, 47)],
    "dogs": [
        ("a.jpeg", "CMYK", 90, 31),
        ("b.png", "P", 24, 30),
        ("c.bmp", "RGB", 12, 10),
        ("inner/d.png", "LA", 50, 50),
        ("e.jpg", "RGB", 200, 300),
    ],
    "hens": [("a.png", "1", 16, 16), ("b.tif", "RGB", 30, 24), ("c.ppm", "RGB", 60, 7)],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("photos")
    for number, (animal, pictures) in enumerate(PHOTOS.items()):
        for name, mode, height, width in pictures:
            path = top / animal / name
            path.parent.mkdir(parents=True, exist_ok=True)
            photo(number, height, width, mode).save(path)
        (top / animal / "notes.txt").write_text("no image")
    (top / "stray.jpg").write_bytes(b"of no class")
    return top


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Two classes of enough images for several batches."""
    top = tmp_path_factory.mktemp("many")
    for animal in ("cats", "dogs"):
        (top / animal).mkdir()
        for number in range(20):
            picture = photo(number, 30 + number, 40, "RGB")
            picture.save(top / animal / f"{animal[:3]}.{number}.jpg")
    return top


def flow(folder, generator=None, **options):
    options = {"target_size": (24, 30), "batch_size": 4, "seed": 5, **options}
    return (generator or ImageDataGenerator(rescale=1 / 255)).flow_from_directory(folder, **options)


def both(keras, folder, generator, batches=7, **options):
    """Yield batches of ours and of Keras's with the same options."""
    options = {"target_size": (24, 30), "batch_size": 4, "seed": 5, **options}
    ours = ImageDataGenerator(**generator).flow_from_directory(folder, **options)
    theirs = keras.legacy_image.ImageDataGenerator(**generator).flow_from_directory(
        folder, **options
    )
    assert ours.filenames == theirs.filenames
    for _ in range(batches):
        yield next(ours), next(theirs)


# Beside Keras


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("color_mode", ["rgb", "grayscale", "rgba"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "lanczos"])
def test_batches_are_keras(keras, folder, interpolation, color_mode, data_format):
    """Bit by bit and in the same order."""
    generator = {"rescale": 1 / 255, "data_format": data_format}
    options = {"interpolation": interpolation, "color_mode": color_mode}
    for (x, y), (their_x, their_y) in both(keras, folder, generator, **options):
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_array_equal(x, their_x)
        np.testing.assert_array_equal(y, their_y)


@pytest.mark.parametrize("class_mode", ["binary", "categorical", "sparse", "input", None])
def test_class_modes_are_keras(keras, many, class_mode):
    for ours, theirs in both(keras, many, {}, class_mode=class_mode, shuffle=False):
        ours, theirs = ((a,) if class_mode is None else a for a in (ours, theirs))
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_subsets_are_keras(keras, folder, subset):
    generator = {"validation_split": 0.4}
    for (x, y), (their_x, their_y) in both(keras, folder, generator, subset=subset):
        np.testing.assert_array_equal(x, their_x)
        np.testing.assert_array_equal(y, their_y)


def test_other_options_are_keras(keras, folder):
    options = {"keep_aspect_ratio": True, "classes": ["hens", "cats"], "batch_size": 3}
    for (x, y), (their_x, their_y) in both(keras, folder, {}, **options):
        np.testing.assert_array_equal(x, their_x)
        np.testing.assert_array_equal(y, their_y)


CHANGES = {
    "flips": {"horizontal_flip": True, "vertical_flip": True},
    "rotation": {"rotation_range": 40},
    "shifts": {"width_shift_range": 0.3, "height_shift_range": 0.2},
    "shifts in pixels": {"width_shift_range": 5.0, "height_shift_range": 4},
    "shifts chosen": {"width_shift_range": [-3, 0, 2], "height_shift_range": (0.1, 0.5)},
    "shear": {"shear_range": 20.0},
    "zoom": {"zoom_range": 0.4},
    "zoom between": {"zoom_range": [0.5, 2.0]},
    "colours": {"channel_shift_range": 60.0},
    "brightness": {"brightness_range": (0.3, 2.5)},
    "samplewise": {"samplewise_std_normalization": True},
    "centred": {"samplewise_center": True},
    "a function": {"preprocessing_function": lambda x: x[:, ::-1] * 2 - 1},
    "all": {
        "rotation_range": 20,
        "width_shift_range": 0.2,
        "height_shift_range": 0.2,
        "shear_range": 10,
        "zoom_range": 0.2,
        "channel_shift_range": 20,
        "horizontal_flip": True,
        "rescale": 1 / 255,
    },
}


@pytest.mark.parametrize(
    ("changes", "data_format"),
    [
        (changes, data_format)
        for changes in CHANGES
        for data_format in ("channels_last", "channels_first")
        # Keras takes any image for channels-last there
        if (changes, data_format) != ("brightness", "channels_first")
    ],
)
def test_changes_are_keras(keras, folder, changes, data_format):
    """The same draws, and the same pixels but for rounding."""
    generator = {**CHANGES[changes], "data_format": data_format}
    scale = 1 if "rescale" in generator else 255
    for (x, _), (their_x, _) in both(keras, folder, generator, batches=5):
        np.testing.assert_allclose(x, their_x, rtol=1e-4, atol=2e-6 * scale)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect", "wrap"])
def test_affine_maps_are_scipy(fill_mode, order):
    scipy = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    rng = np.random.default_rng(3)
    for shape in ((9, 14, 2), (1, 7, 1), (6, 1, 1)):
        picture = rng.normal(size=shape)
        for _ in range(8):
            parameters = {
                "theta": rng.uniform(-180, 180),
                "tx": rng.uniform(-20, 20),
                "ty": rng.uniform(-20, 20),
                "zx": rng.uniform(0.3, 3),
            }
            matrix = transforms.affine_matrix(parameters)
            ours = transforms.apply_affine(picture, matrix, fill_mode, 3.5, order)
            height, width = shape[:2]
            middle = np.eye(3)
            middle[:2, 2] = height / 2 - 0.5, width / 2 - 0.5
            whole = middle @ matrix @ np.linalg.inv(middle)
            whole = whole[[1, 0, 2]][:, [1, 0, 2]]
            for channel in range(shape[2]):
                theirs = scipy.affine_transform(
                    picture[:, :, channel],
                    whole[:2, :2],
                    whole[:2, 2],
                    order=order,
                    mode=fill_mode,
                    cval=3.5,
                )
                np.testing.assert_allclose(ours[:, :, channel], theirs, atol=1e-6)


@pytest.mark.parametrize("subset", [None, "training", "validation"])
def test_flow_is_keras(keras, subset):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (22, 12, 10, 3), np.uint8)
    y, weights = np.arange(22) % 2, rng.random(22)
    options = {"rotation_range": 30, "horizontal_flip": True, "validation_split": 0.3}
    arguments = {"batch_size": 5, "seed": 3, "subset": subset}
    if subset is None:  # of a subset Keras gives the weights of other samples
        arguments["sample_weight"] = weights
    ours = ImageDataGenerator(**options).flow(x, y, **arguments)
    theirs = keras.legacy_image.ImageDataGenerator(**options).flow(x, y, **arguments)
    assert len(ours) == len(theirs)
    for _ in range(9):
        for mine, other in zip(next(ours), next(theirs), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-3)


def test_fit_is_keras(keras):
    x = np.random.default_rng(0).normal(3, 2, (9, 8, 7, 3)).astype(np.float32)
    options = {"featurewise_std_normalization": True, "rescale": 0.5}
    ours, theirs = ImageDataGenerator(**options), keras.legacy_image.ImageDataGenerator(**options)
    for generator in (ours, theirs):
        generator.fit(x)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-5)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-5)
    np.testing.assert_allclose(
        ours.standardize(x[0]), theirs.standardize(x[0].copy()), rtol=1e-4, atol=1e-5
    )


def test_fit_with_changes():
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    generator = ImageDataGenerator(featurewise_center=True, rotation_range=90)
    means = []
    for _ in range(2):
        generator.fit(x, augment=True, rounds=3, seed=1)
        means.append(generator.mean)
    assert means[0] == means[1] != x.mean()


def test_an_unfitted_generator_says_so():
    with pytest.raises(ValueError, match=r"call fit\(x\)"):
        next(ImageDataGenerator(featurewise_center=True).flow(np.zeros((1, 4, 4, 1))))


@pytest.mark.parametrize("name", ["load_img", "img_to_array", "array_to_img", "save_img"])
def test_functions_take_what_keras_takes(keras, name):
    ours, theirs = (
        list(inspect.signature(getattr(module.utils, name)).parameters.values())
        for module in (__import__("fastconv.utils"), keras)
    )
    assert [(p.name, p.kind, p.default) for p in ours] == [
        (p.name, p.kind, p.default) for p in theirs
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ImageDataGenerator.__init__, "ImageDataGenerator.__init__"),
        (ImageDataGenerator.flow, "ImageDataGenerator.flow"),
        (ImageDataGenerator.flow_from_directory, "ImageDataGenerator.flow_from_directory"),
    ],
)
def test_the_generator_takes_what_keras_takes(keras, ours, theirs):
    """In the same order, so also by position; and two options more."""
    found = keras.legacy_image
    for part in theirs.split("."):
        found = getattr(found, part)
    mine = [p for p in inspect.signature(ours).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    other = inspect.signature(found).parameters.values()
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in other]


# Single images


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
def test_load_img_is_keras(keras, folder, color_mode):
    for path in sorted(folder.rglob("*.*")):
        if path.suffix == ".txt" or path.name == "stray.jpg":
            continue
        for options in ({}, {"target_size": (20, 31)}, {"interpolation": "bicubic"}):
            ours = utils.load_img(path, color_mode, **options)
            theirs = keras.utils.load_img(path, color_mode, **options)
            assert ours.mode == theirs.mode
            for layout in ("channels_last", "channels_first"):
                np.testing.assert_array_equal(
                    utils.img_to_array(ours, layout), keras.utils.img_to_array(theirs, layout)
                )


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_array_to_img_is_keras(keras, channels, scale):
    x = np.random.default_rng(0).random((5, 7, channels)) * (200 if channels > 1 else 900)
    for layout, array in (("channels_last", x), ("channels_first", x.transpose(2, 0, 1))):
        ours = utils.array_to_img(array, layout, scale)
        theirs = keras.utils.array_to_img(array, layout, scale)
        assert ours.mode == theirs.mode
        difference = np.asarray(ours).astype(int) - np.asarray(theirs)
        assert abs(difference).max() <= (1 if scale else 0)  # one division less


def test_save_img(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (6, 7, 3)).astype(np.float32)
    utils.save_img(tmp_path / "a.png", x, scale=False)
    np.testing.assert_array_equal(utils.img_to_array(utils.load_img(tmp_path / "a.png")), x)
    utils.save_img(str(tmp_path / "b.jpg"), x)
    assert PIL.open(tmp_path / "b.jpg").format == "JPEG"
    with pytest.warns(UserWarning, match="no transparency"):
        utils.save_img(tmp_path / "c.jpg", np.zeros((4, 4, 4)))
    file = io.BytesIO()
    utils.save_img(file, x, file_format="png", scale=False)
    np.testing.assert_array_equal(utils.img_to_array(utils.load_img(file)), x)


@pytest.mark.parametrize(
    ("call", "error", "argument"),
    [
        (lambda: utils.load_img(3), TypeError, "path"),
        (lambda: utils.load_img("x", "RGB"), ValueError, "color_mode"),
        (lambda: utils.load_img("x", target_size=5), TypeError, "target_size"),
        (lambda: utils.load_img("x", target_size=(0, 5)), ValueError, "target_size"),
        (lambda: utils.load_img("x", target_size=(2.0, 5)), TypeError, "target_size"),
        (lambda: utils.load_img("x", interpolation="best"), ValueError, "interpolation"),
        (lambda: utils.img_to_array([1, 2]), ValueError, "img"),
        (lambda: utils.img_to_array([[1]], "NCHW"), ValueError, "data_format"),
        (lambda: utils.img_to_array([[1]], dtype="int8"), ValueError, "dtype"),
        (lambda: utils.array_to_img([[1]]), ValueError, "x"),
        (lambda: utils.array_to_img(np.zeros((2, 2, 2))), ValueError, "x"),
        (lambda: utils.array_to_img(np.zeros((0, 2, 3))), ValueError, "x"),
        (lambda: utils.array_to_img([[[np.nan]]]), ValueError, "x"),
        (lambda: utils.array_to_img([[[1]]], scale=1), TypeError, "scale"),
    ],
)
def test_bad_arguments(call, error, argument):
    with pytest.raises(error, match=f": {argument} must be"):
        call()


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        utils.load_img("nowhere.jpg")


# The iterator


def test_the_notebook(many, capsys):
    generator = ImageDataGenerator(rescale=1.0 / 255)
    batches = generator.flow_from_directory(
        str(many), target_size=(150, 150), batch_size=20, class_mode="binary"
    )
    assert capsys.readouterr().out == "Found 40 images belonging to 2 classes.\n"
    assert batches[0][0][0].shape == (150, 150, 3)
    assert np.shape(batches[0][0][0]) == (150, 150, 3)
    assert batches.class_indices == {"cats": 0, "dogs": 1}
    assert batches.samples == batches.n == 40
    assert batches.num_classes == len(batches) == 2
    assert batches.image_shape == (150, 150, 3)
    assert batches.batch_size == 20
    assert batches.classes.tolist() == batches.labels.tolist() == [0] * 20 + [1] * 20
    assert batches.filenames[0] == os.path.join("cats", "cat.0.jpg")
    assert batches.filepaths[0] == str(many / "cats" / "cat.0.jpg")
    x, y = next(batches)
    assert x.shape == (20, 150, 150, 3)
    assert y.shape == (20,)
    assert 0 <= x.min() < x.max() <= 1


def taken(batches, count):
    return [next(batches) for _ in range(count)]


def same(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a, b)


def random_generator():
    return ImageDataGenerator(rotation_range=20, zoom_range=0.2, horizontal_flip=True)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_threads_change_nothing(many, workers):
    alone = taken(flow(many, random_generator(), workers=0, batch_size=7), 14)
    same(taken(flow(many, random_generator(), workers=workers, batch_size=7), 14), alone)


def test_a_seed_repeats_and_none_follows_the_global_one(many):
    orders = []
    for seed in (1, 1, 2):
        utils.set_random_seed(seed)
        batches = flow(many, seed=None)
        next(batches)
        orders.append(batches.index_array.tolist())
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(40))


def test_every_epoch_has_each_image_once(many):
    batches = flow(many, class_mode="sparse", batch_size=12)
    orders = []
    for _ in range(3):
        sizes = []
        for place in range(len(batches)):
            assert batches.batch_index == place
            sizes.append(len(next(batches)[0]))
            if place == 0:
                orders.append(batches.index_array.tolist())
        assert sizes == [12, 12, 12, 4]
        assert sorted(orders[-1]) == list(range(40))
    assert orders[0] != orders[1] != orders[2]
    assert batches.total_batches_seen == 12


@pytest.mark.parametrize("workers", [0, 2])
def test_reset_and_items_between(many, workers):
    """What was loaded ahead leaves no trace: the same as without threads."""

    def session(workers):
        batches = flow(many, random_generator(), workers=workers)
        result = taken(batches, 3)
        result += [batches[2], batches[-1]]
        result += taken(batches, 2)
        batches.reset()
        result += taken(batches, 2)
        batches.on_epoch_end()
        result += [batches[0], next(batches)]
        return result, batches.total_batches_seen

    ours, seen = session(workers)
    theirs, _ = session(0)
    same(ours, theirs)
    assert seen == 11


def test_items_of_an_epoch_hold_each_image_once(many):
    batches = flow(many, class_mode="input", shuffle=True)
    x = np.concatenate([batches[i][0] for i in range(len(batches))])
    ordered = np.concatenate([flow(many, shuffle=False)[i][0] for i in range(len(batches))])
    assert {a.tobytes() for a in x} == {a.tobytes() for a in ordered}


def test_iteration_does_not_end(many):
    batches = flow(many)
    assert iter(batches) is batches
    for count, (x, _) in enumerate(batches):
        assert len(x) == 4
        if count == 25:
            break


def test_it_loads_ahead_and_not_without_bound(many):
    loaded = []

    def count(x):
        loaded.append(1)
        return x

    batches = flow(many, ImageDataGenerator(preprocessing_function=count), workers=2)
    next(batches)
    deadline = time.monotonic() + 10
    while len(loaded) < 4 * (1 + loader.AHEAD) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(loaded) == 4 * (1 + loader.AHEAD)


def test_threads_end_with_the_iterator(many):
    others = set(threading.enumerate())
    batches = flow(many, workers=3)
    next(batches)
    ours = set(threading.enumerate()) - others
    assert ours
    del batches
    for thread in ours:
        thread.join(10)
    assert not any(thread.is_alive() for thread in ours)


def test_many_threads_may_take_batches(many):
    batches = flow(many, class_mode="input", workers=2)
    got = []
    threads = [threading.Thread(target=lambda: got.extend(taken(batches, 5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = taken(flow(many, class_mode="input", workers=0), 20)
    assert sorted(x.tobytes() for x, _ in got) == sorted(x.tobytes() for x, _ in expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on(many):
    batches = flow(many, workers=2)
    next(batches)
    expected = taken(flow(many, workers=0), 3)[1:]
    child = os.fork()
    if child == 0:
        try:
            same(taken(batches, 2), expected)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    same(taken(batches, 2), expected)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes(many, dtype):
    x, y = next(flow(many, ImageDataGenerator(dtype=dtype)))
    assert x.dtype == y.dtype == dtype


def test_the_layout_of_the_configuration(many):
    config.set_image_data_format("channels_first")
    try:
        assert next(flow(many))[0].shape == (4, 3, 24, 30)
    finally:
        config.set_image_data_format("channels_last")


def test_a_function_of_another_shape(many):
    batches = flow(many, ImageDataGenerator(preprocessing_function=lambda x: x[:2]))
    with pytest.raises(ValueError, match="preprocessing_function must be"):
        next(batches)


def test_an_error_in_the_function_is_raised_even_if_broken_images_are_skipped(many):
    def fail(x):
        raise RuntimeError("mine")

    batches = flow(many, ImageDataGenerator(preprocessing_function=fail), on_error="skip")
    with pytest.raises(RuntimeError, match="mine"):
        next(batches)


BAD_OPTIONS = [
    ({"zca_whitening": True}, ValueError, "zca_whitening"),
    ({"rotation_range": "far"}, TypeError, "rotation_range"),
    ({"rotation_range": np.nan}, ValueError, "rotation_range"),
    ({"width_shift_range": -1}, ValueError, "width_shift_range"),
    ({"height_shift_range": []}, ValueError, "height_shift_range"),
    ({"height_shift_range": "up"}, TypeError, "height_shift_range"),
    ({"brightness_range": 0.5}, TypeError, "brightness_range"),
    ({"zoom_range": (1, 2, 3)}, ValueError, "zoom_range"),
    ({"fill_mode": "mirror"}, ValueError, "fill_mode"),
    ({"horizontal_flip": 1}, TypeError, "horizontal_flip"),
    ({"rescale": "1/255"}, TypeError, "rescale"),
    ({"preprocessing_function": 3}, TypeError, "preprocessing_function"),
    ({"data_format": "NHWC"}, ValueError, "data_format"),
    ({"validation_split": 1.0}, ValueError, "validation_split"),
    ({"validation_split": "half"}, TypeError, "validation_split"),
    ({"interpolation_order": 3}, ValueError, "interpolation_order"),
    ({"dtype": "uint8"}, ValueError, "dtype"),
]


@pytest.mark.parametrize(("options", "error", "argument"), BAD_OPTIONS)
def test_bad_options(options, error, argument):
    with pytest.raises(error, match=f"ImageDataGenerator: {argument} must be"):
        ImageDataGenerator(**options)


BAD_FLOWS = [
    ({"target_size": 150}, TypeError, "target_size"),
    ({"target_size": (150, 0)}, ValueError, "target_size"),
    ({"color_mode": "bgr"}, ValueError, "color_mode"),
    ({"classes": "cats"}, TypeError, "classes"),
    ({"classes": ["cats", "cows"]}, ValueError, "classes"),
    ({"classes": ["cats", "cats"]}, ValueError, "classes"),
    ({"class_mode": "multi"}, ValueError, "class_mode"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"batch_size": 2.0}, TypeError, "batch_size"),
    ({"shuffle": None}, TypeError, "shuffle"),
    ({"seed": -1}, ValueError, "seed"),
    ({"save_to_dir": "/tmp"}, ValueError, "save_to_dir"),
    ({"subset": "test"}, ValueError, "subset"),
    ({"subset": "validation"}, ValueError, "directory"),
    ({"interpolation": "cubic"}, ValueError, "interpolation"),
    ({"on_error": "ignore"}, ValueError, "on_error"),
    ({"workers": -1}, ValueError, "workers"),
    ({"workers": 1.5}, TypeError, "workers"),
]


@pytest.mark.parametrize(("options", "error", "argument"), BAD_FLOWS)
def test_bad_flows(many, options, error, argument):
    with pytest.raises(error, match=f": {argument} must be"):
        flow(many, **options)


def test_bad_folders(many, tmp_path):
    with pytest.raises(FileNotFoundError, match="directory must be a folder"):
        flow(tmp_path / "nothing")
    with pytest.raises(NotADirectoryError):
        flow(many / "cats" / "cat.0.jpg")
    with pytest.raises(TypeError, match="directory must be"):
        flow(3)
    with pytest.raises(ValueError, match="directory must be"):
        flow(tmp_path)


def test_two_labels_are_no_more(folder):
    with pytest.raises(ValueError, match="class_mode must be 'categorical' or 'sparse' for 3"):
        flow(folder, class_mode="binary")


def test_bad_items(many):
    batches = flow(many)
    for index in (10, -11):
        with pytest.raises(ValueError, match="index must be"):
            batches[index]
    with pytest.raises(TypeError, match="index must be"):
        batches[1.0]


@pytest.mark.parametrize(
    ("arguments", "error", "argument"),
    [
        ((np.zeros((3, 4, 4)),), ValueError, "x"),
        ((np.zeros((0, 4, 4, 3)),), ValueError, "n"),
        ((np.array([[[["a"]]]]),), TypeError, "x"),
        ((np.zeros((3, 4, 4, 3)), [1, 2]), ValueError, "y"),
        ((np.zeros((3, 4, 4, 3)), 1), ValueError, "y"),
    ],
)
def test_bad_arrays(arguments, error, argument):
    with pytest.raises(error, match=f"NumpyArrayIterator: {argument} must be"):
        ImageDataGenerator().flow(*arguments)


def test_subsets_with_other_labels():
    generator = ImageDataGenerator(validation_split=0.5)
    x, y = np.zeros((4, 2, 2, 1)), [0, 0, 1, 1]
    with pytest.raises(ValueError, match="y must be"):
        generator.flow(x, y, subset="training")
    batches = generator.flow(x, y, subset="training", ignore_class_split=True)
    assert next(batches)[1].tolist() == [1, 1]


def test_flow_leaves_its_arrays_alone():
    x = np.full((3, 4, 4, 1), 100.0, np.float32)
    next(ImageDataGenerator(rescale=0.5, samplewise_center=True).flow(x))
    assert (x == 100).all()


# Broken and hostile images


def png_header(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(10**6)))


def jpeg(size=(64, 64)):
    file = io.BytesIO()
    photo(0, *size).save(file, "JPEG")
    return file.getvalue()


BROKEN = {
    "truncated": jpeg()[:700],
    "zero bytes": b"",
    "text": b"this is no image\n",
    "only a header": jpeg()[:20],
    "a giant": png_header(100_000, 100_000),
    "above Pillow's warning": png_header(10_000, 10_000),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n",
    "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "damaged": jpeg()[:30] + bytes(200) + jpeg()[230:],
}


def break_one(folder, tmp_path, kind):
    """Return a copy of a few images, one of them broken."""
    for animal in ("cats", "dogs"):
        (tmp_path / animal).mkdir(parents=True)
        for number in range(3):
            photo(number, 20, 20).save(tmp_path / animal / f"{number}.jpg")
    place = tmp_path / "dogs" / "1.jpg"
    place.unlink()
    if kind == "a pipe":
        os.mkfifo(place)
    elif kind == "a link to nothing":
        place.symlink_to(tmp_path / "nothing")
    else:
        place.write_bytes(BROKEN[kind])
    return tmp_path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [*BROKEN, "a pipe", "a link to nothing"])
def test_broken_images(folder, tmp_path, kind, workers):
    place = break_one(folder, tmp_path, kind)
    name = os.path.join("dogs", r"1\.jpg")
    options = {"batch_size": 3, "shuffle": False, "class_mode": "sparse", "workers": workers}
    batches = flow(place, **options)
    next(batches)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=name):
            next(batches)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    next(batches)  # it goes on

    batches = flow(place, on_error="skip", **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sizes = [len(next(batches)[1]) for _ in range(6)]
    assert sizes == [3, 2, 3, 2, 3, 2]
    ours = [str(warning.message) for warning in caught if "left out" in str(warning.message)]
    assert len(ours) == 1
    assert os.path.join("dogs", "1.jpg") in ours[0]


def test_all_images_broken(tmp_path):
    for animal in ("cats", "dogs"):
        (tmp_path / animal).mkdir()
        (tmp_path / animal / "0.jpg").write_bytes(b"")
    batches = flow(tmp_path, on_error="skip", batch_size=1)
    with pytest.warns(UserWarning, match="left out"), pytest.raises(ValueError, match="no image"):
        next(batches)
    assert batches[0][0].shape == (0, 24, 30, 3)


def test_a_folder_named_as_an_image(tmp_path):
    """It is looked into, as in Keras."""
    inner = tmp_path / "cats" / "x.jpg"
    inner.mkdir(parents=True)
    photo(0, 9, 9).save(inner / "a.png")
    assert flow(tmp_path).filenames == [os.path.join("cats", "x.jpg", "a.png")]
    with pytest.raises(ValueError, match=r"x\.jpg"):
        utils.load_img(inner)


def test_a_large_photo_is_admitted():
    """24 megapixels."""
    file = io.BytesIO()
    PIL.new("L", (6000, 4000)).save(file, "JPEG")
    assert utils.load_img(file, "grayscale", target_size=(10, 10)).size == (10, 10)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_of_pixels_is_pillows(monkeypatch):
    file = io.BytesIO()
    PIL.new("L", (40, 30)).save(file, "PNG")
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", 1200)
    assert utils.load_img(file).size == (40, 30)
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", 1199)
    with pytest.raises(ValueError, match="40x30 pixels"):
        utils.load_img(file)
    monkeypatch.setattr(PIL, "MAX_IMAGE_PIXELS", None)
    assert utils.load_img(file).size == (40, 30)


# image_dataset_from_directory


def dataset(folder, **options):
    options = {"image_size": (24, 30), "batch_size": 4, "seed": 5, **options}
    return image_dataset_from_directory(folder, **options)


@pytest.mark.parametrize("options", [{}, {"subset": "training"}, {"subset": "validation"}])
def test_files_are_keras(keras, folder, options):
    from keras.src.utils import dataset_utils

    paths, labels, names = dataset_utils.index_directory(
        str(folder), "inferred", (".bmp", ".gif", ".jpeg", ".jpg", ".png"), seed=5
    )
    if options:
        options = {**options, "validation_split": 0.35}
        paths, labels = dataset_utils.get_training_or_validation_split(
            paths, labels, 0.35, options["subset"]
        )
    ours = dataset(folder, **options)
    assert ours.file_paths == paths
    assert ours.labels.tolist() == list(labels)
    assert ours.class_names == names


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("crop", [False, True])
def test_pixels_are_keras(keras, folder, interpolation, crop):
    ours = dataset(
        folder, interpolation=interpolation, crop_to_aspect_ratio=crop, shuffle=False, batch_size=1
    )
    for (x, _), path in zip(ours, ours.file_paths, strict=True):
        picture = np.asarray(PIL.open(path).convert("RGB"), np.float32)
        theirs = keras.ops.image.resize(
            picture, (24, 30), interpolation=interpolation, crop_to_aspect_ratio=crop
        )
        np.testing.assert_allclose(x[0], np.asarray(theirs), atol=2e-3)


@pytest.mark.parametrize(
    ("mode", "dtype", "shape"),
    [("int", "int32", (4,)), ("categorical", "float32", (4, 2)), ("binary", "float32", (4, 1))],
)
def test_labels_of_a_dataset(many, mode, dtype, shape):
    data = dataset(many, label_mode=mode, shuffle=False)
    x, y = list(data)[-1]
    assert x.dtype == np.float32
    assert x.shape == (4, 24, 30, 3)
    assert y.dtype == dtype
    assert y.shape == shape
    assert (y[:, -1] == 1).all() if mode != "int" else (y == 1).all()


def test_a_dataset_without_labels(many, capsys):
    for options in ({"labels": None}, {"label_mode": None}):
        data = dataset(many, **options)
        assert next(iter(data)).shape == (4, 24, 30, 3)
        assert capsys.readouterr().out == "Found 40 files.\n"
        assert data.class_names is None


def test_a_dataset_with_labels_given(many, capsys):
    data = dataset(many, labels=[3, 7] * 20, shuffle=False)
    assert next(iter(data))[1].tolist() == [3, 7, 3, 7]
    assert data.class_names == ["3", "7"]


def test_a_dataset_is_shuffled_anew(many):
    data = dataset(many)
    first, second = [np.concatenate([x for x, _ in data]) for _ in range(2)]
    assert len(data) == 10
    assert not np.array_equal(first, second)
    assert {a.tobytes() for a in first} == {a.tobytes() for a in second}
    again = dataset(many, workers=0)
    np.testing.assert_array_equal(first, np.concatenate([x for x, _ in again]))
    np.testing.assert_array_equal(second, np.concatenate([x for x, _ in again]))


def test_two_epochs_at_once(many):
    data = dataset(many, shuffle=False)
    for (x, _), (z, _) in zip(data, data, strict=True):
        np.testing.assert_array_equal(x, z)


def test_both_subsets(many):
    training, validation = dataset(many, validation_split=0.25, subset="both")
    assert len(training.file_paths) == 30
    assert not set(training.file_paths) & set(validation.file_paths)
    assert len(list(validation)) == len(validation) == 3


def test_a_dataset_with_broken_images(folder, tmp_path):
    place = break_one(folder, tmp_path, "truncated")
    with pytest.raises(ValueError, match=r"1\.jpg"):
        list(dataset(place))
    data = dataset(place, on_error="skip", batch_size=1, shuffle=False)
    with pytest.warns(UserWarning, match=r"1\.jpg"):
        assert [y.tolist() for _, y in data] == [[0], [0], [0], [1], [1]]


@pytest.mark.parametrize(
    ("options", "error", "argument"),
    [
        ({"labels": "given"}, TypeError, "labels"),
        ({"labels": [1]}, ValueError, "labels"),
        ({"labels": ["cat"] * 40}, TypeError, "labels"),
        ({"label_mode": "sparse"}, ValueError, "label_mode"),
        ({"class_names": ["cows"]}, ValueError, "class_names"),
        ({"class_names": ["cats"], "labels": None}, ValueError, "class_names"),
        ({"class_names": ["cats"], "label_mode": "binary"}, ValueError, "label_mode"),
        ({"batch_size": None}, TypeError, "batch_size"),
        ({"image_size": (1, 2, 3)}, ValueError, "image_size"),
        ({"validation_split": 0.5}, ValueError, "subset"),
        ({"subset": "training"}, ValueError, "subset"),
        ({"validation_split": 0.5, "subset": "test"}, ValueError, "subset"),
        ({"validation_split": 0.5, "subset": "both", "seed": None}, ValueError, "seed"),
        ({"validation_split": 0.01, "subset": "validation"}, ValueError, "directory"),
        ({"interpolation": "area"}, ValueError, "interpolation"),
        ({"pad_to_aspect_ratio": True}, ValueError, "pad_to_aspect_ratio"),
        ({"verbose": 2}, TypeError, "verbose"),
        ({"workers": "all"}, TypeError, "workers"),
    ],
)
def test_bad_datasets(many, options, error, argument):
    with pytest.raises(error, match=f"image_dataset_from_directory: {argument} must be"):
        dataset(many, **options)


def test_every_name_is_there():
    assert all(callable(getattr(image, name)) for name in image.__all__)
