"""How far a command has come: a bar on a terminal, a line of the log now and then elsewhere."""

from __future__ import annotations

import time
from typing import Any, Protocol, Self

from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from dataplatform.base.agent.logger import get_logger

__all__ = ["Bar", "Lines", "Progress", "log_level", "progress"]

OFTEN = 5.0  # seconds between two lines


class Progress(Protocol):
    """Shows steps done of steps in all, where that is known, and what is being done."""

    def begin(self, what: str, total: int | None = None) -> None: ...

    def advance(self, steps: int = 1, what: str = "") -> None: ...

    def say(self, what: str) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def progress(console: Console | None = None) -> Progress:
    """Return a bar where standard error is a terminal, else lines."""
    console = console or Console(stderr=True)
    return Bar(console) if _can_draw(console) else Lines()


def log_level(console: Console | None = None) -> str:
    """Return the level of the log at which lines are seen, and a bar is not disturbed."""
    return "warning" if _can_draw(console or Console(stderr=True)) else "info"


def _can_draw(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


@define(eq=False)
class Bar:
    """One bar, which is left standing."""

    console: Console
    _bars: Any = field(init=False)
    _task: Any = None

    def __attrs_post_init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, TimeRemainingColumn(), console=self.console)

    def begin(self, what: str, total: int | None = None) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=total)

    def advance(self, steps: int = 1, what: str = "") -> None:
        self._bars.advance(self._task, steps)
        if what:
            self.say(what)

    def say(self, what: str) -> None:
        self._bars.update(self._task, description=what)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


@define(eq=False)
class Lines:
    """A line when something begins, and every five seconds while it goes on."""

    _what: str = ""
    _done: int = 0
    _total: int | None = None
    _due: float = 0.0
    _log: Any = field(factory=lambda: get_logger("command"))

    def begin(self, what: str, total: int | None = None) -> None:
        self._what, self._done, self._total = what, 0, total
        self._due = time.monotonic() + OFTEN
        self._log.info(what, total=total)

    def advance(self, steps: int = 1, what: str = "") -> None:
        self._done += steps
        self._what = what or self._what
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + OFTEN
            self._log.info(self._what, done=self._done, total=self._total)

    def say(self, what: str) -> None:
        self._log.info(what, done=self._done, total=self._total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return
