"""Seeds: what repeats a run, and that nobody gets another's randomness."""

import multiprocessing
import random as python_random
import sys
import threading

import numpy as np
import pytest

from fastconv.random import checked_seed, new_generator, set_random_seed


def drawn(count):
    """Return what the next generators begin with."""
    return [int(new_generator().integers(2**63)) for _ in range(count)]


def test_a_seed_repeats_all_that_follows():
    set_random_seed(3)
    first = drawn(5)
    first_globals = python_random.random(), np.random.random()  # noqa: NPY002 - the caller's own
    assert len(set(first)) == 5
    set_random_seed(3)
    assert drawn(5) == first
    assert (python_random.random(), np.random.random()) == first_globals  # noqa: NPY002
    set_random_seed(4)
    assert not set(drawn(5)) & set(first)


def test_the_generators_are_those_of_numpy_s_spawn():
    """Runs that were seeded stay what they were."""
    set_random_seed(11)
    children = np.random.SeedSequence(11).spawn(4)
    want = [int(np.random.default_rng(child).integers(2**63)) for child in children]
    assert drawn(4) == want


def test_a_seed_of_its_own_is_numpy_s():
    assert new_generator(5).random() == np.random.default_rng(5).random()


def test_threads_at_once_get_different_generators():
    """As one thread would have got them; which thread has which is left open."""
    set_random_seed(8)
    want = drawn(8 * 50)
    set_random_seed(8)
    found, barrier = [[] for _ in range(8)], threading.Barrier(8)

    def work(number):
        barrier.wait()
        found[number] = drawn(50)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns within a call
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert sorted(number for numbers in found for number in numbers) == sorted(want)


def test_a_child_process_forked_in_the_middle_goes_on():
    """Whatever other threads were doing, nothing is held that would keep it waiting."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            new_generator()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = multiprocessing.get_context("fork").Process(target=drawn, args=(3,))
            child.start()
            child.join(60)
            assert child.exitcode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(7)])
def test_seeds(seed):
    assert checked_seed("f", seed) == seed


@pytest.mark.parametrize(
    ("seed", "error"),
    [(-1, ValueError), (2**32, ValueError), (1.0, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_what_is_no_seed(seed, error):
    with pytest.raises(error, match="set_random_seed: seed must be an int from 0"):
        set_random_seed(seed)
