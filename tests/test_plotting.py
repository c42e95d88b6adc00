"""Pictures: what is drawn, to the pixel where it matters; files, notebooks, nothing left over."""

import copy
import io
import pickle
import re
import subprocess
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest

from fastconv import layers
from fastconv.callbacks import History
from fastconv.models import Model, Sequential
from fastconv.plotting import cells, feature_maps, plot_history, plot_samples, show_deep_net

PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

HISTORY = {
    "accuracy": [0.5, 0.75, 0.875],
    "loss": [0.9, 0.5, 0.25],
    "val_accuracy": [0.5, 0.625, 0.5],
    "val_loss": [1.0, 0.75, 0.8],
}
EMPTY_TAGS = {"img", "br", "meta"}


class Page(HTMLParser):
    """Collects tags and texts, and fails where a tag is closed that isn't open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.texts, self.rows = [], [], [], 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.rows += tag == "tr"
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def diagonal():
    """Return an image of 5 rows and 6 columns, with numbers on its diagonal."""
    x = np.zeros((1, 1, 5, 6))
    x[0, 0, range(5), range(5)] = [1, 1, -1, -1, 1]
    return x


def small_network(**names):
    """Return a network whose pool has the layout of channels last, unlike its convolution."""
    first = {"input_shape": (1, 5, 6), "data_format": "channels_first"}
    model = Sequential(
        [
            layers.Conv2D(3, (2, 2), name=names.get("conv", "conv_1"), **first),
            layers.Activation("relu", name="relu_1"),
            layers.MaxPooling2D((2, 2), name="max_pool_1"),
            layers.Flatten(name="flat"),
            layers.Dense(1, name="dense_2"),
            layers.Activation("sigmoid", name="sigmoid_2"),
        ],
        name="small",
    )
    weights = np.full((2, 2, 1, 3), 2.0), np.full(3, 0.1), np.ones((10, 1)), np.full(1, 0.1)
    model.set_weights([*weights])
    return model


def branched():
    """Return a graph with two branches, 128 channels and a shared layer."""
    x = layers.Input((8, 8, 3), name="picture")
    left = layers.Conv2D(4, 3, padding="same", name="left")(x)
    right = layers.Conv2D(4, 1, name="right")(x)
    twice = layers.ReLU(name="relu")
    y = layers.Add(name="join")([twice(left), twice(right)])
    y = layers.Conv2D(128, 3, name="wide")(y)
    y = layers.GlobalAveragePooling2D(name="mean")(y)
    return Model(x, layers.Dense(3, name="end")(y), name="branched")


# ------------------------------------------------------------------------------- feature maps


CONV = [
    [4.1, 2.1, 0.1, 0.1, 0.1],
    [2.1, 0.1, -1.9, 0.1, 0.1],
    [0.1, -1.9, -3.9, -1.9, 0.1],
    [0.1, 0.1, -1.9, 0.1, 2.1],
]


def test_numbers_and_shapes():
    maps = feature_maps(small_network(), diagonal())
    found = [(one.kind, one.shape, one.maps.shape) for one in maps]
    assert found == [
        ("InputLayer", (None, 1, 5, 6), (1, 5, 6)),
        ("Conv2D", (None, 3, 4, 5), (3, 4, 5)),
        ("Activation", (None, 3, 4, 5), (3, 4, 5)),
        ("MaxPooling2D", (None, 1, 2, 5), (5, 1, 2)),
        ("Flatten", (None, 10), (1, 1, 10)),
        ("Dense", (None, 1), (1, 1, 1)),
        ("Activation", (None, 1), (1, 1, 1)),
    ]
    assert np.array_equal(maps[0].maps[0], diagonal()[0, 0])
    for one in maps["conv_1"].maps:
        np.testing.assert_allclose(one, CONV, atol=1e-6)
    pooled = maps["max_pool_1"].maps
    np.testing.assert_allclose(pooled[:, 0].T, [[4.1, 2.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0, 0.1, 2.1]])
    np.testing.assert_allclose(maps["dense_2"].maps, 9, rtol=1e-6)
    assert (maps["conv_1"].low, maps["conv_1"].high) == pytest.approx((-3.9, 4.1))


def test_pixels():
    """Each layer from its least number, black, to its greatest, white; a constant one is black."""
    maps = feature_maps(small_network(), diagonal(), scale=7, values=False)
    for image in maps["conv_1"].images():
        greys = np.rint((np.array(CONV) + 3.9) / 8 * 255).astype(np.uint8)
        assert np.array_equal(np.asarray(image), np.kron(greys, np.ones((7, 7), np.uint8)))
    grey = {0: 0, 0.1: 6, 2.1: 131, 4.1: 255}
    numbers = [[4.1, 2.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0, 0.1, 2.1]]
    for channel, image in enumerate(maps["max_pool_1"].images()):
        expected = [[grey[row[channel]] for row in numbers]]
        assert np.array_equal(np.asarray(image)[::7, ::7], expected)
    (image,) = maps[0].images()
    assert np.array_equal(np.asarray(image)[::7, ::7], np.rint((diagonal()[0, 0] + 1) * 127.5))
    for name in ("dense_2", "sigmoid_2"):
        assert not np.asarray(maps[name].images()[0]).any()


def test_one_layout_for_all():
    maps = feature_maps(small_network(), diagonal(), scale=50, data_format="channels_first")
    assert maps["max_pool_1"].maps.shape == (1, 2, 5)
    assert maps["max_pool_1"].images()[0].size == (250, 100)


def test_numbers_are_written_where_they_fit():
    """In the middle of their cells, dark on light and light on dark, within their cell."""
    maps = feature_maps(small_network(), diagonal(), scale=50)
    plain = feature_maps(small_network(), diagonal(), scale=50, values=False)
    written, empty = (np.asarray(m["conv_1"].images()[0], int) for m in (maps, plain))
    for row in range(4):
        for column in range(5):
            part = slice(row * 50, row * 50 + 50), slice(column * 50, column * 50 + 50)
            ink = np.argwhere(written[part] != empty[part])
            assert len(ink) > 10
            assert ink.min() >= 2
            assert ink.max() <= 47
            assert np.abs((ink.min(0) + ink.max(0)) / 2 - 24.5).max() <= 1.5
            darkest = np.abs(written[part] - empty[part]).max()
            assert darkest >= 110
    small = feature_maps(small_network(), diagonal(), scale=9)
    assert set(np.unique(small["relu_1"].images()[0])) == {0, 6, 131, 255}


def test_values_can_be_forced():
    maps = feature_maps(small_network(), diagonal(), scale=5, values=True)
    conv = maps["conv_1"]
    width, height = conv.images()[0].size
    assert width >= 5 * 20
    assert width * 4 == height * 5
    assert len(np.unique(conv.images()[0])) > 6


def test_numbers_of_a_layer_have_its_decimals():
    probabilities = np.array([[[0.91391, 1.7e-12, 0.059634, -1e-9]]])
    style = cells.plan("test", "layer", probabilities, True, 50, "auto").style
    assert [style.text(v) for v in probabilities.ravel()] == ["0.9139", "0", "0.0596", "0"]
    for number, text in [(1234.56, "1235"), (2.5e-7, "2.5e-7"), (3.25e30, "3.25e30"), (12, "12")]:
        style = cells.plan("test", "layer", np.full((1, 1, 1), number), True, 90, "auto").style
        assert style.text(number) == text


def test_without_freetype(monkeypatch):
    """Pillow has a font of pixels then, of a single size."""
    from PIL import ImageFont

    cells.font_of.cache_clear()
    pixels = ImageFont.load_default_imagefont()
    monkeypatch.setattr(ImageFont, "load_default", lambda: pixels)
    monkeypatch.setattr(ImageFont, "truetype", lambda *given: pixels)
    try:
        maps = feature_maps(small_network(conv="ação"), diagonal(), scale=50)
        image = np.asarray(maps["ação"].images()[0])
        assert set(image[:50, :50].ravel()) == {0, 255}  # a number on white
        maps.to_image()
    finally:
        cells.font_of.cache_clear()


def test_scales():
    rng = np.random.default_rng(0)
    for size, pixels in [(5, 160), (32, 160), (60, 120), (81, 81), (200, 200)]:
        model = Sequential([layers.ReLU(input_shape=(size, size, 1), name="relu")])
        maps = feature_maps(model, rng.normal(size=(1, size, size, 1)))
        assert maps["relu"].images()[0].size == (pixels, pixels)
    for size in range(8, 81):
        for count in (1, 16):
            drawn = cells.plan("test", "layer", np.zeros((count, size, 3)), False, None, False)
            assert 96 <= drawn.cell * size <= 160


def test_long_rows_are_folded():
    model = Sequential([layers.Flatten(name="flat", input_shape=(10, 10, 33))])
    maps = feature_maps(model, np.arange(3300.0).reshape(1, 10, 10, 33))
    assert maps["flat"].maps.shape == (1, 1, 3300)
    pixels = np.asarray(maps["flat"].images()[0])
    assert pixels.shape == (14 * 4, 236 * 4, 3)
    assert tuple(pixels[-1, -1]) == cells.PAPER
    greys = pixels[::4, ::4, 0].ravel()[:3300]
    assert np.array_equal(greys, np.rint(np.arange(3300) / 3299 * 255))


def test_what_is_no_number():
    x = np.array([np.nan, 1.0, np.inf, 3.0, -np.inf, 2.0]).reshape(1, 2, 3, 1)
    flat = Sequential([layers.Flatten(name="flat", input_shape=(2, 3, 1))])
    maps = feature_maps(flat, x, scale=30, values=False)
    assert (maps[0].low, maps[0].high) == (1, 3)
    pixels = np.asarray(maps[0].images()[0])[::30, ::30]
    assert tuple(pixels[0, 0]) == cells.NOT_A_NUMBER
    assert pixels[0, 1:, 0].tolist() + pixels[1, :, 0].tolist() == [0, 255, 255, 0, 128]
    assert "3 not finite" in maps._repr_html_()
    assert maps.to_image().size == feature_maps(flat, x, scale=30).to_image().size
    nothing = feature_maps(flat, np.full((1, 2, 3, 1), np.nan))
    assert (nothing[0].low, nothing[0].high) == (0, 0)
    nothing.to_image()


@pytest.mark.parametrize("largest", [1e308, 5e-324])
def test_extreme_numbers(largest):
    greys = cells.shades(np.array([[[-largest, 0, largest]]]), -largest, largest)
    assert greys.ravel().tolist() == [0, 128, 255]


def test_branches_shared_layers_and_many_channels(monkeypatch):
    model = branched()
    calls = []
    forward = layers.Conv2D.forward
    monkeypatch.setattr(
        layers.Conv2D,
        "forward",
        lambda self, *rest: calls.append((self.name, len(rest[0]))) or forward(self, *rest),
    )
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 3))
    maps = feature_maps(model, x)
    # one pass, of one sample
    assert sorted(calls) == [("left", 1), ("right", 1), ("wide", 1)]
    names = [one.name for one in maps]
    assert sorted(names) == sorted(
        ["picture", "left", "right", "relu, call 1", "relu, call 2", "join", "wide", "mean", "end"]
    )
    assert names[0] == "picture"
    both = maps["relu, call 1"].maps + maps["relu, call 2"].maps
    np.testing.assert_allclose(both, maps["join"].maps, rtol=1e-6)
    for name, output in [("left", "left"), ("join", "join"), ("wide", "wide")]:
        inner = Model(model.inputs, model.get_layer(output).output)
        expected = inner.predict(x[:1], verbose=0)[0]
        np.testing.assert_allclose(maps[name].maps, expected.transpose(2, 0, 1), rtol=1e-6)
    assert len(maps["wide"].images()) == 16
    assert "maps 1 … 16 of 128" in maps._repr_html_()
    assert len(feature_maps(model, x, most=3)["wide"].images()) == 3


def test_layouts_pass_along():
    x = layers.Input((3, 6, 5), name="x")
    y = layers.ReLU(name="before")(x)
    z = layers.Conv2D(2, 3, data_format="channels_first", name="conv")(y)
    inner = Sequential(
        [
            layers.Input((2, 4, 3)),
            layers.Conv2D(7, 1, data_format="channels_first", name="inside"),
            layers.ReLU(name="last"),
        ],
        name="inner",
    )
    z = layers.Dropout(0.5, name="after")(inner(z))
    w = layers.Reshape((4, 3, 7), name="reshaped")(z)
    aside = layers.ReLU(name="aside")(x)
    maps = feature_maps(Model(x, [w, aside]), np.zeros((1, 3, 6, 5)))
    shapes = {one.name: one.maps.shape for one in maps}
    assert shapes == {
        "x": (3, 6, 5),
        "before": (3, 6, 5),
        "aside": (3, 6, 5),
        "conv": (2, 4, 3),
        "inner": (7, 4, 3),
        "after": (7, 4, 3),
        "reshaped": (7, 4, 3),
    }


def test_several_inputs():
    a, b = layers.Input((4, 4, 1), name="a"), layers.Input((4, 4, 1), name="b")
    model = Model([a, b], layers.Add(name="sum")([a, b]))
    x = [np.full((2, 4, 4, 1), 1.0), np.full((2, 4, 4, 1), 2.0)]
    for given in (x, {"a": x[0], "b": x[1]}):
        maps = feature_maps(model, given)
        assert [(one.name, one.high) for one in maps] == [("a", 1), ("b", 2), ("sum", 3)]


def test_chosen_layers_and_weights_made_now():
    model = Sequential([layers.Conv2D(2, 2, name="conv"), layers.Flatten(name="flat")])
    maps = feature_maps(model, np.ones((1, 3, 3, 1)), layers="flat")
    assert [one.kind for one in maps] == ["InputLayer", "Flatten"]
    chosen = feature_maps(model, np.ones((1, 3, 3, 1)), layers=["flat", model.get_layer("conv")])
    assert [one.name for one in chosen][1:] == ["conv", "flat"]
    assert len(feature_maps(model, np.ones((1, 3, 3, 1)), layers=[])) == 1


def test_names_are_not_used_up():
    layers_before = Sequential([layers.ReLU(input_shape=(2, 2, 1))])
    one = Model(layers_before.inputs, layers_before.outputs).name
    feature_maps(layers_before, np.zeros((1, 2, 2, 1)))
    two = Model(layers_before.inputs, layers_before.outputs).name
    number = int(re.sub(r"\D", "", one) or 0)
    assert two == f"functional_{number + 1}"


# ------------------------------------------------------------------------- files and notebooks


def test_html_is_well_formed_and_escaped():
    maps = feature_maps(small_network(conv='<b>"conv" & co'), diagonal())
    page = Page(maps._repr_html_())
    assert page.rows == 7
    assert len(page.images) == 1 + 3 + 3 + 5 + 1 + 1 + 1
    assert '<b>"conv" & co' in "".join(page.texts)
    assert {"Conv2D", "(None, 3, 4, 5)", "-3.9 … 4.1"} <= set(page.texts)
    alt = [image["alt"] for image in page.images]
    assert alt[2] == '<b>"conv" & co: map 2 of 3, 4 x 5 numbers, -3.9 black to 4.1 white'
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)


def test_files(tmp_path):
    maps = feature_maps(small_network(), diagonal())
    maps.save(tmp_path / "net.png")
    with PIL.open(tmp_path / "net.png") as image:
        image.load()
        assert image.format == "PNG"
        assert image.size == maps.to_image().size
    maps.save(str(tmp_path / "net.HTML"))
    text = (tmp_path / "net.HTML").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "http" not in text
    assert Page(text.removeprefix("<!DOCTYPE html>")).rows == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.HTML", "net.png"]
    for wrong, error in [("net.jpg", ValueError), ("net", ValueError), (3, TypeError)]:
        with pytest.raises(error, match=r"save: path must be a path that ends in .html or .png"):
            maps.save(wrong)


def test_captions_are_not_cut():
    """A long name takes lines: the image is no wider, and no row's text meets the next row."""
    short = feature_maps(small_network(), diagonal()).to_image()
    long = feature_maps(small_network(conv="ação_" * 40), diagonal()).to_image()
    assert long.width < short.width + 200
    assert long.height > short.height + 20


