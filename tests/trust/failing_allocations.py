"""Run under faults.c: operations whose allocations fail, one after the other.

Reads from stdin which operations, and how; prints what was found. What ran last stands on stderr,
for whoever finds that this process crashed.
"""

import gc
import itertools
import json
import os
import pickle
import sys
import warnings

import numpy as np
from arrays import images_in
from cases import CONV4D_CASES, CONV_CASES, DATA_FORMATS, POOL_CASES, TRANSPOSE_CASES
from faults import Faults, code_of_python
from problems import conv_problem, pool_problem
from test_kernels import OUT, geometry_of, views
from test_kernels import run as run_row

import fastconv as fc
from fastconv import layers, models, plan, utils
from fastconv._core import runtime
from fastconv.memory import Recycler
from fastconv.models.training_config import randomness, restore_randomness
from fastconv.ops.dense import dense, dense_grad_w, dense_grad_x

OURS = os.path.dirname(runtime.__file__)
NUMPY = os.path.dirname(np.__file__)
SWEEPS = 3  # after the first what is kept is kept; what grows in all others leaks
faults = Faults()


# --------------------------------------------------------------------------------- operations


def of_rows():
    """Every row of the plan: on the smallest case that it accepts, in each layout."""
    cases = sorted(CONV_CASES, key=lambda case: np.prod(case.x) * np.prod(case.w))
    for op, rows in plan.ROWS.items():
        for row in rows:
            for data_format in DATA_FORMATS:
                for case in cases:
                    geometry = geometry_of(case, data_format)
                    if geometry.work > 1000 and row.accepts(geometry):
                        name = f"{op} by {row.name}, {data_format}, {case}"
                        yield name, _row(op, row, geometry, case, data_format)
                        break


def _row(op, row, geometry, case, data_format):
    problem = conv_problem("conv2d", case, "float32")
    x, _, bias, grad = problem.arrays_in(data_format)
    w = next(views(problem.w, data_format))
    arrays = {
        "forward": (geometry.out_shape, x, w, bias, OUT, True),
        "grad_x": (geometry.x_shape, grad, w, None, OUT),
        "grad_w": (w.shape, grad, x, OUT),
    }[op]
    return lambda: run_row(row, arrays[0], "float32", geometry, *arrays[1:])


def of_convolutions(every):
    """The public functions, on all cases or on some."""
    lists = {"conv2d": CONV_CASES, "conv4d": CONV4D_CASES, "conv_transpose2d": TRANSPOSE_CASES}
    for operation, cases in lists.items():
        for number, case in enumerate(cases):
            large = np.prod(case.x) * np.prod(case.w) > 10**7
            for data_format in DATA_FORMATS[: 1 if operation == "conv4d" else 2]:
                if not large and (every or number % 9 == (data_format == "NCHW")):
                    yield from _functions(operation, case, data_format)


def _functions(operation, case, data_format):
    problem = conv_problem(operation, case, "float32")
    x, w, bias, grad = problem.arrays_in(data_format)
    keywords = problem.keywords_in(data_format)
    name = f"{case}, {data_format}"
    forward, grad_x, grad_w = (problem.function(end) for end in ("", "_grad_x", "_grad_w"))
    yield f"{operation}, {name}", lambda: forward(x, w, bias=bias, **keywords)
    yield f"{operation}_grad_x, {name}", lambda: grad_x(grad, w, x.shape, **keywords)
    yield (
        f"{operation}_grad_w, {name}",
        lambda: grad_w(grad, x, w.shape, with_bias=True, **keywords),
    )
    half = x.astype("float16")
    yield f"{operation} of float16, {name}", lambda: forward(half, w[..., ::-1], **keywords)
    if operation == "conv2d":
        yield f"prepare, {name}", lambda: fc.prepare_conv2d(w, bias, **keywords)(x)
        prepared = fc.prepare_conv2d(w, bias, **keywords)
        yield f"prepared, {name}", lambda: prepared(x)


def of_pools(every):
    for number, case in enumerate(POOL_CASES):
        for data_format in DATA_FORMATS:
            if every or number % 7 == (data_format == "NCHW"):
                yield from _pools(case, data_format)


def _pools(case, data_format):
    problem = pool_problem(case, "float32")
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    maximum = {**case.keywords, "data_format": data_format}
    average = {**case.average_keywords, "data_format": data_format}
    _, indices = fc.max_pool2d(x, **maximum, return_indices=True)
    name, layout = f"{case}, {data_format}", {"data_format": data_format}
    yield f"max_pool2d, {name}", lambda: fc.max_pool2d(x, **maximum)
    yield f"with indices, {name}", lambda: fc.max_pool2d(x, **maximum, return_indices=True)
    yield (
        f"max_pool2d_grad_x, {name}",
        lambda: fc.max_pool2d_grad_x(grad, indices, x.shape, **layout),
    )
    yield f"avg_pool2d, {name}", lambda: fc.avg_pool2d(x, **average)
    yield f"avg_pool2d_grad_x, {name}", lambda: fc.avg_pool2d_grad_x(grad, x.shape, **average)


