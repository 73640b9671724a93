"""The measured rows as a bar chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from report import in_order
from rows import Row

COLOURS = {
    "limit": "#999999",
    "torch eager": "#d95f02",
    "torch.compile": "#fdae6b",
    "jax.jit": "#7570b3",
    "scikit-learn _loss": "#66a61e",
    "NumPy / SciPy": "#a6761d",
}
OURS = ("#08519c", "#3182bd", "#6baed6")


def draw(rows: Sequence[Row], path: Path, title: str) -> bool:
    """Draw nanoseconds per element of every contestant; False without matplotlib or with nothing to draw."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    timed = [(row, row.ns_per_element) for row in rows if row.ns_per_element is not None]
    if not timed:
        return False
    workloads = list(dict.fromkeys(row.workload for row, _ in timed))
    names = in_order({row.contestant for row, _ in timed})
    ours = [name for name in names if name.startswith("ndloss")]
    figure = Figure(figsize=(11, 1.2 + 0.22 * len(names) * len(workloads)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = 0.8 / len(names)
    for place, name in enumerate(names):
        mine = {row.workload: time for row, time in timed if row.contestant == name}
        at = [workloads.index(workload) + (place - (len(names) - 1) / 2) * height for workload in mine]
        colour = OURS[ours.index(name) % len(OURS)] if name in ours else COLOURS.get(name, "#cccccc")
        bars = axes.barh(at, list(mine.values()), height * 0.9, label=name, color=colour)
        axes.bar_label(bars, fmt="%.2g", fontsize=7, padding=2)
    axes.set_yticks(range(len(workloads)), workloads)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.set_xlabel("ns per element (log scale; shorter is faster)")
    axes.set_title(title, fontsize=10)
    figure.legend(loc="outside lower center", ncols=len(names), fontsize=8)
    figure.savefig(path, dpi=120)
    return True
