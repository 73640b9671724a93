"""
The jobs of a developer and of CI that are longer than one command: `nox -l` lists them, `nox -s NAME` runs one.

`lint` and `tests` run without being named. The others take minutes to hours and are run before a release.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "venv"

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
TORCH = "torch==2.13.0"  # the release whose numbers are followed
THREADS = (1, 2, 3, 7)
CXX_SUFFIXES = ("*.cpp", "*.hpp")
CXX_FOLDERS = ("bench", "cpp", "python/bindings", "tests/cpp")
WHEEL_LIMIT = 4 * 2**20

if shutil.which("pyenv") and "PYENV_VERSION" not in os.environ:
    # A pyenv shim answers only for versions that are selected: select them all.
    found = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True)
    os.environ["PYENV_VERSION"] = ":".join(reversed(found.stdout.split()))


def extra(name: str) -> list[str]:
    """The requirements of one of the package's extras, without the package."""
    requirements: list[str] = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"][name]
    return requirements


def cxx_files() -> list[str]:
    """Every C++ source and header of the repository."""
    folders = [Path(folder) for folder in CXX_FOLDERS]
    return sorted(str(path) for folder in folders for suffix in CXX_SUFFIXES for path in folder.rglob(suffix))


@nox.session
def lint(session: nox.Session) -> None:
    """Formatters, ruff, mypy. Nothing is compiled."""
    session.install(*extra("dev"), "numpy")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    tools = ["check_vectorized", "count_instructions", "machine_code"]
    session.run("mypy", *(f"tests/cpp/{name}.py" for name in tools), env={"MYPYPATH": "tests/cpp"})
    session.run("clang-format", "--dry-run", "--Werror", *cxx_files())


@nox.session
def tidy(session: nox.Session) -> None:
    """clang-tidy over the library's sources."""
    session.install("clang-tidy==23.1.4")
    build = Path(session.create_tmp())
    # clang-tidy has no omp.h of its own.
    options = ["-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DNDLOSS_OPENMP=OFF"]
    session.run("cmake", "-S", ".", "-B", str(build), *options, external=True)
    sources = [name for name in cxx_files() if name.startswith("cpp/src/") and name.endswith(".cpp")]
    session.run("clang-tidy", "-p", str(build), "--quiet", *sources)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite as a user runs it."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def torch_parity(session: nox.Session) -> None:
    """The whole suite beside a live torch, its long parts included."""
    session.install(".[test]", TORCH)
    session.run("python", "-m", "pytest", "-m", "not huge", *session.posargs)


@nox.session
def huge(session: nox.Session) -> None:
    """More than 2^32 elements, results of more than 2^31: minutes, 6 GiB of memory and 5 of disk."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", "-m", "huge", "--timeout", "3600", *session.posargs)


@nox.session
def sdist(session: nox.Session) -> None:
    """Build the source archive that the wheels are made of."""
    session.install("build")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--sdist")


@nox.session(python=PYTHONS, requires=["sdist"])
def wheels(session: nox.Session) -> None:
    """Build a wheel from the source archive, and run the tests against it, on every Python."""
    (archive,) = Path("dist").glob("ndloss-*.tar.gz")
    folder = Path(session.create_tmp())
    for old in folder.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(archive))
    (wheel,) = folder.glob("*.whl")
    size = wheel.stat().st_size
    session.log(f"{wheel.name}: {size / 2**20:.2f} MiB")
    if size > WHEEL_LIMIT:
        session.error(f"the wheel is larger than {WHEEL_LIMIT / 2**20} MiB")
    session.install(f"ndloss[test] @ {wheel.resolve().as_uri()}")
    session.run("python", "-m", "ndloss", "demo")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def matrix(session: nox.Session) -> None:
    """The core subset at every ISA level with 1, 2, 3 and 7 threads."""
    session.install(".[test]")
    core = ["python", "-m", "pytest", "-m", "core", *session.posargs]
    levels = {"NDLOSS_TEST_THREADS": ",".join(map(str, THREADS))}
    names = str(session.run(*core, "--collect-only", "-q", env=levels, silent=True))
    for threads in THREADS:
        if f"-{threads}]" not in names and f"-{threads}-" not in names:
            session.error(f"no test would run with {threads} threads")
    session.run(*core, env=levels)


@nox.session
def asan(session: nox.Session) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer: ctest, then the core subset of the Python tests."""
    if shutil.which("ccache"):
        # The kernels are the same in both builds, which are in two folders, and take minutes.
        session.env.update({"CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "CCACHE_NOHASHDIR": "1", "CCACHE_BASEDIR": os.getcwd()})
    session.run("cmake", "--preset", "asan", external=True)
    session.run("cmake", "--build", "--preset", "asan", "--parallel", external=True)
    session.run("ctest", "--preset", "asan", external=True)
    presets = json.loads(Path("CMakePresets.json").read_text())["configurePresets"]
    (cache,) = (preset["cacheVariables"] for preset in presets if preset["name"] == "asan")
    defines = [f"--config-settings=cmake.define.{name}={value}" for name, value in cache.items() if "FLAGS" in name]
    build_type = f"--config-settings=cmake.build-type={cache['CMAKE_BUILD_TYPE']}"
    session.install(*extra("test"))
    session.install(".", build_type, *defines, "--config-settings=install.strip=false")
    # The interpreter is not sanitized, so the runtime has to be there before it; it never frees what it has at exit.
    runtime = [_library("libasan.so"), _library("libstdc++.so.6")]
    options = {"LD_PRELOAD": " ".join(runtime), "ASAN_OPTIONS": "detect_leaks=0:strict_init_order=1"}
    session.run("python", "-m", "pytest", "-m", "core", *session.posargs, env=options)


@nox.session(venv_backend="none")
def exhaustive_math(session: nox.Session) -> None:
    """Every float32 through every function of math.hpp, at every ISA level; about an hour on two cores."""
    session.run("cmake", "--preset", "release")
    session.run("cmake", "--build", "--preset", "release", "--parallel")
    programs = sorted(Path("build/release").rglob("ulp_*"))
    for program in programs:
        if program.is_file() and os.access(program, os.X_OK):
            isa = program.name.removeprefix("ulp_")
            session.log(isa)
            (runner,) = Path("build/release").rglob("run_at_isa")
            command = [str(runner.resolve()), isa, str(program.resolve()), "--type", "float", "--stride", "1"]
            session.run(*command, success_codes=[0, 77])


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark beside every rival, and docs/performance.md; forty minutes of a machine that does nothing else."""
    session.install(".[bench]", TORCH)
    session.run("python", "bench/run_all.py", "--out", "results", *session.posargs)
    session.run("python", "bench/performance_page.py", "--results", "results")


@nox.session
def soak(session: nox.Session) -> None:
    """Random calls for ten minutes: memory, threads and answers must not drift. `-- --minutes N` changes how long."""
    session.install(".[test]")
    session.run("python", "tests/soak.py", *session.posargs)


def _library(name: str) -> str:
    said = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return said.stdout.strip()
