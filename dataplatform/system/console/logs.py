"""Structured logs: a line for people or an object of JSON, never with a secret, and never a reason to fail.

The file that a platform's log goes to while a person types at its terminal.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

import structlog
from attrs import define, field

from dataplatform.base.agent.logger import Event, redact_event
from dataplatform.redaction import REDACTOR

__all__ = ["LogFile", "LogStream", "configure_logs"]

LIBRARIES_SILENCED = (  # their agents report what went wrong
    *("kafka", "pykka", "urllib3", "uvicorn", "asyncio"),
    *("mcp", "client", "httpx2", "httpcore2", "sse_starlette"),
)
SENTENCES = ("reason", "error", "message", "meaning", "remedy")  # fields that go on where the event's name ends
COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
PLAIN = "\x1b[0m"


class LogStream(Protocol):
    """Where log lines go."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


def configure_logs(format_: str, level: str, secrets: Iterable[str] = (), stream: LogStream | None = None) -> None:
    """Send every log line of the platform to `stream`, standard error by default.

    `console` is for people: on a terminal with the time of day, elsewhere with the date, always UTC. `json` is an
    object a line. A field `line` is the whole line for people, and is not in the JSON. `secrets` are hidden besides
    those of topologies, of which the process knows as soon as it has read them.
    """
    REDACTOR.learn(secrets)
    for name in LIBRARIES_SILENCED:
        logger = logging.getLogger(name)  # by its handlers: uvicorn sets the levels of its own loggers anew
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    out = stream or sys.stderr
    renderers: list[Any] = (
        [_without_line, structlog.processors.JSONRenderer()]
        if format_ == "json"
        else [_ForPeople(on_terminal=out.isatty())]
    )
    structlog.configure(
        processors=[
            _with_agent,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact_event,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lenient(out))),
        cache_logger_on_first_use=False,
    )


def _with_agent(_logger: Any, _method: str, event: Event) -> Event:
    event.setdefault("agent", "platform")
    return event


def _without_line(_logger: Any, _method: str, event: Event) -> Event:
    event.pop("line", None)
    return event


class _ForPeople:
    """Renders `18:00:05 WARNING coingecko: degraded: cannot reach api.example (next_try=18:00:07)`."""

    def __init__(self, *, on_terminal: bool) -> None:
        self._on_terminal = on_terminal

    def __call__(self, _logger: Any, _method: str, event: Event) -> str:
        time, level, agent = event.pop("timestamp"), event.pop("level"), event.pop("agent")
        name, line, exception = event.pop("event"), event.pop("line", None), event.pop("exception", None)
        rank = "" if level in {"info", "debug"} else f"{level.upper()} "
        text = f"{self._time(time)} {rank}{agent}: {line or _sentence(name, event)}"
        if self._on_terminal and level in COLOURS:
            text = f"{COLOURS[level]}{text}{PLAIN}"
        return f"{text}\n{exception}" if exception else text

    def _time(self, stamp: str) -> str:
        return stamp[11:19] if self._on_terminal else f"{stamp[:19]}Z"


def _sentence(name: str, fields: Event) -> str:
    told = [str(fields[key]) for key in SENTENCES if fields.get(key)]
    rest = [f"{key}={_short(value)}" for key, value in fields.items() if key not in SENTENCES and value is not None]
    return ": ".join([name, *(["; ".join(told)] if told else [])]) + (f" ({', '.join(rest)})" if rest else "")


def _short(value: Any) -> str:
    """Show a time of today by its time of day."""
    with suppress(ValueError, TypeError):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return f"{moment.astimezone(UTC):%H:%M:%S}Z"
    return str(value)


@define(eq=False)
class _Lenient:
    """A stream whose reader may go away: a line that cannot be written is lost, and no agent dies of it."""

    _stream: LogStream = field()

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


NAME = "platform.log"
MOST = 10_000_000  # characters; then the file becomes `platform.log.1`, and the one before it goes


@define(eq=False)
class LogFile:
    """A stream of log lines in a data directory, of bounded size."""

    path: Path
    _file: TextIO
    _room: int
    _lock: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def open(cls, data_dir: Path) -> LogFile:
        """Go on with the log of that directory, which is made if need be; raises `OSError`."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = data_dir / NAME
        file = path.open("a", encoding="utf-8")
        path.chmod(0o600)
        return cls(path, file, MOST - path.stat().st_size)

    def write(self, text: str) -> None:
        with self._lock:
            if len(text) > self._room:
                self._turn_over()
            self._room -= len(text)
            self._file.write(text)
            self._file.flush()

    def flush(self) -> None:
        """Do nothing: what is written is there."""

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()

    def _turn_over(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(f"{NAME}.1"))
        self._file = self.path.open("w", encoding="utf-8")
        self.path.chmod(0o600)
        self._room = MOST
