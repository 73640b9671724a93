"""Seeds, the ISA level and thread count a test runs at, and the count of comparisons made."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

THREADS = tuple(map(int, os.environ.get("NDLOSS_TEST_THREADS", "1,2").split(",")))

compared_key = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[compared_key] = Counter()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("core") is None:
        return
    # Collection of the oracle's own tests must not need the package.
    import ndloss as nl

    levels = [(isa, threads) for isa in nl.available_isas() for threads in THREADS]
    metafunc.fixturenames.append("runtime")
    metafunc.parametrize("runtime", levels, ids=[f"{isa}-{n}" for isa, n in levels], indirect=True)


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> Iterator[None]:
    """The ISA level and thread count asked for, seen to be in use."""
    import ndloss as nl

    isa, threads = request.param
    before = nl.get_isa()
    nl.set_isa(isa)
    try:
        with nl.num_threads(threads):
            assert nl.get_isa() == isa
            assert nl.get_num_threads() == threads
            yield
    finally:
        nl.set_isa(before)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by the test's own name, so that a test can be run alone and sees the same numbers."""
    return np.random.default_rng(zlib.crc32(request.node.originalname.encode()))


@pytest.fixture
def compared(request: pytest.FixtureRequest) -> Counter[str]:
    """Numbers of comparisons by what was compared, printed when all tests are done."""
    return request.config.stash[compared_key]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of several hands over what it has counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["compared"] = dict(session.config.stash[compared_key])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    node.config.stash[compared_key].update(getattr(node, "workeroutput", {}).get("compared", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    compared = config.stash[compared_key]
    if compared:
        terminalreporter.section("comparisons")
        for what, number in sorted(compared.items()):
            terminalreporter.write_line(f"{number:8d}  {what}")
