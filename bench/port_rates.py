"""How many instructions of each kind, and of each two kinds together, this core runs in a cycle at most: measured, not quoted.

The loops are assembly written here: independent instructions on registers and on memory that stays in the first cache.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from ports import SAME, Rates

# Candidates of each kind; the fastest stands for it. Each instruction takes the next of some registers or places: {d} a vector of
# the width, {y} and {x} a narrower one, {a} one of nine that are read too, {r} an integer, {k} a mask, {m} a place that is read,
# {n} one that is written. Constants: {s} and {t} are 1.0, {o} is 0, {g} and {h} are the lower parts of {s}.
VECTOR: Mapping[str, Sequence[str]] = {
    "fused": ("vfmadd231ps {s},{t},{a}",),
    "multiply": ("vmulps {s},{t},{d}",),
    "add": ("vaddps {s},{t},{d}", "vsubps {s},{t},{d}"),
    "integer": ("vpaddd {s},{t},{d}", "vpmaxsd {s},{t},{d}"),
    "integer multiply": ("vpmuludq {s},{t},{d}", "vpmulld {s},{t},{d}"),
    "shift": ("vpslld $3,{s},{d}", "vpsrlvd {s},{t},{d}"),
    "shuffle": ("vshufps $68,{s},{t},{d}", "vunpcklps {s},{t},{d}", "vpermilps $68,{s},{d}"),
    "convert": ("vcvtdq2ps {s},{d}", "vcvttps2dq {s},{d}"),
    "load": ("vmovups {m},{d}", "vbroadcastss {m},{d}"),
    "store": ("vmovups {s},{n}",),
}
WIDTHS: Mapping[int, Mapping[str, Sequence[str]]] = {
    256: {
        **VECTOR,
        "compare": ("vminps {s},{t},{d}", "vcmpltps {s},{t},{d}"),
        "logic": ("vandps {s},{t},{d}", "vpxor {s},{t},{d}"),
        "permute": ("vpermps {s},{t},{d}", "vperm2f128 $1,{s},{t},{d}", "vextractf128 $1,{s},{x}", "vbroadcastss {h},{d}"),
        "blend": ("vblendvps {o},{s},{t},{d}", "vblendps $85,{s},{t},{d}"),
        "round": ("vroundps $0,{s},{d}",),
    },
    512: {
        **VECTOR,
        "compare": ("vminps {s},{t},{d}", "vcmpltps {s},{t},{k}"),
        "logic": ("vandps {s},{t},{d}", "vpternlogd $150,{s},{t},{d}"),
        "permute": ("vpermps {s},{t},{d}", "vshuff64x2 $1,{s},{t},{d}", "vextractf64x4 $1,{s},{y}", "vbroadcastss {h},{d}"),
        "blend": ("vblendmps {s},{t},{d}{{%k1}}", "vmovaps {s},{d}{{%k1}}{{z}}"),
        "round": ("vrndscaleps $0,{s},{d}",),
        "mask": ("korw %k1,%k2,{k}", "kmovw %k1,{k}"),
    },
}
SCALAR: Mapping[str, Sequence[str]] = {
    "scalar": ("addl %edx,{r}", "leal 1(%rdx),{r}", "testl %edx,%edx"),
    "scalar load": ("movl {m},{r}",),
    "scalar store": ("movl %edx,{n}",),
    "transfer": ("vmovmskps {g},{r}", "vmovd {h},{r}"),
}
# Far below one a cycle: each counts by itself.
SLOW: Mapping[int, Mapping[str, Sequence[str]]] = {
    bits: {
        "divide float": ("vdivps {s},{t},{d}",),
        "divide double": ("vdivpd {s},{t},{d}",),
        "root float": ("vsqrtps {s},{d}",),
        "root double": ("vsqrtpd {s},{d}",),
        "gather": (gather,),
    }
    for bits, gather in (
        (256, "vpcmpeqd %ymm0,%ymm0,%ymm0; vgatherdps %ymm0,(%rsi,{o},4),%ymm1"),
        (512, "kxnorw %k1,%k1,%k3; vgatherdps (%rsi,{o},4),%zmm1{{%k3}}"),
    )
}
REGISTERS = {256: "ymm", 512: "zmm"}
WRITTEN, ADDED_TO = 3, 9  # vector registers, from 0 on; the constants are above them
UNROLL = 120
SIDE = 6144  # bytes between what is read and what is written, so that no load looks like one of a store before it
PLACES = 32  # one behind the other: two stores into one line may go together
PROLOGUE = """
vpcmpeqd %ymm12,%ymm12,%ymm12
vpsrld $25,%ymm12,%ymm12
vpslld $23,%ymm12,%ymm12
vpxor %xmm15,%xmm15,%xmm15
movl $1,%edx
"""
WIDE = """
vbroadcastss %xmm12,%zmm12
kxnorw %k1,%k1,%k1
kxnorw %k2,%k2,%k2
"""
EPILOGUE = """decq %rdi
jnz 1b
vzeroupper
ret
"""
Instruction = tuple[str, int]  # its text, and the width of {d}
# Adding a register to itself takes one cycle on every x86 core, and no core does it while renaming.
CLOCK: Instruction = ("addq %rdx,%rax", 0)


def measure(widths: Sequence[int], rounds: int, seconds: float) -> Rates:
    """Rates of all kinds at these widths; each loop has `rounds` turns and about `seconds` in all of them."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), widths, rounds, seconds)
        fast = _candidates(SCALAR, 0)
        slow: dict[str, list[Instruction]] = {}
        for bits in widths:
            fast |= _candidates(WIDTHS[bits], bits)
            slow |= _candidates(SLOW[bits], bits)
        flat = [(name, one) for name, some in (fast | slow).items() for one in some]
        found = bench.rates([[one] for _, one in flat])
        alone: dict[str, float] = {}
        stands: dict[str, Instruction] = {}
        for (name, one), rate in zip(flat, found, strict=True):
            if rate > SAME * alone.get(name, 0):
                alone[name], stands[name] = rate, one
        pairs = list(combinations(fast, 2))
        every = [[stands[name] for name in fast if not bits or str(bits) in name] for bits in (*widths, 0)]
        idle = [[("nop", 0)], [("nop", 0), stands["scalar"]], *([("nop", 0), stands[f"logic {bits}"]] for bits in widths)]
        mixed = [[one for kind in pair for one in [stands[kind]] * _share(alone, kind, pair)] for pair in pairs]
        together = bench.rates([*mixed, *every, *idle])
    issue = max(*alone.values(), *together)
    return Rates(alone, dict(zip(map(frozenset, pairs), together, strict=False)), issue)


