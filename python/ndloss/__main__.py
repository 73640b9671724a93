"""The command line: `python -m ndloss demo` and `python -m ndloss config`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import ndloss as nl
from ndloss.demo import NAMES, record
from ndloss.demo.evaluate import ClassLoss, Row, cases, evaluate, losses_by_class

DEMO = """\
Evaluate every loss on real model outputs that ship with the package: held-out outputs of classifiers and of a
regression that scikit-learn trained on its bundled data. For each loss: the shape of reduction='none', the mean, the
sum, the norm of the mean's gradient, and the time of one call; then the mean cross entropy of each digit."""

LEGEND = """\
grad norm: of the gradient of the mean. mean us, +grad us: microseconds of one call, value alone and with gradient."""

CONFIG = "Print version, compiler, instruction sets, OpenMP runtime and threads."

EXIT = "exit status: 0 success, 1 the command failed, 2 the command line is wrong"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "demo":
            _demo(as_json=options.json)
        else:
            _config(as_json=options.json)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`). Python flushes once more at exit; that flush needs somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, KeyError, ValueError) as error:
        print(f"ndloss {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ndloss", description="Loss functions of torch.nn for NumPy arrays, without torch.", epilog=EXIT
    )
    parser.add_argument("--version", action="version", version=f"ndloss {nl.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary, text in (
        ("demo", "evaluate every loss on the shipped model outputs", DEMO),
        ("config", "print how this build runs", CONFIG),
    ):
        command = commands.add_parser(name, help=summary, description=text, epilog=EXIT)
        command.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _demo(*, as_json: bool) -> None:
    rows = [evaluate(case) for case in cases()]
    by_class = losses_by_class()
    records = {name: record(name) for name in NAMES}
    if as_json:
        document = {
            **_settings(),
            "losses": [asdict(row) for row in rows],
            "by_class": [asdict(entry) for entry in by_class],
            "data": records,
        }
        print(json.dumps(document, indent=2))
        return
    print(f"ndloss {nl.__version__}, {nl.get_isa()}, {nl.get_num_threads()} threads\n")
    print(_loss_table(rows))
    print(f"\n{LEGEND}")
    print("\nMean cross entropy of each digit\n")
    print(_class_table(by_class))
    print(f"\n{_how_made(records)}")


def _config(*, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_settings(), indent=2))
    else:
        nl.show_config()


def _settings() -> dict[str, Any]:
    return {
        "version": nl.__version__,
        "isa": nl.get_isa(),
        "available_isas": list(nl.available_isas()),
        "num_threads": nl.get_num_threads(),
    }


def _loss_table(rows: Sequence[Row]) -> str:
    head = ("loss", "data", "input", "none", "mean", "sum", "grad norm", "mean us", "+grad us")
    cells = [
        (
            row.loss,
            row.data,
            str(row.input_shape),
            str(row.none_shape),
            f"{row.mean:.6g}",
            f"{row.sum:.6g}",
            f"{row.grad_norm:.6g}",
            f"{1e6 * row.seconds_mean:.1f}",
            f"{1e6 * row.seconds_value_and_grad:.1f}",
        )
        for row in rows
    ]
    return _aligned([head, *cells], left=4)


def _class_table(entries: Sequence[ClassLoss]) -> str:
    cells = [(str(entry.label), str(entry.count), f"{entry.mean:.6g}") for entry in entries]
    return _aligned([("digit", "samples", "mean loss"), *cells], left=0)


def _aligned(lines: Sequence[Sequence[str]], left: int) -> str:
    """Lay out the lines in columns: the first `left` columns flush left, the rest, numbers, flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    laid = []
    for line in (lines[0], rule, *lines[1:]):
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        laid.append("  ".join(cells).rstrip())
    return "\n".join(laid)


def _how_made(records: dict[str, dict[str, Any]]) -> str:
    lines = ["How the data were made: outputs of scikit-learn models on held-out samples of its bundled data sets."]
    for name, facts in records.items():
        score, value = next((key, value) for key, value in facts.items() if key.startswith("held_out"))
        lines += [
            f"  {name}: {facts['title']}",
            f"    data   {facts['dataset']}",
            f"    model  {facts['model']}",
            f"    split  {facts['split']}; {score.replace('_', ' ')} {value}",
        ]
    facts = next(iter(records.values()))
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines.append(f"  made by {facts['script']} with {versions}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
