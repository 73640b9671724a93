"""Losses of sequences without an alignment."""

from __future__ import annotations

__all__: list[str] = []
