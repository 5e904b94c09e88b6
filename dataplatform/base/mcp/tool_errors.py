"""What tools tell of their failures, as errors: in the words of an API, or whole between platforms of this kind.

What tools say in words: the errors of the API that they stand for, as errors of ours. Failures between platforms of
this kind: the server puts one into the `_meta` of a tool's error for the client.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.net.failures import Meaning, bounded, of_status, told_pause
from dataplatform.base.net.shown import shown_server, shown_text
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["ERROR", "KEY", "as_meta", "of_answer", "server_of", "tells_error", "told_failure"]

KEY = "check the API key that the server is given"
LONGEST_BEGINNING = 1_000  # characters of a text within which it says what it is

STATUS = re.compile(r"\s*(?:\w*Error: )?([45]\d\d)(?=[\s:]|$)")  # as `404 {…}`, or `Error: 404 {…}` of a program
UNMARKED = re.compile(r"\s*(?:\w*Error: [45]\d\d\b|[45]\d\d\s+[{<])")  # no other answer begins so
PASSING = (  # what programs in JavaScript say of an API that gave them no whole answer
    ("timeout", re.compile(r"\s*(?:\w*Error: )?Request timed out\b")),
    ("unreachable", re.compile(r"\s*(?:\w*Error: )?(?:Connection error|fetch failed)\b")),
    ("cut", re.compile(r"\s*TypeError: error reading a body\b|\s*SyntaxError: [^\n]*\bJSON\b")),
)


def tells_error(text: str) -> bool:
    """Tell whether a text is an API's error although the tool has not marked it as one.

    >>> tells_error('404 {"error":"coin not found"}'), tells_error('{"error":"none"}'), tells_error("500 apples")
    (True, False, False)
    """
    return UNMARKED.match(text) is not None


def of_answer(text: str, tool: str, settings: McpSettings, meanings: Sequence[Meaning] = ()) -> PlatformError:
    """Turn a tool's error into one of ours, by the HTTP status that its text begins with where it stands for an API.

    A pause that the text asks for in seconds is obeyed.

    >>> of_answer('404 {"error":"coin not found"}', "get_id_coins", McpSettings(url="https://mcp.example")).code
    'not_found'
    >>> of_answer("429 retry after 30 s", "get_global", McpSettings(url="https://mcp.example")).retry_after
    30.0
    """
    said = shown_text(text, settings.secrets)
    what = f"{tool} of {server_of(settings)} answered an error" + (f": {said}" if said else "")
    if found := STATUS.match(text):
        return of_status(int(found[1]), what, text, meanings=meanings, retry_after=told_pause(text), key=KEY)
    for code, words in PASSING:
        if words.match(text):
            return Transient(code, what)
    return Permanent("tool_error", what)


def server_of(settings: McpSettings) -> str:
    """Return what a server is called in errors: its URL, or its program."""
    return shown_server(settings.url) if settings.url else f"{settings.command}"


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