def test_without_matplotlib_s_fonts(monkeypatch):
    from fastconv.plotting import sheet

    monkeypatch.setattr(sheet.importlib.util, "find_spec", lambda name: None)
    feature_maps(small_network(conv="ação 日"), diagonal()).to_image()
    assert sheet._writable("ação\n日", cells.font_of(14)) == "acao ?"


def test_show_deep_net(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    maps = show_deep_net(small_network(), diagonal(), scale=50)
    assert maps["conv_1"].images()[0].size == (250, 200)
    shown = []
    ipython = types.ModuleType("IPython")
    display = types.ModuleType("IPython.display")
    ipython.get_ipython, display.display = (lambda: None), shown.append
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert show_deep_net(small_network(), diagonal()) is not None  # imported, but not running
    ipython.get_ipython = object
    assert show_deep_net(small_network(), diagonal()) is None
    assert [len(one) for one in shown] == [7]


BAD_MAPS = [
    (TypeError, "model must be", {"model": 3}),
    (ValueError, "inputs must be of shape", {"x": np.zeros((1, 5, 6, 1))}),
    (ValueError, "x must be of one sample at least", {"x": np.zeros((0, 1, 5, 6))}),
    (TypeError, "x must be", {"x": "image"}),
    (TypeError, "x must be arrays of numbers", {"x": [[1, 2], [3]]}),
    (ValueError, "scale must be an int of at least 1", {"scale": 0}),
    (TypeError, "scale must be an int of at least 1", {"scale": 1.5}),
    (ValueError, "scale must be for 16777216 pixels", {"scale": 5000}),
    (ValueError, "values must be 'auto'", {"values": "always"}),
    (TypeError, "values must be 'auto'", {"values": 1}),
    (ValueError, "most must be an int of at least 1", {"most": 0}),
    (ValueError, "layers must be among conv_1, relu_1", {"layers": "conv"}),
    (TypeError, "layers must be layers", {"layers": [1]}),
    (ValueError, "layers must be among", {"layers": layers.ReLU(name="relu_1")}),
    (ValueError, "data_format must be", {"data_format": "last"}),
]


@pytest.mark.parametrize("function", [feature_maps, show_deep_net])
@pytest.mark.parametrize(("error", "message", "changed"), BAD_MAPS)
def test_bad_arguments_of_maps(function, error, message, changed):
    given = {"model": small_network(), "x": diagonal(), **changed}
    model, x = given.pop("model"), given.pop("x")
    with pytest.raises(error, match=f"{function.__name__}: {message}"):
        function(model, x, **given)


def test_too_many_numbers_to_write():
    model = Sequential([layers.ReLU(input_shape=(200, 200, 1))])
    with pytest.raises(ValueError, match="feature_maps: values must be False or 'auto'"):
        feature_maps(model, np.random.default_rng(0).normal(size=(1, 200, 200, 1)), values=True)


# ------------------------------------------------------------------------------------- curves


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib", reason="Matplotlib is not installed")


def test_curves(matplotlib, tmp_path):
    figure = plot_history(HISTORY, path=tmp_path / "history.png")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Training and validation loss", "Training and validation accuracy"]
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.x1 < right.x0
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        dots, line = axes.lines
        assert (dots.get_linestyle(), dots.get_marker()) == ("None", "o")
        assert (line.get_linestyle(), line.get_marker()) == ("-", "None")
        assert dots.get_xydata().tolist() == [*map(list, enumerate(HISTORY[name], 1))]
        assert line.get_xydata().tolist() == [*map(list, enumerate(HISTORY[f"val_{name}"], 1))]
        assert [t.get_text() for t in axes.get_legend().texts] == ["Training", "Validation"]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", name)
    with PIL.open(tmp_path / "history.png") as image:
        assert image.size == tuple(int(n) for n in figure.bbox.size)


def test_which_curves(matplotlib):
    more = {**HISTORY, "learning_rate": [0.1, 0.1, 0.01], "val_extra": [1, 2, 3]}
    names = [axes.get_ylabel() for axes in plot_history(more).axes]
    assert names == ["loss", "accuracy", "extra"]
    (axes,) = plot_history(more, "learning_rate").axes
    assert (axes.get_title(), len(axes.lines)) == ("Training learning rate", 1)
    (axes,) = plot_history(more, ["val_loss"]).axes
    assert (axes.get_title(), len(axes.lines)) == ("Validation loss", 1)
    assert len(plot_history({"lr": [1.0, 2.0]}).axes) == 1
    assert plot_history({"acc": [1.0]}).axes[0].get_title() == "Training accuracy"


def test_what_fit_returns(matplotlib):
    history = History()
    history.on_train_begin()
    for epoch in (4, 5, 6, 7):
        logs = {"loss": 1 / epoch}
        history.on_epoch_end(epoch, {**logs, "val_loss": 0.5} if epoch % 2 else logs)
    dots, line = plot_history(history).axes[0].lines
    assert dots.get_xdata().tolist() == [5, 6, 7, 8]
    assert line.get_xdata().tolist() == [6, 8]
    one = plot_history({"loss": [1.0], "val_loss": [2.0]}).axes[0].lines[1]
    assert one.get_marker() == "s"  # which can be seen


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_files_of_figures(matplotlib, tmp_path, ending):
    path = tmp_path / f"figure.{ending}"
    plot_history(HISTORY, path=str(path))
    beginning = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending]
    assert path.read_bytes().startswith(beginning)
    plot_samples(np.zeros((2, 4, 4)), path=path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_figures_display_themselves(matplotlib):
    figure = plot_history(HISTORY)
    for one in (figure, pickle.loads(pickle.dumps(figure)), copy.deepcopy(figure)):
        with PIL.open(io.BytesIO(one._repr_png_())) as image:
            assert image.size == (1040, 390)


BAD_HISTORIES = [
    (TypeError, "history must be a History", ([1, 2],)),
    (TypeError, "history must be", ({"loss": 3.0},)),
    (TypeError, "history must be", ({"loss": [[1, 2], [3]]},)),
    (TypeError, "history must be", ({1: [1.0]},)),
    (ValueError, "history must be of one epoch", ({},)),
    (ValueError, "history must be of one epoch", (History(),)),
    (ValueError, "metrics must be names among accuracy, loss", (HISTORY, "mae")),
    (TypeError, "metrics must be", (HISTORY, 3)),
    (TypeError, "metrics must be", (HISTORY, [3])),
    (ValueError, "metrics must be", (HISTORY, [])),
    (ValueError, "path must be a path that ends in .png or .pdf or .svg", (HISTORY, None, "a.gif")),
    (TypeError, "path must be", (HISTORY, None, 3)),
]


@pytest.mark.parametrize(("error", "message", "given"), BAD_HISTORIES)
def test_bad_histories(matplotlib, error, message, given):
    with pytest.raises(error, match=f"plot_history: {message}"):
        plot_history(*given)


# ------------------------------------------------------------------------------------ samples


def drawn(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_samples(matplotlib):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 6, 5, 3), np.uint8)
    figure = plot_samples(images, np.arange(7)[:, None], columns=3)
    assert titles(figure) == [*"0123456"]
    for image, pixels in zip(images, drawn(figure), strict=True):
        np.testing.assert_array_equal(pixels, image / 255)
    corners = [axes.get_subplotspec().get_topmost_subplotspec() for axes in figure.axes]
    assert {corner.get_gridspec().get_geometry() for corner in corners} == {(3, 3)}
    first = plot_samples(images.transpose(0, 3, 1, 2), data_format="channels_first")
    for one, other in zip(drawn(figure), drawn(first), strict=True):
        np.testing.assert_array_equal(one, other)
    assert titles(first) == [""] * 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([0.25, 0.5]), [0.25, 0.5]),
        (np.array([-1.0, 0.0, 3.0]), [0, 0.25, 1]),
        (np.array([0, 51, 255]), [0, 0.2, 1]),
        (np.array([0, 500, 1000]), [0, 0.5, 1]),
        (np.array([False, True]), [0, 1]),
        (np.array([7.0, 7.0]), [0, 0]),
        (np.array([np.nan, 1.0]), [0, 1]),
        (np.array([-1e308, 1e308]), [0, 1]),
        (np.array([0.25, 0.5], np.float16), [0.25, 0.5]),
    ],
)
def test_grey_samples_of_any_range(matplotlib, given, expected):
    for images in (given.reshape(1, 1, -1), given.reshape(1, 1, -1, 1)):
        np.testing.assert_allclose(drawn(plot_samples(images))[0], [expected])


