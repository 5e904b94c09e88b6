"""The report: the final account of a run as one JSON object."""

from __future__ import annotations

from typing import Any, Literal

from dataplatform.services.gateway.status import account_as_json
from dataplatform.services.service import PlatformStatus

__all__ = ["Outcome", "make_report"]

Outcome = Literal["ok", "gave_up", "signal", "undelivered"]
VERSION = 1


def make_report(status: PlatformStatus, outcome: Outcome, reason: str | None) -> dict[str, Any]:
    """Return the report of a run that ended so, with the account of its last status."""
    return {"version": VERSION, "outcome": outcome, "reason": reason, **account_as_json(status)}
