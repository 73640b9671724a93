"""Tries other values of the constants that the kernels are built with, and prints what each costs.

Each value is put into a copy of the sources, a program of this folder is built with the copy for every instruction-set level, and
the programs run in turns: the least of the rounds counts. Values that change the order of additions change bits: they are
chosen once, for every level.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CPP = HERE.parents[1] / "cpp"
FLAGS = ("-std=c++20", "-O3", "-DNDEBUG", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fopenmp-simd", "-pthread")
LEVELS = {"avx2": ("-march=x86-64-v3",), "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512")}
THREADS = (1, 2)


@dataclass(frozen=True)
class Constant:
    """One constant: where it stands, what is tried. A program takes one that is not of the sources as an argument."""

    program: str
    values: tuple[int, ...]
    places: tuple[tuple[str, str], ...] = ()  # file below cpp/, pattern with the number as its only group


CONSTANTS = {
    "lanes": Constant(
        "elementwise",
        (16, 32, 64),
        (
            ("include/ndloss/lanes.hpp", r"int lanes = (\d+);"),
            ("include/ndloss/kernels_elementwise.hpp", r"double head\[(\d+)\];"),
            ("include/ndloss/kernels_elementwise.hpp", r"double tail\[(\d+)\];"),
        ),
    ),
    "run": Constant("elementwise", (4, 8, 16), (("include/ndloss/lanes.hpp", r"int run = (\d+);"),)),
    "prefetch_bytes": Constant(
        "elementwise", (512, 1024, 2048, 4096, 8192, 16384), (("include/ndloss/lanes.hpp", r"prefetch_bytes = (\d+);"),)
    ),
    "block": Constant("elementwise", (1024, 2048, 4096, 8192, 16384)),
}
BLOCK = 4096  # of the drivers


@dataclass(frozen=True)
class Variant:
    """A program built with one value of one constant at one level."""

    constant: str
    value: int
    level: str
    path: Path

    def times(self, threads: int) -> Iterator[tuple[str, float]]:
        """Name and nanoseconds per element of each kernel of one run."""
        block = self.value if self.constant == "block" else BLOCK
        said = subprocess.run([str(self.path), str(block), str(threads)], check=True, capture_output=True, text=True)
        for line in said.stdout.splitlines():
            name, nanoseconds = line.split()
            yield name, float(nanoseconds)


def put(tree: Path, constant: Constant, value: int) -> None:
    """Write a value into the copied sources."""
    for name, pattern in constant.places:
        path = tree / name
        text = path.read_text(encoding="utf-8")
        found = re.findall(pattern, text)
        if len(found) != 1:
            raise SystemExit(f"{name} has {len(found)} places like {pattern!r}, not one")
        path.write_text(re.sub(pattern, lambda match: match[0].replace(match[1], str(value)), text), encoding="utf-8")


def build(name: str, value: int, level: str, folder: Path) -> Variant:
    """Build one program."""
    constant = CONSTANTS[name]
    tree = folder / f"{name}_{value}"
    if not tree.exists():
        shutil.copytree(CPP, tree)
        put(tree, constant, value)
    path = folder / f"{constant.program}_{name}_{value}_{level}"
    include = [f"-I{tree / 'include'}", f"-I{tree / 'src'}", f"-DNDLOSS_ISA={level}"]
    source = HERE / f"{constant.program}.cpp"
    subprocess.run([os.environ.get("CXX", "c++"), *FLAGS, *LEVELS[level], *include, str(source), "-o", str(path)], check=True)
    return Variant(name, value, level, path)


Key = tuple[str, int, str, int, str]  # constant, value, level, threads, kernel


def measure(variants: Sequence[Variant], threads: Sequence[int], rounds: int) -> dict[Key, float]:
    """The least time of every variant, in turns."""
    best: dict[Key, float] = {}
    for turn in range(rounds):
        for variant in variants if turn % 2 == 0 else reversed(variants):
            for count in threads:
                for kernel, nanoseconds in variant.times(count):
                    key = (variant.constant, variant.value, variant.level, count, kernel)
                    best[key] = min(nanoseconds, best.get(key, float("inf")))
    return best


def tables(best: dict[Key, float]) -> str:
    """A table for each constant: a row for each value, a column for each level, thread count and kernel."""
    lines = []
    for name in dict.fromkeys(key[0] for key in best):
        columns = list(dict.fromkeys(key[2:] for key in best if key[0] == name))
        lines += [f"| {name} | " + " | ".join(f"{kernel}, {level}, {count}" for level, count, kernel in columns) + " |"]
        lines += ["|---:" * (len(columns) + 1) + "|"]
        for value in dict.fromkeys(key[1] for key in best if key[0] == name):
            row = [f"{nanoseconds:.3f}" for key, nanoseconds in best.items() if key[:2] == (name, value)]
            lines += [f"| {value} | " + " | ".join(row) + " |"]
        lines += [""]
    return "\n".join(lines)


def main() -> int:
    """Build, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constants", nargs="+", choices=CONSTANTS, default=list(CONSTANTS), help="which to try")
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS), help="instruction-set levels")
    parser.add_argument("--threads", nargs="+", type=int, default=list(THREADS), help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=5, help="how often each program runs")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        variants = [
            build(name, value, level, Path(folder))
            for name in options.constants
            for value in CONSTANTS[name].values
            for level in options.levels
        ]
        best = measure(variants, options.threads, options.rounds)
    sys.stdout.write(tables(best) + "\n")
    if options.out:
        options.out.write_text(json.dumps([[*key, time] for key, time in best.items()], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
