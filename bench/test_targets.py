"""The arithmetic behind the table of targets: kinds, ratios, means, verdicts, schedules."""

import json
from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest

from . import kinds, store
from .kinds import kind_of
from .memory import IMAGES, MOST, Growth, enlarged
from .problems import CONV_OPS, QUICK, problems_of, read_layers
from .readings import Readings, divided
from .report import BEST, Record, as_json
from .targets import EACH, MEAN, TARGETS, WORST, Row, Target, markdown, rows, table
from .timing import Timing, interleaved, takes_part, turns_of_each

LAYERS = {layer.name: layer for layer in read_layers()}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("s2_c1", kinds.FIRST),
        ("rn50_stem", kinds.FIRST),
        ("photo_filterbank", kinds.FIRST),
        ("s2_c3", kinds.FEW),
        ("s1_c2", kinds.LARGE_KERNEL),
        ("rn50_3x3_64", kinds.DEEP_LARGE),
        ("deeplab_d2", kinds.DEEP_LARGE),
        ("rn50_3x3_256", kinds.DEEP_MIDDLE),
        ("rn50_3x3_512", kinds.DEEP_SMALL),
        ("rn50_1x1_64_256", kinds.POINTWISE),
        ("rn50_3x3s2", kinds.STRIDED),
        ("mb_dw_s2", kinds.DEPTHWISE),
        ("resnext_g32", kinds.GROUPED),
        ("s5_c3", kinds.OTHER),
        ("gray_100", kinds.GREY),
        ("tiny_5x7", kinds.TINY),
    ],
)
def test_kind(name, kind):
    assert kind_of(LAYERS[name]) == kind


def test_kind_asks_the_geometry_alone():
    layer = replace(LAYERS["rn50_3x3_64"], name="mb_dw_first_s2")
    assert kind_of(layer) == kinds.DEEP_LARGE
    assert kind_of(replace(layer, channels=48)) == kinds.OTHER
    assert kind_of(replace(layer, channels=3)) == kinds.FIRST


def test_quick_has_every_kind_with_a_target():
    quick = {kind_of(layer) for layer in read_layers(QUICK)}
    assert quick >= {kind_of(layer) for layer in LAYERS.values()} - {kinds.OTHER, kinds.GROUPED}


def record(problem, peer, minimum, op="forward", threads=1, outputs="fresh", median=None):
    timing = Timing(minimum, median or 2 * minimum, 10)
    return Record(op, outputs, "float32", threads, problem, peer, timing)


def readings(part="layers", *records, **document):
    content = {"machine": {"processor": "a"}, "records": [as_json(r) for r in records]}
    return Readings({part: content, **document})


def row_of(found, heading, what):
    (key,) = (key for key in TARGETS if key.startswith(heading))
    return next(row for row in rows(found)[key] if row.target.what.startswith(what))


def test_ratio_of_a_kind_and_of_all():
    found = readings(
        "layers",
        *(record(name, "fastconv", 1.0) for name in ("rn50_3x3_64", "deeplab_d2", "s2_c1")),
        record("rn50_3x3_64", "torch", 1.0, median=3.0),
        record("deeplab_d2", "torch", 4.0, median=12.0),
        record("s2_c1", "torch", 0.9),
    )
    row = row_of(found, "forward", kinds.DEEP_LARGE)
    assert set(row.values) == {"rn50_3x3_64", "deeplab_d2"}
    assert row.number("minimum") == pytest.approx(2.0)
    assert row.number("median") == pytest.approx(3.0)
    assert row.verdict == "met on average"
    assert row.exceptions == {"rn50_3x3_64": 1.0}
    everything = row_of(found, "forward", "all layers")
    assert everything.number("minimum") == pytest.approx((4 * 0.9) ** (1 / 3))
    assert everything.verdict == "short"
    assert everything.exceptions == {}
    slower = row_of(found, "forward", "no layer")
    assert (slower.verdict, slower.exceptions) == ("short", {"s2_c1": 0.9})
    assert slower.number("minimum") == pytest.approx(0.9)


