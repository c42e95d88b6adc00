"""Threads and precision: process, context, environment; show_config."""

import asyncio
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastconv as fc
from fastconv import cpus
from fastconv._core import runtime
from fastconv.threads import configure, current, current_precision, useful_threads


@pytest.fixture(autouse=True)
def restore():
    number, isa = runtime.get_num_threads(), runtime.isa()
    yield
    runtime.set_num_threads(number)
    runtime.select_isa(isa)


def in_new_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


# Cores that others use


def test_threads_that_bring_nothing_are_left_out_for_longer_each_time():
    milliseconds = 2.0**-10
    assert runtime.judge(1.9, milliseconds) == 0
    waits = [runtime.judge(0.9, milliseconds) / milliseconds for _ in range(6)]
    assert waits == [1, 4, 16, 64, 64, 64]
    assert runtime.judge(1.5, milliseconds) == 0
    assert runtime.judge(1.0, milliseconds) == milliseconds
    assert runtime.judge(1.0, 60.0) < 1  # whatever a call takes, threads are tried again soon
    runtime.judge(2.0, milliseconds)


def test_calls_without_threads_give_the_same(monkeypatch):
    x, w = np.ones((8, 16, 20, 20), np.float32), np.ones((16, 16, 3, 3), np.float32)
    fc.set_num_threads(2)
    want = fc.conv2d(x, w)
    runtime.always_use_threads(False)
    try:
        runtime.judge(2.0, 0.01)
        assert useful_threads(1 << 40) == 2
        runtime.judge(0.5, 0.01)
        assert useful_threads(1 << 40) == 1  # the work is not cut for two
        for _ in range(5):
            np.testing.assert_array_equal(fc.conv2d(x, w), want)
    finally:
        runtime.judge(2.0, 0.01)
        runtime.always_use_threads(True)


# The process and the context


def test_the_number_of_the_process_is_seen_by_every_thread():
    fc.set_num_threads(3)
    assert fc.get_num_threads() == current() == in_new_thread(fc.get_num_threads) == 3
    fc.set_num_threads(np.int64(1))
    assert fc.get_num_threads() == in_new_thread(fc.get_num_threads) == 1


def test_the_number_of_a_block_holds_in_it_alone():
    fc.set_num_threads(2)
    with fc.threads(5):
        assert fc.get_num_threads() == current() == 5
        with fc.threads(1):
            assert current() == 1
            fc.set_num_threads(4)
            assert current() == 1
        assert current() == 5
    assert current() == 4


def test_a_block_ends_with_an_error_too():
    before = current()
    with pytest.raises(ZeroDivisionError), fc.threads(before + 1), fc.precision("highest"):
        raise ZeroDivisionError
    assert current() == before
    assert current_precision() == "high"


def test_numbers_are_checked_before_the_block():
    with pytest.raises(ValueError, match="n must be an int from 1 to"):
        fc.threads(0)
    with pytest.raises(ValueError, match="level must be 'highest' or 'high', got 'higher'"):
        fc.precision("higher")


def test_a_block_is_no_matter_to_another_thread():
    fc.set_num_threads(2)
    with fc.threads(7), fc.precision("highest"):
        assert in_new_thread(current) in (2, 7)  # inherited where Python has it so
        assert current_precision() == "highest"
    started, done = threading.Event(), threading.Event()

    def hold():
        with fc.threads(9), fc.precision("highest"):
            started.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert started.wait(10)
    assert (current(), current_precision()) == (2, "high")
    done.set()
    thread.join()


def test_a_block_is_no_matter_to_another_task():
    fc.set_num_threads(2)

    async def task(number):
        with fc.threads(number):
            await asyncio.sleep(0)
            return current()

    async def both():
        return [*await asyncio.gather(task(3), task(4)), current()]

    assert asyncio.run(both()) == [3, 4, 2]


def test_precision():
    assert current_precision() == "high"
    with fc.precision("highest"):
        assert current_precision() == "highest"
        with fc.precision("high"):
            assert current_precision() == "high"
        assert current_precision() == "highest"
    assert current_precision() == "high"


# The environment


def test_configure_selects_an_isa():
    for name in runtime.isas_supported():
        configure({"FASTCONV_ISA": name})
        assert runtime.isa() == name
    configure({"FASTCONV_ISA": ""})
    assert runtime.isa() == name


def test_unknown_isa_names_the_choices():
    before = runtime.isa()
    with pytest.raises(ValueError, match=r"FASTCONV_ISA must be one of baseline.*, got 'mmx'"):
        configure({"FASTCONV_ISA": "mmx"})
    assert runtime.isa() == before


def run_python(code, **environment):
    """Return the result of a new process with these variables and no others of ours."""
    inherited = {key: value for key, value in os.environ.items() if "NUM_THREADS" not in key}
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


PRINT_THREADS = "import fastconv as fc; print(fc.get_num_threads())"


def test_environment_is_applied_at_import():
    assert run_python(PRINT_THREADS, FASTCONV_NUM_THREADS="3").stdout == "3\n"
    assert run_python(PRINT_THREADS, OMP_NUM_THREADS="4,2").stdout == "4\n"
    assert run_python(PRINT_THREADS).stdout == f"{cpus.allowed_cpus()}\n"
    code = "import fastconv as fc; print(fc.show_config('dicts')['isa']['chosen'])"
    assert run_python(code, FASTCONV_ISA="baseline").stdout == "baseline\n"


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("FASTCONV_NUM_THREADS", "must be a number of threads from 1 to 1024, got 'all'"),
        ("FASTCONV_ISA", "must be one of baseline"),
    ],
)
def test_a_bad_environment_is_an_error_at_import(variable, message):
    result = run_python("import fastconv", **{variable: "all"})
    assert result.returncode == 1
    assert f"ValueError: fastconv: {variable} {message}" in result.stderr


# show_config


def test_show_config_as_dicts():
    config = fc.show_config("dicts")
    assert config["version"] == fc.__version__
    assert config["isa"]["chosen"] in config["isa"]["supported"]
    assert set(config["isa"]["supported"]) <= set(config["isa"]["built"])
    assert config["isa"]["built"][0] == "baseline"
    assert isinstance(config["openmp"], bool)
    with fc.threads(3), fc.precision("highest"):
        config = fc.show_config(mode="dicts")
    assert (config["threads"], config["precision"]) == (3, "highest")


def test_show_config_prints(capsys):
    assert fc.show_config() is None
    text = capsys.readouterr().out
    config = fc.show_config("dicts")
    for words in (fc.__version__, config["compiler"], *config["isa"]["built"]):
        assert words in text
    assert text.startswith("fastconv ")
