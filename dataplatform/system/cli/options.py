"""What all commands share: their options, how times are written, how they end, and how long they try again.

What all these commands share: their options, how times are written, how they end. Putting a request again while an
outage lasts, for so long and no longer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, NoReturn, TypeVar

import click
from attrs import define, field

from dataplatform.base.agent import Backoff, BackoffPolicy
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result
from dataplatform.system.config.topology import DEFAULT, ConfigurationError, Topology, load_topology
from dataplatform.system.config.values import parse_duration
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.servers import require_installed

__all__ = ["LEFT_OVER", "USAGE", "Duration", "Moment", "Patience", "common_options", "counted", "framed", "leave"]

Command = TypeVar("Command", bound=Callable[..., Any])

LEFT_OVER, USAGE = 1, 2
LAST_PORT = 65_535


class Duration(click.ParamType[float]):
    """Seconds, also written as `30s` or `5m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class HostAndPort(click.ParamType[tuple[str, int]]):
    """An address to listen on, such as `127.0.0.1:8765` or `[::1]:8765`.

    >>> HostAndPort().convert("[::1]:8765", None, None)
    ('::1', 8765)
    """

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not bare or (":" in bare and bare == host) or not port.isdecimal() or int(port) > LAST_PORT:
            self.fail(f"expected a host and a port, like 127.0.0.1:8765, got {value!r}", param, ctx)
        return bare, int(port)


class Moment(click.ParamType[datetime]):
    """A time in UTC: `2026-11-01`, `2026-11-01T12:30`, with an offset if it is another, or an age such as `2h`.

    >>> Moment().convert("2026-11-01T12:30+02:00", None, None).isoformat()
    '2026-11-01T10:30:00+00:00'
    """

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return datetime.now(UTC) - timedelta(seconds=parse_duration(str(value)))
        except (ValueError, OverflowError):
            pass
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r:.60} is no time; one looks like 2026-11-01, 2026-11-01T12:30 or 2h (ago)", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def common_options(command: Command) -> Command:
    """Add the topology, and the options that say which servers and how patiently."""
    for option in (
        click.option(
            "--patience",
            type=Duration(),
            default="1m",
            show_default=True,
            metavar="DURATION",
            help="How long an outage of a server is waited out.",
        ),
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Where the embedded servers keep their data; by default the user's data directory, apart for --demo.",
        ),
        click.option("--demo", is_flag=True, help="Work on what --demo keeps, with the simulator as CoinGecko."),
        click.argument("topology", required=False, type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@contextmanager
def framed(path: Path | None, level: str = "warning") -> Iterator[Topology]:
    """Yield the topology, the log being configured; an error within ends the command with its status and no secret."""
    try:
        topology = load_topology(path or DEFAULT)
        require_installed(topology)
    except ConfigurationError as error:
        leave(USAGE, *error.lines)
    except PlatformError as error:
        leave(USAGE, str(error))
    configure_logs("console", level)
    try:
        yield topology
    except PlatformError as error:
        leave(LEFT_OVER if isinstance(error, Transient) else USAGE, str(error))


def counted(count: int, what: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "gap"), counted(0, "gap")
    ('1 gap', '0 gaps')
    """
    return f"{count} {what}{'' if count == 1 else 's'}"


def leave(status: int, *lines: str) -> NoReturn:
    """Print the lines on standard error and exit."""
    for line in lines:
        click.echo(line, err=True)
    sys.exit(status)


T = TypeVar("T")
RETRIES = BackoffPolicy(base=0.2, cap=10.0)
ASKED_TO_WAIT = {"throttled", "rate_limited"}  # no outage: it is known when to come back
MOST_LIMITS, MOST_SHARES = 30, 5


@define
class Patience:
    """Waits out an outage for `longest` seconds, and a rate limit for as long as it asks; `interrupted` ends it.

    >>> Patience(0.0, Event()).ask(lambda: Failure(Transient("database", "is away")))
    Failure(error=Transient('database: is away'))
    """

    longest: float
    interrupted: Event
    waiting: Callable[[float, str], None] = field(default=lambda _seconds, _why: None)

    def go_on(self) -> None:
        """Raise `Transient` once a signal has come; to be asked where work can end without leaving it half done."""
        if self.interrupted.is_set():
            raise Transient("interrupted", "a signal came", remedy="give the command again to go on")

    def ask(self, put: Callable[[], Result[T]]) -> Result[T]:
        """Answer the first answer that is not transient, or the last one that is."""
        since, backoff, limits = time.monotonic(), Backoff(RETRIES), 0
        while True:
            answer = put()
            if not isinstance(answer, Failure) or not isinstance(answer.error, Transient):
                return answer
            error = answer.error
            if error.code in ASKED_TO_WAIT:
                limits, since = limits + 1, time.monotonic()
                # An operation of several requests needs several requests' wait, which the first refusal does not tell.
                pause = (error.retry_after or 1.0) * min(limits, MOST_SHARES)
                if limits > MOST_LIMITS:
                    return answer
            else:
                pause = backoff.next(error.retry_after)
                if time.monotonic() + pause - since > self.longest:
                    return answer
            self.waiting(pause, str(error))
            if self.interrupted.wait(pause):
                return answer
