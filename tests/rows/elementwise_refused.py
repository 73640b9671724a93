"""
Calls of the losses of `elementwise.py` that raise, of their constructors, and of their gradients.
"""

from __future__ import annotations

import numpy as np

from rows.elementwise import (
    ARGS,
    CLASSES,
    GAUSSIAN,
    HINGE,
    HUBER,
    KL,
    L1,
    MEANS,
    NO_ALIAS,
    POISSON,
    RANKING,
    SMOOTH,
    SOFT,
    TRUTHS,
)
from rows.refused import ALLOWED, ConstructorRow, ErrorRow, GradientRow
from rows.row import floats, nan

FOUR = [1.0, 1.0, 1.0, 1.0]

ELEMENTWISE_ERRORS: tuple[ErrorRow, ...] = (
    *(
        ErrorRow("0.2", f"reduction {bad!r}", name, args, ValueError, (ALLOWED, f"got {bad!r}"), {"reduction": bad})
        for name, args in ARGS.items()
        if name != KL
        for bad in ("Mean", "foo", None, "batchmean")
    ),
    *(
        ErrorRow("0.2", f"reduction {bad!r}", KL, ARGS[KL], ValueError, ("'batchmean'", f"got {bad!r}"), {"reduction": bad})
        for bad in ("Mean", "foo", None)
    ),
    *(
        ErrorRow(
            "0.2",
            "elementwise_mean",
            name,
            ARGS[name],
            ValueError,
            (ALLOWED, "'elementwise_mean'"),
            {"reduction": "elementwise_mean"},
        )
        for name in NO_ALIAS
    ),
    *(
        ErrorRow("0.6", "not broadcastable", name, (ARGS[L1][0], FOUR), ValueError, ("input (3,)", "target (4,)"))
        for name in (L1, SMOOTH, HUBER, POISSON, HINGE, KL)
    ),
    ErrorRow("0.6", "the target is no larger", SOFT, ([[0.5], [1.0]], [1.0, -1.0]), ValueError, ("target (2,)", "(2, 1)")),
    *(
        ErrorRow("1.1", "weight is longer", name, ARGS[name], ValueError, ("weight (4,)", "(3,)"), {"weight": FOUR})
        for name in (L1, HUBER)
    ),
    *(
        ErrorRow("1.3", f"beta {beta}", SMOOTH, ARGS[SMOOTH], ValueError, ("beta", str(beta)), {"beta": beta})
        for beta in (-1.0, nan)
    ),
    ErrorRow("1.3", "beta is text", SMOOTH, ARGS[SMOOTH], TypeError, ("beta", "str"), {"beta": "x"}),
    *(
        ErrorRow("1.4", f"delta {delta}", HUBER, ARGS[HUBER], ValueError, ("delta", str(delta)), {"delta": delta})
        for delta in (0.0, -1.0, nan)
    ),
    *(
        ErrorRow("1.12", f"var {np.shape(var)} for {np.shape(x)}", GAUSSIAN, (x, x, var), ValueError, ("var", "incorrect size"))
        for x, var in (
            ([[1.0, 2.0], [3.0, 4.0]], [1.0]),
            ([[1.0, 2.0], [3.0, 4.0]], floats(value=1.0)),
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [1.0, 1.0, 1.0]),
        )
    ),
    ErrorRow("1.12", "a negative number", GAUSSIAN, ([1.0, 2.0], [1.0, 2.0], -1.0), ValueError, ("var is -1", "outside [0, inf]")),
    ErrorRow("1.12", "negative", GAUSSIAN, ([1.0, 2.0], [1.0, 2.0], [1.0, -1.0]), ValueError, ("var[1] is -1", "outside [0, inf]")),
    ErrorRow("1.12", "negative, per row", GAUSSIAN, (MEANS, TRUTHS, [1.0, -0.5]), ValueError, ("var[1] is -0.5",)),
    ErrorRow("1.12", "negative, (N,1)", GAUSSIAN, (MEANS, TRUTHS, [[1.0], [-0.5]]), ValueError, ("var[1, 0] is -0.5",)),
    ErrorRow(
        "1.13",
        "numbers of dimensions differ",
        RANKING,
        ([1.0] * 4, [1.0] * 4, floats(value=1.0)),
        ValueError,
        ("input1 (4,)", "input2 (4,)", "target ()"),
    ),
    *(
        ErrorRow("1.14", "margin is text", name, ARGS[name], TypeError, ("margin", "str"), {"margin": "x"})
        for name in (HINGE, RANKING)
    ),
    *(
        ErrorRow("0.5", f"{bad.dtype.name} target", name, (*args[:1], bad, *args[2:]), TypeError, (operand, str(bad.dtype)))
        for name, args in ARGS.items()
        if name not in (L1, KL)  # torch takes complex numbers in some, and says nothing about them
        for operand in ("input2" if name == RANKING else "target",)
        for bad in (np.array([None] * len(args[0])), np.array(["a"] * len(args[0])))
    ),
)

ELEMENTWISE_CONSTRUCTORS: tuple[ConstructorRow, ...] = (
    *(
        ConstructorRow(name, {"reduction": bad}, ValueError, ("reduction", repr(bad)))
        for name in CLASSES.values()
        for bad in ("foo", None)
    ),
    *(
        ConstructorRow(name, {"reduction": "batchmean"}, ValueError, ("reduction", "'batchmean'"))
        for name in CLASSES.values()
        if name != "KLDivLoss"
    ),
    *(ConstructorRow("SmoothL1Loss", {"beta": beta}, ValueError, ("beta", str(beta))) for beta in (-1.0, nan)),
    *(ConstructorRow("HuberLoss", {"delta": delta}, ValueError, ("delta", str(delta))) for delta in (0.0, -1.0, nan)),
    ConstructorRow("HuberLoss", {"delta": "1"}, TypeError, ("delta", "str")),
    ConstructorRow("PoissonNLLLoss", {"eps": "x"}, TypeError, ("eps", "str")),
    ConstructorRow("GaussianNLLLoss", {"eps": None}, TypeError, ("eps", "NoneType")),
    ConstructorRow("MarginRankingLoss", {"margin": "x"}, TypeError, ("margin", "str")),
    ConstructorRow("HingeEmbeddingLoss", {"margin": "x"}, TypeError, ("margin", "str")),
)

ELEMENTWISE_GRADIENTS: tuple[GradientRow, ...] = (
    *(
        GradientRow("labels have no gradient", name, ARGS[name], argnums, TypeError, ("target",))
        for name in (SOFT, HINGE)
        for argnums in ("target", 1, (0, 1))
    ),
    *(GradientRow("no such argument", name, args, "foo", TypeError, ("foo",)) for name, args in ARGS.items()),
    *(GradientRow("no such position", name, args, 7, TypeError, ("7",)) for name, args in ARGS.items()),
    *(
        GradientRow("grad_output for a scalar", name, args, 0, ValueError, ("grad_output", "(2,)"), grad_output=np.ones(2))
        for name, args in ARGS.items()
        if name != KL
    ),
)
