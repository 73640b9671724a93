"""Write docs/performance.md from the results of one run, with its plots.

    python bench/run_all.py --out results                  # the run
    python bench/performance_page.py --results results     # the page

What is not met is explained by hand in performance_notes.md beside this file; it goes into the page as it stands.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import bench_busy
import bench_layouts
import bench_linear
import bench_memory
import bench_ports
import bench_scaling
import bench_small
from bench_layouts import Timed
from bench_linear import Linear
from bench_memory import Peak
from bench_package import Cost
from bench_ports import Bound
from chart import draw_roofline, draw_scaling
from machine import ROOT
from report import TITLES, summary, times
from results import by_title, of_threads, read, table
from rows import Row
from targets import Results, over_limit, targets
from workloads import MODES

NOTES = Path(__file__).with_name("performance_notes.md")
LOSSES = ("losses", "single", "gradients", "float64")  # results of bench_losses.py, by name
OTHERS = ("scaling", "small", "busy", "memory", "layouts", "linear", "package", "ports")
# What holds for all results of a run; the rest stands where it belongs.
FACTS = ("warning", "date", "machine", "cache sizes", "vector instructions", "system", "compiler", "python", "packages", "revision")
MET = {True: "met", False: "**not met**", None: "not measured"}

Record = TypeVar("Record")


def main() -> int:
    options = _options()
    documents = {name: read(options.results, name) for name in (*LOSSES, *OTHERS)}
    missing = [name for name, document in documents.items() if not document["rows"]]
    if missing:
        print(f"not in {options.results}: {', '.join(missing)}", file=sys.stderr)
    if len(missing) == len(documents):
        return 2
    results = Results(
        losses=_records(Row, *(documents[name] for name in LOSSES)),
        scaling=_records(Row, documents["scaling"]),
        small=_records(Row, documents["small"]),
        busy=_records(Row, documents["busy"]),
        memory=_records(Peak, documents["memory"]),
        layouts=_records(Timed, documents["layouts"]),
        package=_records(Cost, documents["package"]),
        linear=_records(Linear, documents["linear"]),
        ports=[bench_ports.bound(row) for row in documents["ports"]["rows"]],
        caches=_caches(documents["scaling"]["facts"]),
    )
    plots = options.out.with_suffix("")
    plots.mkdir(parents=True, exist_ok=True)
    lines = [*_head(documents), *_targets(results), *_notes(), *_losses(results.losses, plots)]
    lines += [*_ports(results.ports, documents["ports"]["facts"]), *_others(results, plots)]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {options.out}, and plots in {plots}")
    return 0


def _records(kind: Callable[..., Record], *documents: dict[str, Any]) -> list[Record]:
    return [kind(**row) for document in documents for row in document["rows"]]


def _caches(facts: dict[str, str]) -> list[int]:
    """Bytes of the caches beyond the first, of the machine that was measured."""
    return [int(kib) << 10 for level, kib in re.findall(r"L(\d) (\d+) KiB", facts.get("cache sizes", "")) if level != "1"]


def _head(documents: dict[str, Any]) -> list[str]:
    known = [document["facts"] for document in documents.values() if document["rows"]]
    facts = {name: known[0][name] for name in FACTS if name in known[0]}
    for name in ("machine", "revision"):
        if len({one.get(name) for one in known}) > 1:
            facts[name] = f"{facts[name]} (not the same for all figures)"
    for name in ("ndloss", "environment", "note", "limit"):
        found = [one[name] for one in known if name in one]
        facts |= {name: found[0]} if found else {}
    return [
        "# Performance",
        "",
        "One run of every benchmark on one machine, and what it says about the targets. Written by `bench/performance_page.py`:",
        "",
        "```sh",
        "python -m pip install '.[bench]' torch",
        "python bench/run_all.py --out results",
        "python bench/performance_page.py --results results",
        "```",
        "",
        "[bench/README.md](../bench/README.md) says what is measured and how. Times differ from machine to machine by a third and",
        "more; compare ratios of figures that stand side by side.",
        "",
        *by_title(facts),
        "",
    ]


def _targets(results: Results) -> list[str]:
    rows = [[one.what, one.goal, one.found, MET[one.met]] for one in targets(results)]
    return ["## Targets", "", *table(["what", "target", "found", ""], rows, left=4), ""]


def _notes() -> list[str]:
    return ["## What bounds the rest", "", *NOTES.read_text(encoding="utf-8").strip().splitlines(), ""] if NOTES.exists() else []


def _losses(rows: Sequence[Row], plots: Path) -> Iterator[str]:
    if not rows:
        return
    yield from (
        "## Every loss beside its rivals and the limit",
        "",
        "Nanoseconds per element of the input, least of the repeats; in brackets the error in ULP: of the mean, of the worst",
        "unreduced loss, or of the worst gradient measured in ULP of the largest. The limit reads (and writes) the same bytes and",
        "computes nothing.",
        "",
    )
    for mode, dtype, threads in sorted(
        {(r.mode, r.dtype, r.threads) for r in rows}, key=lambda key: (key[1], MODES.index(key[0]), key[2])
    ):
        part = [row for row in rows if (row.mode, row.dtype, row.threads) == (mode, dtype, threads)]
        title = f"{TITLES[mode]}; {dtype}, {of_threads(threads)}"
        yield from (f"### {title[0].upper()}{title[1:]}", "", *times(part), "", *summary(part), "")
        yield from _ratios(part)
        name = f"roofline_{mode}_{dtype}_{threads}.svg"
        if draw_roofline(part, plots / name, title):
            yield from (f"![GB/s of every loss below the limit: {title}]({plots.name}/{name})", "")
    missing = [row for row in rows if row.seconds is None]
    if missing:
        yield from ("No time, because:", "")
        yield from (f"- {r.contestant}, {r.workload}, {r.mode}, {r.dtype}, {of_threads(r.threads)}: {r.why}" for r in missing)
        yield ""


def _ratios(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how far each loss is from the limit, farthest first."""
    for ours in dict.fromkeys(row.contestant for row in rows if row.contestant.startswith("ndloss")):
        found = sorted(over_limit(rows, ours).items(), key=lambda item: -item[1])
        if found:
            yield f"{ours} over the limit: {', '.join(f'{name} {ratio:.2f}' for name, ratio in found)}."
            yield ""