def test_prepared_is_held_against_the_best():
    peers = {"fastconv": 1.0, "torch": 3.0, "onnxruntime": 0.5, "ncnn": 2.0}
    records = [record("s2_c1", peer, seconds, "prepared") for peer, seconds in peers.items()]
    row = row_of(readings("layers", *records), f"prepare_conv2d, time of the {BEST}", "no layer")
    assert row.number("minimum") == pytest.approx(0.5)


def test_float64_and_channels_last():
    wide = [record("s2_c1", "fastconv", 1.0), record("s2_c1", "torch", 3.0)]
    assert row_of(readings("float64", *wide), "float64", "forward").number(
        "minimum"
    ) == pytest.approx(3.0)
    last = [record("s2_c1", "fastconv", 1.0), record("s2_c1", "fastconv-nhwc", 4.0)]
    assert row_of(readings("layers", *last), "NHWC", "forward").number("minimum") == pytest.approx(
        0.25
    )


def test_threads_beside_a_neighbour_go_by_medians():
    records = [
        record("s5_c2", "fastconv", 1.0, median=1.0),
        record("s5_c2", "fastconv", 2.0, threads=2, median=0.5),
        record("s5_c2", "torch", 3.0),
        record("s5_c2", "torch", 1.0, threads=2),
    ]
    row = row_of(readings("neighbour", *records), "two threads", "forward, one core busy")
    assert (row.worst, row.verdict) == (2.0, "met")
    row = row_of(readings("threads", *records), "two threads", "forward, idle")
    assert (row.worst, row.verdict) == (0.5, "short")
    row = row_of(readings("threads", *records), "two threads", "PyTorch's forward, idle")
    assert (row.worst, row.verdict) == (3.0, "")


def test_two_threads_beside_pytorch_are_compared_with_nothing_asked():
    records = [
        record("s5_c2", "fastconv", 2.0, threads=2),
        record("s5_c2", "torch", 3.0, threads=2),
    ]
    row = row_of(readings("threads", *records), "two threads", "forward, PyTorch's time")
    assert row.number("minimum") == pytest.approx(1.5)
    assert row.verdict == ""


def test_scipy_is_the_fastest_of_its_functions():
    records = [
        record("gray_100", "fastconv", 1.0),
        record("gray_100", "scipy.ndimage", 9.0),
        record("gray_100", "scikit-image", 4.0),
        record("gray_100", "opencv", 1.5),
        record("s2_c1", "fastconv", 1.0),
        record("s2_c1", "scipy.correlate", 80.0),
    ]
    found = readings("layers", *records)
    heading = "the fastest of SciPy"
    assert row_of(found, heading, "one grey image").number("minimum") == pytest.approx(4.0)
    assert row_of(found, heading, "batches").number("minimum") == pytest.approx(80.0)
    assert row_of(found, "small calls", "100x100").number("minimum") == pytest.approx(1.5)


def test_small_calls_are_timed_in_microseconds():
    found = readings("layers", record("tiny_5x7", "fastconv", 2e-6))
    row = row_of(found, "small calls", "5x7")
    assert row.number("minimum") == pytest.approx(2.0)
    assert row.verdict == "met"


def test_memory_training_import_and_wheel():
    document = {
        "memory": {
            "machine": {"processor": "a"},
            "records": [
                vars(Growth("forward", "a", images=32 << 20, grown=50 << 20)),
                vars(Growth("grad_w", "a", images=32 << 20, grown=9, packed=99)),
            ],
        },
        "training": {
            "machine": {"processor": "b"},
            "records": [
                {
                    "network": "n",
                    "threads": 1,
                    "steps": {
                        "fastconv": vars(Timing(1.0, 1.0, 1)),
                        "PyTorch": vars(Timing(2.5, 3.0, 1)),
                    },
                }
            ],
        },
        "start": {
            "machine": {"processor": "a", "others": 0.5},
            "imports": {
                "numpy": vars(Timing(0.05, 0.06, 1)),
                "fastconv": vars(Timing(0.07, 0.1, 1)),
            },
            "wheel": ["fastconv.whl", 3_500_000],
        },
    }
    found = Readings(document)
    row = row_of(found, "memory", "workspace")
    assert row.verdict == "short"
    assert row.exceptions == {"forward a": 50.0}
    assert row_of(found, "memory", "no copy").number("minimum") == pytest.approx(50 / 32)
    assert row_of(found, "a step", "PyTorch's time / ours, threads: 1").number(
        "median"
    ) == pytest.approx(3.0)
    assert row_of(found, "a step", "Keras's time / ours, threads: 1").verdict == "not measured"
    assert row_of(found, "installed", "import").number("minimum") == pytest.approx(20)
    assert row_of(found, "installed", "import").number("median") == pytest.approx(40)
    assert row_of(found, "installed", "wheel").verdict == "short"
    assert "start: other processes took 50% of the CPUs meanwhile" in table(found)
    assert "measured on several machines" in table(found)