class Clock:
    """A call of a known number of cycles, to be timed beside others: the frequency of a core changes from second to second."""

    def __init__(self, cycles: int = 400_000) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (self._loop,) = _Bench(Path(folder), (), 1, 0).loops([[CLOCK]])
        self._turns = cycles // UNROLL
        self.cycles = self._turns * UNROLL

    def __call__(self) -> None:
        self._loop(self._turns, 0)


def _candidates(kinds: Mapping[str, Sequence[str]], bits: int) -> dict[str, list[Instruction]]:
    return {f"{name} {bits}" if bits else name: [(text, bits) for text in texts] for name, texts in kinds.items()}


def _share(alone: Mapping[str, float], kind: str, pair: tuple[str, str]) -> int:
    """How many instructions of a kind stand in a mix of two: as many as run while one of the slower kind does.

    Then neither holds up the other, whatever pipes they share, and the mix shows how many pipes they have together.
    """
    return max(1, round(alone[kind] / min(alone[other] for other in pair)))


class _Bench:
    def __init__(self, folder: Path, widths: Sequence[int], rounds: int, seconds: float) -> None:
        self.folder = folder
        self.prologue = PROLOGUE + (WIDE if 512 in widths else "") + "vmovaps %ymm12,%ymm13\n"
        if 512 in widths:
            self.prologue += "vmovaps %zmm12,%zmm13\n"
        self.rounds, self.seconds = rounds, seconds
        raw = np.zeros(3 * 4096, dtype=np.uint8)
        self.memory = raw[-raw.ctypes.data % 4096 :]

    def rates(self, mixes: Sequence[Sequence[Instruction]]) -> list[float]:
        """Instructions of each mix in a cycle, each time between two looks at the clock.

        Among the best tenth of the rounds: a neighbour on the same core takes from the rates, but not from the clock.
        """
        clock, *loops = self.loops([[CLOCK], *mixes])
        where = self.memory.ctypes.data
        turns = [_turns(loop, where, self.seconds / self.rounds) for loop in (clock, *loops)]
        found: list[list[float]] = [[] for _ in loops]
        before = _time(clock, turns[0], where)
        for _ in range(self.rounds):
            for rates, loop, count in zip(found, loops, turns[1:], strict=True):
                taken, after = _time(loop, count, where), _time(clock, turns[0], where)
                rates.append(min(before, after) / turns[0] * count / taken)
                before = after
        return [sorted(rates)[9 * len(rates) // 10 - 1] for rates in found]

    def loops(self, mixes: Sequence[Sequence[Instruction]]) -> list[Callable[[int, int], None]]:
        source, library = self.folder / "loops.s", self.folder / f"loops{len(mixes)}.so"
        text = [".text\n"]
        for number, mix in enumerate(mixes):
            body = "\n".join(_body(mix))
            text.append(f".globl loop{number}\nloop{number}:\n{self.prologue}.p2align 6\n1:\n{body}\n{EPILOGUE}")
        text.append('.section .note.GNU-stack,"",@progbits\n')
        source.write_text("".join(text))
        command = [os.environ.get("CXX", "c++"), "-shared", "-nostdlib", "-o", str(library), str(source)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        loaded = ctypes.CDLL(str(library))
        loops = [getattr(loaded, f"loop{number}") for number in range(len(mixes))]
        for loop in loops:
            loop.argtypes = (ctypes.c_size_t, ctypes.c_void_p)
        return loops


def _body(mix: Sequence[Instruction]) -> list[str]:
    """The instructions of a mix in turns, each into the next register or place."""
    turn: Counter[str] = Counter()

    def following(what: str, count: int) -> int:
        turn[what] += 1
        return turn[what] % count

    lines = []
    for place in range(UNROLL):
        text, bits = mix[place % len(mix)]
        register, width = REGISTERS.get(bits, "xmm"), bits // 8 or 4
        written = following("d", WRITTEN)
        lines.append(
            text.format(
                **{letter: f"%{name}{written}" for letter, name in (("d", register), ("y", "ymm"), ("x", "xmm"))},
                a=f"%{register}{WRITTEN + following('a', ADDED_TO)}" if "{a}" in text else "",
                s=f"%{register}12",
                t=f"%{register}13",
                o=f"%{register}15",
                g="%ymm12",
                h="%xmm12",
                z="{z}",
                r=f"%r{8 + following('r', 4)}d" if "{r}" in text else "",
                k=f"%k{3 + following('k', 5)}" if "{k}" in text else "",
                m=f"{width * following('m', PLACES)}(%rsi)" if "{m}" in text else "",
                n=f"{SIDE + width * following('n', PLACES)}(%rsi)" if "{n}" in text else "",
            )
        )
    return lines


def _turns(loop: Callable[[int, int], None], where: int, seconds: float) -> int:
    """How often a loop goes round in that time."""
    count = 256
    return max(count, round(count * seconds / min(_time(loop, count, where) for _ in range(5))))


def _time(loop: Callable[[int, int], None], count: int, where: int) -> float:
    start = time.perf_counter()
    loop(count, where)
    return time.perf_counter() - start
