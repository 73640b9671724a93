"""Calls that the extension answers itself say what checked calls say: the same bits, the same errors."""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import batch, bits, drawn, quiet
from cases import CASE, CASES, LossCase
from ndloss import _options
from plain_calls import CHECKED, EVERY_REDUCTION, PLAIN, REDUCTIONS, USUALLY_PLAIN, asked, described, outcome


def options_for(shape: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(5)
    mask = rng.random(shape) < 0.7
    yield {}
    yield {"num_threads": 2, "mask": None, "broadcast": True, "validate": True, "return_divisor": False}
    yield {"mask": mask}
    yield {"sample_weight": rng.random(shape).astype(np.float32)}
    yield {"sample_weight": rng.integers(0, 3, shape), "mask": mask}
    yield {"mask": np.zeros(shape, bool)}
    for empty in ("nan", "zero", "raise", "all"):
        yield {"empty": empty}
        yield {"empty": empty, "mask": np.zeros(shape, bool)}
    yield {"mask": mask.astype(np.int64)}
    yield {"mask": mask[..., None]}
    for dtype in (np.dtype("f8").newbyteorder("="), np.dtype(">f8"), np.dtype("f2"), np.float64, "float64"):
        yield {"dtype": dtype}
    yield {"validate": False}
    yield {"broadcast": False}
    yield {"broadcast": 0}
    yield {"num_threads": 0}
    yield {"surprise": 1}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_plain_call_says_what_a_checked_one_says(case: LossCase, dtype: str) -> None:
    if not case.is_loss:
        pytest.skip("activations have no plain calls")
    for sample, _ in drawn(case.name, dtype)[:60]:
        for what, function, options in asked(case):
            kwargs = {**sample.kwargs, **options}
            plain = outcome(functools.partial(function, *sample.args, **kwargs))
            assert plain == outcome(functools.partial(function, *sample.args, **{**kwargs, **CHECKED})), (what, sample)


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_options_change_a_plain_call_as_they_change_a_checked_one(case: LossCase, reduction: str) -> None:
    sample, _ = batch(case.name, "float32", reduction, 9)
    with quiet():
        shape = getattr(F, case.name)(*sample.args, **{**sample.kwargs, "reduction": "none"}).shape
    for given in options_for(shape):
        for what, function, options in asked(case, **given):
            kwargs = {**sample.kwargs, **options}
            plain = outcome(functools.partial(function, *sample.args, **kwargs))
            assert plain == outcome(functools.partial(function, *sample.args, **{**kwargs, **CHECKED})), (what, given)


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_results_go_to_out(case: LossCase, reduction: str) -> None:
    """Also where it is one that a plain call leaves to the checks."""
    sample, _ = batch(case.name, "float32", reduction, 9)
    function = functools.partial(getattr(F, case.name), **sample.kwargs)
    both = functools.partial(nl.value_and_grad(getattr(F, case.name)), **sample.kwargs)
    with quiet():
        value, grad = both(*sample.args)
        for call, wanted in ((function, value), (both, grad)):
            if np.ndim(wanted) == 0:
                continue
            outs = [np.empty(wanted.shape, np.float32), np.empty(wanted.shape, np.float64), np.empty(wanted.shape, ">f4")]
            outs += [np.empty((*wanted.shape, 2), np.float32)[..., 0], np.array(sample.args[0])]
            for out in outs:
                if out.shape != wanted.shape:
                    continue
                got = call(*sample.args, out=out)
                assert (got[1] if call is both else got) is out
                assert bits(out.astype(np.float32)) == bits(wanted)
            for wrong in (np.empty((*wanted.shape, 1), np.float32), np.empty(wanted.shape, np.int64), [1.0]):
                with pytest.raises((TypeError, ValueError), match="out must"):
                    call(*sample.args, out=wrong)
            frozen = np.empty(wanted.shape, np.float32)
            frozen.flags.writeable = False
            with pytest.raises(ValueError, match="read-only"):
                call(*sample.args, out=frozen)
            first = np.array(sample.args[0])
            if first.shape == wanted.shape:
                got = call(first, *sample.args[1:], out=first)
                assert bits(first) == bits(wanted)
                wide = np.empty(wanted.size + 1, np.float32)
                moved, beside = wide[:-1].reshape(wanted.shape), wide[1:].reshape(wanted.shape)
                moved[...] = sample.args[0]
                call(moved, *sample.args[1:], out=beside)
                assert bits(beside) == bits(wanted)


def outs_for(found: Any) -> Iterator[tuple[Any, list[Any]]]:
    """What can be given as `out` for an array or a tuple of results, and the arrays in it in order, None among them."""
    if isinstance(found, tuple):
        for dtype in (np.float32, np.float64):
            arrays: list[Any] = [np.empty(one.shape, dtype) for one in flattened(found)]
            yield nested(found, arrays), arrays
        some = [np.empty(one.shape, one.dtype) if k % 2 == 0 else None for k, one in enumerate(flattened(found))]
        yield nested(found, some), some
    else:
        out = np.empty(found.shape, found.dtype)
        yield out, [out]


def flattened(found: Any) -> list[Any]:
    return [one for part in found for one in flattened(part)] if isinstance(found, tuple) else [found]


def nested(shape: Any, arrays: list[Any]) -> Any:
    """The arrays in the tuples of `shape`."""
    rest = iter(arrays)

    def like(one: Any) -> Any:
        return tuple(map(like, one)) if isinstance(one, tuple) else next(rest)

    return like(shape)


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_derivatives_go_to_pairs_and_tuples_of_outs(case: LossCase, reduction: str, compared: Counter[str]) -> None:
    sample, _ = batch(case.name, "float32", reduction, 9)
    loss = getattr(F, case.name)
    for argnums in (0, (0,), tuple(range(len(case.operands))), (1, 0)):
        for make, place in ((nl.value_and_grad, 1), (nl.grad_hess, slice(None))):
            call = functools.partial(make(loss, argnums), *sample.args, **sample.kwargs)
            try:
                with quiet():
                    wanted = call(**CHECKED)[place]
            except (TypeError, ValueError):
                continue  # no such derivative
            for out, arrays in outs_for(wanted):
                with quiet():
                    found = flattened(call(out=out)[place])
                for one, due, given in zip(found, flattened(wanted), arrays, strict=True):
                    assert given is None or one is given
                    assert bits(one.astype(due.dtype)) == bits(due)
                    compared["derivatives in outs"] += 1
                if all(array is not None for array in arrays):
                    # No array is to stand where another one does.
                    for k in range(len(arrays)):
                        clash = [arrays[0] if i == k else array for i, array in enumerate(arrays)]
                        given = nested(wanted, clash)
                        assert outcome(functools.partial(call, out=given)) == outcome(functools.partial(call, out=given, **CHECKED))


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_weights_and_upstream_gradients_go_with_out(case: LossCase, reduction: str) -> None:
    """Where they stand apart from it, and where they do not."""
    sample, _ = batch(case.name, "float32", reduction, 9)
    function, kwargs = getattr(F, case.name), sample.kwargs
    with quiet():
        value, grad = nl.value_and_grad(function)(*sample.args, **kwargs)
        shape = function(*sample.args, **{**kwargs, "reduction": "none"}).shape

    def found(name: str | None, meets: bool, grad_output: Any, **more: Any) -> Any:
        out = np.full(grad.shape, 2, np.float32)
        numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3
        dtype = np.uint8 if name == "mask" else np.float32
        memory = out.view(dtype).reshape(-1)
        if meets and memory.size >= numbers.size:
            numbers = memory[: numbers.size].reshape(shape)
        given = {} if name is None else {name: numbers.astype(dtype, copy=False)}
        both = functools.partial(nl.value_and_grad(function), *sample.args, grad_output=grad_output, **kwargs, **given, **more)
        return outcome(both), outcome(functools.partial(both, out=out)), bits(out)

    rng = np.random.default_rng(8)
    upstream = rng.random(shape).astype(np.float32), rng.random(shape[-1:]), np.ones((1, 1, 1)), np.array(2.0)
    for grad_output in (None, 2.5, np.float32(2.5), np.float16(2.5), np.float64(2.5), 3, *upstream):
        for name, meets in itertools.product((None, "sample_weight", "mask"), (False, True)):
            plain, checked = (found(name, meets, grad_output, **more) for more in ({}, CHECKED))
            assert plain == checked, (grad_output, name, meets)
    if reduction == "none":
        out = np.empty(np.shape(value), np.float32)
        weighted = functools.partial(function, *sample.args, **kwargs, sample_weight=np.full(shape, 3, np.float32))
        with quiet():
            assert weighted(out=out) is out
            assert bits(out) == bits(weighted())


@pytest.mark.parametrize(("case", "reduction"), USUALLY_PLAIN, ids=str)
def test_usual_calls_are_plain(case: LossCase, reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample, _ = batch(case.name, "float32", reduction, 9)

    def checked(*_: Any, **__: Any) -> None:
        raise AssertionError("this call was checked")

    function = functools.partial(getattr(F, case.name), reduction=reduction)
    both = functools.partial(nl.value_and_grad(getattr(F, case.name)), reduction=reduction)
    if not plain_arrays(sample.args):
        pytest.skip("its sample has other arrays than plain calls take")
    with quiet():
        value, grad = both(*sample.args)
        monkeypatch.setattr(_options, "Settings", checked)
        assert bits(function(*sample.args)) == bits(value)
        assert bits(function(*sample.args, num_threads=1)) == bits(value)
        assert bits(both(*sample.args, out=np.empty_like(grad))[1]) == bits(grad)
        several = nl.value_and_grad(getattr(F, case.name), (0,))
        assert bits(several(*sample.args, reduction=reduction, out=(np.empty_like(grad),))[1][0]) == bits(grad)
        assert bits(function(*sample.args, empty="zero")) == bits(value)
        if case.name != "ctc_loss":
            assert bits(function(*sample.args, dtype=np.dtype("f4").newbyteorder("="))) == bits(value)


def plain_arrays(args: tuple[Any, ...]) -> bool:
    return all(isinstance(a, np.ndarray) and a.dtype.itemsize >= 4 and a.flags.c_contiguous for a in args)


@pytest.mark.parametrize("axis", [-3, -2, -1, 0, 1, 2, None, True, 1.0, "1"])
@pytest.mark.parametrize("case", [case for case in PLAIN if "axis" in inspect.signature(getattr(F, case.name)).parameters], ids=str)
def test_an_axis_is_that_of_a_checked_call(case: LossCase, axis: Any) -> None:
    sample, _ = batch(case.name, "float32", "mean", 9)
    for _, function, options in asked(case, axis=axis):
        kwargs = {**sample.kwargs, **options}
        plain = outcome(functools.partial(function, *sample.args, **kwargs))
        assert plain == outcome(functools.partial(function, *sample.args, **{**kwargs, **CHECKED}))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_class_weights_are_those_of_a_checked_call(name: str, reduction: str) -> None:
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((30, 7)).astype(np.float32), rng.integers(0, 7, 30)
    drawn_weights = rng.random(7)
    for dtype in ("float16", "float32", "float64", "uint8", "int32", "int64", "bool"):
        for weight in (drawn_weights.astype(dtype), np.zeros(7, dtype), np.ones(6, dtype), np.ones((7, 1), dtype)):
            for ignore_index in (-100, 3):
                given = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}
                for what, call in (("value", getattr(F, name)), ("gradient", nl.value_and_grad(getattr(F, name)))):
                    plain = outcome(functools.partial(call, x, y, **given))
                    assert plain == outcome(functools.partial(call, x, y, **{**given, **CHECKED})), (what, given)


SHAPES = [((64, 10), (1, 10)), ((64, 10), (10,)), ((10,), (64, 10)), ((64, 1), (64,)), ((64, 1), (1, 10)), ((4, 1, 3), (1, 5, 3)),
          ((0, 3), (1, 3)), ((1,), ()), ((2, 3), (3, 2)), ((3,), (2,)), ((2, 3), (2, 3))]  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"])
def test_a_broadcast_is_warned_of_as_in_a_checked_call(name: str, shapes: tuple[Any, Any]) -> None:
    """Once, in the same words, at the caller's line."""
    rng = np.random.default_rng(7)
    x, y = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    weights: list[dict[str, Any]] = [{}]
    if name != "smooth_l1_loss":
        weights += [{"weight": np.ones(shape, np.float32)} for shape in {*shapes, (64, 10)}]
    for weight in weights:
        for given in ({}, {"mask": np.array(True)}, {"sample_weight": np.ones(7)}, {"broadcast": False}, {"num_threads": 0}):
            for reduction in REDUCTIONS:
                for what, function, options in asked(CASE[name], **given, **weight, reduction=reduction):
                    plain, checked = (
                        with_warnings(functools.partial(function, x, y, **{**options, **more})) for more in ({}, CHECKED)
                    )
                    assert plain == checked, (what, given, reduction)


def with_warnings(call: Any) -> Any:
    """What it says, and with which warnings; and what it raises where these are errors."""

    def checked_or_not() -> Any:
        try:
            return described(call())
        except (TypeError, ValueError, nl.BroadcastWarning) as error:
            return type(error), str(error)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = checked_or_not()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raised = checked_or_not()
    assert all(warning.filename == __file__ for warning in caught)
    return found, raised, [(warning.category, str(warning.message), warning.lineno) for warning in caught]


def test_a_chunk_whose_broadcast_is_an_error_is_not_added() -> None:
    x = np.ones((64, 10), np.float32)
    stream = nl.MSELoss().accumulator()
    for _ in range(2):
        with pytest.warns(nl.BroadcastWarning):
            stream.update(x, 3 * x[:1])
        for weight in ({}, {"sample_weight": x}):
            with pytest.raises(nl.BroadcastWarning):
                stream.update(x, x[:1], **weight)
    assert stream.count == 2 * x.size
    assert stream.compute() == 4
