"""A terminal with the command on it, as a person runs it and sees it."""

from __future__ import annotations

import copy
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from tests.integration.platforms import COMMAND, DEADLINE
from tests.integration.screen import Screen

WIDTH, HEIGHT = 120, 60


@define(eq=False)
class Session:
    """The command run by a person at a terminal."""

    process: subprocess.Popen[bytes]
    terminal: int
    screen: Screen = field(factory=lambda: Screen(WIDTH))
    _rest: bytes = b""

    def see(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until the pattern is so many times on the screen; return the lines of the screen."""
        deadline = time.monotonic() + DEADLINE
        while len(re.findall(pattern, shown := "\n".join(self._lines()))) < times:
            left = deadline - time.monotonic()
            assert left > 0, shown
            assert self._read(left), shown
        return self._lines()

    def _lines(self) -> list[str]:
        """Return what is on the screen, with the line that is being written."""
        screen = copy.deepcopy(self.screen)
        screen.feed(self._rest.decode(errors="ignore"))
        return screen.lines

    def end(self, timeout: float = DEADLINE) -> int:
        """Read what still comes, and return the exit status."""
        while self._read(timeout):
            pass
        self.screen.feed(self._rest.decode())
        return self.process.wait(timeout)

    def _read(self, timeout: float) -> bool:
        """Show what has come; False at the end, or when nothing comes."""
        if not select.select([self.terminal], [], [], timeout)[0]:
            return False
        try:
            read = os.read(self.terminal, 65_536)
        except OSError:  # the other side is closed
            return False
        *whole, self._rest = (self._rest + read).splitlines(keepends=True) or [b""]
        self.screen.feed(b"".join(whole).decode())
        return bool(read)


@contextmanager
def at_terminal(*arguments: str) -> Iterator[Session]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    environ |= {"TERM": "xterm-256color", "NO_COLOR": "1"}
    before = termios.tcgetattr(ours)
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Session(process, ours)
        assert termios.tcgetattr(ours) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
