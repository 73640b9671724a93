"""Two revisions, pair by pair: how much faster or slower the one is than the other.

    python bench/compare.py REV                      # REV against the work tree
    python bench/compare.py REV REV2 --losses mse "cross_entropy 1Mx10" --modes value --isa avx2
    python bench/compare.py HEAD HEAD                # the noise: a revision against itself

Both are built into temporary folders; the repository is not touched. Two processes, one for each, hold the same numbers and take
turns, so that a slower minute of the machine is a slower minute of both. A ratio below 1 says that the second revision takes
less time; its range over the pairs says what the ratio is worth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from building import WORK_TREE, build, commit, interpreter, source, unpack
from machine import cores, describe
from processes import confined
from results import parser, table, write
from timing import pause
from workloads import MODES, SPECS, chosen

WORKER = "--worker"


@dataclass(frozen=True)
class Pair:
    """Both revisions on one workload: least times, and the ratio of each pair's times."""

    workload: str
    mode: str
    dtype: str
    threads: int
    first: float
    second: float
    ratios: list[float]

    @property
    def cells(self) -> list[str]:
        low, _, high = quantiles(self.ratios, n=4) if len(self.ratios) > 1 else [self.ratios[0]] * 3
        times = [f"{1e3 * seconds:.3g}" for seconds in (self.first, self.second)]
        ratios = [f"{median(self.ratios):.3f}", f"{low:.3f} to {high:.3f}", f"{self.second / self.first:.3f}"]
        return [self.workload, self.mode, self.dtype, str(self.threads), *times, *ratios]


class Peer:
    """A process that has one revision alone, and does what it is told while the other one waits."""

    def __init__(self, package: Path) -> None:
        command, environment = interpreter(package)
        self._process = subprocess.Popen(
            [*command, __file__, WORKER, str(package)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, **request: Any) -> Any:
        """Return its answer; a `RuntimeError` where it cannot do it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("a measuring process ended")
        found = json.loads(answer)
        if isinstance(found, str):
            raise RuntimeError(found)
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> int:
    options = _options()
    names = {name: commit(name) for name in (options.first, options.second)}
    with tempfile.TemporaryDirectory() as folder:
        packages = {}
        for place, name in enumerate(dict.fromkeys(names.values())):
            packages[name] = _package(name, Path(folder) / str(place))
        found: list[Pair] = []
        for threads in options.threads:
            with confined(cores()[:threads]):
                peers = [Peer(packages[names[name]]) for name in (options.first, options.second)]
            try:
                found += _race(options, peers, threads)
            finally:
                for peer in peers:
                    peer.close()
    facts = describe(ours=False)
    facts["compared"] = f"{options.first} ({names[options.first][:12]}) and {options.second} ({names[options.second][:12]})"
    head = ["workload", "mode", "dtype", "threads", "first, ms", "second, ms", "ratio", "half of the pairs", "of the least"]
    body = ["Times of the second over those of the first: below 1 it is the faster one.", ""]
    write(options, "compare", "Two revisions", facts, found, [*body, *table(head, (pair.cells for pair in found), left=3)])
    return 0 if found else 1


def _package(name: str, folder: Path) -> Path:
    (folder / "source").mkdir(parents=True)
    wheel = build(source(name, folder / "source"), folder)
    print(f"built {name} in {wheel.seconds:.0f} s", flush=True)
    return unpack(wheel.path, folder / "package")


def _race(options: argparse.Namespace, peers: list[Peer], threads: int) -> list[Pair]:
    found = []
    for spec in chosen(options.losses):
        for dtype in options.dtypes:
            for mode in options.modes:
                settings = {"threads": threads, "isa": options.isa, "quick": options.quick}
                try:
                    times = [[peer.tell(name=spec.name, dtype=dtype, mode=mode, **settings)] for peer in peers]
                    for pair in range(options.pairs):
                        for place in (0, 1) if pair % 2 == 0 else (1, 0):
                            pause()
                            times[place].append(peers[place].tell())
                except RuntimeError as error:
                    print(f"{spec.name}, {mode}, {dtype}: {error}", file=sys.stderr)
                    continue
                first, second = (mine[1:] for mine in times)  # the first call of each made pages and threads
                ratios = [b / a for a, b in zip(first, second, strict=True)]
                found.append(Pair(spec.name, mode, dtype, threads, min(first), min(second), ratios))
                print(" | ".join(found[-1].cells), flush=True)
    return found


def worker(package: Path) -> None:
    """Answer requests: one with a workload prepares it, every one is answered by the seconds of a call."""
    import ndloss as nl
    import ndloss.functional as F

    if not Path(nl.__file__).is_relative_to(package):
        raise SystemExit(f"{nl.__file__} is not in {package}")
    call: Any = None
    specs = {spec.name: spec for spec in SPECS}
    repeats = 1
    for line in sys.stdin:
        request: Mapping[str, Any] = json.loads(line)
        try:
            if request:
                if request["isa"]:
                    nl.set_isa(request["isa"])
                nl.set_num_threads(request["threads"])
                workload = specs[request["name"]].make(request["dtype"], quick=request["quick"])
                function = getattr(F, workload.loss)
                if request["mode"] == "value_and_grad":
                    function = nl.value_and_grad(function)
                keywords = {"reduction": "none"} if request["mode"] == "none" else {}
                call = _Call(function, workload.operands, keywords)
                repeats = max(1, round(0.01 / call.seconds(1)))
            print(json.dumps(call.seconds(repeats)), flush=True)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            print(json.dumps(f"{type(error).__name__}: {error}"), flush=True)


class _Call:
    def __init__(self, function: Any, operands: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        self.function, self.operands, self.keywords = function, operands, keywords

    def seconds(self, repeats: int) -> float:
        """The least of some calls, whose results are let go between them."""
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            self.function(*self.operands, **self.keywords)
            best = min(best, time.perf_counter() - start)
        return best


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("first", metavar="REV", help="a revision")
    options.add_argument("second", metavar="REV2", nargs="?", default=WORK_TREE, help="another; without it the work tree")
    options.add_argument("--losses", nargs="+", default=[], metavar="WORD", help="workloads whose name contains one of these")
    options.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "float64"])
    options.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    options.add_argument("--threads", nargs="+", type=int, default=sorted({1, len(cores())}))
    options.add_argument("--isa", default="", metavar="LEVEL", help="level of both; without it the best")
    options.add_argument("--pairs", type=int, default=15, help="turns of each")
    return options.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == [WORKER]:
        worker(Path(sys.argv[2]))
    else:
        sys.exit(main())
