"""One run of a server under its guard: start it, see whether it lives, read its log, stop it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from dataplatform.base import guard
from dataplatform.base.embedded.account import Account
from dataplatform.errors import Transient

__all__ = ["LOCK", "Program", "ServerProcess", "lock_is_held"]

LOCK = "server.lock"  # held by the guard and all that it started; names the guard and the server
ORDERLY, FORCED = 3.2, 0.6  # seconds for a server to stop by itself, and for its guard to end it: 4 s with the rest
VARIABLES = {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"}  # passed on: no secrets, nothing that configures a server
WIDTH = 300  # characters of a log line in an error
HARMLESS = "weak version"  # the loader's word on the light broker, which runs all the same
COMPLAINT = re.compile(r"\b(FATAL|PANIC|ERROR|error|guard):")
STAMP = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ][\d:.,]+( [A-Z]+)?\]? *(\[\d+\] *)?")


@frozen
class Program:
    """What to run, and where its lock and its log are: in `home`, whose path is part of the command.

    A preparation has a `then`: it is expected to end with status 0, upon which `then` is run.
    """

    title: str
    command: tuple[str, ...]
    home: Path
    stop_signal: signal.Signals = signal.SIGTERM
    environ: Mapping[str, str] = field(factory=dict)  # besides the few variables of ours that are passed on
    account: Account | None = None
    grace: float = 10.0
    then: Callable[[], None] | None = None

    @property
    def lock(self) -> Path:
        return self.home / LOCK

    @property
    def log(self) -> Path:
        return self.home / "server.log"


@define(eq=False)
class ServerProcess:
    """A program that runs, or ran. Used by one thread."""

    program: Program
    _guard: subprocess.Popen[bytes]
    _log_begin: int

    @classmethod
    def start(cls, program: Program) -> ServerProcess:
        """Start the program under a guard, in a session of its own, so that Ctrl-C reaches the platform only.

        Raises `OSError` where the home cannot be written or no process be started.
        """
        log = os.open(program.log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            guard.shorten_log(log)
            begin = os.fstat(log).st_size
            keeper = subprocess.Popen(  # noqa: S603
                guard.guarded(_spec(program)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=program.home,
                env={name: value for name, value in os.environ.items() if name in VARIABLES} | dict(program.environ),
                start_new_session=True,
            )
        finally:
            os.close(log)
        return cls(program, keeper, begin)

    @property
    def pid(self) -> int | None:
        """The server's process id once the guard has started it: an earlier run's server has ended by then."""
        with suppress(OSError, ValueError):
            keeper, server = map(int, self.program.lock.read_text().split())
            if keeper == self._guard.pid:
                return server
        return None

    @property
    def succeeded(self) -> bool:
        return self._guard.poll() == 0

    def ended(self) -> str | None:
        """Say how it ended, such as "ended with signal 9"; `None` while it runs."""
        status = self._guard.poll()
        if status is None:
            return None
        if status < 0:
            return f"lost its guard to signal {-status}"
        if status == guard.LOCKED_OUT:
            return "cannot start before an earlier one has ended"
        if status == guard.CANNOT_RUN:
            return "could not be run"
        return f"ended with signal {status - 128}" if status > 128 else f"ended with status {status}"  # noqa: PLR2004

    def failure(self, how: str) -> Transient:
        """Return the error that says what went wrong, with the last lines of the server's log."""
        lines = self.last_lines()
        said = f": {' | '.join(lines)}" if lines else ""
        return Transient("server_failed", f"{self.program.title} {how}{said}", remedy=f"its log is {self.program.log}")

    def last_lines(self) -> list[str]:
        """Return the last complaint that this run wrote to its log, two lines at most, without time stamps."""
        try:
            with self.program.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                begin = self._log_begin if self._log_begin <= size else 0
                log.seek(max(begin, size - 8_192))
                text = log.read().decode(errors="replace")
        except OSError:
            return []
        lines = [STAMP.sub("", line).strip()[:WIDTH] for line in text.splitlines()]
        lines = [line for line in lines if line and HARMLESS not in line]
        complaints = [index for index, line in enumerate(lines) if COMPLAINT.search(line)]
        return lines[complaints[-1] :][:2] if complaints else lines[-2:]

    def stop(self) -> None:
        """Stop in good order, by force after 3.2 s; returns within 4 s. Safe to call twice."""
        self._let_go()
        if not self._wait(ORDERLY):
            self._guard.terminate()  # the second request: the guard kills the server
        if not self._wait(FORCED):
            if server := self.pid:
                with suppress(ProcessLookupError):
                    os.kill(server, signal.SIGKILL)
            self._guard.kill()
            self._guard.wait()

    def _let_go(self) -> None:
        if self._guard.stdin is not None:
            with suppress(OSError):
                self._guard.stdin.close()

    def _wait(self, seconds: float) -> bool:
        try:
            self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def lock_is_held(path: Path) -> bool:
    """Tell whether a guard or a server, of this platform or an earlier one, still holds the lock."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _spec(program: Program) -> guard.Spec:
    account = program.account
    return guard.Spec(
        command=program.command,
        stop_signal=program.stop_signal,
        grace=program.grace,
        death_signal=program.stop_signal,
        lock=str(program.lock),
        mark=str(program.home),
        uid=account.uid if account else None,
        gid=account.gid if account else None,
    )