def of_products(every):
    rng = np.random.default_rng(0)
    for samples, channels, units in [(9, 33, 16), (20, 700, 130), *[(300, 40, 24)] * every]:
        x, w, bias, grad = (
            rng.standard_normal(shape).astype("float32")
            for shape in ((samples, channels), (channels, units), units, (samples, units))
        )
        yield f"dense {x.shape}", lambda x=x, w=w, bias=bias: dense(x, w, bias)
        yield f"dense_grad_x {x.shape}", lambda grad=grad, w=w: dense_grad_x(grad, w)
        yield f"dense_grad_w {x.shape}", lambda grad=grad, x=x: dense_grad_w(grad, x)


def _network(data_format="channels_last"):
    layout = {"data_format": data_format}
    shape = (12, 12, 3) if data_format == "channels_last" else (3, 12, 12)
    return models.Sequential(
        [
            layers.Conv2D(8, 3, activation="relu", input_shape=shape, **layout),
            layers.BatchNormalization(axis=-1 if data_format == "channels_last" else 1),
            layers.MaxPooling2D(2, **layout),
            layers.DepthwiseConv2D(2, **layout),
            layers.Conv2DTranspose(4, 3, **layout),
            layers.AveragePooling2D(2, **layout),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )


class Training:
    """One step of training, from the same state each time."""

    def __init__(self, optimizer):
        utils.set_random_seed(4)
        self.model = _network()
        rng = np.random.default_rng(1)
        self.x = rng.standard_normal((4, 12, 12, 3)).astype("float32")
        self.y = np.eye(4, dtype="float32")
        self.model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
        self.model.fit(self.x, self.y, epochs=1, verbose=0)
        self.weights = self.model.get_weights()
        self.state = self.model.optimizer.get_state()
        self.randomness = randomness(self.model)

    def reset(self):
        restore_randomness("reset", self.model, self.randomness)
        self.model.set_weights(self.weights)
        self.model.optimizer.set_state(self.state)

    def step(self):
        history = self.model.fit(self.x, self.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
        return (*self.model.get_weights(), history.history["loss"])


def of_models(every):
    utils.set_random_seed(3)
    rng = np.random.default_rng(2)
    for data_format in ("channels_last", "channels_first")[: 1 + every]:
        model = _network(data_format)
        shape = (4, 12, 12, 3) if data_format == "channels_last" else (4, 3, 12, 12)
        x = rng.standard_normal(shape).astype("float32")
        yield f"predict, {data_format}", lambda model=model, x=x: model.predict(x, verbose=0)
        yield f"call, {data_format}", lambda model=model, x=x: model(x)
    for optimizer in ("adam", "rmsprop", "sgd")[: 1 + 2 * every]:
        training = Training(optimizer)
        yield f"fit by {optimizer}", training.step, training.reset


def of_memory(every):
    memory = Recycler()

    def block():
        with memory.use():
            return np.empty((0, 20_000))

    yield "arrays in a recycler's memory", block


GROUPS = {
    "memory": of_memory,
    "rows": lambda every: of_rows(),
    "convolutions": of_convolutions,
    "pools": of_pools,
    "products": of_products,
    "models": of_models,
}


# -------------------------------------------------------------------------------- what is found


def same(got, want):
    if isinstance(want, (tuple, list)):
        return len(got) == len(want) and all(map(same, got, want))
    got, want = np.asarray(got), np.asarray(want)
    return got.dtype == want.dtype and np.array_equal(got, want, equal_nan=got.dtype.kind == "f")


class Found:
    """Counts, and what should not have been."""

    def __init__(self):
        self.counts = {
            **dict.fromkeys(("operations", "sites", "sites below our code"), 0),
            **dict.fromkeys(("MemoryError", "right all the same"), 0),
        }
        self.wrong = []

    def add(self, name, site, text):
        if len(self.wrong) < 20:
            self.wrong.append(f"{name}, allocation {site}: {text}")


handler = np._core.multiarray.get_handler_name


def attempt(call, want, site, found, name, ours_alone=False):
    """Call once with an allocation that fails; return whether there was such a one."""
    problem, result, outcome = None, None, "right all the same"
    faults.arm_memory(site, 1)
    try:
        result = call()
    except MemoryError:
        outcome = "MemoryError"
    except BaseException as error:
        problem = error
    try:
        seen = faults.disarm_memory()
    except MemoryError:  # it was in this very line
        faults.disarm_memory()
        return False
    if seen < site:
        return False
    if problem is not None:
        outcome = None
        found.add(name, site, f"{type(problem).__name__}: {problem}"[:200])
    elif result is not None and not same(result, want):
        found.add(name, site, "another result")
    if handler() != "faults":
        found.add(name, site, f"NumPy is left with {handler()}")
    found.counts["sites"] += 1
    found.counts["sites below our code"] += faults.denied_to_ours()
    if outcome:
        found.counts[outcome] += 1
    return True


def sweep(name, call, reset, step, found):
    """Let each allocation fail, of ours, Python's and NumPy's; look for what leaks.

    That is asked of compiled code of ours alone: Python's own list, for one, does not give back
    what it had when it can't grow.
    """
    reset()
    want = call()
    for _ in range(2):  # what is kept is kept
        reset()
        call()
    site, below = 1, []
    while True:
        reset()
        if not attempt(call, want, site, found, name):
            break
        if faults.denied_to_ours():
            below.append(site)
        reset()
        try:
            if not same(call(), want):
                found.add(name, site, "the next call is wrong")
        except BaseException as error:
            found.add(name, site, f"the next call raises {type(error).__name__}: {error}")
        site += step
    if below and grows(lambda: [again(call, reset, site) for site in below]):
        leaking = [site for site in below if grows(lambda: again(call, reset, site))]  # noqa: B023
        if leaking:
            found.add(name, leaking, "blocks are not given back")


def again(call, reset, site):
    reset()
    faults.arm_memory(site, 1)
    try:  # noqa: SIM105 - what suppresses would itself want memory
        call()
    except MemoryError:
        pass
    try:
        faults.disarm_memory()
    except MemoryError:
        faults.disarm_memory()


def grows(action):
    """Return whether an action leaves more blocks each time."""
    held = []
    for _ in range(SWEEPS + 1):
        action()
        gc.collect()
        held.append(faults.live())
    # Each number of this list is a block itself.
    growth = [after - before - 1 for before, after in itertools.pairwise(held[1:])]
    return min(growth) > 0


def own_sites(name, call, reset, step, found):
    """Let each allocation of our own fail, in a process that has no memory from earlier calls."""
    want, held, by_workers = in_child(lambda: _own(call, reset, 0, 1, None))
    if by_workers:
        found.add(name, "of a worker thread", f"{by_workers} times")
    for count in (1, 2):  # the second time as well, where it is tried again
        site = 1
        while True:
            answer = in_child(lambda: _own(call, reset, site, count, want))  # noqa: B023
            if answer is None:
                break
            outcome, problem, now = answer
            if problem:
                found.add(name, f"{site} of our own", problem)
            elif now > held:
                found.add(name, f"{site} of our own", f"{now} blocks are held, not {held}")
            found.counts["sites"] += 1
            found.counts["sites below our code"] += 1
            found.counts[outcome] += 1
            site += step


def _own(call, reset, site, count, want):
    reset()
    faults.keep()
    faults.arm_memory(site, count)
    outcome, problem, result = "right all the same", "", None
    try:
        result = call()
    except MemoryError:
        outcome = "MemoryError"
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"[:200]
    seen = faults.disarm_memory()
    by_workers = faults.of_others()
    if not site:
        reset()
        call()
        return result, faults.kept(), by_workers
    if seen < site:
        return None
    if result is not None and not same(result, want):
        problem = "another result"
    result = None
    reset()
    if not same(call(), want):
        problem = "the next call is wrong"
    return outcome, problem, faults.kept()


def in_child(function):
    """Return what a function returns in a child process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            with os.fdopen(write, "wb") as file:
                pickle.dump(function(), file)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    if status or not content:
        raise AssertionError(f"a child ended by {status}")
    return pickle.loads(content)


def main():
    asked = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    runtime.always_use_threads(True)
    sys.modules["fastconv.threads"].WORK_OF_A_THREAD = 1
    fc.set_num_threads(asked["threads"])
    found = Found()
    gc.disable()
    operations = list(GROUPS[asked["group"]](asked["every"]))
    operations = [o for o in operations if asked.get("only", "") in o[0]]
    # What changes NumPy's allocator is NumPy, so there it is not left out.
    numpy = [] if asked["group"] == "memory" else [NUMPY]
    faults.watch([] if asked["own"] else code_of_python(), [OURS], numpy)
    if not asked["own"]:
        faults.lend_to_numpy()
    for name, call, *reset in operations:
        print(name, file=sys.stderr, flush=True)
        found.counts["operations"] += 1
        before = reset[0] if reset else lambda: None
        if asked["own"]:
            own_sites(name, call, before, asked["step"], found)
        else:
            sweep(name, call, before, asked["step"], found)
    print(json.dumps({**found.counts, "wrong": found.wrong}))


if __name__ == "__main__":
    main()
