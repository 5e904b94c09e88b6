"""Failures between platforms of this kind: the server puts one into the `_meta` of a tool's error for the client."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import msgspec

from dataplatform.base.net.pauses import bounded
from dataplatform.base.net.shown import shown_text
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["ERROR", "as_meta", "told_failure"]

ERROR = "dataplatform/error"
LONGEST = 1_500  # characters of a message or remedy


class Told(msgspec.Struct, rename="camel"):
    """A failure as it stands on the wire; `retry_after` in seconds, where somebody stated it."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    message: str
    transient: bool
    remedy: str = ""
    retry_after: float | None = None


def as_meta(error: PlatformError) -> dict[str, Any]:
    """Return the `_meta` of a tool's error, from which `told_failure` makes the same failure again."""
    pause = error.retry_after if isinstance(error, Transient) else None
    told = Told(error.code, error.message[:LONGEST], isinstance(error, Transient), error.remedy[:LONGEST], pause)
    return {ERROR: msgspec.to_builtins(told)}


def told_failure(meta: Mapping[str, Any] | None, secrets: Collection[str] = ()) -> PlatformError | None:
    """Return the failure that a server of this kind has answered, showing no secret; None if it has not.

    >>> told_failure(as_meta(Transient("busy", "1000 calls wait", retry_after=2.0)))
    Transient('busy: 1000 calls wait')
    >>> told_failure({ERROR: "busy"}) is None
    True
    """
    try:
        told = msgspec.convert((meta or {}).get(ERROR), Told)
    except msgspec.ValidationError:
        return None
    message, remedy = (shown_text(text, secrets, LONGEST) for text in (told.message, told.remedy))
    if not told.transient:
        return Permanent(told.code, message, remedy=remedy)
    pause = told.retry_after
    obeyed = None if pause is None or not pause >= 0 else bounded(pause)
    return Transient(told.code, message, remedy=remedy, retry_after=obeyed)
