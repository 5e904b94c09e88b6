"""`--repl`: a platform runs, and its terminal is a prompt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from attrs import define

from dataplatform.errors import PlatformError
from dataplatform.services.service import Phase, PlatformStatus
from dataplatform.system.control.shell import Prompt
from dataplatform.system.platform import Platform
from dataplatform.system.view import account, elapsed

__all__ = ["PromptView", "open_prompt"]

LOOK = 0.2  # seconds between looks at a platform that starts, or that somebody else may end
LEAVING = "Ctrl-D or exit leaves: what is in flight is drained, and the platform stops."


@define(eq=False)
class PromptView:
    """Says on the terminal, before and after the prompt, what the platform does."""

    say: Callable[[str], None]
    _phase: Phase | None = None

    def show(self, status: PlatformStatus) -> None:
        changed, self._phase = status.phase is not self._phase, status.phase
        if not changed:
            return
        match status.phase:
            case Phase.STARTING:
                self.say("starting …")
            case Phase.DRAINING:
                self.say("draining: waiting for what is in flight; Ctrl-C stops at once")
            case Phase.STOPPED:
                self.say("; ".join([f"stopped after {elapsed(status.uptime)}", *account(status)]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def open_prompt(platform: Platform, log: Path, say: Callable[[str], None], stop_asked: Callable[[], bool]) -> None:
    """Wait until the platform is ready, and open a prompt on it; returns when the person leaves, or it cannot start."""
    while not platform.wait_ready(LOOK):
        if stop_asked() or platform.wait_end(0):
            return
    prompt = Prompt(platform, platform.operator, LEAVING, (f"Its log goes to {log}",))
    with _told_of_the_end(platform, say):
        try:
            prompt.run()
        except PlatformError as error:
            say(str(error))


@contextmanager
def _told_of_the_end(platform: Platform, say: Callable[[str], None]) -> Iterator[None]:
    """Say so when the platform ends while somebody types."""
    left = threading.Event()

    def watch() -> None:
        while not left.is_set():
            if platform.wait_end(LOOK):
                if not left.is_set():
                    why = f"gave up: {platform.reason}" if platform.reason else "was stopped"
                    say(f"the platform {why}; nothing runs any more, Ctrl-D leaves")
                return

    watcher = threading.Thread(target=watch, name="watching the platform", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()
