"""The twins of a dense layer's products."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np


def dense(x, w, bias=None):
    """Return x @ w + bias.

    Examples
    --------
    >>> dense(np.ones((1, 2)), np.array([[1.0], [2.0]]), np.array([0.5]))
    array([[3.5]])
    """
    y = np.matmul(x, w)
    return y if bias is None else y + bias


def dense_grad_x(grad, w):
    """Return the gradient for x.

    Examples
    --------
    >>> dense_grad_x(np.ones((1, 1)), np.array([[1.0], [2.0]]))
    array([[1., 2.]])
    """
    return np.matmul(grad, w.T)


def dense_grad_w(grad, x):
    """Return the gradient for w, summed over all leading axes.

    Examples
    --------
    >>> dense_grad_w(np.ones((2, 1)), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[4.],
           [6.]])
    """
    return x.reshape(-1, x.shape[-1]).T @ grad.reshape(-1, grad.shape[-1])
