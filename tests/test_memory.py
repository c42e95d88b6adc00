"""Memory that arrays take over from one another."""

import copy
import os
import pickle
import threading

import numpy as np
import pytest

from fastconv import layers, models
from fastconv.memory import Recycler, recycles

multiarray = (getattr(np, "_core", None) or np.core).multiarray  # NumPy 2, NumPy 1
HANDLER = "fastconv_recycler"
BIG = 1 << 18


def handler(array=None):
    """Return the name of an array's allocator, or of that in use."""
    return multiarray.get_handler_name(*([] if array is None else [array]))


def address(array):
    return array.__array_interface__["data"][0]


def test_freed_memory_is_taken_again():
    recycler = Recycler()
    with recycler.use():
        first = np.ones(BIG + 1)
        assert handler(first) == HANDLER
        place = address(first)
        del first
        second = np.empty(BIG + 100)  # another size, the same when rounded
        assert address(second) == place
        third = np.empty(BIG + 1)
        assert address(third) != place
    assert handler() == "default_allocator"


def test_zeros_are_zeros_in_memory_that_was_used():
    recycler = Recycler()
    with recycler.use():
        for size in (10, BIG, BIG + 1000):
            dirty = np.full(size, np.nan)
            place = address(dirty)
            del dirty
            clean = np.zeros(size)
            assert size == 10 or address(clean) == place
            assert not clean.any()


def test_a_resized_array_keeps_its_numbers():
    recycler = Recycler()
    with recycler.use():
        array = np.arange(10)
        for size in (5000, BIG, 2 * BIG, 100):
            array.resize(size, refcheck=False)
            assert array[9] == 9
            assert not array[10:].any()
        assert np.fromiter(iter(range(30000)), np.int64).sum() == 30000 * 29999 // 2


def test_arrays_outlive_the_block_and_the_recycler():
    recycler = Recycler()
    with recycler.use():
        kept = np.arange(BIG)
    recycler.release()
    del recycler
    assert kept[-1] == BIG - 1
    kept = kept + 1
    assert handler(kept) == "default_allocator"


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="ASan holds what is freed")
def test_what_waits_is_no_more_than_what_was_held():
    """Sizes that never come again do not add up."""
    resource = pytest.importorskip("resource")
    recycler = Recycler()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with recycler.use():
        for i in range(300):
            np.ones((1 << 17) + (i << 14))  # 1 MB, and up to 40 of them
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 160 * 1024  # kilobytes: two of the largest, and what rounding adds


def test_copies_have_memory_of_their_own():
    recycler = Recycler()
    for other in (pickle.loads(pickle.dumps(recycler)), copy.deepcopy(recycler)):
        assert isinstance(other, Recycler)
        assert other is not recycler


def test_the_former_allocator_returns_after_an_error():
    recycler = Recycler()
    with pytest.raises(ZeroDivisionError), recycler.use():
        raise ZeroDivisionError
    assert handler() == "default_allocator"


def test_blocks_may_stand_in_one_another():
    outer, inner = Recycler(), Recycler()
    with outer.use():
        with inner.use():
            pass
        assert handler(np.ones(3)) == HANDLER
    assert handler() == "default_allocator"


def test_many_threads_use_one_recycler():
    recycler, wrong = Recycler(), []

    def work(number):
        random = np.random.default_rng(number)
        with recycler.use():
            for _ in range(300):
                arrays = [np.full(int(n), number) for n in random.integers(1, 1 << 16, 4)]
                if any((array != number).any() for array in arrays):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_method_recycles_for_its_object():
    class Owner:
        _memory = None

        @recycles(until_it_returns=True)
        def once(self):
            """Say which."""
            return np.ones(BIG)

        @recycles()
        def often(self):
            return address(np.ones(BIG))

    owner = Owner()
    assert handler(owner.once()) == HANDLER
    assert owner.once.__doc__ == "Say which."
    assert owner.often() == owner.often()


def test_models_recycle():
    model = models.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 4), np.float32), np.zeros((8, 3), np.float32)
    assert handler(model.predict(x, verbose=0)) == HANDLER
    model.fit(x, y, verbose=0)
    model.train_on_batch(x, y)
    assert handler() == "default_allocator"
    assert handler(pickle.loads(pickle.dumps(model)).predict(x, verbose=0)) == HANDLER
