"""Which of the lines that a dying program has written tells what went wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["telling_line"]

EXCEPTION = re.compile(r"(?:Uncaught )?(?:[\w.]+(?:Error|Exception|Rejection)|Error)(?: \[\w+\])?: .|panic: |FATAL")
NPM = re.compile(r"npm (?:error|ERR!) (?!(?:code|errno|syscall|path|dest|A complete log)\b)\S")
NOISE = re.compile(
    r"Node\.js v\d|npm (?:notice|warn)|npm (?:error|ERR!)(?: A complete log.*)?$|at |\W*$"  # a stack, a closing brace
    r"|\.\.\. \d+ lines|(?:code|errno|syscall): "
)


def telling_line(lines: Sequence[str]) -> str:
    """Return the last line that names an exception, npm's own reason, or else the last that is no noise.

    >>> telling_line(["app.js:3", "Error: no API key", "at run (app.js:3:7)", "", "Node.js v20.20.2"])
    'Error: no API key'
    >>> telling_line(["npm error code E404", "npm error 404 Not Found", "npm error A complete log of this run is in x"])
    'npm error 404 Not Found'
    """
    exceptions = [line for line in lines if EXCEPTION.match(line)]
    if exceptions:
        return exceptions[-1]
    reasons = [line for line in lines if NPM.match(line)]
    if reasons:
        return reasons[0]
    plain = [line for line in lines if not NOISE.match(line)]
    return (plain or list(lines) or [""])[-1]
