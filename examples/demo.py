"""A photograph through conv4d: checked against SciPy, timed beside it, and drawn.

    python examples/demo.py [--photo FILE] [--output FOLDER]

A bank of 5x5 filters runs over the grey photograph, another over its three colours, both with the
image's own size kept ("same") and with whole windows only ("valid"), and small kernels of even size
that show where SciPy's "same" puts the extra row. The program stops with an error if any number
differs from scipy.signal.convolve's by more than rounding.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image
from scipy import signal

import fastconv as fc

mpl.use("Agg")
import matplotlib.pyplot as plt

ROUNDS = 9
TOLERANCE = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 1e-14}  # of the largest value
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue look


def grey_bank() -> dict[str, np.ndarray]:
    """5x5 filters by name."""
    smooth = np.array([1.0, 4.0, 6.0, 4.0, 1.0])
    slope = np.array([-1.0, -2.0, 0.0, 2.0, 1.0])
    bend = np.array([1.0, 0.0, -2.0, 0.0, 1.0])
    gaussian = np.outer(smooth, smooth) / 256
    identity = np.zeros((5, 5))
    identity[2, 2] = 1
    comet = np.zeros((5, 5))  # asymmetric: an impulse shows as the kernel itself, not mirrored
    comet[[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]] = np.array([8, 4, 2, 1, 1]) / 16
    return {
        "Gaussian": gaussian,
        "Sobel, columns": np.outer(smooth, slope) / 96,
        "Sobel, rows": np.outer(slope, smooth) / 96,
        "Laplacian": (np.outer(bend, smooth) + np.outer(smooth, bend)) / 32,
        "sharpen": 2.5 * identity - 1.5 * gaussian,
        "emboss": 0.6 * identity + (np.outer(slope, smooth) + np.outer(smooth, slope)) / 24,
        "comet": comet,
        "fine detail": identity - gaussian,
    }


def colour_bank() -> dict[str, np.ndarray]:
    """Filters of three 5x5 planes, one for each of red, green and blue."""
    bank = grey_bank()
    gaussian, rows = bank["Gaussian"], bank["Sobel, rows"]
    red, green, blue = np.eye(3)[:, :, None, None]
    return {
        "red against green": (red - green) * gaussian,
        "blue against yellow": (blue - (red + green) / 2) * gaussian,
        "edges of brightness": GREY_WEIGHTS[:, None, None] * bank["Laplacian"],
        "rows of green, not red": (green - red) * rows,
    }


def read_photo(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The photograph as (1, 1, height, width) grey and (1, 3, height, width) colour, 0 to 1."""
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    colour = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    grey = np.einsum("nchw,c->nhw", colour, GREY_WEIGHTS.astype(np.float32))[:, None]
    return np.ascontiguousarray(grey), colour


def stack(bank: dict[str, np.ndarray], dtype: np.dtype) -> np.ndarray:
    """A bank as w: (filters, channels, 5, 5)."""
    return np.stack([kernel.reshape(-1, 5, 5) for kernel in bank.values()]).astype(dtype)


