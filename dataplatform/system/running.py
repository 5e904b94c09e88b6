"""One run of a platform under the command line: shown, ended by time, signal or the supervisor, and reported."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from attrs import define, field

from dataplatform.system.platform import Platform
from dataplatform.system.report import Outcome
from dataplatform.system.view import View

__all__ = ["EXIT_GAVE_UP", "Run"]

EXIT_GAVE_UP = 1
REFRESH = 0.5  # seconds


@define(eq=False)
class Run:
    """Runs until `run_for` seconds after the platform was ready, a signal, or the supervisor's end."""

    platform: Platform
    view: View
    run_for: float | None
    report: Path | None
    _signal: int | None = None
    _woken: threading.Event = field(factory=threading.Event)

    def run(self) -> int:
        """Return the exit status: 0 when drained, 1 when the supervisor gave up. A second signal exits at once."""
        self._watch_signals()
        with self.view:
            self._until_end()
            outcome: Outcome = "signal" if self._signal else "gave_up" if self.platform.reason else "ok"
            self._stop()
            self.view.show(self.platform.status())
        reason = self.platform.reason if outcome == "gave_up" else self._signal_name()
        self._write(outcome, reason)
        if outcome == "gave_up":
            print(reason, file=sys.stderr)  # noqa: T201  the promised last line
            return EXIT_GAVE_UP
        return 0

    def _until_end(self) -> None:
        deadline = None
        while self._signal is None:
            status = self.platform.status()
            self.view.show(status)
            if deadline is None and status.ready and self.run_for is not None:
                deadline = status.uptime + self.run_for
            left = REFRESH if deadline is None else min(REFRESH, deadline - status.uptime)
            if left <= 0 or self.platform.wait_end(0):
                return
            self._woken.wait(left)

    def _stop(self) -> None:
        """Stop in a thread of its own, so that a second signal is handled meanwhile."""
        stopping = threading.Thread(target=self.platform.stop, name="stop", daemon=True)
        stopping.start()
        while stopping.is_alive():
            stopping.join(REFRESH / 5)

    def _watch_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._signal is not None:
            self._exit_now(number)
        self._signal = number
        self._woken.set()

    def _exit_now(self, number: int) -> NoReturn:
        """Leave without draining; the guards of the embedded servers stop them when this process is gone."""
        self._write("signal", f"a second signal ({signal.Signals(number).name}) stopped it at once")
        os._exit(128 + number)

    def _signal_name(self) -> str | None:
        return signal.Signals(self._signal).name if self._signal else None

    def _write(self, outcome: Outcome, reason: str | None) -> None:
        if self.report is not None:
            text: Any = json.dumps(self.platform.report(outcome, reason), indent=2)
            partial = self.report.with_name(self.report.name + ".partial")
            partial.write_text(text + "\n", encoding="utf-8")
            partial.replace(self.report)
