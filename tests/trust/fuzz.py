"""Random problems on every row of the plan and every public operation, against the float64 twins.

    python fuzz.py [--seconds S] [--calls N] [--seed K] [--only NUMBER] [--trace FILE]

Prints how many calls were compared, which algorithms ran, and each finding with the command that
makes it again. FILE holds the problem at hand, should the process die: `make soak-fuzz` runs this
on a build with the address and undefined-behaviour sanitizers.
"""

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from arrays import LAYOUTS, assert_close, images_in, kernels_in
from fuzz_problems import ConvProblem, PoolProblem, pick
from runnable import runnable

import fastconv as fc
from fastconv import plan, small
from fastconv._core import runtime
from fastconv.ops.pool_codes import max_pool2d_codes, max_pool2d_codes_grad_x

FORMATS = ("NCHW", "NHWC")
READ = sorted(LAYOUTS)
WRITTEN = sorted(set(LAYOUTS) - {"read_only"})


class Fuzzer:
    """Runs problems, and counts what is compared."""

    def __init__(self, seed):
        self.seed, self.calls, self.ran = seed, 0, Counter()

    def problem(self, number):
        """Run the problem of a number under one instruction set, in both layouts."""
        self.rng = rng = np.random.default_rng([self.seed, number])
        runtime.select_isa(pick(rng, runtime.isas_supported()))
        self.threads = pick(rng, (1, 1, 1, 1, 2, 3))
        # Shared out among threads however small, or else kept for the next call of its kind.
        sys.modules["fastconv.threads"].WORK_OF_A_THREAD = pick(rng, (1, 1 << 19))
        small.forget()
        pool = rng.integers(5) == 0
        problem = PoolProblem(rng) if pool else ConvProblem(rng)
        self.what = str(problem)
        yield f"{self.what} on {runtime.isa()}, {self.threads} threads"
        with np.errstate(all="ignore"), fc.threads(self.threads):
            for data_format in FORMATS:
                (self.pool if pool else self.conv)(problem, data_format)

    # ------------------------------------------------------------------------------ comparing

    def compare(self, name, got, want, scale=None):
        """Check a result; `want` is in the result's layout."""
        self.calls += 1
        self.what = name
        if got.dtype.kind in "iu":
            want = want.astype(got.dtype)
        assert_close(got, want, scale=scale)

    def chance(self, one_of):
        return self.rng.integers(one_of) == 0

    def layout(self, *arrays):
        return [LAYOUTS[pick(self.rng, READ)](array) for array in arrays]

    def twice(self, function, *arguments, **keywords):
        """Yield what a function returns: again, for a call may be kept; or in an array it gets."""
        result = function(*arguments, **keywords)
        yield result
        arrays = result if isinstance(result, tuple) else (result,)
        if self.chance(3):
            yield function(*arguments, **keywords)
        elif self.chance(2) and "_codes" not in function.__name__:
            out = LAYOUTS[pick(self.rng, WRITTEN)](blank(arrays[0].shape, arrays[0].dtype))
            returned = function(*arguments, **keywords, out=out)
            assert (returned[0] if isinstance(result, tuple) else returned) is out
            yield returned

    # --------------------------------------------------------------------------- convolutions

    def conv(self, problem, data_format):
        x, grad = (images_in(data_format, array).copy() for array in (problem.x, problem.grad))
        w = kernels_in(data_format, problem.w).copy()
        before = [array.tobytes() for array in (x, w, grad)]
        self.rows(problem, data_format, x, w, grad)
        self.public(problem, data_format, x, w, grad)
        assert before == [array.tobytes() for array in (x, w, grad)], "an input was changed"

    def rows(self, problem, data_format, x, w, grad):
        """Run every row that can run, on arrays of the dtype that is computed in."""
        compute = {"float32": "f4", "float64": "f8", "float16": "f4"}.get(problem.dtype, "i8")
        x, w, grad, bias, bias_x = (
            array.astype(compute) for array in (x, w, grad, problem.bias, problem.bias_x)
        )
        if self.chance(3):
            w = w[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1]
        view, geometry = logical(w, data_format), problem.geometry_in(data_format)
        finite = [np.isfinite(array).all() for array in (x, w, grad)]
        if finite[1]:  # of other weights the plan knows what to do, the rows don't
            self.forward_rows(problem, geometry, x, view, bias)
            self.grad_x_rows(problem, geometry, grad, view, bias_x)
        if finite[0] and finite[2]:
            self.grad_w_rows(problem, geometry, grad, x, w.shape)

    def runnable(self, op, geometry, dtype):
        for row in runnable(op, geometry, dtype.kind == "i"):
            self.what = f"{op} {row.name}"
            self.ran[f"{op} {row.name} {geometry.data_format}"] += 1
            yield row

    def judged(self, problem, row, which):
        exact, filtered = problem.scales
        return (exact if row is not None and row.direct else filtered)[which]

    def forward_rows(self, problem, geometry, x, view, bias):
        want = images_in(geometry.data_format, problem.wanted[0])
        for row in self.runnable("forward", geometry, x.dtype):
            relu, scale = bool(self.chance(3)), self.judged(problem, row, 0)
            biased = self.chance(2)
            expected, scale = after(want, bias if biased else None, relu, geometry, scale)
            prepared = (plan.Prepared(view),) if row.packs and self.chance(3) else ()
            out = blank(want.shape, x.dtype)
            row.run(geometry, x, view, bias if biased else None, out, relu, *prepared)
            self.compare(f"forward {row.name}", out, expected, scale)

    def grad_x_rows(self, problem, geometry, grad, view, bias):
        want = images_in(geometry.data_format, problem.wanted[1])
        for row in self.runnable("grad_x", geometry, grad.dtype):
            scale, given = self.judged(problem, row, 1), bias if self.chance(3) else None
            expected, scale = after(want, given, False, geometry, scale)
            out = blank(want.shape, grad.dtype)
            row.run(geometry, grad, view, given, out)
            self.compare(f"grad_x {row.name}", out, expected, scale)

    def grad_w_rows(self, problem, geometry, grad, x, w_shape):
        want = kernels_in(geometry.data_format, problem.wanted[2])
        for row in self.runnable("grad_w", geometry, x.dtype):
            out = blank(w_shape, x.dtype)
            made = [blank(geometry.filters, x.dtype)] if row.sums_grad(geometry) else []
            row.run(geometry, grad, x, logical(out, geometry.data_format), *made)
            self.compare(f"grad_w {row.name}", out, want, self.judged(problem, row, 2))
            for bias in made:
                self.compare(f"{row.name}'s bias", bias, problem.wanted[3], problem.scales[0][3])

    def public(self, problem, data_format, x, w, grad):
        """Run conv2d and its gradients, and what is made of the same sums."""
        highest = self.chance(8)
        with ExitStack() as stack:
            if highest:
                stack.enter_context(fc.precision("highest"))
            self.conv2d(problem, data_format, *self.layout(x, w, grad))
            self.conv_transpose2d(problem, data_format, *self.layout(x, w, grad))
            if data_format == "NCHW":
                flipped = w[:, :, ::-1, ::-1]
                self.conv4d(problem, *self.layout(x, flipped, grad))

    def conv2d(self, problem, data_format, x, w, grad):
        geometry = problem.geometry_in(data_format)
        keywords = {**problem.keywords, "data_format": data_format}
        relu, bias = bool(self.chance(3)), problem.bias if self.chance(2) else None
        out, grad_x, grad_w, grad_bias = self.wanted_in(problem, data_format)
        scales = problem.scales[1]
        expected, scale = after(out, bias, relu, geometry, scales[0])
        activation = "relu" if relu else None
        for op in plan.ROWS:
            self.ran[f"conv2d chose {op} {plan.choose(op, geometry).name} {data_format}"] += 1
        for got in self.twice(fc.conv2d, x, w, bias, **keywords, activation=activation):
            self.compare("conv2d", got, expected, scale)
        for got in self.twice(fc.conv2d_grad_x, grad, w, x.shape, **keywords):
            self.compare("conv2d_grad_x", got, grad_x, scales[1])
        for got in self.twice(fc.conv2d_grad_w, grad, x, w.shape, **keywords, with_bias=True):
            self.compare("conv2d_grad_w", got[0], grad_w, scales[2])
            self.compare("conv2d_grad_w's bias", got[1], grad_bias, scales[3])
        if self.chance(2):
            given = x.shape if self.chance(2) else None
            prepared = fc.prepare_conv2d(w, bias, **keywords, activation=activation, x_shape=given)
            for got in self.twice(prepared.__call__, x):
                self.compare("prepare_conv2d", got, expected, scale)
            self.compare("prepare_conv2d", prepared(x[:1]), expected[:1], scale)

    def wanted_in(self, problem, data_format):
        out, grad_x, grad_w, grad_bias = problem.wanted
        out, grad_x = images_in(data_format, out), images_in(data_format, grad_x)
        return out, grad_x, kernels_in(data_format, grad_w), grad_bias

    def conv_transpose2d(self, problem, data_format, x, w, grad):
        """Run the gradients of a convolution as what they are the transpose of."""
        g, scales = problem.geometry_in(data_format), problem.scales[1]
        left = tuple(
            size + pads - ((kernel - 1) * dilation + 1) - (out - 1) * stride
            for size, pads, kernel, dilation, out, stride in (
                (g.height, g.pad_top + g.pad_bottom, g.kernel_h, g.dilation_h, g.out_h, g.stride_h),
                (g.width, g.pad_left + g.pad_right, g.kernel_w, g.dilation_w, g.out_w, g.stride_w),
            )
        )
        keywords = {**problem.keywords, "data_format": data_format}
        out, grad_x, grad_w, _ = self.wanted_in(problem, data_format)
        bias = problem.bias_x if self.chance(2) else None
        expected, scale = after(grad_x, bias, False, g, scales[1])
        for got in self.twice(fc.conv_transpose2d, grad, w, bias, **keywords, output_padding=left):
            self.compare("conv_transpose2d", got, expected, scale)
        keywords["output_padding"] = left
        for got in self.twice(fc.conv_transpose2d_grad_x, x, w, grad.shape, **keywords):
            self.compare("conv_transpose2d_grad_x", got, out, scales[0])
        for got in self.twice(fc.conv_transpose2d_grad_w, x, grad, w.shape, **keywords):
            self.compare("conv_transpose2d_grad_w", got, grad_w, scales[2])

    def conv4d(self, problem, x, flipped, grad):
        out, grad_x, grad_w, grad_bias = problem.wanted
        keywords, scales = problem.keywords, problem.scales[1]
        bias = problem.bias if self.chance(2) else None
        expected, scale = after(out, bias, False, problem.geometry, scales[0])
        for got in self.twice(fc.conv4d, x, flipped, bias=bias, **keywords):
            self.compare("conv4d", got, expected, scale)
        for got in self.twice(fc.conv4d_grad_x, grad, flipped, x.shape, **keywords):
            self.compare("conv4d_grad_x", got, grad_x, scales[1])
        both = dict(keywords, with_bias=True)
        for got in self.twice(fc.conv4d_grad_w, grad, x, flipped.shape, **both):
            self.compare("conv4d_grad_w", got[0], grad_w[:, :, ::-1, ::-1], scales[2])
            self.compare("conv4d_grad_w's bias", got[1], grad_bias, scales[3])

    # ----------------------------------------------------------------------------------- pools

    def pool(self, problem, data_format):
        def turned(array):
            return images_in(data_format, array)

        self.ran[f"pool {data_format}"] += 1
        x, grad = self.layout(turned(problem.x), turned(problem.grad))
        keywords = {**problem.keywords, "data_format": data_format}
        out, indices = map(turned, problem.maxima)
        for got in self.twice(fc.max_pool2d, x, **keywords):
            self.compare("max_pool2d", got, out, 0)
        for got in self.twice(fc.max_pool2d, x, **keywords, return_indices=True):
            self.compare("max_pool2d", got[0], out, 0)
            self.compare("its indices", got[1], indices)
        want, sizes = map(turned, problem.maxima_grad_x)
        (given,) = self.layout(indices)
        arguments = grad, given, x.shape
        for got in self.twice(fc.max_pool2d_grad_x, *arguments, data_format=data_format):
            self.compare("max_pool2d_grad_x", got, want, sizes.max())
        self.codes(problem, turned, x, grad, keywords)
        keywords.update(problem.counted)
        want, sizes = map(turned, problem.averages)
        for got in self.twice(fc.avg_pool2d, x, **keywords):
            self.compare("avg_pool2d", got, want, sizes.max())
        want, sizes = map(turned, problem.averages_grad_x)
        for got in self.twice(fc.avg_pool2d_grad_x, grad, x.shape, **keywords):
            self.compare("avg_pool2d_grad_x", got, want, sizes.max())

    def codes(self, problem, turned, x, grad, keywords):
        """Run the pools of layers, whose maxima have codes."""
        relu = bool(self.chance(2))
        out, codes = problem.codes(relu)
        for got in self.twice(max_pool2d_codes, x, **keywords, relu=relu):
            self.compare("max_pool2d_codes", got[0], turned(out), 0)
            self.compare("its codes", got[1], turned(codes))
        dtype = problem.grad.dtype
        if dtype.kind == "f" or (dtype == np.int64 and problem.kind != "large"):
            want, given = turned(problem.codes_grad_x(codes)), np.ascontiguousarray(turned(codes))
            for got in self.twice(max_pool2d_codes_grad_x, grad, given, x.shape, **keywords):
                scale = problem.maxima_grad_x[1].max()
                self.compare("max_pool2d_codes_grad_x", got, want, scale)