@pytest.mark.parametrize(
    ("of", "values", "verdict"),
    [
        (EACH, [2, 3], "met"),
        (EACH, [1, 9], "met on average"),
        (EACH, [1, 3], "short"),
        (MEAN, [1, 9], "met"),
        (MEAN, [1, 3], "short"),
        (WORST, [1, 9], "short"),
        (WORST, [2, 9], "met"),
        (WORST, [], "not measured"),
    ],
)
def test_verdict(of, values, verdict):
    timings = {str(value): Timing(value, value, 0) for value in values}
    assert Row(Target("", 2, lambda _: timings, of), timings).verdict == verdict


def test_a_table_of_nothing_names_every_target():
    text = table(Readings({}))
    count = sum(target.asked is not None for group in TARGETS.values() for target in group)
    assert f"{count} targets: {count} not measured" in text
    assert all(heading in text for heading in TARGETS)
    assert all(line.count(" |") >= 8 for line in markdown(Readings({})).splitlines()[2:])


def test_store_replaces_a_part_and_keeps_the_others(tmp_path):
    path = tmp_path / "new" / "results.json"
    row = record("s2_c1", "fastconv", 1.0)
    store.put(path, "layers", {"machine": {}, "records": [as_json(row)]})
    store.put(path, "start", {"wheel": 1})
    store.put(path, "start", {"wheel": 2})
    assert store.load(path)["start"] == {"wheel": 2}
    assert store.records(store.load(path)) == [row]
    assert store.load(tmp_path / "none.json") == {}
    path.write_text(json.dumps({"machine": {}, "records": []}))
    assert store.load(path) == {}  # of an earlier version: measured again


def test_ratio_of_two_timings():
    ratio = divided(Timing(6, 8, 1), Timing(2, 4, 1, estimated=True))
    assert (ratio.minimum, ratio.median, ratio.estimated) == (3, 2, True)


@pytest.mark.parametrize(("turns", "rounds"), [(3, 3), (3, 1000), (7, 100), (999, 1000)])
def test_turns_are_spread_over_all_rounds(turns, rounds):
    taken = [turn for turn in range(rounds) if takes_part(turn, turns, rounds)]
    assert len(taken) == turns
    gaps = [after - before for before, after in pairwise(taken)]
    assert max(gaps) - min(gaps) <= 1


def test_slow_contenders_take_fewer_turns():
    warm = {"ours": 1e-3, "torch": 2e-3, "slow": 0.2, "slowest": 10.0}
    turns = turns_of_each(warm, warm, seconds=0.9)
    assert turns == {"ours": 600, "torch": 600, "slow": 4, "slowest": 3}


def test_interleaved_counts_calls():
    counts = dict.fromkeys(("a", "b"), 0)

    def call(name):
        counts[name] += 1

    calls = {name: lambda name=name: call(name) for name in counts}
    timings = interleaved(calls, dict.fromkeys(counts, 0.0), seconds=0.001)
    assert {name: counts[name] - 2 for name in counts} == {
        name: timing.repetitions for name, timing in timings.items()
    }


@pytest.mark.parametrize("op", [CONV_OPS[0], "max_pool"])
def test_enlarged_batches_show_a_copy_of_the_images(op):
    for problem in problems_of(op):
        large = enlarged(problem)
        assert large.x_shape[1:] == problem.x_shape[1:]
        if large != problem:
            assert 4 * prod(large.out_shape) <= MOST
            assert 4 * prod(large.x_shape) >= IMAGES // 4


def test_workspace_is_what_is_not_packed():
    assert Growth("forward", "a", 100, grown=50, packed=30).workspace == 20
    assert Growth("forward", "a", 100, grown=20, packed=30).workspace == 0