def by_planes(convolve: Callable, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """What a function of one plane and one kernel makes of all samples, filters and channels."""
    return np.stack(
        [[reduce(np.add, map(convolve, image, kernels)) for kernels in w] for image in x]
    )


def scipy_convolve(x: np.ndarray, w: np.ndarray, padding: str) -> np.ndarray:
    return by_planes(lambda plane, kernel: signal.convolve(plane, kernel, mode=padding), x, w)


def check(name: str, x: np.ndarray, w: np.ndarray, padding: str) -> np.ndarray:
    """conv4d's result, once it agrees with SciPy's in float64; else the program ends here."""
    ours = fc.conv4d(x, w, padding)
    theirs = scipy_convolve(x.astype(np.float64), w.astype(np.float64), padding)
    if ours.shape != theirs.shape:
        sys.exit(f"WRONG: {name}, {padding}: shape {ours.shape}, SciPy has {theirs.shape}")
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    if not error <= TOLERANCE[ours.dtype]:
        sys.exit(f"WRONG: {name}, {padding}, {ours.dtype}: differs from SciPy by {error:.1e}")
    print(f"  {name:22} {padding:6} {ours.dtype!s:8} {ours.shape!s:19} error {error:.1e}  ok")
    return ours


def check_all(grey: np.ndarray, colour: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Every check; the float32 results by image and padding."""
    print("\nchecking against scipy.signal.convolve (error as a share of the largest value)")
    results = {}
    for name, x, bank in (("grey", grey, grey_bank()), ("colour", colour, colour_bank())):
        for padding in ("same", "valid"):
            check(f"{name}, {len(bank)} filters", x.astype(np.float64), stack(bank, float), padding)
            results[name, padding] = check(
                f"{name}, {len(bank)} filters", x, stack(bank, x.dtype), padding
            )
    diagonals = np.array([[[[1, 0], [0, -1]]], [[[0, 1], [-1, 0]]]], np.float32)  # Roberts' cross
    for padding in ("same", "valid"):
        check("grey, even kernels", grey, diagonals, padding)
    return results


def contenders(x: np.ndarray, w: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same filters by every library that is installed, each the way it takes them."""
    calls: dict[str, Callable[[], object]] = {
        "fastconv.conv4d": lambda: fc.conv4d(x, w),
        "scipy.signal.convolve": lambda: scipy_convolve(x, w, "same"),
    }
    if ndimage := installed("scipy.ndimage"):
        calls["scipy.ndimage.convolve"] = lambda: by_planes(
            lambda plane, kernel: ndimage.convolve(plane, kernel, mode="constant"), x, w
        )
    flipped = np.ascontiguousarray(w[:, :, ::-1, ::-1])  # the other two correlate
    if filters := installed("skimage.filters"):
        padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
        calls["skimage correlate_sparse"] = lambda: by_planes(
            lambda plane, kernel: filters.correlate_sparse(plane, kernel, mode="valid"),
            padded,
            flipped,
        )
    if cv2 := installed("cv2"):
        cv2.setNumThreads(1)
        calls["cv2.filter2D"] = lambda: by_planes(
            lambda plane, kernel: cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_CONSTANT),
            x,
            flipped,
        )
    return calls


def installed(name: str) -> object | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def compare_times(name: str, x: np.ndarray, w: np.ndarray) -> None:
    """Call all in turn, several rounds, and print the smallest and the median times."""
    calls = contenders(x, w)
    times: dict[str, list[float]] = {library: [] for library in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for library, call in calls.items():
            start = time.perf_counter()
            call()
            times[library].append(time.perf_counter() - start)
    print(f"\n{name}: {x.shape} with {w.shape}, {x.dtype}, same, one thread")
    ours = times["fastconv.conv4d"]
    for library, seconds in times.items():
        least, middle = min(seconds), statistics.median(seconds)
        ratio = f"{least / min(ours):6.1f} x ours" if seconds is not ours else ""
        print(f"  {library:26} {least * 1e3:9.3f} ms   median {middle * 1e3:9.3f} ms  {ratio}")


def draw(colour: np.ndarray, grey: np.ndarray, results: dict, path: Path) -> None:
    """The photograph and what each filter makes of it; red and blue where values have a sign."""
    pictures = [
        ("the photograph", colour[0].transpose(1, 2, 0), False),
        ("grey", grey[0, 0], False),
    ]
    for name, bank in (("grey", grey_bank()), ("colour", colour_bank())):
        for (title, kernel), plane in zip(bank.items(), results[name, "same"][0], strict=True):
            pictures.append((f"{name}: {title}", plane, abs(kernel.sum()) < 1e-6))
    pictures.append(("grey: emboss, valid", results["grey", "valid"][0, 5], False))
    figure, axes = plt.subplots(3, 5, figsize=(15, 6.9), layout="constrained")
    for axis, (title, plane, signed) in zip(axes.flat, pictures, strict=True):
        if signed:
            limit = np.percentile(np.abs(plane), 98)
            axis.imshow(plane, cmap="RdBu_r", vmin=-limit, vmax=limit)
        else:
            axis.imshow(plane.clip(0, 1), cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{title}  {plane.shape[0]}x{plane.shape[1]}", fontsize=10)
        axis.set_axis_off()
    figure.suptitle("fastconv.conv4d: one photograph, two banks of 5x5 filters", fontsize=13)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photo", type=Path, default=Path(__file__).with_name("photo.png"))
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    options = parser.parse_args()

    fc.show_config()
    grey, colour = read_photo(options.photo)
    print(f"\nread {options.photo}: {colour.shape[3]} x {colour.shape[2]} pixels")
    results = check_all(grey, colour)
    print("all agree with SciPy")

    with fc.threads(1):
        one = stack({"Gaussian": grey_bank()["Gaussian"]}, grey.dtype)
        compare_times("grey photograph, one filter", grey, one)
        compare_times("grey photograph, filter bank", grey, stack(grey_bank(), grey.dtype))
        compare_times("colour photograph, filter bank", colour, stack(colour_bank(), colour.dtype))
        batch = np.concatenate([colour[:, :, :128, i * 64 : i * 64 + 128] for i in range(6)])
        random = np.random.default_rng(0).standard_normal((16, 3, 5, 5)).astype(np.float32)
        compare_times("six pieces of it, 16 random filters", batch, random)

    picture = options.output / "feature_maps.png"
    draw(colour, grey, results, picture)
    print(f"\nfeature maps: {picture.resolve()}")


if __name__ == "__main__":
    main()
