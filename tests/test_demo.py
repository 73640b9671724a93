"""`python -m ndloss`: the demo's figures against torch, its two forms, its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndloss as nl
from ndloss.__main__ import main
from ndloss.demo import NAMES, load, record
from tolerances import bound

GOLDEN = json.loads((Path(__file__).parent / "golden" / "demo.json").read_text())

# Kinds of tolerance for the figures of a row. NLL reads log-probabilities that are themselves rounded, once more.
KINDS = {"mean": "few", "sum": "few", "grad_norm": "gradient"}
DATA_LIMIT = 200_000


def distance(found: float, expected: float) -> float:
    """Distance in float32 ULP of the expected value."""
    return abs(found - expected) / float(np.spacing(np.float32(abs(expected))))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The demo's JSON form, from a process of its own."""
    run = subprocess.run(
        [sys.executable, "-m", "ndloss", "demo", "--json"], capture_output=True, text=True, timeout=120, check=True
    )
    assert run.stderr == ""
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_golden_figures_come_from_the_torch_we_follow() -> None:
    assert GOLDEN["torch"].split("+")[0] == "2.13.0"


def test_every_loss_of_torch_is_in_the_same_row(document: dict[str, Any]) -> None:
    def names(rows: list[dict[str, Any]]) -> list[tuple[str, str, tuple[int, ...]]]:
        return [(row["loss"], row["data"], tuple(row["none_shape"])) for row in rows]

    assert names(document["losses"]) == names(GOLDEN["losses"])


@pytest.mark.parametrize("place", range(len(GOLDEN["losses"])))
@pytest.mark.parametrize("figure", sorted(KINDS))
def test_figures_are_torchs(document: dict[str, Any], place: int, figure: str) -> None:
    found, expected = document["losses"][place], GOLDEN["losses"][place]
    allowed = bound(KINDS[figure], np.float32)
    if found["loss"].startswith("NLL"):
        allowed += bound("unreduced", np.float32)
    assert distance(found[figure], expected[figure]) <= allowed


def test_mean_of_each_class_is_torchs(document: dict[str, Any]) -> None:
    assert len(document["by_class"]) == len(GOLDEN["by_class"]) == 10
    for found, expected in zip(document["by_class"], GOLDEN["by_class"], strict=True):
        assert (found["label"], found["count"]) == (expected["label"], expected["count"])
        assert distance(found["mean"], expected["mean"]) <= bound("few", np.float32)


def test_times_are_positive_and_small(document: dict[str, Any]) -> None:
    for row in document["losses"]:
        assert 0 < row["seconds_mean"] < 1
        assert 0 < row["seconds_value_and_grad"] < 1


def test_json_names_the_build_and_the_data(document: dict[str, Any]) -> None:
    assert document["version"] == nl.__version__
    assert document["isa"] in document["available_isas"]
    assert document["num_threads"] >= 1
    assert set(document["data"]) == set(NAMES)


def test_table_holds_every_loss_and_class_in_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("loss "))
    starts = [i for i, (a, b) in enumerate(zip(" " + lines[head + 1], lines[head + 1], strict=False)) if a == " " and b == "-"]
    assert len(starts) == 9
    for line, expected in zip(lines[head + 2 :], GOLDEN["losses"], strict=False):
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        assert cells[:2] == [expected["loss"], expected["data"]]
        assert cells[3] == str(tuple(expected["none_shape"]))
        for cell, figure in zip(cells[4:7], ("mean", "sum", "grad_norm"), strict=True):
            assert float(cell) == pytest.approx(expected[figure], rel=1e-5)
    digits = next(i for i, line in enumerate(lines) if line.startswith("digit "))
    for line, expected in zip(lines[digits + 2 :], GOLDEN["by_class"], strict=False):
        assert [float(cell) for cell in line.split()] == pytest.approx(
            [expected["label"], expected["count"], expected["mean"]], rel=1e-5
        )


def test_demo_says_how_the_files_were_made(capsys: pytest.CaptureFixture[str]) -> None:
    main(["demo"])
    text = capsys.readouterr().out
    assert "bench/make_demo_data.py" in text
    for name in NAMES:
        facts = record(name)
        assert facts["dataset"] in text
        assert facts["model"] in text
        assert facts["split"] in text


def test_data_are_small_float32_outputs_with_held_out_targets() -> None:
    folder = Path(nl.__file__).parent / "demo"
    assert sum(path.stat().st_size for path in folder.glob("*.npz")) <= DATA_LIMIT
    for name in NAMES:
        arrays = load(name)
        target = arrays.pop("target")
        for array in arrays.values():
            assert array.dtype == np.float32
            assert len(array) == len(target)
            assert np.isfinite(array).all()
            assert array.std() > 0.1
        assert len(np.unique(target)) >= 2


def test_unknown_data_set_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be one of digits, .*, got 'iris'"):
        load("iris")


def test_config_prints_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert nl.__version__ in capsys.readouterr().out
    assert main(["config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["isa"] == nl.get_isa()


@pytest.mark.parametrize("arguments", [[], ["predict"], ["demo", "--jsn"]])
def test_wrong_command_line_exits_2_and_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "usage: python -m ndloss" in error
    for word in arguments[-1:]:
        assert word in error


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["config", "--help"], ["--version"]])
def test_help_and_version_exit_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert capsys.readouterr().out


def test_unreadable_data_exit_1_with_a_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ndloss.demo.__file__", str(tmp_path / "__init__.py"))
    assert main(["demo"]) == 1
    assert "ndloss demo:" in capsys.readouterr().err
