"""The port limit of `bench/`: kinds of instructions, and the time of a mix of them on a core with known pipes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def ports() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module("ports")
    sys.path.remove(str(BENCH))


@pytest.mark.parametrize(
    ("name", "operands", "kinds"),
    [
        ("vaddps", "0x20(%rsi),%ymm7,%ymm1", ["load 256", "add 256"]),
        ("vfmadd213ps", "0x40(%rax){1to16},%zmm1,%zmm2", ["load 512", "fused 512"]),
        ("vmovups", "%ymm0,-0x80(%rcx)", ["store 256"]),
        ("vmovups", "(%rcx),%zmm1{%k1}{z}", ["load 512"]),
        ("vmovaps", "%zmm0,%zmm1{%k1}", ["blend 512"]),
        ("vmovaps", "%ymm0,%ymm1", []),
        ("vbroadcastss", "0x3df7fa(%rip),%ymm5        # 6a26a0 <numbers(a, b)>", ["load 256"]),
        ("vbroadcastss", "%xmm5,%ymm5", ["permute 256"]),
        ("vextractf128", "$0x1,%ymm4,0x10(%rdi)", ["store 256", "permute 256"]),
        ("vcmpltps", "%zmm1,%zmm2,%k1", ["compare 512"]),
        ("vpcmpgtd", "%ymm1,%ymm2,%ymm3", ["integer 256"]),
        ("vxorps", "%xmm1,%xmm1,%xmm1", []),
        ("vmovd", "%xmm0,%eax", ["transfer"]),
        ("vcvtps2pd", "%xmm4,%ymm4", ["convert 256"]),
        ("vdivsd", "%xmm1,%xmm2,%xmm3", ["divide double 256"]),
        ("kortestw", "%k1,%k1", ["mask 512"]),
        ("jne", "2c9498 <groups>", []),
        ("mov", "%r13,%rbp", []),
        ("mov", "0x8(%rdi),%rax", ["scalar load"]),
        ("add", "%eax,(%rdi)", ["scalar load", "scalar store", "scalar"]),
        ("cmpq", "$0x0,0x10(%rsp)", ["scalar load", "scalar"]),
        ("lea", "0x1000(,%rsi,4),%rdi", ["scalar"]),
        ("prefetcht0", "0x40(%rax)", ["scalar load"]),
        ("nopw", "0x0(%rax,%rax,1)", []),
        ("push", "%rbx", ["scalar store"]),
        ("popcnt", "%eax,%eax", ["scalar"]),
        ("vpnobodyknows", "%ymm1,%ymm2", ["unknown"]),
    ],
)
def test_an_instruction_asks_for_its_kinds(ports: ModuleType, name: str, operands: str, kinds: list[str]) -> None:
    assert ports.kinds_of(name, operands) == kinds


def test_a_conditional_jump_takes_no_place_of_its_own(ports: ModuleType) -> None:
    mix = ports.Mix.of([("cmp", "%rdx,%rdi", 8), ("jne", "10 <f>", 8), ("vaddps", "%ymm0,%ymm1,%ymm2", 4)])
    assert (mix.instructions, mix.issued, dict(mix.kinds)) == (20, 12, {"scalar": 8, "add 256": 4})


@pytest.fixture(scope="module")
def rates(ports: ModuleType) -> object:
    """Pipes 0 and 1 multiply, 2 and 3 add and compare, any of the four does logic; six instructions a cycle."""
    pipes = {"multiply 256": {0, 1}, "add 256": {2, 3}, "compare 256": {2, 3}, "logic 256": {0, 1, 2, 3}, "load 256": {4, 5}}
    pairs = {frozenset((a, b)): float(len(pipes[a] | pipes[b])) for a in pipes for b in pipes if a < b}
    return ports.Rates({kind: float(len(some)) for kind, some in pipes.items()}, pairs, 6.0)


def test_kinds_of_the_same_pipes_are_found(ports: ModuleType, rates: object) -> None:
    families = rates.families()  # type: ignore[attr-defined]
    assert sorted(map(sorted, families)) == [["add 256", "compare 256"], ["load 256"], ["logic 256"], ["multiply 256"]]


@pytest.mark.parametrize(
    ("kinds", "issued", "name", "time"),
    [
        ({"add 256": 6, "compare 256": 4}, 10, "add, compare", 5.0),
        ({"add 256": 4, "multiply 256": 4, "logic 256": 8}, 16, "vector instructions", 4.0),
        ({"add 256": 4, "multiply 256": 4, "logic 256": 4, "load 256": 5}, 24, "issue", 4.0),
        ({"load 256": 8}, 8, "load", 4.0),
    ],
)
def test_the_longest_of_all_bounds_is_the_limit(
    ports: ModuleType, rates: object, kinds: dict[str, float], issued: float, name: str, time: float
) -> None:
    bounds = ports.bounds(ports.Mix(issued, issued, kinds), rates)
    assert max(bounds.values()) == pytest.approx(time)
    assert bounds[name] == pytest.approx(time)


def test_no_bound_is_above_what_the_pipes_need(ports: ModuleType, rates: object) -> None:
    kinds = {"add 256": 3.0, "multiply 256": 1.0, "compare 256": 1.0, "logic 256": 2.0, "load 256": 2.0}
    assert max(ports.bounds(ports.Mix(9, 9, kinds), rates).values()) == pytest.approx(2.0)  # adds and comparisons on pipes 2 and 3
