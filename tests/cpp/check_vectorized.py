"""
Check that the kernels of one instruction set are vectorized, from their machine code.

A loop that the compiler leaves scalar costs a kernel most of its speed, and no test of numbers sees it. So in every innermost
loop of an object floating-point arithmetic has to be packed, as wide as the level's registers, and nothing may be called; the
functions of `KERNELS` have to be there, each with instructions of that width; every registered loss has to reach a loop. What
is scalar for a reason stands in `SCALAR`. What should not be stands in `GAPS`, and has to be taken out once it is vectorized.

    check_vectorized.py --isa avx2 --losses losses.hpp --compiler GNU-12.2.0 [--objdump OBJDUMP] OBJECT...
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from machine_code import Code, Function, functions

COMPILER = "GNU-12."  # whose code the lists below describe
SKIPPED = 77
BITS = {"baseline": 128, "avx2": 256, "avx512": 512}
ALL = frozenset(BITS)
BASELINE = frozenset({"baseline"})
BEFORE_AVX512 = frozenset({"baseline", "avx2"})
AVX512 = frozenset({"avx512"})
# Scalar operations for a packed one that a vector loop may hold: parameters that are compared once a group of lanes.
INVARIANT_SHARE = 0.125
COLD = ("find_bad", "add_large_values")
COLD_SECTION = ".text.unlikely"
COPIES = {"memcpy", "memmove", "memset"}


class Kernel(NamedTuple):
    name: str  # a regular expression
    instances: int
    bits: int = 512  # registers no wider than this, by design


# By object: functions that hold inner loops, and how many instances of each there are at least.
KERNELS = {
    "elementwise": [
        Kernel("groups", 170),
        Kernel("add_in_registers", 14),
        Kernel("add_chances", 2),
        Kernel("add_chances_of", 1),
        Kernel("fold_chances", 1),
        Kernel("add_values", 4),
        Kernel("add_logarithms", 4),
        Kernel("add_group_logarithms", 2),
        Kernel("add_weighted", 2, bits=0),  # its loops are in what it calls
        Kernel("even", 4),
        Kernel("unfold", 2),
    ],
    "label": [Kernel("sort(?:_labels)?", 1), Kernel("likelihood", 2), Kernel("fold", 2), Kernel("sum", 1)],
    "margin": [
        Kernel("tile_across", 12),
        Kernel("tile_along", 12),
        Kernel("fold_across", 12),
        Kernel("curvature_across", 2),
        Kernel("curvature_chunk", 2),
        Kernel("labels_inside", 1),
        Kernel("labels_of_row_inside", 1),
    ],
    "pack": [
        Kernel("pack", 77),
        Kernel("pack_rows", 26),
        Kernel("unpack", 8),
        Kernel("transpose", 2, bits=256),
        Kernel("transpose_back", 2, bits=256),
        Kernel("turn", 2, bits=256),
    ],
    "sequence": [Kernel("ctc_value", 2), Kernel("ctc_gradient", 2)],
    "softmax": [
        Kernel("tile_across", 20),
        Kernel("tile_along", 20),
        Kernel("row_max", 2),
        Kernel("joined", 2),
        Kernel("fold_row", 12),
        Kernel("fold_tiles_across", 4),
        Kernel("emit_row", 14),
        Kernel("inner_product", 4),
        Kernel("curvature_across", 2),
        Kernel("curvature_row", 2),
    ],
    "vectors": [
        Kernel("fold_tile", 19),
        Kernel("run_tile", 38, bits=0),  # a sum of distances has nothing to finish
        Kernel("sum_losses", 1),
        Kernel("transpose", 2, bits=256),
        Kernel("transpose_back", 2, bits=256),
    ],
    "weight": [
        Kernel(name, 2)
        for name in ("sum_of_factors", "multiply", "product", "distance_from", "total", "choose", "guard", "add_compensated")
    ],
}


class Exemption(NamedTuple):
    """Loops that may stay scalar: the object, the beginning of the function's name, the levels, and the kinds of arithmetic:
    exactly these; "remainder", what a vector loop beside it does; or "all", in which case the function needs no vectors."""

    kernels: str
    function: str
    levels: frozenset[str]
    kinds: str
    reason: str


SCALAR = [
    Exemption("elementwise", r"groups<\d+u, Identity,", ALL, "all", "copies and constants"),
    Exemption("elementwise", "sum_pass<BCELoss, .*, float>", AVX512, "cmp", "the last elements of a block"),
    Exemption("label", "likelihood<", ALL, "remainder", "the last rows of a tile"),
    Exemption("margin", "curvature_chunk<", AVX512, "add cmp", "the last classes of a row"),
    Exemption("margin", r"tile_(across|along)<.*\(MarginJob\)1", ALL, "mul|sub|cvt sub|mul sub|cvt mul sub|add cmp sub", "targets"),
    Exemption("margin", r"tile_along<\(MarginKind\)2", ALL, "add|add cvt|add cmp sub", "targets"),
    Exemption("margin", r"(tile|fold)_across<\(MarginKind\)2", ALL, "cvt|cmp cvt", "the number of a class"),
    Exemption("margin", "curvature_across<", ALL, "mul", "targets"),
    Exemption("pack", "(un)?pack(_rows)?<", ALL, "remainder", "strided elements, and the last ones"),
    Exemption("pack", "pack(_rows)?<Float16,", ALL, "mul|cvt mul", "the same, as two loops: subnormal and other numbers"),
    Exemption("pack", "unpack<double, Float16>", ALL, "cmp cvt", "the same, as two loops"),
    Exemption("pack", "pack<unsigned int,", ALL, "cvt", "the same; alone they are converted as 64-bit integers"),
    Exemption(
        "pack",
        "pack(_rows)?<(unsigned )?long, (.*, )?(float|double)>",
        BEFORE_AVX512,
        "all",
        "no instruction converts these vectors",
    ),
    Exemption("sequence", "ctc_", ALL, "cvt", "the states' labels, read from anywhere"),
    Exemption("sequence", "ctc_gradient<", ALL, "cmp fmadd mul sub|add cmp mul sub", "the last classes' exponentials in write_row"),
    Exemption("sequence", "ctc_gradient<", ALL, "add|add cmp mul sub|add cmp cvt mul sub", "the classes of labels"),
    Exemption("softmax", "(emit|curvature)_row<", ALL, "remainder", "the last classes of a row"),
    Exemption("softmax", r"tile_(across|along)<.*\(SoftmaxJob\)1", ALL, "cmp", "rows that are kept"),
    Exemption("vectors", "(run|fold)_tile<", ALL, "remainder", "the last features of a row"),
    Exemption(
        "vectors",
        "fold_tile<true, double, PowerDistance,",
        AVX512,
        "add cmp div fmadd fmsub mul sub",
        "the same; the loop of the others has lost a level to unrolling",
    ),
    Exemption("weight", "", ALL, "remainder", "the last elements of a block"),
]

SSE2 = "SSE2 does not compare 64-bit integers"
GAPS = [
    Exemption("elementwise", r"groups<\d+u, (BCELoss|GaussianNLLLoss), double>", BASELINE, "all", SSE2),
    Exemption("elementwise", "even<(true|false), double>", BASELINE, "all", SSE2),
    Exemption("elementwise", "fold_chances<double>", BASELINE, "all", SSE2),
    Exemption("label", "sort", BASELINE, "all", SSE2),
    Exemption("label", "likelihood<", BASELINE, "all", SSE2),
    Exemption("softmax", "fold_tiles_across", BASELINE, "mul|cvt mul", SSE2),
    Exemption("pack", "pack<(unsigned int|int|float|double), true, (float|double)>", BASELINE, "all", "SSE2 does not swap bytes"),
    Exemption("pack", "unpack<double, B?Float16>", BASELINE, "all", "to_odd_float branches"),
    Exemption(
        "softmax", r"tile_across<.*2, \(SoftmaxJob\)1", BASELINE, "add cmp fmadd mul sub|add cmp mul sub", "gradients of targets"
    ),
    Exemption("softmax", r"fold_segment<\(Coefficients\)1", ALL, "add|add cvt", "one sum, not one a lane"),
    Exemption("vectors", "(run_tile<double, .*|fold_tile<.*, double), (Extreme|Power)Distance,", BASELINE, "all", SSE2),
    Exemption(
        "vectors", r"run_tile<double, \(VectorJob\)2, ExtremeDistance, false>", ALL, "add cmp sub", "finish_row: swap branches"
    ),
    Exemption("vectors", r"run_tile<\w+, \(VectorJob\)2, .*, true>", ALL, "all", "finish_row: swap branches"),
]


def vectorized(code: Code, bits: int) -> bool:
    return code.packed_bits >= bits and code.scalar.total() <= INVARIANT_SHARE * code.packed.total()


def is_remainder(loop: Code, loops: Sequence[Code], bits: int) -> bool:
    """Whether the loop does what a vector loop beside it, not one further out, leaves over."""
    wanted = (loop.scalar + loop.packed).keys() - {"cmp"}  # where vectors blend, what is left branches
    return any(other.depth >= loop.depth and vectorized(other, bits) and other.packed.keys() - {"cmp"} == wanted for other in loops)


class Check:
    """The functions of one object at one level; `met` collects the exemptions that applied."""

    def __init__(self, kernels: str, isa: str, found: Sequence[Function]) -> None:
        self.kernels = kernels
        self.isa = isa
        self.found = [function for function in found if not function.name.startswith(COLD)]
        self.met: set[Exemption] = set()

    def exempt(self, function: Function, applies: Callable[[Exemption], bool]) -> bool:
        found = [
            each
            for each in (*SCALAR, *GAPS)
            if each.kernels == self.kernels and self.isa in each.levels and re.match(each.function, function.name) and applies(each)
        ]
        self.met.update(found)
        return bool(found)

    def exempt_loop(self, function: Function, loop: Code) -> bool:
        kinds = " ".join(sorted(loop.scalar.keys() | loop.packed.keys()))

        def applies(exemption: Exemption) -> bool:
            if exemption.kinds == "remainder":
                return is_remainder(loop, function.loops, BITS[self.isa])
            return exemption.kinds == "all" or kinds in exemption.kinds.split("|")

        return self.exempt(function, applies)

    def in_loops(self, function: Function) -> Iterator[str]:
        inside = re.compile("|".join(rf"\b{name}<" for name in [*COLD, *(kernel.name for kernel in KERNELS[self.kernels])]))
        for loop in function.loops:
            where = f"{function.name}: loop at {loop.address:#x}"
            callees = [step.callee for step in loop.instructions if step.is_call]
            known = [callee for callee in callees if inside.search(callee) or callee in COPIES or callee.startswith(COLD_SECTION)]
            through_pointers = self.kernels == "margin" and all(callee.startswith("*") for callee in callees)
            if len(known) < len(callees) and not through_pointers:
                yield f"{where} calls {', '.join(sorted(set(callees) - set(known)))}"
            if known or not (loop.scalar or loop.packed) or vectorized(loop, BITS[self.isa]):
                continue  # the inner loop is in what it calls, or there is nothing to complain of
            if not self.exempt_loop(function, loop):
                counts = ", ".join(f"{count} {kind}" for kind, count in sorted(loop.scalar.items()))
                scalar = f"{counts} scalar beside {loop.packed.total()} packed"
                yield f"{where}: {scalar if loop.scalar else f'{loop.packed_bits} bits wide, not {BITS[self.isa]}'}"

    def of_kernels(self) -> Iterator[str]:
        for kernel in KERNELS[self.kernels]:
            instances = [function for function in self.found if re.fullmatch(kernel.name + "(?:<.*>)?", function.name)]
            if len({function.name for function in instances}) < kernel.instances:
                yield f"{len(instances)} instances of {kernel.name}, expected {kernel.instances}: renamed, or inlined?"
            bits = min(kernel.bits, BITS[self.isa])
            for function in instances:
                computes = function.code.scalar or function.code.packed
                parts = function.loops or [function.code]
                widest = function.code.packed_bits if computes else max(part.bits for part in parts)
                leaves = [step.callee for step in function.code.instructions if step.callee and not step.is_call]
                # The compiler may cut a function in two: the part that holds a rare case goes on in the other.
                forwards = bool(leaves) and (not function.loops or any(function.name in callee for callee in leaves))
                if widest < bits and not forwards and not self.exempt(function, lambda each: each.kinds == "all"):
                    yield f"{function.name}: at most {widest} bits wide, not {bits}"

    def of_libraries(self) -> Iterator[str]:
        """Calls of what no kernel may call: libm above all."""
        for function in self.found:
            called = {step.symbol for step in function.code.instructions if step.callee and step.symbol}
            for symbol in sorted(called - COPIES):
                if not symbol.startswith(COLD_SECTION):
                    yield f"{function.name} calls {symbol}"

    def of_losses(self, registered: int) -> Iterator[str]:
        """Every loss has to reach a loop: by a call, or by way of a pass with the same code."""
        passes = re.compile(r"(?:sum|map)_pass<(.+?)(?:, \d+u)?, (float|double)>")
        losses = {(found[1], found[2]) for function in self.found if (found := passes.fullmatch(function.name))}
        if len(losses) != 2 * registered:
            yield f"passes of {len(losses)} losses and types, expected {2 * registered}"
        reached = re.compile(r"\b(groups|sum_pass|map_pass)<")
        for function in self.found:
            if passes.fullmatch(function.name) and not any(reached.search(step.callee) for step in function.code.instructions):
                yield f"{function.name} calls no groups"

    def complaints(self, registered: int) -> Iterator[str]:
        for function in self.found:
            yield from self.in_loops(function)
        yield from self.of_kernels()
        yield from self.of_libraries()
        if self.kernels == "elementwise":
            yield from self.of_losses(registered)
        for gap in GAPS:
            if gap.kernels == self.kernels and self.isa in gap.levels and gap not in self.met:
                yield f"no longer a gap, take it out: {gap.function} ({gap.kinds})"


def registered_losses(header: Path) -> int:
    found = re.search(r"using ElementwiseLosses = TypeList<(.*?)>;", header.read_text(), re.DOTALL)
    if not found:
        raise SystemExit(f"{header}: no ElementwiseLosses")
    return len(re.findall(r"\w+(?=\s*(?:,|//|$))", found[1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", required=True, choices=BITS)
    parser.add_argument("--losses", required=True, type=Path, help="the header with the registry")
    parser.add_argument("--compiler", required=True, help="its name and version")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("objects", nargs="+", type=Path)
    options = parser.parse_args()
    if not options.compiler.startswith(COMPILER):
        print(f"skipped: the exemptions are those of {COMPILER}x, not {options.compiler}")
        return SKIPPED
    registered = registered_losses(options.losses)
    missing = set(KERNELS)
    bad = 0
    loops = 0
    for obj in options.objects:
        kernels = obj.name.split(".")[0].removeprefix("kernels_")
        if kernels not in KERNELS:
            print(f"{obj.name}: no kernels are known of it")
            bad += 1
            continue
        missing.discard(kernels)
        check = Check(kernels, options.isa, list(functions(options.objdump, obj)))
        loops += sum(len(function.loops) for function in check.found)
        for complaint in sorted(check.complaints(registered)):
            print(f"{obj.name}: {complaint}")
            bad += 1
    for kernels in sorted(missing):
        print(f"no object kernels_{kernels}")
        bad += 1
    print(f"{options.isa}: {len(options.objects)} objects, {loops} loops, {bad} complaints")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
