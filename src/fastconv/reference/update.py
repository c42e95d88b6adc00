"""The twin of an optimizer's step: the same operations in the same order, so the same bits."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from .taps import quiet


@quiet
def update(step, w, g, slots, factor=1.0):
    """Change w and slots in place; step is an `ops.update.Step`.

    Examples
    --------
    >>> from fastconv.ops.update import Step
    >>> w = np.ones(2)
    >>> update(Step("sgd", rate=0.5), w, np.array([1.0, 2.0]), {})
    >>> w
    array([0.5, 0. ])
    """
    g = np.clip(g if factor == 1.0 else g * factor, -step.clip, step.clip)
    if step.decay:
        w -= w * step.decay
    _RULES[step.rule](step, w, g, slots)


def _sgd(step, w, g, slots):
    m = slots.get("momentum")
    if m is None:
        w -= g * step.rate
        return
    m[...] = m * step.momentum - g * step.rate
    w += m * step.momentum - g * step.rate if step.nesterov else m


def _rmsprop(step, w, g, slots):
    v, m, mean = (slots.get(name) for name in ("velocity", "momentum", "average_gradient"))
    rho, new = step.rho, 1.0 - step.rho
    v[...] = v * rho + g * g * new
    variance = v
    if mean is not None:
        mean[...] = mean * rho + g * new
        # Rounding may leave a variance below zero, and its root would be NaN.
        variance = np.maximum(v - mean * mean, 0.0)
    change = g * step.rate / np.sqrt(variance + step.epsilon)
    if m is not None:
        change += m * step.momentum
        m[...] = change
    w -= change


def _adam(step, w, g, slots):
    m, v, largest = (slots.get(name) for name in ("momentum", "velocity", "velocity_hat"))
    m += (g - m) * (1.0 - step.beta_1)
    v += (g * g - v) * (1.0 - step.beta_2)
    if largest is not None:
        largest[...] = np.maximum(largest, v)
        v = largest
    w -= m * step.rate / (np.sqrt(v) + step.epsilon)


_RULES = {"sgd": _sgd, "rmsprop": _rmsprop, "adam": _adam}
