"""docs/losses.md and docs/differences.md say what the package has: every loss, its arguments, its function, an example."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import ndloss as nl
import ndloss.functional as F

DOCS = Path(__file__).resolve().parents[1] / "docs"
LOSSES = (DOCS / "losses.md").read_text(encoding="utf-8")
DIFFERENCES = (DOCS / "differences.md").read_text(encoding="utf-8")
LEGACY = ["size_average", "reduce"]
TORCH_LOSSES = 22

# Cells end at a bar that is not escaped.
ROWS = {
    cells[0].split("`")[1]: cells
    for line in LOSSES.splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]]
}
HAD = [name for name in ROWS if hasattr(nl, name)]


def test_every_loss_of_torch_has_a_row() -> None:
    assert len(ROWS) == TORCH_LOSSES
    classes: dict[str, Any] = {name: getattr(nl, name) for name in nl.__all__}
    ours = [n for n, c in classes.items() if isinstance(c, type) and issubclass(c, nl.Loss) and c is not nl.Loss]
    assert set(ours) <= set(ROWS)


@pytest.mark.parametrize("name", HAD)
def test_row_has_the_arguments_of_the_constructor(name: str) -> None:
    cells = ROWS[name]
    taken = inspect.signature(getattr(nl, name)).parameters.values()
    given = [p for p in taken if p.name != "reduction" and p.kind is not p.VAR_KEYWORD]
    expected = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in given if p.name not in LEGACY]
    assert re.findall(r"`([a-z_]+(?:=[^`]*)?)`", cells[3].split("function:")[0].split("reduction")[0]) == expected
    assert ("†" in cells[0]) == bool({p.name for p in given} & set(LEGACY))


@pytest.mark.parametrize("name", HAD)
def test_row_names_the_function(name: str) -> None:
    assert ROWS[name][1].strip("`") in F.__all__


@pytest.mark.parametrize("name", ROWS)
def test_row_is_complete_and_has_an_example(name: str) -> None:
    cells = ROWS[name]
    assert len(cells) == 7
    assert all(cell for place, cell in enumerate(cells) if place != 3)
    section = LOSSES.split(f"### `{name}`\n")[1].split("###")[0]
    assert ">>> " in section
    assert f"nl.{name}(" in section


def test_every_difference_has_a_line_and_an_example() -> None:
    sections = re.split(r"^\*\*D(\d+)\.\*\* ", DIFFERENCES, flags=re.MULTILINE)
    assert [int(n) for n in sections[1::2]] == list(range(1, 22))
    for text in sections[2::2]:
        assert text.count(">>> ") >= 1