def _ports(rows: Sequence[Bound], facts: dict[str, str]) -> Iterator[str]:
    if rows:
        measured = {name: facts[name] for name in bench_ports.FACTS if name in facts}
        yield from ("## Ports", "", *bench_ports.body(rows), "", *by_title(measured), "")


def _others(results: Results, plots: Path) -> Iterator[str]:
    if results.scaling:
        yield from ("## By size", "")
        if draw_scaling(results.scaling, plots / "scaling.svg"):
            yield from (f"![Time per element over the number of elements]({plots.name}/scaling.svg)", "")
        yield from (*bench_scaling.body(results.scaling), "")
    for title, rows, body in (
        ("Small calls", results.small, bench_small.body(results.small)),
        ("Dtypes and layouts", results.layouts, bench_layouts.body(results.layouts)),
        ("Beside a busy core", results.busy, bench_busy.body(results.busy)),
        ("Memory", results.memory, bench_memory.body(results.memory)),
        ("The linear layer", results.linear, bench_linear.body(results.linear)),
    ):
        if rows:
            yield from (f"## {title}", "", *body, "")
    if results.package:
        found = [[cost.what, f"{cost.figure:.3g} {cost.unit}"] for cost in results.package]
        yield from ("## Before the first call", "", *table(["what", "figure"], found))


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--results", type=Path, default=Path("results"), help="folder that run_all.py wrote")
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "performance.md", help="the page; its plots go beside it")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
