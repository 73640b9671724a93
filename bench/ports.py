"""The least time that a core needs for the instructions of a kernel, from how many of each kind there are.

The rates of the kinds are measured (`port_rates.py`), and so is which of them run on the same pipes: those that run together no
faster than each does alone. What is bound: the kinds on the same pipes, every two such sets, all vector instructions, and all
instructions. Latencies, misses and wrongly guessed branches are in no bound.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

SAME = 1.06  # rates that differ by less are equal

# Kinds of vector instructions by their name without its v, and what it works on; the first that matches counts.
VECTOR = {
    "blend": r"p?blend\w+ |mov(ap[sd]|up[sd]|dq[au]\d*) .*{%k|movs[sd] ",
    "transfer": r"p?movmsk\w+ |mov[dq] .*%[er]|p(ext|ins)r\w |extractps ",
    "fused": r"fn?m(add|sub)\w+ |fm(addsub|subadd)\w+ ",
    "multiply": r"mul[ps][sd] ",
    "add": r"(add|sub|addsub)[ps][sd] ",
    "compare": r"(cmp\w*|min|max|u?comi)[ps][sd] |pcmp\w+ .*%k",
    "logic": r"(andn?|x?or)p[sd] |p(andn?|x?or)[dq]? |pternlog[dq] |ptestn?m?\w* |testp[sd] ",
    "integer multiply": r"pmul\w+ |pmadd\w+ ",
    "integer": r"p(add|sub|avg|max|min|abs|sign)u?s?[bwdq] |pcmp\w+ |psadbw ",
    "shift": r"ps(ll|rl|ra)v?[wdq] |pro[lr]v?[dq] ",
    "convert": r"cvt\w+ ",
    "round": r"(round|rndscale|scalef|getexp|getmant|reduce|range|fixupimm)[ps][sd] ",
    "divide float": r"div[ps]s ",
    "divide double": r"div[ps]d ",
    "root float": r"sqrt[ps]s ",
    "root double": r"sqrt[ps]d ",
    "gather": r"p?gather\w+ ",
    "shuffle": r"p?shuf[pbdhlw]\w* |p?unpck\w+ |permil\w+ |mov(hlps|lhps|s[lh]dup|ddup) |insertps |palignr |ps[lr]ldq |pack\w+ ",
    "permute": r"perm\w+ |(insert|extract)[fi]\w+ |p?broadcast\w+ |p?(compress|expand)\w+ |align[dq] |pmov\w+ |shuf[fi]\w+ ",
    "mask": r"k\w+ ",
}
KINDS = {name: re.compile(pattern.replace(" ", r"\s")) for name, pattern in VECTOR.items()}
MOVE = re.compile(r"mov(ap[sd]|up[sd]|dq[au]\d*|s[sd]|[dq]|nt\w+|[lh]p[sd]|ddup|s[lh]dup)|lddqu|p?broadcast\w+|p?maskmov\w+")
INTEGER_MOVE = re.compile(r"mov(abs)?[bwlq]?")
MEMORY = re.compile(r"\(.*?\)|%[fg]s:")
READ_ONLY = re.compile(r"cmp|test|bt|v?u?comis|prefetch|lods")
STACK = re.compile(r"call|ret|leave|push\w?|pop\w?|stos\w?|prefetch\w+")
NO_PIPE = re.compile(r"nop\w*|endbr64|vzero\w+|cs|data16|xchg")
LOADS_AND_STORES = ("load", "store", "scalar load", "scalar store")
NOT_VECTOR = ("scalar", "mask", "transfer", *LOADS_AND_STORES)
SLOW = ("divide", "root", "gather")


@dataclass(frozen=True)
class Rates:
    """What was measured, in instructions a cycle."""

    alone: Mapping[str, float]
    pairs: Mapping[frozenset[str], float]  # of both kinds together, each in proportion to its rate alone
    issue: float  # the fastest of anything measured

    def of(self, kinds: Iterable[str]) -> float:
        """The fastest mix of some kinds."""
        some = list(kinds)
        both = (self.pairs.get(frozenset(pair), 0.0) for pair in combinations(some, 2))
        return max(*(self.alone[kind] for kind in some), *both, 0.0)

    def families(self) -> list[frozenset[str]]:
        """The kinds by the pipes they run on."""
        found: list[set[str]] = []
        for kind in self.alone:
            for family in found:
                if self._share(kind, next(iter(family))):
                    family.add(kind)
                    break
            else:
                found.append({kind})
        return [frozenset(family) for family in found]

    def _share(self, a: str, b: str) -> bool:
        low, high = sorted((self.alone[a], self.alone[b]))
        return high <= SAME * low and 0 < self.pairs.get(frozenset((a, b)), 0) <= SAME * high


@dataclass(frozen=True)
class Mix:
    """Instructions by kind; `issued` counts those that take a place when instructions are issued."""

    instructions: float
    issued: float
    kinds: Mapping[str, float]

    @staticmethod
    def of(counted: Iterable[tuple[str, str, float]]) -> Mix:
        """The mix of instructions that are given as name, operands and how often they ran."""
        instructions = issued = 0.0
        kinds: defaultdict[str, float] = defaultdict(float)
        for name, operands, times in counted:
            instructions += times
            # A conditional jump goes with the comparison before it.
            issued += 0 if name.startswith("j") and name != "jmp" else times
            for kind in kinds_of(name, operands):
                kinds[kind] += times
        return Mix(instructions, issued, kinds)

    def per_element(self, less: Mix, elements: float) -> Mix:
        """What remains without another mix, for each of some elements."""
        kinds = {kind: (count - less.kinds.get(kind, 0)) / elements for kind, count in self.kinds.items()}
        return Mix((self.instructions - less.instructions) / elements, (self.issued - less.issued) / elements, kinds)


def kinds_of(name: str, operands: str) -> list[str]:
    """What an instruction asks for beside its place in the issue; of vectors with their width, everything below 512 bits as 256.

    What the core does while it renames registers (moves, zeros, jumps) asks for nothing.
    """
    if name.startswith("j") or NO_PIPE.fullmatch(name):
        return []
    vector = name.startswith(("v", "k")) or "%xmm" in operands
    bits = "" if not vector else " 512" if "%zmm" in operands or "%k" in operands else " 256"
    found = _memory(name, operands, vector, bits)
    short = name.removeprefix("v")
    if not vector:
        moves = INTEGER_MOVE.fullmatch(name) or STACK.fullmatch(name) or (name.startswith("xor") and _same(operands))
        return found if moves else [*found, "scalar"]
    if (found and MOVE.fullmatch(short)) or (KINDS["logic"].match(f"{short} ") and _same(operands)):
        return found
    for kind, pattern in KINDS.items():
        if pattern.match(f"{short} {operands}"):
            return [*found, kind if kind == "transfer" else f"{kind}{bits}"]
    return found if MOVE.fullmatch(short) else [*found, "unknown"]


def _memory(name: str, operands: str, vector: bool, bits: str) -> list[str]:
    load, store = (f"load{bits}", f"store{bits}") if vector else ("scalar load", "scalar store")
    if name.startswith(("push", "call", "stos")):
        return [store]
    if STACK.fullmatch(name):
        return [load]
    if name.startswith("lea") or not MEMORY.search(operands):
        return []
    if not _last(operands) or READ_ONLY.match(name):
        return [load]
    both = not vector and not INTEGER_MOVE.fullmatch(name) and not name.startswith("set")
    return [load, store] if both else [store]


def _last(operands: str) -> bool:
    """Whether the operand that is written is memory."""
    last = re.split(r",(?![^(]*\))", operands.split("#")[0].split("<")[0].strip())[-1]
    return MEMORY.search(last) is not None


def _same(operands: str) -> bool:
    return len(set(operands.replace(" ", "").split(","))) == 1


def bounds(mix: Mix, rates: Rates) -> dict[str, float]:
    """Cycles that a mix takes at least, by what takes them."""
    families = [family for family in rates.families() if any(mix.kinds.get(kind, 0) > 0 for kind in family)]
    fast = [family for family in families if not min(family).startswith(SLOW)]
    vector = [kind for kind in rates.alone if not kind.startswith((*NOT_VECTOR, *SLOW))]
    found = {}
    for group in (*families, *(a | b for a, b in combinations(fast, 2)), vector):
        present = [kind for kind in group if mix.kinds.get(kind, 0) > 0]
        if present:
            name = "vector instructions" if group is vector else ", ".join(sorted({re.sub(r" \d+$", "", kind) for kind in present}))
            found[name] = sum(mix.kinds[kind] for kind in present) / rates.of(group)
    return {**found, "issue": mix.issued / rates.issue}
