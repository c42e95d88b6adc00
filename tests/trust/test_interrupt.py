"""Ctrl-C during a long call: KeyboardInterrupt at once, and everything works afterwards.

The long form bounds the time. The quick one, which runs beside other load, asks whether calls are
left in the middle rather than ended first.
"""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from scripts import said_by

import fastconv as fc

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system cannot send a signal after a time"
)
LATE = 0.1  # seconds


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_are_left_in_the_middle(threads):
    calls = said_by("interrupted.py", threads, 0.04, 1 << 26, 1)
    assert len(calls) > 40
    assert [call["name"] for call in calls if not call["right"]] == []
    long = [call for call in calls if call["seconds"] > 0.02 and call["raised"]]
    assert len(long) > len(calls) // 4
    # some fill their result with the first of several sums
    told = [call for call in long if not {"taps", "relaid"} & set(call["name"].split())]
    ended_first = [call["name"] for call in told if not call["left"]]
    assert len(ended_first) <= len(told) // 5, ended_first
    late = sorted(late for call in long for late in call["raised"] + call["handled"])
    assert late[len(late) // 2] < LATE


@pytest.mark.soak
@pytest.mark.parametrize("threads", [1, 2])
def test_every_long_call_ends_in_time(threads):
    calls = said_by("interrupted.py", threads, 2.0, 1 << 30, 5)
    worst = {call["name"]: max(call["raised"] + call["handled"]) for call in calls}
    print(json.dumps(dict(sorted(worst.items(), key=lambda item: -item[1])[:10]), indent=1))
    assert all(call["right"] for call in calls)
    assert [name for name, late in worst.items() if late > LATE] == []


def a_long_call():
    """One of some seconds at the most, and what it computes with."""
    x = np.ones((1, 64, 128, 128), np.float32)
    w = np.full((64, 64, 5, 5), 1 / 64, np.float32)
    fc.conv2d(x, w)
    start = time.perf_counter()
    fc.conv2d(x, w)
    samples = max(1, int(0.5 / (time.perf_counter() - start)))
    return np.ones((samples, *x.shape[1:]), np.float32), w


def compute_on(x, w):
    """Far longer than it takes for a signal to come."""
    for _ in range(200):
        fc.conv2d(x, w)


@pytest.fixture
def main_thread_only():
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread handles signals")


@pytest.fixture
def handler():
    """Sets the handler of SIGALRM, and the one of before at the end."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda function: signal.signal(signal.SIGALRM, function)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_ctrl_c(main_thread_only):
    # a process that was started in the background ignores Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    x, w = a_long_call()
    sent = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    sent.start()
    with pytest.raises(KeyboardInterrupt):
        compute_on(x, w)
    sent.join()
    signal.signal(signal.SIGINT, before)
    assert fc.conv2d(x[:1], w).shape == (1, 64, 124, 124)


def test_a_handler_may_call_what_it_interrupts(main_thread_only, handler):
    x, w = a_long_call()
    want = fc.conv2d(x, w)
    made = []

    def compute(number, frame):
        made.append(fc.conv2d(x[:1], w))
        signal.setitimer(signal.ITIMER_REAL, 0.03)

    handler(compute)
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    for threads in (1, 2):
        with fc.threads(threads):
            found = fc.conv2d(x, w)
        np.testing.assert_array_equal(found, want)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert made
    for one in made:
        np.testing.assert_array_equal(one, want[:1])


def test_what_a_handler_raises_comes_as_it_is(main_thread_only, handler):
    x, w = a_long_call()
    given = RuntimeError("enough")

    def stop(number, frame):
        raise given

    handler(stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(RuntimeError, match="enough") as raised:
        compute_on(x, w)
    assert raised.value is given


def test_another_thread_is_not_interrupted(main_thread_only, handler):
    x, w = a_long_call()
    want = fc.conv2d(x, w)
    found, errors = [], []

    def work():
        try:
            found.append(fc.conv2d(x, w))
        except BaseException as error:
            errors.append(error)

    def stop(number, frame):
        raise KeyboardInterrupt

    handler(stop)
    thread = threading.Thread(target=work)
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(KeyboardInterrupt):
        compute_on(x, w)
    thread.join()
    assert errors == []
    np.testing.assert_array_equal(found[0], want)


def test_a_thread_that_keeps_the_interpreter_busy(main_thread_only, handler):
    x, w = a_long_call()
    want = fc.conv2d(x, w)
    done = threading.Event()

    def compute():
        while not done.is_set():
            sum(range(1000))

    def stop(number, frame):
        raise KeyboardInterrupt

    handler(stop)
    thread = threading.Thread(target=compute)
    thread.start()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            compute_on(x, w)
    finally:
        done.set()
        thread.join()
    np.testing.assert_array_equal(fc.conv2d(x, w), want)


def test_the_step_of_an_optimizer_is_whole(main_thread_only, handler):
    """Weights of which some were changed would be of no use."""
    optimizer = fc.optimizers.SGD(learning_rate=1.0)
    layer = fc.layers.Dense(2048)
    layer.build((None, 2048))
    kernel = layer.trainable_weights[0]
    interrupted = 0

    def stop(number, frame):
        raise KeyboardInterrupt

    handler(stop)
    gradient = np.ones(kernel.shape, np.float32)
    for number in range(20):
        before = np.array(kernel.value)
        signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.002 * number)
        try:
            for _ in range(100):
                optimizer.apply([gradient], [kernel])
        except KeyboardInterrupt:
            interrupted += 1
        steps = before - kernel.value
        assert np.ptp(np.round(steps)) == 0, "every weight took the same steps"
    assert interrupted
