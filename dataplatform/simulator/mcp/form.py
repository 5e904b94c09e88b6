"""Which form the MCP servers have."""

from __future__ import annotations

from attrs import frozen

__all__ = ["McpForm"]


@frozen(kw_only=True)
class McpForm:
    """The options of the MCP servers.

    >>> McpForm(wrapped=False).early
    True

    Attributes:
        host: the address that they are reached at, besides this machine's own names.
        wrapped: whether the code generation wraps its answers, as CoinGecko's hosted server does and a local one not.
        early: whether the static generation has the tools too that only its first releases had.

    """

    host: str = "127.0.0.1"
    wrapped: bool = True
    early: bool = True
