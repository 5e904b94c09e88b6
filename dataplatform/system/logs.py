"""Structured logs: for people or as JSON, on standard error, never with a secret in them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import IO, Any, TextIO, cast
from urllib.parse import unquote, urlsplit

import structlog

from dataplatform.system.topology import Topology

__all__ = ["configure_logs", "secrets_of"]

SHORTEST_SECRET = 4
LIBRARIES_SILENCED = ("kafka", "pykka", "urllib3", "uvicorn", "asyncio")  # their agents report what went wrong


def configure_logs(format_: str, level: str, secrets: Iterable[str], stream: IO[str] | None = None) -> None:
    """Send every log line of the platform to `stream`: `console` is for people, `json` an object a line."""
    for name in LIBRARIES_SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    out = cast("TextIO", stream or sys.stderr)
    colors = out.isatty()
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if format_ == "json"
        else structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    )
    errors = [structlog.processors.format_exc_info] if format_ == "json" else []
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *errors,
            _Redactor(secrets),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


def secrets_of(topology: Topology) -> set[str]:
    """Return the passwords and keys of a topology's clients, also as they stand inside of URLs."""
    found: set[str] = set()
    for spec in topology.clients.values():
        settings = spec.settings
        for name in ("password", "api_key"):
            found.add(getattr(settings, name, None) or "")
        found.update(getattr(settings, "secrets", ()))
        if "://" in (dsn := getattr(settings, "dsn", "")):
            password = urlsplit(dsn).password or ""
            found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


class _Redactor:
    """Replaces known secrets in every value of a log line; the clients mask them already, this is the second lock."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if self._secrets:
            for key, value in event.items():
                event[key] = self._clean(value)
        return event

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, "***")
        return value
