"""What the package costs before its first call: the import, the wheel, the build.

    python bench/bench_package.py --out results     # two minutes; package.json, package.md
    python bench/bench_package.py --no-build        # the import alone

The build is cold: without ccache, by the backend of this environment where it is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from building import build
from machine import ROOT, cores, describe
from results import parser, table, write

# Imports are timed by a Python of their own that has NumPy already, and that keeps the bytecode of the first one; the cheapest of
# several is the one from a warm disk.
IMPORT = "import numpy, time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


@dataclass(frozen=True)
class Cost:
    """One figure."""

    what: str
    figure: float
    unit: str


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--no-build", action="store_true", help="build no wheel")
    chosen = options.parse_args()
    repeats = 3 if chosen.quick else 15
    found = [Cost("import ndloss, NumPy being there", 1e3 * min(_import("ndloss") for _ in range(repeats)), "ms")]
    if not (chosen.no_build or chosen.quick):
        with tempfile.TemporaryDirectory() as folder:
            wheel = build(ROOT, Path(folder), cold=True)
            found.append(Cost("wheel", wheel.path.stat().st_size / 1e6, "MB"))
            found.append(Cost(f"cold build on {len(cores())} cores", wheel.seconds, "s"))
    rows = [[cost.what, f"{cost.figure:.3g} {cost.unit}"] for cost in found]
    write(chosen, "package", "Import, wheel, build", describe(ours=True), found, table(["what", "figure"], rows))
    return 0


def _import(name: str) -> float:
    command = [sys.executable, "-c", IMPORT.format(name)]
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


if __name__ == "__main__":
    sys.exit(main())
