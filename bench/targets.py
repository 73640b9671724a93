"""The targets of speed and memory, each with what one run found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

from bench_layouts import Timed
from bench_linear import Linear
from bench_memory import Peak
from bench_package import Cost
from bench_ports import NEAR, Bound
from ours import INTO_OUT
from report import COMPILED, ratios
from results import of_threads
from rows import Row

# Losses of additions, products, comparisons and roots alone; the others take exponentials or logarithms of every element.
POLYNOMIAL = (
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "mse_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "nll_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
)
FLAT_FROM = 1 << 16  # elements
LONG = 4e-3  # seconds: calls that a busy core may slow down by half
LIMIT_OF_MEMORY = 16  # MiB


@dataclass(frozen=True)
class Target:
    """One line of the table: what is asked, what was found, and whether that is enough (None: not measured)."""

    what: str
    goal: str
    found: str
    met: bool | None


@dataclass(frozen=True)
class Results:
    """The rows of one run, by the program that made them."""

    losses: Sequence[Row]
    scaling: Sequence[Row]
    small: Sequence[Row]
    busy: Sequence[Row]
    memory: Sequence[Peak]
    layouts: Sequence[Timed]
    package: Sequence[Cost]
    linear: Sequence[Linear]
    ports: Sequence[Bound]
    caches: Sequence[int]  # bytes, of the machine that was measured


def targets(results: Results) -> Iterator[Target]:
    """Yield every target in the order of their table; one that was not measured has no figure."""
    yield from _times(results.losses)
    yield from _ports(results.ports)
    yield from _small(results.small)
    yield from _layouts(results.layouts)
    yield _memory(results.memory)
    yield from _flat(results.scaling, results.caches)
    yield from _threshold(results.scaling)
    yield from _busy(results.busy)
    yield from _package(results.package)


def over_limit(rows: Iterable[Row], contestant: str) -> dict[str, float]:
    """The time of one contestant over the limit, by workload."""
    return ratios(rows, contestant.__eq__, "limit".__eq__)


def largest_rise(times: Mapping[int, float], bytes_each: float, caches: Sequence[int]) -> tuple[float, int, int]:
    """How much more an element costs in a larger array than in a smaller one that lies in the same memory, and in which two.

    An array lies in a cache when it takes less than half of it, in memory when it takes more than twice the last cache; in between,
    the one goes over into the other, and nothing is asked.
    """
    bounds = [0, *sorted(caches)]
    worst = (1.0, 0, 0)
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        inside = [n for n in sorted(times) if n * bytes_each > 2 * low and (high is None or n * bytes_each < high / 2)]
        for place, large in enumerate(inside):
            small = min(inside[: place + 1], key=times.__getitem__)
            worst = max(worst, (times[large] / times[small], small, large))
    return worst


def geometric_mean(numbers: Iterable[float]) -> float:
    logs = [log(number) for number in numbers]
    return exp(sum(logs) / len(logs))


def _times(rows: Sequence[Row]) -> Iterator[Target]:
    for dtype, threads in dict.fromkeys((row.dtype, row.threads) for row in rows):
        part = [row for row in rows if (row.dtype, row.threads) == (dtype, threads)]
        by_mode = {mode: [row for row in part if row.mode == mode] for mode in dict.fromkeys(row.mode for row in part)}
        where = f"{dtype}, {of_threads(threads)}"
        for ours in dict.fromkeys(row.contestant for row in part if row.contestant.startswith("ndloss")):
            level = ours.removeprefix("ndloss ")
            for mode, title, bound in (
                ("value", "`mean`", 1.25),
                ("value_and_grad", "value and gradient", 1.5),
                ("none", "unreduced", 1.3),
            ):
                over = over_limit(by_mode.get(mode, []), ours)
                if over and dtype == "float64" and mode == "value":
                    simple = {name: ratio for name, ratio in over.items() if name.startswith(POLYNOMIAL)}
                    rest = {name: ratio for name, ratio in over.items() if name not in simple}
                    yield from _at_most(f"`mean` of polynomial losses over the limit; {where}, {level}", simple, 1.25)
                    yield from _at_most(f"`mean` of transcendental losses over the limit; {where}, {level}", rest, 2.0)
                else:
                    yield from _at_most(f"{title} over the limit; {where}, {level}", over, bound)
        for mode, title, rival, of, mean, least in (
            ("value", "`mean`", "torch eager", "torch eager".__eq__, 12, 4),
            ("value", "`mean`", "the faster of torch.compile and jax.jit", COMPILED.__contains__, 2, 1),
            ("value_and_grad", "value and gradient", "torch forward and backward", "torch eager".__eq__, 6, None),
        ):
            yield from _at_least(f"{title} against {rival}; {where}", by_mode.get(mode, []), of, mean, least)


def _ports(rows: Sequence[Bound]) -> Iterator[Target]:
    for level in dict.fromkeys(row.level for row in rows):
        part = [row for row in rows if row.level == level]
        what = f"`mean` over the larger of the limit and the port limit; float32, 1 thread, {level}"
        yield from _at_most(what, {row.workload: row.memory_ratio for row in part}, NEAR)
        yield from _at_most(f"{what}, in the L2 cache", {row.workload: row.cache_ratio for row in part}, NEAR)


def _at_most(what: str, found: Mapping[str, float], bound: float) -> Iterator[Target]:
    if not found:
        return
    worst = max(found, key=found.__getitem__)
    met = sum(ratio <= bound for ratio in found.values())
    mean = geometric_mean(found.values())
    text = f"{met} of {len(found)}; geometric mean {mean:.2f}, worst {found[worst]:.2f} (`{worst}`)"
    yield Target(what, f"≤ {bound} x, each", text, met == len(found))


def _at_least(what: str, rows: Sequence[Row], of: Callable[[str], bool], mean: float, least: float | None) -> Iterator[Target]:
    found = ratios(rows, of, lambda name: name.startswith("ndloss") and not name.endswith(INTO_OUT))
    if not found:
        return
    middle, worst = geometric_mean(found.values()), min(found, key=found.__getitem__)
    goal = f"≥ {mean} x in geometric mean" + (f", none below {least} x" if least is not None else "")
    text = f"{middle:.1f} x over {len(found)} workloads, least {found[worst]:.2f} x (`{worst}`)"
    yield Target(what, goal, text, middle >= mean and (least is None or found[worst] >= least))


def _small(rows: Sequence[Row]) -> Iterator[Target]:
    times = {(row.workload, row.contestant): 1e6 * row.seconds for row in rows if row.seconds is not None}
    for loss in ("cross_entropy", "mse_loss"):
        ours, torch = times.get((loss, "ndloss function")), times.get((loss, "torch function"))
        yield Target(f"call of (64, 10): `{loss}`", "≤ 2.5 µs", _text(ours, "µs"), _below(ours, 2.5))
        ratio = torch / ours if torch and ours else None
        yield Target(
            f"call of (64, 10): torch's over ours, `{loss}`", "≥ 5 x", _text(ratio, "x"), None if ratio is None else ratio >= 5
        )
    extra = {
        loss: time - times[loss, "ndloss function"]
        for (loss, who), time in times.items()
        if who == "ndloss class" and (loss, "ndloss function") in times
    }
    worst = max(extra, key=extra.__getitem__, default=None)
    text = "not measured" if worst is None else f"largest {extra[worst]:.2f} µs (`{worst}`)"
    yield Target("class call on top of the function", "≤ 0.3 µs", text, None if worst is None else extra[worst] <= 0.3)


def _layouts(rows: Sequence[Timed]) -> Iterator[Target]:
    for threads in dict.fromkeys(row.threads for row in rows):
        found = {f"{row.loss}: {row.what}": row.ratio for row in rows if row.threads == threads and row.ratio is not None}
        yield from _at_most(f"other dtypes and layouts, time per byte over contiguous float32; {of_threads(threads)}", found, 1.3)


def _memory(rows: Sequence[Peak]) -> Target:
    found = {f"{row.workload}, {row.mode}": row.beyond for row in rows if row.contestant == "ndloss" and row.beyond is not None}
    worst = max(found, key=found.__getitem__, default=None)
    text = "not measured" if worst is None else f"largest {found[worst]:.1f} MiB (`{worst}`)"
    met = None if worst is None else found[worst] <= LIMIT_OF_MEMORY
    return Target("peak memory over operands and results", f"≤ {LIMIT_OF_MEMORY} MiB", text, met)


def _flat(rows: Sequence[Row], caches: Sequence[int]) -> Iterator[Target]:
    goal = f"≤ 1.3 x from 2^{FLAT_FROM.bit_length() - 1} elements on, outside cache transitions"
    for threads in dict.fromkeys(row.threads for row in rows):
        found = {}
        for workload in dict.fromkeys(row.workload for row in rows):
            mine = [row for row in rows if row.workload == workload and row.threads == threads and row.contestant == "ndloss"]
            times = {
                row.elements: row.ns_per_element
                for row in mine
                if row.ns_per_element is not None and row.elements >= FLAT_FROM * 0.99
            }
            if times:
                each = max(row.gb_per_s * row.ns_per_element for row in mine if row.gb_per_s and row.ns_per_element)
                found[workload] = largest_rise(times, each, caches)
        if not found:
            continue
        worst = max(found, key=found.__getitem__)
        rise, small, large = found[worst]
        text = f"{rise:.2f} x (`{worst}`, from {small:,} to {large:,} elements)" if small else "never dearer"
        what = f"time per element where arrays grow; {of_threads(threads)}"
        yield Target(what, goal, text, rise <= 1.3)


def _threshold(rows: Sequence[Row]) -> Iterator[Target]:
    """Threads must not make a call slower than it is without them, wherever they set in."""
    times = {(row.workload, row.elements, row.threads): row.seconds for row in rows if row.contestant == "ndloss" and row.seconds}
    for threads in sorted({row.threads for row in rows} - {1}):
        found = {
            f"{workload}, {size:,} elements": seconds / times[workload, size, 1]
            for (workload, size, used), seconds in times.items()
            if used == threads and (workload, size, 1) in times
        }
        yield from _at_most(f"time with {threads} threads over time with 1, at every size", found, 1.3)


def _busy(rows: Sequence[Row]) -> Iterator[Target]:
    times: dict[Any, float] = {
        (row.workload, row.elements, row.mode, row.contestant, row.threads == 1): row.seconds
        for row in rows
        if row.seconds is not None
    }
    long, short = {}, {}
    for workload, size in dict.fromkeys((row.workload, row.elements) for row in rows):
        alone = times.get((workload, size, "idle", "ndloss", True))
        ours, torch = (times.get((workload, size, "busy", name, False)) for name in ("ndloss", "torch eager"))
        if alone is None or ours is None:
            continue
        if alone >= LONG:
            long[f"{workload}, {size:,}"] = ours / alone
        elif torch is not None:
            short[f"{workload}, {size:,}"] = ours / torch
    yield from _at_most("calls of 4 ms and more beside a busy core, over one thread on an idle machine", long, 1.5)
    yield from _at_most("shorter calls beside a busy core, over torch there", short, 1.0)


def _package(rows: Sequence[Cost]) -> Iterator[Target]:
    figures = {cost.what.split()[0]: cost for cost in rows}
    for name, what, bound, unit in (
        ("import", "import over NumPy", 15, "ms"),
        ("wheel", "size of the wheel", 3, "MB"),
        ("cold", "cold build", 90, "s"),
    ):
        figure = figures[name].figure if name in figures else None
        yield Target(what, f"≤ {bound} {unit}", _text(figure, unit), _below(figure, bound))


def _text(figure: float | None, unit: str) -> str:
    return "not measured" if figure is None else f"{figure:.3g} {unit}"


def _below(figure: float | None, bound: float) -> bool | None:
    return None if figure is None else figure <= bound
