"""What tools say in words: the errors of the API that they stand for, as errors of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.net.pauses import told_pause
from dataplatform.base.net.refusals import Meaning, of_status
from dataplatform.base.net.shown import shown_server, shown_text
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["KEY", "of_answer", "server_of", "tells_error"]

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
