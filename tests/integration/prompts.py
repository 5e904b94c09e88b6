"""A person at a prompt: types lines into a pseudo-terminal and reads what comes back."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define

from tests.integration.platforms import COMMAND, DEADLINE
from tests.integration.screen import Screen

WIDTH, HEIGHT = 140, 50
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>()][0B]?)|\r|\x07")


@define(eq=False)
class Typist:
    """One session; `text` is what has come since the last line was typed, without the terminal's control sequences."""

    process: subprocess.Popen[bytes]
    terminal: int
    _before: list[Any]
    _raw: bytes = b""
    _number: int = 1

    @property
    def text(self) -> str:
        return SEQUENCE.sub("", self._raw.decode(errors="replace"))

    def see(self, pattern: str, timeout: float = DEADLINE) -> str:
        """Wait until something that came fits the pattern; return all that came."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} did not come:\n{self.text}"
            assert self._read(left), f"{pattern!r} did not come before the end:\n{self.text}"
        return self.text

    def prompt(self) -> str:
        """Wait until something can be typed; return all that came before."""
        return self.see(rf"In \[{self._number}\]: ")

    def type(self, line: str) -> str:
        """Type a line and return what it shows, as soon as something can be typed again."""
        self.forget()
        self.press(line + "\r")
        self._number += 1
        return self.prompt().split(f"In [{self._number}]")[0]

    def complete(self, begun: str, rest: str) -> None:
        """Type the beginning of a line and Tab, wait for the rest of it, and take the line back."""
        self.forget()
        self.press(begun + "\t")
        deadline = time.monotonic() + DEADLINE
        while begun + rest not in self._line():
            assert self._read(deadline - time.monotonic()), f"{rest!r} was not completed:\n{self._line()}"
        self.forget()
        self.press("\x03\x03\r")  # the first one closes a menu, should there be one
        self.prompt()

    def _line(self) -> str:
        """Return what stands in the line that is typed, and below it."""
        screen = Screen(WIDTH)
        screen.feed(f"In [{self._number}]: " + self._raw.decode(errors="replace"))
        return "\n".join(screen.lines)

    def interrupted(self) -> None:
        """Wait until what was typed has been interrupted, and something can be typed again."""
        self.see("KeyboardInterrupt")
        self._number += 1
        self.prompt()

    def press(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def forget(self) -> None:
        """Look at nothing that came so far."""
        self._raw = b""

    def end(self, timeout: float = DEADLINE) -> int:
        """Read what still comes, see that the terminal is as it was, and return the exit status."""
        while self._read(timeout):
            pass
        status = self.process.wait(timeout)
        assert termios.tcgetattr(self.terminal) == self._before
        return status

    def _read(self, timeout: float) -> bool:
        if not select.select([self.terminal], [], [], max(0.0, timeout))[0]:
            return False
        try:
            read = os.read(self.terminal, 65_536)
        except OSError:  # the other side is closed
            return False
        self._raw += read
        return bool(read)


@contextmanager
def at_prompt(*arguments: str) -> Iterator[Typist]:
    """Run the command at a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    before = termios.tcgetattr(ours)
    with tempfile.TemporaryDirectory(prefix="ipython-") as profile:
        environ |= {"TERM": "xterm-256color", "IPYTHONDIR": profile, "PROMPT_TOOLKIT_NO_CPR": "1"}
        process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        try:
            yield Typist(process, ours, before)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
