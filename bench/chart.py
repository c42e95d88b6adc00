"""The picture of a run: `python -m bench.chart results.json chart.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from .peers import OURS
from .problems import CONV_OPS, OPS, problems_of
from .report import BEST, geometric_mean, ratios
from .store import load
from .store import records as of_part
from .timing import Timing

COLOURS = {
    "forward": "#1f77b4",
    "prepared": "#17becf",
    "grad_x": "#d95f02",
    "grad_w": "#2ca02c",
    "max_pool": "#1f77b4",
    "max_pool_indices": "#17becf",
    "max_pool_grad_x": "#d95f02",
    "avg_pool": "#9467bd",
    "avg_pool_grad_x": "#8c564b",
}
REFERENCE = "torch"
NOT_RIVALS = (OURS, "fastconv-nhwc", "memory-copy", BEST)


def draw_chart(results: Path, picture: Path) -> Path:
    """Draw the layers on the fewest threads, with fresh outputs where there are such, and save."""
    document = load(results)
    records = of_part(document)
    keys = sorted({record.key for record in records}, key=lambda key: (key[1], key[3]))
    if not keys:
        raise SystemExit(f"{results} holds no timings of layers")
    machine = document["layers"]["machine"]
    _, outputs, dtype, threads = keys[0]
    found = {op: ratios(records, (op, outputs, dtype, threads)) for op in OPS}

    figure, axes = plt.subplots(
        1, 3, figsize=(15, 9.5), width_ratios=(5, 4, 5), layout="constrained"
    )
    by_layer(axes[0], found, CONV_OPS[:1] + CONV_OPS[2:], "Convolutions")
    by_layer(axes[1], found, tuple(op for op in OPS if op not in CONV_OPS), "Pools")
    by_peer(axes[2], found)
    plural = "s" if threads > 1 else ""
    figure.suptitle(
        f"How many times as long as fastconv: {dtype}, {threads} thread{plural}\n"
        f"{machine['processor']}, {str(machine['date'])[:10]}"
    )
    figure.supxlabel(
        "time of the other / time of fastconv, log scale; right of 1: fastconv is faster"
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    plt.close(figure)
    return picture


def by_layer(
    axes: Axes, found: dict[str, dict[str, dict[str, Timing]]], ops: tuple[str, ...], title: str
) -> None:
    """One line a layer, a dot for each operation: PyTorch's time divided by ours."""
    names = [p.name for p in problems_of(ops[0]) if any(p.name in found[op] for op in ops)]
    for op in ops:
        points = [
            (row[REFERENCE].minimum, names.index(name))
            for name, row in found[op].items()
            if REFERENCE in row and name in names
        ]
        if points:
            mean = geometric_mean(ratio for ratio, _ in points)
            label = f"{op}: {mean:.2f} on average"
            axes.scatter(*zip(*points, strict=True), s=34, color=COLOURS[op], label=label, zorder=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    _finish(axes, f"{title}: {REFERENCE}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), fontsize=9)


def by_peer(axes: Axes, found: dict[str, dict[str, dict[str, Timing]]]) -> None:
    """One bar for each library and operation: the geometric mean over the layers it could do."""
    bars = []
    for op, rows in found.items():
        peers = dict.fromkeys(peer for row in rows.values() for peer in row)
        for peer in peers:
            # what was estimated from one plane counts here: these are the slowest
            values = [row[peer].minimum for row in rows.values() if peer in row]
            if peer not in NOT_RIVALS:
                bars.append((f"{op}  {peer} ({len(values)})", geometric_mean(values), COLOURS[op]))
    labels, means, colours = zip(*bars, strict=True) if bars else ((), (), ())
    lengths = [mean - 1 for mean in means]
    axes.barh(range(len(bars)), lengths, left=1, color=colours, height=0.7, zorder=3)
    for number, mean in enumerate(means):
        axes.annotate(f" {mean:.3g}", (max(mean, 1), number), va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), labels, fontsize=8)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    _finish(axes, "Geometric means (number of layers)")


def _finish(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.8), max(high, 1.25) * (1.3 if high > 50 else 1.05))
    subs = (1,) if high / low > 50 else (1, 2, 5) if high / low > 8 else (1, 1.5, 2, 3, 4, 5, 7)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="both", linewidth=0.4, alpha=0.6)
    axes.set_title(title, fontsize=11)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(draw_chart(Path(sys.argv[1]), Path(sys.argv[2])))
