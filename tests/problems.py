"""A case with its arrays and what its twins make of them: made once, used by every test."""

import functools
import inspect
from functools import cached_property, lru_cache

import numpy as np
from arrays import assert_close, generator, images_in, kernels_in, make_array

import fastconv as fc
from fastconv import reference
from fastconv.geometry import conv_geometry, conv_transpose_geometry, pool_geometry


def every(**choices):
    """Call a test with each of the choices for an argument, within one test, and print which.

    What pytest.mark.parametrize does, but thousands of tests of a millisecond each cost more in
    their management than they take to run.
    """
    ((name, values),) = choices.items()

    def decorate(function):
        @functools.wraps(function)
        def loop(*arguments, **keywords):
            for value in values:
                print(f"{name}={value}")
                function(*arguments, **{name: value}, **keywords)

        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.name != name]
        loop.__signature__ = signature.replace(parameters=parameters)
        return loop

    return decorate


class ConvProblem:
    """The inputs of a convolution, and the results wanted in float64 or int64, all in NCHW."""

    def __init__(self, operation, case, dtype):
        rng = generator(operation + case.name)
        self.operation, self.case = operation, case
        self.x = make_array(rng, case.x, dtype)
        self.w = make_array(rng, case.w, dtype)
        self.bias = make_array(rng, case.out_channels, dtype)
        self.grad = make_array(rng, self.out_shape, dtype)

    @property
    def out_shape(self):
        transposed = self.operation == "conv_transpose2d"
        return self.geometry.x_shape if transposed else self.geometry.out_shape

    @cached_property
    def geometry(self):
        shapes, sizes = (self.case.x, self.case.w), dict(self.case.keywords, data_format="NCHW")
        if self.operation == "conv_transpose2d":
            return conv_transpose_geometry("test", *shapes, **sizes)
        return conv_geometry("test", *shapes, **sizes, flipped=self.operation == "conv4d")

    @cached_property
    def out(self):
        x, w, bias = _wide(self.x, self.w, self.bias)
        return self._twin("")(x, w, bias=bias, **self.case.keywords)

    @cached_property
    def grad_x(self):
        grad, w = _wide(self.grad, self.w)
        return self._twin("_grad_x")(grad, w, self.case.x, **self.case.keywords)

    @cached_property
    def grad_w_and_bias(self):
        grad, x = _wide(self.grad, self.x)
        twin = self._twin("_grad_w")
        return twin(grad, x, self.case.w, with_bias=True, **self.case.keywords)

    def _twin(self, suffix):
        return getattr(reference, self.operation + suffix)

    def function(self, suffix=""):
        return getattr(fc, self.operation + suffix)

    def arrays_in(self, data_format):
        """Return x, w, bias and grad in the layout of data_format."""
        x, grad = images_in(data_format, self.x), images_in(data_format, self.grad)
        return x, kernels_in(data_format, self.w), self.bias, grad

    def keywords_in(self, data_format):
        keywords = self.case.keywords
        return keywords if self.operation == "conv4d" else {**keywords, "data_format": data_format}

    def absolute(self):
        """Return the problem of the absolute values: its results are sums of |x| |w|."""
        problem = ConvProblem(self.operation, self.case, self.x.dtype)
        for name in ("x", "w", "bias", "grad"):
            setattr(problem, name, np.abs(getattr(self, name)))
        return problem

    def run(self, x, w, bias, grad, data_format="NCHW"):
        """Return fastconv's out, grad_x, grad_w and grad_bias."""
        keywords = self.keywords_in(data_format)
        out = self.function()(x, w, bias=bias, **keywords)
        grad_x = self.function("_grad_x")(grad, w, x.shape, **keywords)
        grad_w = self.function("_grad_w")(grad, x, w.shape, with_bias=True, **keywords)
        return out, grad_x, *grad_w

    def wanted_in(self, data_format):
        """Return the twins' out, grad_x, grad_w and grad_bias."""
        grad_w, grad_bias = self.grad_w_and_bias
        images = images_in(data_format, self.out), images_in(data_format, self.grad_x)
        return *images, kernels_in(data_format, grad_w), grad_bias

    def check(self, results, data_format="NCHW", dtype=None):
        """Check what `run` returned."""
        for got, want in zip(results, self.wanted_in(data_format), strict=True):
            assert_close(got, want, dtype)


class PoolProblem:
    """The input and output's gradient of a pool, and the wanted results, all in NCHW."""

    def __init__(self, case, dtype):
        rng = generator(case.name)
        self.case = case
        self.x = make_array(rng, case.x, dtype)
        self.grad = make_array(rng, self.geometry.out_shape, dtype)

    @cached_property
    def geometry(self):
        sizes = dict(self.case.average_keywords, data_format="NCHW")
        return pool_geometry("test", self.case.x, **sizes)

    @cached_property
    def maximum_and_indices(self):
        return reference.max_pool2d(self.x, return_indices=True, **self.case.keywords)

    @cached_property
    def maximum_grad_x(self):
        _, indices = self.maximum_and_indices
        (grad,) = _wide(self.grad)
        return reference.max_pool2d_grad_x(grad, indices, self.case.x)

    @cached_property
    def average(self):
        (x,) = _wide(self.x)
        return reference.avg_pool2d(x, **self.case.average_keywords)

    @cached_property
    def average_grad_x(self):
        (grad,) = _wide(self.grad)
        return reference.avg_pool2d_grad_x(grad, self.case.x, **self.case.average_keywords)


def _wide(*arrays):
    """Return the arrays so that the twins give results that are not rounded to a small type."""
    return [
        array if array.dtype.kind in "iu" else array.astype(np.result_type(array, np.float64))
        for array in arrays
    ]


conv_problem = lru_cache(maxsize=None)(ConvProblem)
pool_problem = lru_cache(maxsize=None)(PoolProblem)
