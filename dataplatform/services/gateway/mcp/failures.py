"""Failures as tool errors: what went wrong and what to do, for a reader that can only read; never a traceback."""

from __future__ import annotations

from mcp.types import CallToolResult, TextContent

from dataplatform.base.mcp.told import ERROR, as_meta
from dataplatform.errors import PlatformError, Transient

__all__ = ["ERROR", "text_of", "tool_error"]

PAUSE = 2.0  # seconds to wait where nobody has said how long
LONGEST = 1_500


def tool_error(error: PlatformError) -> CallToolResult:
    """Return the failure as a tool's answer: in words, and for another platform in `_meta` as well."""
    text = TextContent(type="text", text=text_of(error))
    return CallToolResult(content=[text], is_error=True, _meta=as_meta(_shown(error)))


def text_of(error: PlatformError) -> str:
    """Return what went wrong and what to do.

    >>> text_of(Transient("rate_limited", "CoinGecko answered 429", retry_after=30.0))
    'rate_limited: CoinGecko answered 429. Try again in 30 s.'
    """
    error = _shown(error)
    said = f"{error.code}: {error.message}"[:LONGEST].rstrip(".") + "."
    if isinstance(error, Transient):
        said += f" Try again in {error.retry_after or PAUSE:.3g} s."
    return said + (f" {error.remedy[:1].upper()}{error.remedy[1:]}." if error.remedy else "")


def _shown(error: PlatformError) -> PlatformError:
    """Return what may be told: what an agent died of is its supervisor's business, and in the log."""
    if error.code != "crashed":
        return error
    return Transient(error.code, "the agent that was asked failed and is being restarted")