def test_wrong_predictions_are_seen(matplotlib):
    images, names = np.zeros((3, 4, 4)), ["cat", "dog"]
    for labels in ([0, 1, 1], [[0], [1], [1]], np.eye(2)[[0, 1, 1]], ["cat", "dog", "dog"]):
        for guessed in ([0, 0, 1], [[0.1], [0.4], [0.6]], np.eye(2)[[0, 0, 1]] * 0.9):
            figure = plot_samples(images, labels, names, predictions=guessed)
            assert titles(figure) == ["cat", "cat (is dog)", "dog"]
            colours = [axes.title.get_color() for axes in figure.axes]
            assert colours[0] == colours[2] != colours[1] == "tab:red"
    assert titles(plot_samples(images, predictions=[0, 0, 1], class_names={0: "a", 1: "b"})) == [
        *"aab"
    ]
    long = plot_samples(images[:1], ["a name that is longer than an image is wide"])
    assert "\n" in titles(long)[0]
    plot_samples(images[:1], ["$x$ and $"])._repr_png_()  # no formula


BAD_SAMPLES = [
    (ValueError, "images must be", {"images": np.zeros((4, 4))}),
    (ValueError, "images must be", {"images": np.zeros((1, 4, 4, 2))}),
    (
        ValueError,
        "images must be",
        {"images": np.zeros((1, 5, 5, 3)), "data_format": "channels_first"},
    ),
    (ValueError, "images must be from 1 to 400", {"images": np.zeros((401, 1, 1))}),
    (ValueError, "images must be from 1 to 400", {"images": np.zeros((0, 1, 1))}),
    (TypeError, "images must be", {"images": "picture"}),
    (TypeError, "images must be", {"images": [[[1, 2], [3]]]}),
    (ValueError, "labels must be", {"labels": [0]}),
    (ValueError, "labels must be", {"labels": [0.5, 0.5]}),
    (TypeError, "labels must be", {"labels": [None, {}]}),
    (ValueError, "labels must be classes that class_names has", {"labels": [0, 2]}),
    (ValueError, "predictions must be", {"predictions": np.zeros((2, 2, 2))}),
    (ValueError, "predictions must be", {"predictions": [0.5, 7.5]}),
    (TypeError, "class_names must be", {"class_names": "ab"}),
    (TypeError, "class_names must be", {"class_names": [1, 2]}),
    (ValueError, "columns must be", {"columns": 0}),
    (TypeError, "columns must be", {"columns": None}),
    (ValueError, "path must be", {"path": "samples"}),
    (ValueError, "data_format must be", {"data_format": "first"}),
]


