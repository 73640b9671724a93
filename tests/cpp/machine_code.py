"""Functions of an object and their innermost loops, from what `objdump` prints of x86 machine code."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HEADER = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(?:(?:notrack|bnd|lock|repn?z?|data16|cs) +)*(\S+)\s*(.*)$")
TARGET = re.compile(r"([0-9a-f]+) <")
RELOCATION = re.compile(r"\w+\s+(.+?)(?:[-+]0x[0-9a-f]+)?$")
ARITHMETIC = re.compile(
    r"v?(?:(?P<fused>fn?m(?:add|sub)|fmaddsub|fmsubadd)(?:132|213|231)|(?P<compare>u?comi|cmp[a-z_]*?)|"
    r"(?P<plain>add|sub|mul|div|sqrt|min|max|round|rndscale|scalef|getexp|getmant|range|reduce))(?P<form>[sp])[sd]"
)
CONVERSION = re.compile(r"v?cvtt?(?P<source>ss|sd|si|usi)2\w+|v?cvt\w+")
REGISTERS = (("%zmm", 512), ("%ymm", 256), ("%xmm", 128))
# From memory, only the half that is left is a register.
NARROWING = re.compile(r"v?cvt(?:t?pd2(?:ps|u?dq)|u?qq2ps)(?P<from>[xy]?)")
SCALAR_MOVE = re.compile(r"v?mov(?:ss|sd|d|q)")


class Instruction(NamedTuple):
    address: int
    name: str
    operands: str
    symbol: str = ""  # what the linker fills in

    @property
    def bits(self) -> int:
        """The width of the widest vector that is read or written, 0 if there is none."""
        named = next((bits for register, bits in REGISTERS if register in self.operands), 0)
        if SCALAR_MOVE.fullmatch(self.name):
            return 0
        if (found := NARROWING.fullmatch(self.name)) and "(" in self.operands:
            return {"x": 128, "y": 256, "": 2 * named}[found["from"]]
        return named

    @property
    def arithmetic(self) -> tuple[str, bool] | None:
        """The kind of floating-point arithmetic, and whether it is packed; minima and maxima compare."""
        if found := ARITHMETIC.fullmatch(self.name):
            compares = found["compare"] or found["plain"] in ("min", "max")
            kind = "cmp" if compares else found["plain"] or found["fused"]
            return kind, found["form"] == "p"
        if found := CONVERSION.fullmatch(self.name):
            return "cvt", found["source"] is None
        return None

    @property
    def is_call(self) -> bool:
        return self.name.startswith("call")

    @property
    def callee(self) -> str:
        """What a call, or a jump out of the function, goes to; "" for what stays."""
        if not self.is_call and self.name != "jmp":
            return ""
        return self.symbol or ("" if "+0x" in self.operands else self.operands)

    @property
    def leaves(self) -> bool:
        """Whether what stands behind is not run next."""
        return self.name.startswith(("ret", "jmp", "ud2", "hlt"))


class Code:
    """Instructions that are run together, and the arithmetic among them; `depth` counts the loops around it and itself."""

    def __init__(self, instructions: Sequence[Instruction], depth: int = 0) -> None:
        self.instructions = instructions
        self.depth = depth
        self.scalar: Counter[str] = Counter()
        self.packed: Counter[str] = Counter()
        self.packed_bits = 0
        for instruction in instructions:
            if found := instruction.arithmetic:
                kind, packed = found
                (self.packed if packed else self.scalar)[kind] += 1
                if packed:
                    self.packed_bits = max(self.packed_bits, instruction.bits)

    @property
    def address(self) -> int:
        return self.instructions[0].address

    @property
    def bits(self) -> int:
        """The width of the widest vector register in use."""
        return max(instruction.bits for instruction in self.instructions)


class Function:
    def __init__(self, symbol: str, instructions: Sequence[Instruction]) -> None:
        self.name = short_name(symbol)
        self.code = Code(instructions)
        self.loops = [Code(loop, depth) for loop, depth in innermost_loops(instructions)]


def short_name(symbol: str) -> str:
    """A function's name and template arguments, without its return type, namespaces, parameters and clones."""
    name = re.sub(r"ndloss::(\w+::)?\(anonymous namespace\)::|ndloss::", "", symbol).split(" [")[0]
    depth = 0
    begin = 0
    for at, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if depth == 0 and letter == "(":
            return name[begin:at]
        if depth == 0 and letter == " ":
            begin = at + 1
    return name[begin:]


