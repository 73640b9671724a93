"""Losses of rows of class scores that ask for a margin."""

from __future__ import annotations

__all__: list[str] = []
