"""Words that many docstrings share, said once and put in where a docstring names them in braces."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

SHARED = {
    "reduction": """reduction : {'mean', 'sum', 'none'}, default 'mean'
        'none' gives one loss per element as an array; 'sum' and 'mean' a NumPy scalar of the result dtype.""",
    "policy": """dtype : dtype, optional
        Of the result and of the gradients: float16, bfloat16, float32 or float64. By default as under Returns.
    {choices}""",
    "choices": """empty : {'nan', 'zero', 'raise'}, default 'nan'
        The mean of no elements, where there are none or all are left out: NaN as in torch, 0, or a ValueError.
    broadcast : bool, default True
        False: arguments whose shapes differ are a ValueError, where they would be broadcast.
    validate : bool, default True
        False: numbers outside the domain are computed with, not refused. Class indices are checked in any case.""",
    "options": """sample_weight : array_like, on a call only
        Multiplies the loss of each element and its share of the mean's divisor; broadcasts to the shape of the unreduced loss.
    mask : array_like of bool, on a call only
        True keeps an element (the opposite of numpy.ma), False leaves it out of value, divisor and gradient, whatever it holds;
        broadcasts to the shape of the unreduced loss.
    out : ndarray or tuple of ndarray, on a call only
        Where an unreduced loss or, for `value_and_grad`, the gradient is written; it is what is returned then.
    return_divisor : bool, on a call only
        A reduced loss comes as (value, divisor).
    num_threads : int, on a call only
        For this call alone.""",
    "class_axis": """axis : int, default 1, or 0 for one dimension
        The axis of the classes in input, and in target if that has one.""",
    "feature_axis": """axis : int, default -1
        The axis of the features.""",
    "ignored_target": """ignore_index : float, optional
        Elements with exactly this target count neither in the loss nor in the divisor nor in the gradient, and may lie outside the
        domain.""",
    "legacy": """size_average, reduce : bool, optional
        Deprecated as in torch; given, they override `reduction`.""",
    "dtypes": """The result has the widest floating dtype among input and target; integers, Python numbers and lists take no part
        (float32 if nothing else is left). Sums are taken in double, in an order that depends on neither threads nor layout.""",
    "row_shape": """input : (C,), (N, C) or (N, C, d1, ..., dK), floating
    target : (), (N,) or (N, d1, ..., dK), any integer dtype: class indices in [0, C)""",
    "class_weight": """weight : array_like of shape (C,), optional
        One weight per class, of any real dtype.""",
    "ignore_index": """ignore_index : int, default -100
        Rows with this target count neither in the loss nor in the divisor nor in the gradient.""",
}


def documented(item: T) -> T:
    """Puts the shared words into a class's or function's docstring."""
    text = item.__doc__
    if text is not None:
        for name, words in SHARED.items():
            text = text.replace("{" + name + "}", words)
        item.__doc__ = text
    return item