def functions(objdump: str, obj: Path) -> Iterator[Function]:
    """What is compiled into an object; parts that the compiler knows to be cold are left out."""
    command = [objdump, "--disassemble", "--reloc", "--demangle", "--no-show-raw-insn", "--wide", str(obj)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    bodies: list[tuple[str, list[Instruction]]] = []
    for line in output.splitlines():
        if found := HEADER.match(line):
            bodies.append((found[1], []))
        elif found := INSTRUCTION.match(line):
            operands, _, relocation = found[3].partition("R_X86_64_")
            target = RELOCATION.match(relocation)
            bodies[-1][1].append(Instruction(int(found[1], 16), found[2], operands.rstrip(), target[1] if target else ""))
    for symbol, body in bodies:
        if body and ".cold" not in symbol:
            yield Function(symbol, body)


Graph = Sequence[Sequence[int]]


def blocks(body: Sequence[Instruction]) -> tuple[list[Sequence[Instruction]], Graph]:
    """The straight pieces of a function, and which may follow which."""
    at = {instruction.address: index for index, instruction in enumerate(body)}

    def target(instruction: Instruction) -> int | None:
        found = TARGET.match(instruction.operands)
        return at.get(int(found[1], 16)) if found and instruction.name.startswith("j") and not instruction.symbol else None

    targets = {index: place for index, instruction in enumerate(body) if (place := target(instruction)) is not None}
    behind = {index + 1 for index, instruction in enumerate(body) if instruction.leaves or instruction.name.startswith("j")}
    starts = sorted(({0} | behind | set(targets.values())) - {len(body)})
    block_at = {start: block for block, start in enumerate(starts)}
    pieces: list[Sequence[Instruction]] = []
    followers: list[list[int]] = []
    for begin, end in zip(starts, [*starts[1:], len(body)], strict=True):
        pieces.append(body[begin:end])
        next_blocks = [block_at[targets[end - 1]]] if end - 1 in targets else []
        if end < len(body) and not body[end - 1].leaves:
            next_blocks.append(block_at[end])
        followers.append(next_blocks)
    return pieces, followers


def cycles(nodes: Collection[int], graph: Graph) -> Iterator[set[int]]:
    """The strongly connected components that hold a cycle, by Tarjan's algorithm (SIAM J. Comput. 1 (1972) 146-160)."""
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    stack: list[int] = []

    def visit(root: int) -> Iterator[set[int]]:
        path = [(root, iter(graph[root]))]
        number[root] = lowest[root] = len(number)
        stack.append(root)
        while path:
            node, rest = path[-1]
            for other in rest:
                if other not in nodes:
                    continue
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    stack.append(other)
                    path.append((other, iter(graph[other])))
                    break
                if other in stack:
                    lowest[node] = min(lowest[node], number[other])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                if lowest[node] == number[node]:
                    component = set(stack[stack.index(node) :])
                    del stack[stack.index(node) :]
                    if len(component) > 1 or node in graph[node]:
                        yield component

    for node in nodes:
        if node not in number:
            yield from visit(node)


def innermost_loops(body: Sequence[Instruction]) -> Iterator[tuple[Sequence[Instruction], int]]:
    """Every loop that holds no other, and its depth. The order of blocks in memory says nothing of either."""
    pieces, graph = blocks(body)

    def inside(nodes: Collection[int], followers: Graph, depth: int) -> Iterator[tuple[set[int], int]]:
        for loop in cycles(nodes, followers):
            entries = [other for node in range(len(pieces)) if node not in loop for other in graph[node] if other in loop]
            head = min(entries, default=min(loop))
            without_head = [[other for other in others if other != head] for others in followers]
            inner = list(inside(loop, without_head, depth + 1))
            yield from inner or [(loop, depth)]

    for loop, depth in inside(range(len(pieces)), graph, 1):
        yield [instruction for block in sorted(loop) for instruction in pieces[block]], depth
