"""Prints the coefficients in real.hpp: minimax polynomials by Remez's exchange in 60 digits, rounded to each type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from mpmath import mp, mpf

mp.dps = 60
Number = Any  # mpmath has no types
Function = Callable[[Number], Number]

GRID = 1200
ROUNDS = 12


def exp_tail(r: Number) -> Number:
    """(e^r - 1 - r) / r^2."""
    if abs(r) < mpf(10) ** -8:
        return mpf(1) / 2 + r / 6 + r * r / 24
    return (mp.expm1(r) - r) / (r * r)


def log_tail(f: Number) -> Number:
    """(log(1 + f) - f + f^2 / 2) / f^3."""
    if abs(f) < mpf(10) ** -8:
        return mpf(1) / 3 - f / 4 + f * f / 5
    return (mp.log1p(f) - f + f * f / 2) / f**3


def extrema(errors: Sequence[Number]) -> list[int]:
    """The place of the largest error of each run of one sign."""
    changes = [k for k, (one, other) in enumerate(pairwise(errors), 1) if (one > 0) != (other > 0)]
    bounds = [0, *changes, len(errors)]
    return [max(range(first, last), key=lambda k: abs(errors[k])) for first, last in pairwise(bounds)]


def minimax(function: Function, weight: Function, low: Number, high: Number, degree: int) -> tuple[list[Number], Number]:
    """The polynomial p of that degree with the least max |weight (p - function)| on [low, high], and that maximum."""
    count = degree + 2
    points = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    grid = [low + (high - low) * k / GRID for k in range(GRID + 1)]
    worst = mp.inf
    coefficients: list[Number] = []
    for _ in range(ROUNDS):
        rows = [[*(x**j for j in range(degree + 1)), (-1) ** i / weight(x)] for i, x in enumerate(points)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([function(x) for x in points]))
        coefficients = list(solution)[: degree + 1]
        errors = [weight(x) * (mp.polyval(coefficients[::-1], x) - function(x)) for x in grid]
        worst = max(map(abs, errors))
        found = extrema(errors)
        while len(found) > count:
            found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
        if len(found) < count:
            break
        points = [grid[k] for k in found]
    return coefficients, worst


def main() -> None:
    """Print every table, with the largest error of each."""
    half = mp.log(2) / 2 * (1 + mpf(10) ** -4)
    tables: tuple[tuple[str, Function, Function, Number, Number, dict[str, int]], ...] = (
        ("exp_tail", exp_tail, lambda r: r * r / mp.exp(r) + mpf(10) ** -30, -half, half, {"float": 4, "double": 9}),
        ("log_tail", log_tail, lambda f: f * f + mpf(10) ** -6, -mpf(1) / 4, mpf(1) / 2, {"float": 7, "double": 18}),
    )
    for name, function, weight, low, high, degrees in tables:
        for kind, degree in degrees.items():
            coefficients, worst = minimax(function, weight, low, high, degree)
            rounded = [float(np.float32(float(c))) if kind == "float" else float(c) for c in coefficients]
            print(f"{name}, {kind}: degree {degree}, largest error 2^{float(mp.log(worst, 2)):.2f}")
            print("    " + ", ".join(number.hex() for number in rounded))


if __name__ == "__main__":
    main()
