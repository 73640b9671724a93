"""
What a type checker says of a call: an array for reduction='none', a scalar for a mean or sum. Python itself then says
the same.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import quiet
from cases import CASE, CASES, LOSSES, LossCase
from outcomes import batches

ARRAY = "numpy.ndarray[Any, numpy.dtype[numpy.floating[Any]]]"
SCALAR = "numpy.floating[Any]"
WITH_DIVISOR = f"tuple[{SCALAR}, {SCALAR}]"
PREAMBLE = """\
import ndloss as nl
import ndloss.functional as F
import numpy as np
import numpy.typing as npt

def check(x: npt.NDArray[np.float32], y: npt.NDArray[np.float64], labels: list[int], text: str) -> None:
"""
# How a call may say its reduction, and the type that follows; `how: str` may be any reduction.
SAID = {"": SCALAR, 'reduction="mean"': SCALAR, 'reduction="sum"': SCALAR, 'reduction="none"': ARRAY}
# What every loss takes, and what some do.
OPTIONS = (
    "sample_weight=x, mask=[True]",
    "dtype=np.float64, empty='zero', broadcast=False, validate=False",
    "return_divisor=False",
)
OWN_OPTIONS = {"axis": "axis=-1"}
# Not a type of any argument, and what mypy calls that.
WRONG = ("return_divisor=1", "empty='never'", "validate='no'", "reduction=1", "num_threads='2'", "surprise=1")


def rest(case: LossCase) -> str:
    """Operands after the first two."""
    return ", y" * (len(case.operands) - 2)


def by_position(case: LossCase, reduction: str) -> str:
    """torch's arguments after the operands up to the reduction, by position; nothing where that is keyword-only."""
    said: list[str] = []
    for parameter in list(inspect.signature(getattr(F, case.name)).parameters.values())[len(case.operands) :]:
        if parameter.name == "reduction":
            return ", ".join((*said, repr(reduction))) if parameter.kind is parameter.POSITIONAL_OR_KEYWORD else ""
        said.append(repr(parameter.default))
    return ""


def right_lines() -> Iterator[tuple[str, str]]:
    """An expression, and the type it has."""
    for case in LOSSES:
        more = rest(case)
        for said, kind in SAID.items():
            for operands in ("x, y", "x, labels", "[0.5, 0.25], y"):
                yield f"F.{case.name}({operands}{more}{said and f', {said}'})", kind
            yield f"F.{case.name}(x, y{more}, num_threads=2{said and f', {said}'})", kind
        for reduction, kind in (("none", ARRAY), ("mean", SCALAR)):
            if positional := by_position(case, reduction):
                yield f"F.{case.name}(x, y{more}, {positional})", kind
        for said in ("", 'reduction="sum", ', "reduction=text, ", f"{by_position(case, 'mean')}, ".removeprefix(", ")):
            yield f"F.{case.name}(x, y{more}, {said}return_divisor=True, mask=[True])", WITH_DIVISOR
        taken = inspect.signature(getattr(F, case.name)).parameters
        for option in (*OPTIONS, *(text for name, text in OWN_OPTIONS.items() if name in taken)):
            yield f"F.{case.name}(x, y{more}, {option})", SCALAR
    for case in CASES:
        if not case.is_loss:
            yield f"F.{case.name}(x)", ARRAY
        made = f"ndloss.{getattr(nl, case.class_name).__module__.split('.')[1]}.{case.class_name}"
        needed = "" if case.bare else "2, 3, "
        yield f"nl.{case.class_name}({needed.rstrip(', ')})", made
        if case.is_loss:
            yield f"nl.{case.class_name}({needed}empty='zero', broadcast=False, validate=False)", made


def wrong_lines() -> Iterator[str]:
    for case in LOSSES:
        for arguments in WRONG:
            yield f"F.{case.name}(x, y{rest(case)}, {arguments})"


def checked(folder: Path, code: str) -> list[str]:
    """What mypy --strict says of a file that imports ndloss as an installed package."""
    file = folder / "calls.py"
    file.write_text(code, encoding="utf-8")
    package = str(Path(nl.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", "--cache-dir", str(folder), str(file)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=folder,
        env={"MYPYPATH": package, "PATH": ""} if "site-packages" not in package else None,
    )
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("calls.py")]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """One run of mypy over all lines: its message for each."""
    pytest.importorskip("mypy")
    right, wrong = list(right_lines()), list(wrong_lines())
    body = [f"    reveal_type({expression})" for expression, _ in right] + [f"    {line}" for line in wrong]
    messages: dict[int, str] = {}
    for line in checked(tmp_path_factory.mktemp("typing"), PREAMBLE + "\n".join(body) + "\n"):
        found = re.match(r"calls\.py:(\d+): (.*)", line)
        assert found
        number = int(found[1]) - PREAMBLE.count("\n") - 1
        messages[number] = messages.get(number, "") + found[2] + "\n"
    return messages


def test_mypy_knows_what_a_call_returns(said: dict[int, str]) -> None:
    for number, (expression, kind) in enumerate(right_lines()):
        assert re.search(r'Revealed type is "(.*)"', said[number]), said[number]
        assert "error" not in said[number], f"{expression}: {said[number]}"
        revealed = re.sub(r"\b(builtins|typing)\.", "", said[number])
        assert f'Revealed type is "{kind}"' in revealed, f"{expression}: {said[number]}"


def test_mypy_refuses_arguments_of_a_wrong_type(said: dict[int, str]) -> None:
    """Which also shows that it looks at these lines at all."""
    first = len(list(right_lines()))
    for number, line in enumerate(wrong_lines(), start=first):
        assert "error: " in said.get(number, ""), f"nothing is wrong with {line}"


def test_the_types_are_those_of_the_results() -> None:
    for case in LOSSES:
        sample = next(batches(CASE[case.name], "float32", 3))
        with quiet():
            for said_, kind in SAID.items():
                options = {"reduction": said_.partition('"')[2].rstrip('"')} if said_ else {}
                found = getattr(F, case.name)(*sample.args, **options)
                assert isinstance(found, np.ndarray if kind == ARRAY else np.floating)
            found = getattr(F, case.name)(*sample.args, return_divisor=True)
            assert isinstance(found, tuple)
            assert [isinstance(number, np.floating) for number in found] == [True, True]
