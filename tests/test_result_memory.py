"""Large results use the memory of earlier ones: nothing else about them is different."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from cases import CASES, LossCase
from outcomes import batches
from processes import command, environment, run

MIB = 2**20
SIZE = 2**22  # 16 MiB of float32
LIMIT = 256 * MIB

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    gc.collect()
    nl.empty_cache()
    yield
    nl.set_cache_limit(LIMIT)
    nl.empty_cache()


def place(array: Array) -> int:
    return array.__array_interface__["data"][0]


def numbers(size: int = SIZE, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(size, np.float32)


def losses(x: Array) -> Array:
    unreduced: Array = F.mse_loss(x, np.zeros_like(x), reduction="none")
    return unreduced


def test_a_result_takes_the_place_of_the_last_one() -> None:
    x = numbers()
    first = losses(x)
    where, due = place(first), bits(first)
    assert nl.get_cache_memory() == 0
    del first
    assert nl.get_cache_memory() == x.nbytes
    second = losses(x)
    assert place(second) == where
    assert nl.get_cache_memory() == 0
    assert bits(second) == due
    assert not np.shares_memory(second, losses(x))


def test_what_is_kept_does_not_show_in_later_results() -> None:
    x, y = numbers(seed=1), numbers(seed=2)
    due = x * x
    losses(y)
    np.testing.assert_array_equal(losses(x), due)
    grad = nl.grad(F.mse_loss)(x, np.zeros_like(x), reduction="sum")
    np.testing.assert_array_equal(grad, 2 * x)


@pytest.mark.parametrize("case", [case for case in CASES if case.batch is not None], ids=lambda case: case.name)
def test_every_loss_fills_what_it_takes(case: LossCase) -> None:
    """Whatever earlier results have left in memory: here not-a-numbers."""
    rows = 300_000
    sample = next(batches(case, "float32", rows))

    def results() -> list[Any]:
        function = getattr(F, case.name)
        if not case.is_loss:
            return [function(*sample.args, **sample.kwargs)]
        derived = nl.value_and_grad(function)(*sample.args, **sample.kwargs)
        return [function(*sample.args, **{**sample.kwargs, "reduction": "none"}), *derived]

    nl.set_cache_limit(0)
    due = [bits(found) for found in results()]
    nl.set_cache_limit(LIMIT)
    for _ in range(2):
        found = results()
        for one in found:
            if np.ndim(one):
                one[...] = np.nan
        del found
    assert [bits(found) for found in results()] == due


def test_several_results_of_a_call_stand_apart() -> None:
    x, y = numbers(), numbers(seed=1)
    criterion = nl.MSELoss(reduction="none")
    for _ in range(3):
        value, grads = criterion.value_and_grad(x, y, argnums=(0, 1), grad_output=np.ones_like(x))
        held = [value, *grads]
        assert len({place(one) for one in held}) == 3
        assert not any(np.shares_memory(a, b) for a in held for b in held if a is not b)
        del value, grads, held
    assert nl.get_cache_memory() == 3 * x.nbytes


def test_results_are_arrays_like_any_other() -> None:
    x = numbers()
    result = losses(x)
    assert result.flags.owndata
    assert result.base is None
    assert result.flags.writeable
    assert place(result) % 64 == 0
    copied = result.copy()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)), copied)
    view = result[1::2]
    del result
    assert nl.get_cache_memory() == 0  # the view holds it
    np.testing.assert_array_equal(view, copied[1::2])
    del view
    assert nl.get_cache_memory() == x.nbytes


def test_results_can_be_resized() -> None:
    x = numbers()
    result = losses(x)
    due = result.copy()
    result.resize(2 * SIZE, refcheck=False)
    np.testing.assert_array_equal(result[:SIZE], due)
    np.testing.assert_array_equal(result[SIZE:], 0)
    result.resize(10, refcheck=False)
    np.testing.assert_array_equal(result, due[:10])


def test_other_arrays_are_numpy_s_own() -> None:
    from_numpy = "default_allocator"
    name_of = (getattr(np, "_core", None) or np.core).multiarray.get_handler_name  # np.core before NumPy 2
    x = numbers()
    assert name_of(losses(x)) == "ndloss"
    assert name_of() == name_of(np.empty(SIZE, np.float32)) == from_numpy
    assert name_of(losses(x[:1000])) == from_numpy
    with pytest.raises(ValueError, match="divisor"):
        F.mse_loss(x, x, reduction="none", return_divisor=True)
    assert name_of() == from_numpy


def test_the_limit_holds() -> None:
    x = numbers()
    nl.set_cache_limit(2 * x.nbytes)
    kept = [losses(x) for _ in range(4)]
    places = [place(one) for one in kept]
    while kept:
        kept.pop(0)
    assert nl.get_cache_memory() == 2 * x.nbytes
    again = [losses(x), losses(x)]
    assert [place(one) for one in again] == [places[3], places[2]]  # the oldest were given back
    del again
    nl.set_cache_limit(x.nbytes)
    assert nl.get_cache_memory() == x.nbytes
    nl.set_cache_limit(x.nbytes - 1)
    assert nl.get_cache_memory() == 0
    losses(x)
    assert nl.get_cache_memory() == 0
    assert nl.get_cache_limit() == x.nbytes - 1


def test_a_block_is_not_wasted_on_a_small_result() -> None:
    losses(numbers())
    small = losses(numbers(SIZE // 2))
    assert nl.get_cache_memory() == 4 * SIZE
    del small
    nl.empty_cache()
    assert nl.get_cache_memory() == 0
    losses(numbers())
    near = losses(numbers(SIZE - SIZE // 8))  # batches differ a little in length
    assert nl.get_cache_memory() == 0
    assert near.shape == (SIZE - SIZE // 8,)


@pytest.mark.parametrize(
    ("limit", "error"), [(-1, ValueError), (2**63, ValueError), (1.5, TypeError), ("1", TypeError), (None, TypeError)]
)
def test_a_limit_that_is_none_is_refused(limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="set_cache_limit: limit must be"):
        nl.set_cache_limit(limit)
    assert nl.get_cache_limit() == LIMIT


def test_many_threads_share_what_is_kept() -> None:
    inputs = [numbers(SIZE // 4, seed) for seed in range(4)]
    due = [bits(losses(x)) for x in inputs]
    wrong: list[int] = []

    def work(which: int) -> None:
        wrong.extend(which for _ in range(30) if bits(losses(inputs[which])) != due[which])

    threads = [threading.Thread(target=work, args=(which,)) for which in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def after_a_fork() -> None:
    x = numbers()
    due = bits(losses(x))
    child = os.fork()
    if child == 0:
        os._exit(0 if bits(losses(x)) == due and nl.get_cache_memory() == x.nbytes else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bits(losses(x)) == due


def test_a_forked_process_has_its_own() -> None:
    run(after_a_fork)


def lazily_free() -> float:
    """MiB that the system may take back."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("LazyFree:")) / 1024


def what_the_system_may_take() -> None:
    x = numbers(2**24)
    result = losses(x)
    held = lazily_free()
    del result
    print(lazily_free() - held)
    nl.empty_cache()
    print(lazily_free() - held)


def test_the_system_may_take_what_is_kept() -> None:
    try:
        lazily_free()
    except OSError:
        pytest.skip("the system does not say")
    kept, emptied = map(float, run(what_the_system_may_take).split())
    assert kept >= 56  # of 64
    assert emptied <= 1


ENDS_WITH_A_RESULT = """
import numpy as np
import ndloss.functional as F
x = np.ones(2**22, np.float32)
F.kept = F.mse_loss(x, 2 * x, reduction="none")
"""


def test_results_may_outlive_the_interpreter() -> None:
    done = subprocess.run(command(ENDS_WITH_A_RESULT), env=environment(), capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
