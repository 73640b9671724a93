"""
Record what torch answers, for test runs where torch is not installed.

    python tests/golden/make_golden.py

needs torch 2.13.0 and writes, beside itself, `<loss>.npz` for every case (samples of the case table such that every
two choices meet at least once, with torch's value and gradients) and `rows.npz` (what torch does with every edge,
warning and error row, and its signatures). The arguments are recorded too, so the files do not depend on NumPy's
random streams.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

import golden_store
import torch_oracle
from cases import CASE, CASES, LossCase
from edge_rows import EDGE_ROWS, ERROR_ROWS, WARNING_ROWS, ErrorRow, WarningRow
from samples import FLOATS, Sample

RECORDED_WITH = "2.13.0"
SEED = 20130


def pairs(sample: Sample) -> frozenset[tuple[tuple[str, str], tuple[str, str]]]:
    return frozenset(itertools.combinations(sample.choices.items(), 2))


def covering(samples: Iterable[Sample]) -> list[Sample]:
    """
    Few samples in which every pair of choices that ever meets still meets: the one with most new pairs first, ties in
    order.
    """
    left = {i: (sample, pairs(sample)) for i, sample in enumerate(samples)}
    chosen = []
    while left:
        best = max(left, key=lambda i: (len(left[i][1]), -i))
        sample, gained = left.pop(best)
        if not gained:
            break
        chosen.append(sample)
        left = {i: (other, rest - gained) for i, (other, rest) in left.items()}
    return chosen


def recorded(case: LossCase, dtype: str) -> list[dict[str, Any]]:
    rng = np.random.default_rng([SEED, CASES.index(case), FLOATS.index(dtype)])
    records = []
    for sample in covering(case.samples(rng, dtype)):
        value, grads = torch_oracle.sample_call(case, sample)
        records.append(
            {
                "choices": dict(sample.choices),
                "args": sample.args,
                "kwargs": dict(sample.kwargs),
                "grad_output": sample.grad_output,
                "value": value,
                "grads": grads,
            }
        )
    return records


def row_outcomes() -> dict[str, Any]:
    """Keyed by the row's text, then by "dtype reduction"."""

    def given(kwargs: dict[str, Any]) -> dict[str, Any]:
        return {key: torch.float32 if value is np.float32 else value for key, value in kwargs.items()}

    outcomes: dict[str, Any] = {}
    for edge in EDGE_ROWS:
        outcomes[str(edge)] = {}
        for dtype, reduction in itertools.product(edge.dtypes, edge.reductions):
            args, kwargs = edge.call(reduction, dtype)
            first = CASE[edge.name].operands[0]
            wrt = (first, *(argument for key, argument in edge.grads if key == reduction and argument != first))
            outcomes[str(edge)][f"{dtype} {reduction}"] = torch_oracle.outcome(edge.name, args, given(kwargs), wrt)
    rows: tuple[WarningRow | ErrorRow, ...] = (*WARNING_ROWS, *ERROR_ROWS)
    for row in rows:
        args, kwargs = row.call("float32")
        outcomes[str(row)] = torch_oracle.outcome(row.name, args, given(kwargs))
    return outcomes


def signatures() -> dict[str, list[list[Any]]]:
    """[name, default] of every parameter, of functions and of constructors; parameters without default have none."""

    def parameters(callable_: Any) -> list[list[Any]]:
        found = inspect.signature(callable_).parameters.values()
        return [[p.name] if p.default is p.empty else [p.name, p.default] for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]

    functions = {c.name: parameters(torch_oracle.function(c.name)) for c in CASES if c.name not in ("sigmoid", "logsigmoid")}
    classes = {
        c.class_name: parameters(getattr(torch.nn, c.class_name)) for c in CASES if c.class_name not in ("Sigmoid", "LogSigmoid")
    }
    return functions | classes


def main() -> None:
    if torch.__version__.split("+")[0] != RECORDED_WITH:
        sys.exit(f"make_golden: torch {RECORDED_WITH} is the version whose semantics are kept, found {torch.__version__}")
    header = {"torch": torch.__version__, "numpy": np.__version__}
    for case in CASES:
        content = header | {"case": case.name, "samples": {dtype: recorded(case, dtype) for dtype in FLOATS}}
        golden_store.save(golden_store.FOLDER / f"{case.name}.npz", content)
    content = header | {"outcomes": row_outcomes(), "signatures": signatures()}
    golden_store.save(golden_store.FOLDER / "rows.npz", content)


if __name__ == "__main__":
    main()
