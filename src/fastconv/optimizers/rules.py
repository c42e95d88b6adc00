"""The rules: SGD, RMSprop, Adam, and the numbers of their steps."""

from __future__ import annotations

import math
from typing import Any

from ..errors import describe, value_error
from ..geometry.plain import plain_flag
from ..ops.update import Step
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

    def _rule(self, rate: float) -> Step:
        return Step("sgd", rate, self.momentum, self.nesterov)

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

    def _rule(self, rate: float) -> Step:
        return Step("rmsprop", rate, self.momentum, rho=self.rho, epsilon=self.epsilon)

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

    def _rule(self, rate: float) -> Step:
        step = self.iterations + 1
        alpha = rate * math.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        beta_1, beta_2 = self.beta_1, self.beta_2
        return Step("adam", alpha, beta_1=beta_1, beta_2=beta_2, epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }
