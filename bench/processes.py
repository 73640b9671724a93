"""A measurement in a process of its own, on cores of its own; its records come back line by line as JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FLAG = "--worker"


def ask(
    script: str,
    request: Mapping[str, Any],
    cores: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[list[dict[str, Any]], bool]:
    """Run a script's worker; return what it measured, and whether it came to its end.

    A record is written when it is made: what precedes a crash, or a kill for want of memory, is kept.
    """
    with tempfile.TemporaryDirectory() as folder, confined(cores):
        path = Path(folder) / "records"
        command = [sys.executable, script, FLAG, json.dumps(request), str(path)]
        done = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)
        lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines], done.returncode == 0


def answer(measure: Callable[..., Iterable[Any]]) -> bool:
    """Where this process is a worker: measure what was asked for. False where it is not."""
    if sys.argv[1:2] != [FLAG]:
        return False
    with Path(sys.argv[3]).open("w") as file:
        for record in measure(**json.loads(sys.argv[2])):
            print(record, flush=True)
            print(json.dumps(dataclasses.asdict(record)), file=file, flush=True)
    return True


@contextlib.contextmanager
def confined(cores: Sequence[int]) -> Iterator[None]:
    """Let what is started in here use these cores alone; all where none is named, or where the system cannot."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
