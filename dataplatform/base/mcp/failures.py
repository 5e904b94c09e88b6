"""How everything that can go wrong with a connection becomes a `PlatformError`: refusals, broken answers, its end.

The codes of a `Transient` are unreachable, lost, cut, timeout, protocol, rate_limited, server_error, blocked and
stopping; those of a `Permanent` are unauthorized, no_endpoint, no_command, redirected, not_found, bad_request,
too_large, unknown_tool and tool_error; what tools say in words is read in `texts`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus

import anyio
import httpx2
from attrs import frozen
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR, REQUEST_TIMEOUT

from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.mcp.texts import KEY, server_of
from dataplatform.base.mcp.watch import Refusal
from dataplatform.base.net.pages import IN_BETWEEN, title_of
from dataplatform.base.net.pauses import retry_after
from dataplatform.base.net.proxies import answered_by, proxy_for, unreachable_through
from dataplatform.base.net.refusals import of_status
from dataplatform.base.net.shown import shown_text
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["BROKEN", "Evidence", "of_evidence", "of_refusal", "of_size"]

BROKEN = {CONNECTION_CLOSED, REQUEST_TIMEOUT, PARSE_ERROR, INVALID_REQUEST}  # codes after which a session is of no use
NO_PROGRAM = {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC}
TOO_LARGE = re.compile(r"exceeded the \d+ byte limit")


@frozen
class Evidence:
    """What is known of a failed connection: what its parts raised, a child process's last words, a page in its place.

    `connecting` says that there was no connection yet.
    """

    errors: tuple[BaseException, ...] = ()
    last_words: str = ""
    page: bytes = b""
    too_large: bool = False
    connecting: bool = False


def of_evidence(evidence: Evidence, settings: McpSettings, limit: float) -> PlatformError:
    """Turn what was raised, here and where the connection is held, into an error that shows no secret.

    `limit` is how many seconds were given.
    """
    server, leaves = server_of(settings), [leaf for error in evidence.errors for leaf in _leaves(error)]
    if evidence.too_large or any(TOO_LARGE.search(str(leaf)) for leaf in leaves):
        return of_size(settings)
    if evidence.page:
        return _of_page(evidence.page, settings)
    error = min(leaves, key=_rank, default=None)
    if isinstance(error, PlatformError):
        return error
    words, reason = evidence.last_words, shown_text(_reason(error), settings.secrets)
    proxy = proxy_for(settings.url) if settings.url else None
    match error:
        case ImportError() | httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError() if proxy is not None:
            return unreachable_through(proxy, settings.url or "", reason)
        case OSError(errno=code) if code in NO_PROGRAM and settings.transport == "stdio":
            remedy = "check command, args and PATH"
            return Permanent("no_command", f"cannot start {server}: {reason}", remedy=remedy, of_question=False)
        case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return Permanent("bad_request", f"{server} cannot be asked: {reason}", remedy="check url")
        case httpx2.TimeoutException() | TimeoutError():
            remedy = "raise connect_timeout if it needs longer to start" if evidence.connecting else ""
            what = f"{server} gave no answer in {limit:g} s" + (f"; {words}" if words else "")
            return Transient("timeout", what, remedy=remedy if settings.transport == "stdio" else "")
        case httpx2.ConnectError() | httpx2.ProxyError():
            return Transient("unreachable", f"cannot reach {server}: {reason}")
        case MCPError(code=code) if code != CONNECTION_CLOSED:
            return Transient("protocol", f"{server} answered an error: {reason}", of_question=code not in BROKEN)
        case None | MCPError() | OSError() | httpx2.HTTPError() | anyio.ClosedResourceError() | anyio.EndOfStream():
            if evidence.connecting:
                return Transient("unreachable", f"cannot reach {server}: {words or reason}")
            return Transient("lost", f"the connection to {server} is lost: {words or reason}")
        case _:
            return Transient("protocol", f"{server} gave an answer that cannot be used: {reason}")


def _of_page(page: bytes, settings: McpSettings) -> PlatformError:
    by, title = answered_by(settings.url or "", server_of(settings)), title_of(page.decode(errors="replace"))
    named = f", {shown_text(title, settings.secrets)!r}," if title else ""
    return Transient("protocol", f"{by} answered a page{named} and not as an MCP server does", remedy=IN_BETWEEN)


def of_size(settings: McpSettings) -> PlatformError:
    message = f"{server_of(settings)} answered more than {settings.max_text} bytes"
    return Permanent("too_large", message, remedy="ask for less, or raise max_text")


def of_refusal(refusal: Refusal, settings: McpSettings, now: datetime, *, connecting: bool) -> PlatformError:
    """Turn a refusal by HTTP into an error; one of a kind not foreseen tells that the session has come to its end."""
    text = refusal.body.decode(errors="replace")
    said = shown_text(text, settings.secrets)
    by = answered_by(settings.url or "", server_of(settings))
    what = f"{by} answered {refusal.status}" + (f": {said}" if said else "")
    pause = retry_after(refusal.headers.get("retry-after", ""), now)
    if refusal.status in range(300, 400):
        return Permanent("redirected", what, remedy="if that is wanted, put its URL into url")
    if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Permanent("too_large", what, remedy="send less at a time, or have the server take more")
    error = of_status(refusal.status, what, text, headers=refusal.headers, retry_after=pause, key=KEY)
    if error.code not in {"bad_request", "not_found"}:
        return error
    if connecting:
        return Permanent("no_endpoint", what, remedy="check url, and transport", of_question=False)
    return Transient("lost", what)


def _rank(error: BaseException) -> int:
    """Order what was raised by how much it tells: that the connection was closed is only what followed."""
    closed = isinstance(error, (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream))
    return 1 if closed or (isinstance(error, MCPError) and error.code == CONNECTION_CLOSED) else 0


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _reason(error: BaseException | None) -> str:
    """Say what lies at the bottom of an exception; the upper ones repeat the URL, with whatever is in it."""
    if isinstance(error, MCPError):
        return str(error)
    root = error
    while root is not None and (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    if root is None:
        return "it was closed"
    if isinstance(root, ConnectionError) and root.errno:
        return os.strerror(root.errno)
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return f"{type(root).__name__}: {root}" if str(root) else type(root).__name__
