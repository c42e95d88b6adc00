"""The rules: SGD, RMSprop, Adam. Each step is one NumPy call on a block, in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import describe, value_error
from ..geometry.plain import plain_flag
from .base import Optimizer
from .checks import plain_real


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

    Without momentum w -= learning_rate * g. With it m = momentum * m - learning_rate * g, and
    w += m or, by Nesterov's rule, w += momentum * m - learning_rate * g.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        The length of a step.
    momentum : float
        From 0 to 1.
    nesterov : bool
        Whether momentum is Nesterov's; means nothing without momentum.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As for `Optimizer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, of the wrong kind or unknown.

    Notes
    -----
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning" (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> variable = SimpleNamespace(name="kernel", value=np.ones(1))
    >>> optimizer = SGD(learning_rate=0.25, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([np.ones(1)], [variable])
    >>> variable.value.tolist()
    [0.375]
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        shared = weight_decay, clipnorm, clipvalue, global_clipnorm, name
        super().__init__(learning_rate, *shared, **kwargs)
        kind = type(self).__name__
        self.momentum = plain_real(kind, "momentum", momentum, most=1.0)
        self.nesterov = plain_flag(kind, "nesterov", nesterov)

    def _slot_groups(self) -> tuple[tuple[str, ...], ...]:
        return (("momentum",),) if self.momentum else ()

    def _rule(self, rate: float) -> Callable[..., None]:
        momentum, nesterov = self.momentum, self.nesterov

        def plain(w: np.ndarray, g: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
            np.multiply(g, rate, out=a)
            np.subtract(w, a, out=w)

        def rolling(
            w: np.ndarray, g: np.ndarray, a: np.ndarray, b: np.ndarray, m: np.ndarray
        ) -> None:
            np.multiply(g, rate, out=a)
            np.multiply(m, momentum, out=m)
            np.subtract(m, a, out=m)
            if nesterov:
                np.multiply(m, momentum, out=b)
                np.subtract(b, a, out=b)
                np.add(w, b, out=w)
            else:
                np.add(w, m, out=w)

        return rolling if momentum else plain

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of the gradients' squares.

    v = rho * v + (1 - rho) * g^2, and the step is learning_rate * g / sqrt(v + epsilon). Centered,
    the square of a running mean of g is taken off v, which makes it a variance.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        The length of a step.
    rho : float
        How much of the running means is kept, from 0 to 1.
    momentum : float
        From 0 to 1: how much of the last step is made again.
    epsilon : float
        Added to what the root is taken of.
    centered : bool
        Whether to divide by a standard deviation.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As for `Optimizer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, of the wrong kind or unknown.

    Notes
    -----
    Tieleman and Hinton, "Lecture 6.5: RMSProp", Neural Networks for Machine Learning (2012);
    centered: Graves, "Generating sequences with recurrent neural networks" (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> variable = SimpleNamespace(name="kernel", value=np.zeros(1))
    >>> RMSprop(learning_rate=0.5, rho=0.75).apply([np.full(1, 3.0)], [variable])
    >>> variable.value.round(6).tolist()
    [-1.0]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        shared = weight_decay, clipnorm, clipvalue, global_clipnorm, name
        super().__init__(learning_rate, *shared, **kwargs)
        kind = type(self).__name__
        self.rho = plain_real(kind, "rho", rho, most=1.0)
        self.momentum = plain_real(kind, "momentum", momentum, most=1.0)
        self.epsilon = plain_real(kind, "epsilon", epsilon)
        self.centered = plain_flag(kind, "centered", centered)

    def _slot_groups(self) -> tuple[tuple[str, ...], ...]:
        names = ["velocity"]
        if self.momentum:
            names.append("momentum")
        if self.centered:
            names.append("average_gradient")
        return tuple((name,) for name in names)

    def _rule(self, rate: float) -> Callable[..., None]:
        rho, epsilon, momentum, centered = self.rho, self.epsilon, self.momentum, self.centered

        def update(
            w: np.ndarray,
            g: np.ndarray,
            a: np.ndarray,
            b: np.ndarray,
            v: np.ndarray,
            *more: np.ndarray,
        ) -> None:
            np.multiply(g, g, out=a)
            np.multiply(a, 1.0 - rho, out=a)
            np.multiply(v, rho, out=v)
            np.add(v, a, out=v)
            root = v
            if centered:
                mean = more[-1]
                np.multiply(g, 1.0 - rho, out=a)
                np.multiply(mean, rho, out=mean)
                np.add(mean, a, out=mean)
                np.multiply(mean, mean, out=a)
                # Rounding may leave a variance below zero, and its root would be NaN.
                root = np.maximum(np.subtract(v, a, out=a), 0.0, out=a)
            np.add(root, epsilon, out=a)
            np.sqrt(a, out=a)
            np.multiply(g, rate, out=b)
            np.divide(b, a, out=b)
            if momentum:
                m = more[0]
                np.multiply(m, momentum, out=m)
                b = np.add(m, b, out=m)
            np.subtract(w, b, out=w)

        return update

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Adam(Optimizer):
    """Steps along a running mean of gradients, divided by the root of that of their squares.

    m += (1 - beta_1) * (g - m), v += (1 - beta_2) * (g^2 - v), and the step is
    alpha * m / (sqrt(v) + epsilon), where alpha is the learning rate with the bias of both means,
    which begin at zero, taken out.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        The length of a step.
    beta_1, beta_2 : float
        How much of the running means is kept, from 0 to below 1.
    epsilon : float
        Added to the root ("epsilon hat" of the paper).
    amsgrad : bool
        Whether the largest v so far takes v's place.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As for `Optimizer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, of the wrong kind or unknown.

    Notes
    -----
    Kingma and Ba, "Adam: a method for stochastic optimization" (2015), the order of section 2's
    last paragraph; amsgrad: Reddi, Kale and Kumar, "On the convergence of Adam and beyond" (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> variable = SimpleNamespace(name="kernel", value=np.zeros(1))
    >>> Adam(learning_rate=0.5).apply([np.full(1, 3.0)], [variable])
    >>> variable.value.round(5).tolist()
    [-0.5]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        shared = weight_decay, clipnorm, clipvalue, global_clipnorm, name
        super().__init__(learning_rate, *shared, **kwargs)
        kind = type(self).__name__
        for argument, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if plain_real(kind, argument, value, most=1.0) == 1.0:
                raise value_error(kind, argument, "a number from 0 to below 1", describe(value))
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = plain_real(kind, "epsilon", epsilon)
        self.amsgrad = plain_flag(kind, "amsgrad", amsgrad)

    def _slot_groups(self) -> tuple[tuple[str, ...], ...]:
        groups: tuple[tuple[str, ...], ...] = (("momentum", "velocity"),)
        return (*groups, ("velocity_hat",)) if self.amsgrad else groups

    def _rule(self, rate: float) -> Callable[..., None]:
        step, epsilon = self.iterations + 1, self.epsilon
        new_1, new_2 = 1.0 - self.beta_1, 1.0 - self.beta_2
        alpha = rate * math.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)

        def update(
            w: np.ndarray,
            g: np.ndarray,
            a: np.ndarray,
            b: np.ndarray,
            m: np.ndarray,
            v: np.ndarray,
            *more: np.ndarray,
        ) -> None:
            np.subtract(g, m, out=a)
            np.multiply(a, new_1, out=a)
            np.add(m, a, out=m)
            np.multiply(g, g, out=a)
            np.subtract(a, v, out=a)
            np.multiply(a, new_2, out=a)
            np.add(v, a, out=v)
            if more:
                v = np.maximum(more[0], v, out=more[0])
            np.sqrt(v, out=a)
            np.add(a, epsilon, out=a)
            np.multiply(m, alpha, out=b)
            np.divide(b, a, out=b)
            np.subtract(w, b, out=w)

        return update

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }
