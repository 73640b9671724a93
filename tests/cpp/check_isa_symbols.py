"""
Check the symbols of objects compiled for one instruction set.

The linker keeps one copy of a function that several objects define. If an object compiled for AVX-512 offered one, it
could become the program's only copy, and run on machines without AVX-512. So an object may define one external symbol,
its own table of kernels, nothing weak, and nothing that runs when the program is loaded.

    check_isa_symbols.py --isa avx2 [--nm NM] OBJECT...
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WEAK = "VWvwui"  # weak objects and functions, GNU unique symbols, indirect functions
STATIC_INITIALIZER = re.compile(r"_GLOBAL__(sub_)?I_|_GLOBAL__D_|__static_initialization")


class Symbol(NamedTuple):
    name: str
    kind: str  # nm's letter: upper case is external


def defined_symbols(nm: str, obj: Path) -> list[Symbol]:
    command = [nm, "--defined-only", "--demangle", "--format=posix", str(obj)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # A demangled name may hold spaces; kind, value and (for what has one) size stand behind it.
    lines = re.findall(r"^(.+?) ([A-Za-z?])(?: [0-9a-f]+){0,2}\s*$", output, re.MULTILINE)
    return [Symbol(name, kind) for name, kind in lines]


def complaints(symbols: list[Symbol], isa: str) -> Iterator[str]:
    for name, kind in symbols:
        if kind in WEAK:
            yield f"weak symbol ({kind}): {name}"
        if STATIC_INITIALIZER.search(name):
            yield f"static initializer: {name}"
    external = [symbol for symbol in symbols if symbol.kind.isupper() and symbol.kind not in WEAK]
    table = re.compile(rf"ndloss::{re.escape(isa)}::\w+_tables?")
    for name, kind in external:
        if not table.fullmatch(name) or kind not in "DR":
            yield f"external symbol that is no table of ndloss::{isa} ({kind}): {name}"
    if len(external) != 1:
        yield f"{len(external)} external symbols, expected the table alone"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", required=True, help="the namespace the objects' tables live in")
    parser.add_argument("--nm", default="nm")
    parser.add_argument("objects", nargs="+", type=Path)
    options = parser.parse_args()
    bad = 0
    for obj in options.objects:
        symbols = defined_symbols(options.nm, obj)
        if not symbols:
            print(f"{obj.name}: nm saw no symbol")
            bad += 1
        for complaint in complaints(symbols, options.isa):
            print(f"{obj.name}: {complaint}")
            bad += 1
    print(f"{options.isa}: {len(options.objects)} objects, {bad} complaints")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
