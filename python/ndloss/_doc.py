"""Words that many docstrings share, said once and put in where a docstring names them in braces."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

SHARED = {
    "reduction": """reduction : {'mean', 'sum', 'none'}, default 'mean'
        'none' gives one loss per element as an array; 'sum' and 'mean' a NumPy scalar of the result dtype.""",
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
