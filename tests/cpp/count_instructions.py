"""
Count the instructions of representative kernels at AVX2 and hold them to the committed figures.

Instructions do not depend on the machine's load, so that a change of a few percent shows where a clock would not. They do
depend on the compiler: other major versions than the recorded one are skipped.

    count_instructions.py --program count_instructions --compiler GNU-12.2.0 --figures instructions.json [--record]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77
TOLERANCE = 0.05


def skip(reason: str) -> int:
    print(f"skipped: {reason}")
    return SKIPPED


def major_version(compiler: str) -> str:
    return compiler.split(".")[0]


def count(valgrind: str, program: Path, kernel: str) -> int:
    """Instructions inside the function `counted`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        options = ["--tool=callgrind", f"--callgrind-out-file={out}", "--toggle-collect=counted"]
        ran = subprocess.run([valgrind, *options, str(program), kernel], capture_output=True, text=True)
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE) if out.exists() else None
        if ran.returncode or found is None or int(found[1]) == 0:
            raise SystemExit(f"{kernel}: valgrind gave no count\n{ran.stdout}{ran.stderr}")
        return int(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=Path, help="compiled from count_instructions.cpp")
    parser.add_argument("--compiler", required=True, help="its name and version")
    parser.add_argument("--figures", required=True, type=Path, help="the committed figures")
    parser.add_argument("--record", action="store_true", help="write the figures instead of comparing with them")
    options = parser.parse_args()

    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return skip("valgrind is not installed")
    compiler = major_version(options.compiler)
    committed = json.loads(options.figures.read_text()) if options.figures.exists() else {}
    if not options.record and committed.get("compiler") != compiler:
        return skip(f"the figures are those of {committed.get('compiler')}, not {compiler}")
    listed = subprocess.run([options.program], capture_output=True, text=True)
    if listed.returncode == SKIPPED:
        return skip(listed.stdout.strip())

    expected: dict[str, float] = {} if options.record else committed["instructions per element"]
    figures: dict[str, float] = {}
    bad = 0
    print(f"{'instructions per element at avx2':<50}{'counted':>10}{'committed':>11}{'change':>9}")
    for line in listed.stdout.splitlines():
        elements, kernel = line.split(" ", 1)
        figures[kernel] = round(count(valgrind, options.program, kernel) / int(elements), 4)
        if kernel in expected:
            change = figures[kernel] / expected[kernel] - 1
            outside = abs(change) > TOLERANCE
            print(
                f"{kernel:<50}{figures[kernel]:>10.3f}{expected[kernel]:>11.3f}{change:>+9.1%}{'  outside 5 %' if outside else ''}"
            )
            bad += outside
        else:
            print(f"{kernel:<50}{figures[kernel]:>10.3f}")
    if options.record:
        options.figures.write_text(json.dumps({"compiler": compiler, "instructions per element": figures}, indent=2) + "\n")
        return 0
    if figures.keys() != expected.keys():
        print(f"kernels and figures differ: {sorted(figures.keys() ^ expected.keys())}")
        bad += 1
    if bad:
        print(f"{bad} complaints; where a change is meant, run again with --record and say why in the commit")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
