"""One run of a platform under the command line: shown, ended by time, signal or the supervisor, and reported."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from attrs import define, field

from dataplatform.base.agent.logger import get_logger
from dataplatform.redaction import REDACTOR
from dataplatform.system.console.view import View
from dataplatform.system.platform.platform import Platform
from dataplatform.system.platform.report import Outcome

__all__ = ["EXIT_GAVE_UP", "Run", "Signals"]

EXIT_GAVE_UP = 1
REFRESH = 0.5  # seconds
AT_ONCE = 2  # the signal that ends a process which drains after the first one
NO_MATTER_WHAT = 3


@define(eq=False)
class Signals:
    """The requests to stop: each SIGINT and SIGTERM, in order. The third ends the process then and there."""

    numbers: list[int] = field(factory=list)
    came: threading.Event = field(factory=threading.Event)

    @classmethod
    @contextmanager
    def watch(cls) -> Iterator[Signals]:
        """Count signals within a block; to be called in the main thread."""
        signals = cls()
        before = {number: signal.signal(number, signals._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield signals
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.numbers.append(number)
        self.came.set()
        if len(self.numbers) >= NO_MATTER_WHAT:
            os._exit(128 + number)

    @property
    def name(self) -> str | None:
        """The name of the first signal, None before it."""
        return signal.Signals(self.numbers[0]).name if self.numbers else None


@define(eq=False)
class Run:
    """Runs until `run_for` seconds after the platform was ready, a signal, or the supervisor's end.

    With a `prompt` it runs until that returns.
    """

    platform: Platform
    view: View
    signals: Signals
    run_for: float | None = None
    report: Path | None = None
    prompt: Callable[[], None] | None = None

    def run(self) -> int:
        """Return the exit status: 0 when drained; 1 when the supervisor gave up, or records or the report were lost.

        A signal that comes while it drains ends the process at once, with status 128 + its number.
        """
        try:
            with self.view:
                self._until_end()
                self._stop()
                self.view.show(self.platform.status())
        finally:
            self.platform.stop()
        gave_up, left, signalled = self.platform.reason, self._undelivered(), self.signals.name
        outcome: Outcome = "gave_up" if gave_up else "undelivered" if left else "signal" if signalled else "ok"
        written = self._write(outcome, gave_up or left or signalled)
        if gave_up or left:  # the promised last line
            get_logger("platform").error(outcome.replace("_", " "), reason=gave_up or left)
        return EXIT_GAVE_UP if gave_up or left or not written else 0

    def _undelivered(self) -> str | None:
        """Return what was read and cannot be read again, and was not delivered."""
        incidents = self.platform.status().incidents
        return "; ".join(one.message for one in incidents if one.kind == "undelivered") or None

    def _until_end(self) -> None:
        if self.prompt is not None:
            self.view.show(self.platform.status())
            self.prompt()
            return
        deadline = None
        while not self.signals.numbers:
            status = self.platform.status()
            self.view.show(status)
            if deadline is None and status.ready and self.run_for is not None:
                deadline = status.uptime + self.run_for
            left = REFRESH if deadline is None else min(REFRESH, deadline - status.uptime)
            if left <= 0 or self.platform.wait_end(0):
                return
            self.signals.came.wait(left)

    def _stop(self) -> None:
        """Stop in another thread, so that this one can show how it goes and heed a signal that comes meanwhile."""
        at_once = AT_ONCE if self.signals.numbers else 1  # a run may also end by time
        stopping = threading.Thread(target=self.platform.stop, name="stop", daemon=True)
        stopping.start()
        while stopping.is_alive():
            self.signals.came.clear()
            if len(self.signals.numbers) >= at_once:
                self._exit_now(self.signals.numbers[-1])
            self.view.show(self.platform.status())
            self.signals.came.wait(REFRESH / 5)

    def _exit_now(self, number: int) -> NoReturn:
        """Leave without draining; the guards of the embedded servers stop them when this process is gone."""
        with suppress(Exception):
            self.view.__exit__(None, None, None)
        which = "second " if len(self.signals.numbers) >= AT_ONCE else ""
        self._write("signal", f"a {which}signal ({signal.Signals(number).name}) stopped it at once")
        os._exit(128 + number)

    def _write(self, outcome: Outcome, reason: str | None) -> bool:
        """Write the report, whole or not at all; say so when that fails."""
        if self.report is None:
            return True
        account = REDACTOR.clean(self.platform.report(outcome, reason))
        partial = self.report.with_name(f"{self.report.name}.partial")
        try:
            partial.write_text(json.dumps(account, indent=2) + "\n", encoding="utf-8")
            partial.replace(self.report)
        except OSError as error:
            failure = error.strerror
        else:
            return True
        get_logger("platform").error("report not written", path=str(self.report), error=failure)
        return False
