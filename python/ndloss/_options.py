"""The options that every loss takes by keyword."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndloss import _check, _request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ndloss._request import Request

LOSS_OPTIONS = ("num_threads", "_request")


def loss_options(function: str, given: Mapping[str, Any]) -> tuple[int, Request]:
    """The number of threads (0: the default) and what the call is asked for."""
    _check.options(function, given, LOSS_OPTIONS)
    return _check.num_threads(function, given.get("num_threads")), given.get("_request", _request.value)