@pytest.mark.parametrize(("error", "message", "changed"), BAD_SAMPLES)
def test_bad_samples(matplotlib, error, message, changed):
    given = {"images": np.zeros((2, 4, 4)), "class_names": ["a", "b"], **changed}
    with pytest.raises(error, match=f"plot_samples: {message}"):
        plot_samples(**given)


# --------------------------------------------------------------------------- nothing left over


def test_nothing_global_is_changed(matplotlib):
    # asked for its backend, Matplotlib chooses one: that is looked at last
    code = """if True:
        import sys, matplotlib, numpy as np
        def settings():
            return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != "backend"}
        before = settings()
        import fastconv.plotting as p
        figure = p.plot_history({"loss": [1, 2], "val_loss": [2, 1]})
        figure._repr_png_()
        p.plot_samples(np.zeros((2, 3, 3)))._repr_png_()
        assert before == settings()
        assert "matplotlib.pyplot" not in sys.modules
        matplotlib.use("svg")
        import matplotlib.pyplot as plt
        p.plot_history({"loss": [1, 2], "val_loss": [2, 1]})._repr_png_()
        assert matplotlib.get_backend() == "svg"
        assert plt.get_fignums() == []
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_import_brings_neither_matplotlib_nor_pillow():
    code = (
        "import sys, fastconv.plotting; print({'matplotlib', 'PIL', 'IPython'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert process.stdout.strip() == b"set()"


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("matplotlib", lambda: plot_history(HISTORY)),
        ("matplotlib", lambda: plot_samples(np.zeros((1, 2, 2)))),
        ("Pillow", lambda: feature_maps(small_network(), diagonal())),
        ("Pillow", lambda: show_deep_net(small_network(), diagonal())),
    ],
)
def test_what_to_install_is_said(monkeypatch, package, call):
    for name in [n for n in sys.modules if n.split(".")[0] in ("matplotlib", "PIL")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("matplotlib", "PIL"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs {package}: pip install fastconv\[layers\]"):
        call()
