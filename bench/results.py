"""What the programs of this folder share at their ends: options, Markdown tables, the files of a result."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

QUICK = "a quick run on small arrays: no figure here is a result"


def parser(description: str | None) -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, help="folder for JSON and Markdown; without it they are only printed")
    options.add_argument("--quick", action="store_true", help="a smoke run on small arrays, no claims")
    return options


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a table: its first columns to the left, the others are figures."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def of_threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def by_title(facts: Mapping[str, str]) -> list[str]:
    return [f"- **{name}**: {text}" for name, text in facts.items()]


def write(
    options: argparse.Namespace, name: str, title: str, facts: Mapping[str, str], records: Iterable[Any], body: Sequence[str]
) -> None:
    """Print the Markdown of a result; write it and the records into the folder that the options name."""
    facts = {"warning": QUICK, **facts} if options.quick else dict(facts)
    text = "\n".join([f"# {title}", "", *by_title(facts), "", *body]) + "\n"
    print("\n".join(body))
    if options.out is None:
        return
    options.out.mkdir(parents=True, exist_ok=True)
    document = {"facts": facts, "rows": [asdict(record) for record in records]}
    (options.out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.out / f"{name}.md").write_text(text)
    print(f"written into {options.out}: {name}.json, {name}.md")


def read(folder: Path, name: str) -> dict[str, Any]:
    """Return the facts and rows of a result; empty where it was not measured."""
    path = folder / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {"facts": {}, "rows": []}
