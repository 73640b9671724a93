"""The measured rows as charts: bars of times, points under the roof that the memory is, lines over sizes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
NEAR = 1.25  # times the limit: how near to it a loss is to come
ROOF = f"within {NEAR} x of the limit"
OURS = ("#08519c", "#3182bd", "#6baed6")


def draw(rows: Sequence[Row], path: Path, title: str) -> bool:
    """Draw nanoseconds per element of every contestant; False without matplotlib or with nothing to draw."""
    timed = [(row, row.ns_per_element) for row in rows if row.ns_per_element is not None]
    if not timed or not _can_draw():
        return False
    workloads = list(dict.fromkeys(row.workload for row, _ in timed))
    names = in_order({row.contestant for row, _ in timed})
    ours = [name for name in names if name.startswith("ndloss")]
    figure = _figure(11, 1.2 + 0.22 * len(names) * len(workloads))
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
    _save(figure, path)
    return True


def draw_roofline(rows: Sequence[Row], path: Path, title: str) -> bool:
    """Draw the GB/s of every contestant below those of the limit, loss by loss; False where nothing can be drawn."""
    rates = {(row.workload, row.contestant): row.gb_per_s for row in rows if row.gb_per_s is not None}
    workloads = [workload for workload in dict.fromkeys(row.workload for row in rows) if (workload, "limit") in rates]
    if not workloads or not _can_draw():
        return False
    names = in_order({contestant for _, contestant in rates} - {"limit"})
    ours = [name for name in names if name.startswith("ndloss")]
    figure = _figure(9, 1.4 + 0.26 * len(workloads))
    axes = figure.add_subplot()
    roofs = [rates[workload, "limit"] for workload in workloads]
    places = range(len(workloads))
    axes.hlines(places, [roof / NEAR for roof in roofs], roofs, color="#dddddd", linewidth=9, label=ROOF)
    axes.plot(roofs, places, "|", markersize=11, color="#333333", label="limit")
    for name in names:
        mine = [(rates[workload, name], place) for place, workload in enumerate(workloads) if (workload, name) in rates]
        colour = OURS[ours.index(name) % len(OURS)] if name in ours else COLOURS.get(name, "#cccccc")
        axes.plot(*zip(*mine, strict=True), "o" if name in ours else "x", markersize=5, color=colour, label=name)
    axes.set_yticks(range(len(workloads)), workloads, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.grid(visible=True, axis="x", linewidth=0.3)
    axes.set_xlabel("GB/s of operands and results (log scale)")
    axes.set_title(title, fontsize=9)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    _save(figure, path)
    return True


def draw_scaling(rows: Sequence[Row], path: Path) -> bool:
    """Draw nanoseconds per element over the number of elements, a panel for each workload; False where nothing can be drawn."""
    workloads = list(dict.fromkeys(row.workload for row in rows if row.ns_per_element is not None))
    if not workloads or not _can_draw():
        return False
    columns = 3
    height = -(-len(workloads) // columns)
    figure = _figure(11, 0.6 + 2.6 * height)
    panels = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False)
    for panel, workload in zip(panels.flat, workloads, strict=False):
        mine = [row for row in rows if row.workload == workload and row.ns_per_element is not None]
        for name, threads in dict.fromkeys((row.contestant, row.threads) for row in mine):
            line = [(row.elements, row.ns_per_element) for row in mine if (row.contestant, row.threads) == (name, threads)]
            colour = OURS[0] if name.startswith("ndloss") else COLOURS.get(name, "#cccccc")
            style = "-" if threads > 1 else "--"
            panel.plot(*zip(*line, strict=True), style, color=colour, linewidth=1.2, label=f"{name}, {threads}")
        panel.set_title(workload, fontsize=9)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.minorticks_off()
        panel.tick_params(labelbottom=True, labelsize=8)
        panel.grid(visible=True, linewidth=0.3)
    for panel in list(panels.flat)[len(workloads) :]:
        panel.set_axis_off()
    figure.supylabel("ns per element, over the number of elements", fontsize=9)
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    _save(figure, path)
    return True


def _can_draw() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    """As SVG, the text stays text and nothing depends on the day: small files that change where a figure does."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ndloss"}):
        figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
