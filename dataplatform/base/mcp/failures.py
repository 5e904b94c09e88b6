"""How everything that can go wrong with a server becomes a `PlatformError`: its refusals, its answers, its end.

The codes of a `Transient` are unreachable, lost, cut, timeout, protocol, rate_limited, server_error, blocked and
stopping; those of a `Permanent` are unauthorized, no_endpoint, no_command, redirected, not_found, bad_request,
too_large, unknown_tool and tool_error.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from http import HTTPStatus

import anyio
import httpx2
from attrs import frozen
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED

from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.mcp.shown import shown_text, shown_url
from dataplatform.base.mcp.watch import Refusal
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["Evidence", "of_answer", "of_evidence", "of_refusal", "of_size", "retry_after", "server_of"]

LONGEST_PAUSE = 3600.0  # seconds; a server that asks for more is asked again after an hour all the same
STATUS = re.compile(r"\s*(?:\w*Error: )?([45]\d\d)(?=[\s:]|$)")  # as `404 {…}`, or `Error: 404 {…}` of a program
PASSING = (  # what programs in JavaScript say of an API that gave them no whole answer
    ("timeout", re.compile(r"\s*(?:\w*Error: )?Request timed out\b")),
    ("unreachable", re.compile(r"\s*(?:\w*Error: )?(?:Connection error|fetch failed)\b")),
    ("cut", re.compile(r"\s*TypeError: error reading a body\b|\s*SyntaxError: [^\n]*\bJSON\b")),
)
NO_PROGRAM = {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC}
TOO_LARGE = re.compile(r"exceeded the \d+ byte limit")


@frozen
class Evidence:
    """What is known of a failed connection: what its parts raised, and the last words of a child process.

    `connecting` says that there was no connection yet.
    """

    errors: tuple[BaseException, ...] = ()
    last_words: str = ""
    too_large: bool = False
    connecting: bool = False


def of_evidence(evidence: Evidence, settings: McpSettings, limit: float) -> PlatformError:
    """Turn what was raised, here and where the connection is held, into an error that shows no secret.

    `limit` is how many seconds were given.
    """
    server, leaves = server_of(settings), [leaf for error in evidence.errors for leaf in _leaves(error)]
    if evidence.too_large or any(TOO_LARGE.search(str(leaf)) for leaf in leaves):
        return of_size(settings)
    error = min(leaves, key=_rank, default=None)
    words, reason = evidence.last_words, shown_text(_reason(error), settings.secrets)
    match error:
        case OSError(errno=code) if code in NO_PROGRAM and settings.transport == "stdio":
            return Permanent("no_command", f"cannot start {server}: {reason}", remedy="check command, args and PATH")
        case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return Permanent("bad_request", f"{server} cannot be asked: {reason}", remedy="check url")
        case httpx2.TimeoutException() | TimeoutError():
            remedy = "raise connect_timeout if it needs longer to start" if evidence.connecting else ""
            what = f"{server} gave no answer in {limit:g} s" + (f"; {words}" if words else "")
            return Transient("timeout", what, remedy=remedy if settings.transport == "stdio" else "")
        case httpx2.ConnectError() | httpx2.ProxyError():
            return Transient("unreachable", f"cannot reach {server}: {reason}")
        case MCPError(code=code) if code != CONNECTION_CLOSED:
            return Transient("protocol", f"{server} answered an error: {reason}")
        case None | MCPError() | OSError() | httpx2.HTTPError() | anyio.ClosedResourceError() | anyio.EndOfStream():
            if evidence.connecting:
                return Transient("unreachable", f"cannot reach {server}: {words or reason}")
            return Transient("lost", f"the connection to {server} is lost: {words or reason}")
        case _:
            return Transient("protocol", f"{server} gave an answer that cannot be used: {reason}")


def of_size(settings: McpSettings) -> PlatformError:
    message = f"{server_of(settings)} answered more than {settings.max_text} bytes"
    return Permanent("too_large", message, remedy="ask for less, or raise max_text")


def of_refusal(refusal: Refusal, settings: McpSettings, *, connecting: bool) -> PlatformError:
    """Turn a refusal by HTTP into an error; one of a kind not foreseen tells that the session has come to its end."""
    said = shown_text(refusal.body.decode(errors="replace"), settings.secrets)
    what = f"{server_of(settings)} answered {refusal.status}" + (f": {said}" if said else "")
    pause = retry_after(refusal.headers.get("retry-after", ""))
    if refusal.status in range(300, 400):
        return Permanent("redirected", what, remedy="if that is wanted, put its URL into url")
    if refusal.status in {403, 429, 503} and b"<" in refusal.body[:100] and b"cloudflare" in refusal.body.lower():
        return Transient("blocked", what, remedy="wait; if it lasts, ask less often", retry_after=pause)
    error = _of_status(refusal.status, what, pause)
    if error.code not in {"bad_request", "not_found"}:
        return error
    if connecting:
        return Permanent("no_endpoint", what, remedy="check url, and transport")
    return Transient("lost", what)


def of_answer(text: str, tool: str, settings: McpSettings) -> PlatformError:
    """Turn a tool's error into one of ours, by the HTTP status that its text begins with where it stands for an API.

    >>> of_answer('404 {"error":"coin not found"}', "get_id_coins", McpSettings(url="https://mcp.example")).code
    'not_found'
    """
    said = shown_text(text, settings.secrets)
    what = f"{tool} of {server_of(settings)} answered an error" + (f": {said}" if said else "")
    if found := STATUS.match(text):
        return _of_status(int(found[1]), what)
    for code, words in PASSING:
        if words.match(text):
            return Transient(code, what)
    return Permanent("tool_error", what)


def server_of(settings: McpSettings) -> str:
    """Return what a server is called in errors: its URL, or its program."""
    return shown_url(settings.url) if settings.url else f"{settings.command}"


def retry_after(value: str) -> float | None:
    """Read a `Retry-After` header that gives seconds, at most an hour; None for anything else.

    >>> retry_after("119"), retry_after("Thu, 01 Jan 2026 00:00:30 GMT")
    (119.0, None)
    """
    value = value.strip()
    return min(float(value), LONGEST_PAUSE) if value.isascii() and value.isdigit() else None


def _of_status(status: int, what: str, pause: float | None = None) -> PlatformError:
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Permanent("unauthorized", what, remedy="check the API key that the server is given")
        case HTTPStatus.NOT_FOUND:
            return Permanent("not_found", what)
        case HTTPStatus.REQUEST_TIMEOUT:
            return Transient("timeout", what, retry_after=pause)
        case HTTPStatus.TOO_MANY_REQUESTS:
            remedy = "ask less often, or use an API key with a higher limit"
            return Transient("rate_limited", what, remedy=remedy, retry_after=pause)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Transient("server_error", what, retry_after=pause)
        case _:
            return Permanent("bad_request", what)


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
