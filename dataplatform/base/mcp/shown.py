"""What of a server and its answers may be shown: in errors, logs and status no secret and no control character."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote, quote_plus, urlsplit

__all__ = ["shown_text", "shown_url"]

LIMIT = 300
LOOKED_AT = 100_000  # characters of a text that are looked at
MASK = "***"


def shown_url(url: str) -> str:
    """Return the URL without user, password, query and fragment, which may hold a key.

    >>> shown_url("https://user:password@mcp.example:8443/mcp?key=1")
    'https://mcp.example:8443/mcp'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def shown_text(text: str, secrets: Collection[str] = (), limit: int = LIMIT) -> str:
    r"""Return the text as one line of at most `limit` printable characters, its secrets masked.

    >>> shown_text("no\tsuch key:\r\n CG-123456", ["CG-123456"])
    'no such key: ***'
    """
    text = text[:LOOKED_AT]
    for secret in sorted(secrets, key=len, reverse=True):
        for form in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(form, MASK)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
