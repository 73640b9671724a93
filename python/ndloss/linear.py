"""Losses that make their own logits from a linear layer."""

from __future__ import annotations

__all__: list[str] = []
