"""The measured rows as Markdown: a table for each mode, dtype and number of threads, ratios, and what has no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import exp, log

from results import by_title, of_threads, table
from rows import Row

ORDER = ("limit", "ndloss", "torch eager", "torch.compile", "jax.jit", "scikit-learn _loss", "NumPy / SciPy")
COMPILED = ("torch.compile", "jax.jit")
TITLES = {
    "value": "mean",
    "value_and_grad": "mean and its gradient (torch: forward and backward)",
    "none": "unreduced",
}


def markdown(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """Return the whole report."""
    lines = ["# Losses: time and error", ""]
    lines += by_title(facts)
    lines += [
        "",
        "Nanoseconds per element of the input, least of the repeats; in brackets the error in ULP: of the mean, of the",
        "worst unreduced loss, or of the worst gradient measured in ULP of the largest. The limit reads (and writes)",
        "the same bytes and computes nothing. All contestants of a line took turns in one process. Compare ratios",
        "within a line, not times between machines.",
    ]
    for mode, dtype, threads in dict.fromkeys((row.mode, row.dtype, row.threads) for row in rows):
        part = [row for row in rows if (row.mode, row.dtype, row.threads) == (mode, dtype, threads)]
        lines += ["", f"## {TITLES[mode]}; {dtype}, {of_threads(threads)}", ""]
        lines += times(part)
        found = summary(part)
        lines += ["", *found] if found else []
    missing = [row for row in rows if row.seconds is None]
    if missing:
        lines += ["", "## No time, because", ""]
        lines += [f"- {r.contestant}, {r.workload}, {r.mode}, {r.dtype}, {of_threads(r.threads)}: {r.why}" for r in missing]
    return "\n".join(lines) + "\n"


def ratios(rows: Iterable[Row], of: Callable[[str], bool], to: Callable[[str], bool]) -> dict[str, float]:
    """Return, for each workload that has both, the least time of the one divided by the least of the other."""
    found = {}
    by_workload: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.seconds is not None:
            by_workload.setdefault(row.workload, {})[row.contestant] = row.seconds
    for workload, seconds in by_workload.items():
        above = [s for name, s in seconds.items() if of(name)]
        below = [s for name, s in seconds.items() if to(name)]
        if above and below:
            found[workload] = min(above) / min(below)
    return found


def in_order(names: Iterable[str]) -> list[str]:
    """Put contestants in the order of every table and chart: the limit, ndloss by level, the rivals."""
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else 1, name))


def times(rows: Sequence[Row]) -> list[str]:
    """Return the table of one mode, dtype and number of threads."""
    names = in_order({row.contestant for row in rows})
    cells = {(row.workload, row.contestant): _cell(row) for row in rows}
    workloads = dict.fromkeys(row.workload for row in rows)
    return table(
        ["workload", *names], ([workload, *(cells.get((workload, name), "-") for name in names)] for workload in workloads)
    )


def _cell(row: Row) -> str:
    if row.seconds is None:
        return "no time"
    return f"{row.ns_per_element:.3g}" if row.ulp is None else f"{row.ns_per_element:.3g} ({row.ulp:.2g})"


def summary(rows: Sequence[Row]) -> list[str]:
    """Return, for each level of ndloss, how it stands to the limit and to its rivals."""
    lines = []
    for ours in dict.fromkeys(row.contestant for row in rows if row.contestant.startswith("ndloss")):
        found = []
        for title, parts in (
            ("time over the limit", ratios(rows, ours.__eq__, "limit".__eq__)),
            ("torch eager over ours", ratios(rows, "torch eager".__eq__, ours.__eq__)),
            ("faster of torch.compile and jax.jit over ours", ratios(rows, COMPILED.__contains__, ours.__eq__)),
        ):
            if parts:
                mean = exp(sum(map(log, parts.values())) / len(parts))
                found.append(f"{title}: geometric mean {mean:.2f}, {min(parts.values()):.2f} to {max(parts.values()):.2f}")
        if found:
            lines.append(f"- {ours}. {'; '.join(found)}.")
    return lines