def blank(shape, dtype):
    dtype = np.dtype(dtype)
    return np.full(shape, np.nan if dtype.kind == "f" else 77, dtype)


def logical(w, data_format):
    return w.transpose(3, 2, 0, 1) if data_format == "NHWC" else w


def after(want, bias, relu, geometry, scale):
    """Return the sums with a bias and after a relu, and what errors are then measured by."""
    if bias is not None:
        want = want + (bias if geometry.data_format == "NHWC" else bias[:, None, None])
        scale = scale + np.abs(bias.astype(float)).max(initial=0)
    return (np.maximum(want, 0) if relu else want), scale


def arguments_of(words):
    parser = argparse.ArgumentParser(description="Fuzz fastconv against its float64 twins.")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--calls", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run the problem of this number alone")
    parser.add_argument("--trace", type=Path, help="where the problem at hand is written")
    given = parser.parse_args(words)
    if given.only is None and min(given.seconds, given.calls) == float("inf"):
        parser.error("say for how many seconds or calls, or which problem")
    return given


def main(words=None):
    """Return how many findings there were."""
    given, findings, number = arguments_of(words), 0, 0
    fuzzer, start = Fuzzer(given.seed), time.monotonic()
    runtime.always_use_threads(True)
    while given.only is not None or (
        time.monotonic() - start < given.seconds and fuzzer.calls < given.calls
    ):
        number = number + 1 if given.only is None else given.only
        again = f"python fuzz.py --seed {given.seed} --only {number}"
        try:
            for problem in fuzzer.problem(number):
                line = f"{again}  # {problem}"
                if given.trace:
                    given.trace.write_text(line + "\n")
        except Exception:
            findings += 1
            print(f"finding: {line}\n  {fuzzer.what}", flush=True)
            print(traceback.format_exc(limit=-4), flush=True)
        if given.only is not None:
            break
    for name, count in sorted(fuzzer.ran.items()):
        print(f"{count:8} {name}")
    print(f"{fuzzer.calls} calls on {number} problems, {findings} findings")
    return findings


if __name__ == "__main__":
    sys.exit(bool(main()))
