"""Losses of scores that should be in order."""

from __future__ import annotations

__all__: list[str] = []
