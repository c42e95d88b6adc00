"""Bad input to layers, models and what trains them: refused in words, or taken; never a crash.

Every argument of every constructor gets each of a list of values that few of them can mean. What
is taken must work on a batch of images, or refuse that. An error is a ValueError or a TypeError, or
a MemoryError for sizes that are allowed, and its message one line.
"""

import inspect
from functools import partial

import numpy as np

from fastconv import initializers, layers, losses, metrics, models, optimizers

REFUSALS = (ValueError, TypeError, MemoryError)
JUNK = {
    "minus_one": -1,
    "zero": 0,
    "2_31": 2**31,
    "2_70": 2**70,
    "10_400": 10**400,
    "half": 0.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "true": True,
    "none": None,
    "word": "x",
    "long_word": "x" * 1000,
    "bytes": b"x",
    "empty": (),
    "three": (1, 2, 3),
    "huge_pair": (2**62, 1),
    "list": [[1], [1, 2]],
    "dict": {"x": 1},
    "object": object(),
    "array": np.ones((2, 2)),
    "complex": 1j,
    "class": dict,
}
# what a constructor cannot do without
NEEDED = {
    "filters": 2,
    "kernel_size": 2,
    "units": 2,
    "activation": "relu",
    "target_shape": (-1,),
    "rate": 0.5,
    "shape": (6, 6, 2),
    "learning_rate": 0.1,
    "initial_learning_rate": 0.1,
    "decay_steps": 10,
    "decay_rate": 0.5,
    "boundaries": [1],
    "values": [0.1, 0.2],
    "fn": losses.MeanSquaredError(),
    "name": "some",
}
X, Y = np.ones((4, 6, 6, 2), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]


def rows():
    for module, use in (
        (layers, use_layer),
        (losses, use_loss),
        (metrics, use_metric),
        (optimizers, use_optimizer),
        (initializers, use_initializer),
    ):
        for name, kind in vars(module).items():
            if inspect.isclass(kind) and name not in ABSTRACT and public(module, name, kind):
                for label, arguments in junk_for(kind, name):
                    check = partial(refused_or_used, kind, arguments, use)
                    yield f"{module.__name__}.{name}-{label}", check
    for method in ("compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch"):
        for label, arguments in junk_for(getattr(models.Sequential, method), method):
            yield f"Model.{method}-{label}", partial(refused_or_used, method, arguments, use_method)
    for label, bad in JUNK.items():
        for kind in ("Sequential", "Model", "call"):
            yield f"{kind}-{label}", partial(refused_or_used, kind, {"bad": bad}, use_model)


def public(module, name, kind):
    """Whether a class is one of the module's own, rather than one it imports for itself."""
    return kind.__module__.startswith(module.__name__) and not name.startswith("_")


# classes to derive from, and what users don't make
ABSTRACT = {"Layer", "Tensor", "Variable", "Training", "Loss", "Metric", "MeanMetricWrapper"}
ABSTRACT |= {"Optimizer", "Initializer", "LearningRateSchedule"}


def junk_for(function, name):
    parameters = inspect.signature(function).parameters
    given = {key: NEEDED[key] for key in parameters if key in NEEDED and needed(parameters[key])}
    for argument, parameter in parameters.items():
        if (
            parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            or argument == "self"
        ):
            continue
        for label, bad in JUNK.items():
            yield f"{argument}-{label}", given | {argument: bad}
    for label, bad in JUNK.items():
        for argument in ("dtype", "name", "trainable"):
            if any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
                yield f"{argument}-{label}", given | {argument: bad}


def needed(parameter):
    return parameter.default is parameter.empty


def refused_or_used(what, arguments, use):
    try:
        use(what, arguments)
    except REFUSALS as error:
        text = str(error)
        if type(error) not in REFUSALS and not isinstance(error, MemoryError):
            return f"a {type(error).__name__}: {text}"
        return None if text.isprintable() and len(text) <= 400 else f"not one short line: {text}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def use_layer(kind, arguments):
    layer = kind(**arguments)
    if isinstance(layer, (layers.Add, layers.Concatenate)):
        layer([X, X])
    elif not isinstance(layer, layers.InputLayer):
        layer(X, training=True) if layer.__class__.__name__ == "Dropout" else layer(X)


def use_loss(kind, arguments):
    kind(**arguments)(Y, Y)


def use_metric(kind, arguments):
    metric = kind(**arguments)
    metric.update_state(Y, Y)
    metric.result()


def small_model(optimizer="sgd"):
    model = models.Sequential([layers.Input((6, 6, 2)), layers.Flatten(), layers.Dense(3)])
    model.compile(optimizer, loss="mse")
    return model


def use_optimizer(kind, arguments):
    made = kind(**arguments)
    rate = optimizers.SGD(made) if not isinstance(made, optimizers.Optimizer) else made
    small_model(rate).fit(X, Y, verbose=0)


def use_initializer(kind, arguments):
    kind(**arguments)((3, 4))


def use_method(method, arguments):
    model = small_model()
    given = {"x": X}
    if method in ("fit", "evaluate", "train_on_batch", "test_on_batch"):
        given["y"] = Y
    if method in ("fit", "evaluate", "predict"):
        given["verbose"] = 0
    if method == "compile":
        model.compile(**({"optimizer": "sgd", "loss": "mse"} | arguments))
        model.fit(X, Y, verbose=0)
    else:
        getattr(model, method)(**(given | arguments))


def use_model(kind, arguments):
    bad = arguments["bad"]
    if kind == "Sequential":
        models.Sequential(bad if isinstance(bad, (list, tuple)) else [bad]).predict(X, verbose=0)
    elif kind == "Model":
        tensor = layers.Input((6, 6, 2))
        models.Model(tensor, bad)
    else:
        small_model()(bad)
