"""What of a request, a server and its answers may be shown: in errors, logs and status, no secret ever appears."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

from dataplatform.base.net.failures import is_page, title_of

__all__ = ["excerpt", "origin", "shown_server", "shown_text", "shown_url"]

LIMIT = 300
LOOKED_AT = 100_000  # characters of a text that are looked at
MASK = "***"
PRIVATE = re.compile(r"key|token|secret|passw|auth|signature", re.IGNORECASE)


def origin(url: str) -> str:
    """Return the scheme, host and port of a URL.

    >>> origin("https://user:password@api.example:8443/v3?key=1")
    'https://api.example:8443'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def shown_server(url: str) -> str:
    """Return the URL without user, password, query and fragment, which may hold a key.

    >>> shown_server("https://user:password@mcp.example:8443/mcp?key=1")
    'https://mcp.example:8443/mcp'
    """
    return origin(url) + urlsplit(url).path


def shown_url(url: str, secrets: Collection[str] = ()) -> str:
    """Return the URL without user, password, fragment and the values of parameters that look private.

    >>> shown_url("https://api.example/price?ids=bitcoin&x_api_key=abc")
    'https://api.example/price?ids=bitcoin&x_api_key=***'
    """
    parts = urlsplit(url)
    query = [
        (name, MASK if PRIVATE.search(name) else _masked(value, secrets))
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    shown = origin(url) + parts.path + ("?" + urlencode(query, safe="*,:/") if query else "")
    return shown_text(shown, secrets)


def shown_text(text: str, secrets: Collection[str] = (), limit: int = LIMIT) -> str:
    r"""Return the text as one line of at most `limit` printable characters, its secrets masked.

    >>> shown_text("no\tsuch key:\r\n CG-123456", ["CG-123456"])
    'no such key: ***'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in _masked(text[:LOOKED_AT], secrets)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def excerpt(body: bytes, secrets: Collection[str] = ()) -> str:
    """Return what a body says, as `shown_text` shows it; of an HTML page, its title.

    >>> excerpt(b"<html><title>Just a moment...</title>")
    'Just a moment...'
    """
    text = body.decode("utf-8", errors="replace")
    title = title_of(text) if is_page(body) else None
    return shown_text(title or text, secrets)


def _masked(text: str, secrets: Collection[str]) -> str:
    """Mask the secrets, the longest first, as they are and as a URL may hold them."""
    for secret in sorted(secrets, key=len, reverse=True):
        for form in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret)):
            text = text.replace(form, MASK)
    return text
