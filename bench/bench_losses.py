"""Time every loss beside its rivals and the machine's limit, after checking every answer.

    python bench/bench_losses.py --out results    # everything, with 1 thread and with all cores; half an hour
    python bench/bench_losses.py --quick          # a smoke run of a few minutes: small arrays, no claims
    python bench/bench_losses.py --losses mse "cross_entropy 1Mx10" --threads 2 --modes value

Writes losses.json, losses.md and, for each mode, dtype and number of threads, a bar chart of the times and a plot of the GB/s below
those of the limit into the folder given by --out.
README.md beside this file says how to read them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from chart import draw, draw_roofline
from machine import cores, describe
from report import TITLES, markdown
from results import QUICK
from rows import Plan, Row
from workloads import MODES

HERE = Path(__file__).resolve().parent


def main() -> int:
    options = _options()
    usable = cores()
    facts = describe(ours=not options.only_rivals)
    facts["caches"] = "as the last call left them" if options.warm or options.quick else "emptied before every call"
    for name, text in facts.items():
        print(f"{name}: {text}")
    rows: list[Row] = []
    failed = False
    for threads in options.threads or sorted({1, len(usable)}):
        found, facts["limit"], finished = _measure(_plan(options, threads), usable)
        rows += found
        failed |= not finished
    if not rows and not failed:
        print("no workload has one of these words in its name", file=sys.stderr)
        return 2
    if options.out is not None:
        _write(options.out, options.name, rows, facts, quick=options.quick)
    wrong = [row for row in rows if row.seconds is None and row.contestant.startswith("ndloss")]
    for row in wrong:
        print(f"ndloss has no time: {row}", file=sys.stderr)
    if failed:
        print("a measuring process failed; what it had measured before is kept", file=sys.stderr)
    return 1 if wrong or failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for JSON, Markdown and charts; without it the rows are only printed")
    parser.add_argument("--name", default="losses", help="what the files are called: losses")
    parser.add_argument("--losses", nargs="+", default=[], metavar="WORD", help="workloads whose name contains one of these")
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "float64"])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--threads", nargs="+", type=int, default=[], metavar="N", help="default: 1 and all usable cores")
    parser.add_argument("--isa", nargs="+", default=[], metavar="LEVEL", help="levels of ndloss, or all; default: the active one")
    parser.add_argument("--quick", action="store_true", help="a smoke run on arrays 64 times smaller")
    parser.add_argument("--warm", action="store_true", help="leave in the caches what the last call left there")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--no-rivals", action="store_true", help="ndloss and the limit alone")
    who.add_argument("--only-rivals", action="store_true", help="without ndloss, which need not be installed")
    parser.add_argument("--rivals", nargs="+", default=[], metavar="WORD", help="only rivals whose name contains one of these")
    parser.add_argument("--rounds", type=int, help="turns of each contestant (5; quick: 2)")
    parser.add_argument("--seconds", type=float, help="time for each contestant on a workload (1; quick: 0.05)")
    return parser.parse_args()


def _plan(options: argparse.Namespace, threads: int) -> Plan:
    return Plan(
        losses=options.losses,
        dtypes=options.dtypes,
        modes=options.modes,
        isas=options.isa,
        threads=threads,
        ours=not options.only_rivals,
        rivals=not options.no_rivals,
        only=options.rivals,
        quick=options.quick,
        warm=options.warm or options.quick,
        rounds=options.rounds or (2 if options.quick else 5),
        budget=options.seconds or (0.05 if options.quick else 1.0),
    )


def _measure(plan: Plan, usable: list[int]) -> tuple[list[Row], str, bool]:
    """Run one plan in a process of its own, confined to as many cores as it has threads.

    Returns its rows, how the limit was measured, and whether it came to its end.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / "measure.py"), json.dumps(asdict(plan)), json.dumps(usable), str(path)]
        finished = subprocess.run(command, check=False).returncode == 0
        if not path.exists():
            return [], "not measured", False
        document = json.loads(path.read_text())
    return [Row(**row) for row in document["rows"]], document["limit"], finished


def _write(folder: Path, stem: str, rows: list[Row], facts: dict[str, str], *, quick: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if quick:
        facts = {"warning": QUICK, **facts}
    document = {"facts": facts, "rows": [asdict(row) for row in rows]}
    (folder / f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / f"{stem}.md").write_text(markdown(rows, facts))
    written = [f"{stem}.json", f"{stem}.md"]
    for mode, dtype, threads in dict.fromkeys((row.mode, row.dtype, row.threads) for row in rows):
        part = [row for row in rows if (row.mode, row.dtype, row.threads) == (mode, dtype, threads)]
        name = f"{stem}_{mode}_{dtype}_{threads}.png"
        title = f"{TITLES[mode]}, {dtype}, {threads} threads; {facts['machine']}; {facts['revision']}"
        if draw(part, folder / name, title):
            written.append(name)
        name = f"{stem}_roofline_{mode}_{dtype}_{threads}.png"
        if draw_roofline(part, folder / name, title):
            written.append(name)
    print(f"written into {folder}: {', '.join(written)}")


if __name__ == "__main__":
    sys.exit(main())
