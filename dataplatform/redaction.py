"""What this process must never show: the secrets it has read, masked in every text on its way out.

Whoever reads a secret tells `REDACTOR` before anything can fail over it. It cleans errors, status, logs and tracebacks;
the clients mask their own secrets besides.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["REDACTOR", "Redactor", "redact_tracebacks", "redacted"]

MASK = "***"
SHORTEST_SECRET = 4  # characters; to mask a shorter one would garble texts
IN_URLS = re.compile(
    r"""
    (://(?!\[)[^\s/:]*:)  # a user; what is in brackets is a host
    (?!\d{1,5}/)         # a port, and not a password
    (?:
        (?:(?!://)[^\s'"])+  # with an @ or a / that nobody has escaped, and not beyond the next URL
        | [^\s/@]+           # with a quote
    )@
    """,
    re.VERBOSE,
)
IN_SETTINGS = re.compile(r"\b((?:ssl|sasl_plain_)?password\s*=\s*)(?:'(?:\\.|[^'\\])*'|[^\s'\"&,)]+)", re.IGNORECASE)
NOTHING = re.compile(r"(?!)")


class Redactor:
    """Masks secrets in texts: those it knows, and what stands in a text where a password does.

    >>> Redactor(["p[a]ss/word"]).clean("no host 'p[a]ss/word', no file p%5Ba%5Dss%2Fword")
    "no host '***', no file ***"
    >>> Redactor().clean("postgresql://ada:hunter2@db/market, password = 'hunter 2'")
    'postgresql://ada:***@db/market, password = ***'
    >>> Redactor().clean("postgresql://ada:hunt/er@2@db/market")
    'postgresql://ada:***@db/market'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._secrets: set[str] = set()
        self._known = NOTHING
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these, too, from now on, in every form in which a text may hold them."""
        new = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        with self._lock:
            if not new <= self._secrets:
                self._secrets |= new
                forms = {form for secret in self._secrets for form in _forms(secret)}
                longest_first = sorted(forms, key=len, reverse=True)  # one may be part of another
                self._known = re.compile("|".join(map(re.escape, longest_first)))

    def forget(self) -> None:
        """Know no secret any more."""
        with self._lock:
            self._secrets.clear()
            self._known = NOTHING

    def clean(self, value: Any) -> Any:
        """Return a value as it may be shown: texts masked, also in lists and tables; objects as their text."""
        match value:
            case str():
                text = self._known.sub(MASK, value)
                return IN_SETTINGS.sub(rf"\g<1>{MASK}", IN_URLS.sub(rf"\g<1>{MASK}@", text))
            case None | bool() | int() | float():
                return value
            case dict():
                return {key: self.clean(one) for key, one in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.clean(one) for one in value]
            case _:
                return self.clean(str(value))


REDACTOR = Redactor()


def redacted(text: str) -> str:
    """Return a text without the secrets of this process."""
    clean: str = REDACTOR.clean(text)
    return clean


def redact_tracebacks() -> None:
    """Clean what Python itself prints of an exception that nobody catches, in the main thread and in others.

    A hook that somebody else has put in Python's place stays.
    """

    def show(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, title: str = ""
    ) -> None:
        if issubclass(kind, KeyboardInterrupt) or sys.stderr is None:
            return
        lines = traceback.format_exception(kind, error, trace)
        sys.stderr.write(REDACTOR.clean("".join([f"{title}\n" if title else "", *lines])))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            show(args.exc_type, args.exc_value, args.exc_traceback, f"exception in thread {args.thread}:")

    def unraisable(args: Any) -> None:
        show(args.exc_type, args.exc_value, args.exc_traceback, f"{args.err_msg or 'exception ignored in'}:")

    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = show
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = unraisable


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as URLs, Python, JSON and libpq write it."""
    yield secret
    yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    yield from (repr(secret)[1:-1], json.dumps(secret)[1:-1])
    yield secret.replace("\\", "\\\\").replace("'", "\\'")
