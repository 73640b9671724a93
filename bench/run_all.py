"""Run every benchmark, one after the other, for docs/performance.md.

    python bench/run_all.py --out results          # about 40 minutes on two cores that do nothing else
    python bench/run_all.py --out results --quick  # ten minutes, many of them compilation; its figures mean nothing
    python bench/run_all.py --out results --only losses scaling
    python bench/performance_page.py --results results

A part that fails does not end the run; what it had measured is kept, and the exit status says so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from machine import cores

HERE = Path(__file__).resolve().parent
NAMED = "bench_losses.py"  # takes the name of its files
ALL = ("--threads", str(len(cores())))
# Compiled rivals are asked where a target names them: each of their calls costs seconds of compilation.
PARTS: dict[str, tuple[str, ...]] = {
    "losses": (NAMED, "--modes", "value", *ALL),
    "single": (NAMED, "--modes", "value", "--threads", "1", "--rivals", "torch eager", "jax"),
    "gradients": (NAMED, "--modes", "value_and_grad", "none", "--rivals", "torch eager", *ALL),
    "float64": (NAMED, "--modes", "value", "--dtypes", "float64", "--no-rivals", *ALL),
    "scaling": ("bench_scaling.py",),
    "small": ("bench_small.py",),
    "busy": ("bench_busy.py",),
    "layouts": ("bench_layouts.py",),
    "memory": ("bench_memory.py",),
    "linear": ("bench_linear.py",),
    "package": ("bench_package.py",),
    "ports": ("bench_ports.py",),
}
EVERY_ISA = ("losses", "single")
REPEATS = ("--rounds", "4", "--seconds", "0.1")  # twenty calls of each at most; emptying the caches takes longer than most
QUICKLY = {"memory": ("--losses", "mse_loss", "cross_entropy 1M")}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True, help="folder of the results")
    options.add_argument("--quick", action="store_true", help="a smoke run on small arrays, no claims")
    options.add_argument(
        "--isa", nargs="+", default=["avx2", "avx512"], metavar="LEVEL", help="levels of the means, where they are there"
    )
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = options.parse_args()
    failed = []
    for name in chosen.only:
        script, *arguments = PARTS[name]
        if script == NAMED:
            arguments += ["--name", name]
            arguments += ["--isa", *_available(chosen.isa)] if name in EVERY_ISA else []
            arguments += REPEATS if not chosen.quick else ()
        arguments += QUICKLY.get(name, ()) if chosen.quick else ()
        command = [sys.executable, str(HERE / script), *arguments, "--out", str(chosen.out), *(["--quick"] if chosen.quick else [])]
        start = time.perf_counter()
        code = subprocess.run(command, check=False).returncode
        print(f"===== {name}: {time.perf_counter() - start:.0f} s, exit status {code}", flush=True)
        if code:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _available(asked: list[str]) -> list[str]:
    import ndloss as nl

    return [isa for isa in asked if isa in nl.available_isas()] or [nl.get_isa()]


if __name__ == "__main__":
    sys.exit(main())
