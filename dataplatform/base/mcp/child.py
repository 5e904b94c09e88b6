"""A child process under a guard: how it began and ended, and an end that comes however ours does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import define, field

from dataplatform.base import guard

__all__ = ["Child"]

PATIENCE = 1.0  # seconds for a child to end when its input has ended
GRACE = 0.5  # seconds more for it and its group when they were asked to by SIGTERM


@define(eq=False)
class Child:
    """A child process in a session of its own, so that Ctrl-C passes it by; may be used from any thread.

    Its standard streams are pipes to it alone. When `let_go` is called, or the platform ends in whichever way, its
    guard ends it with all that it has started: within 1.5 s, unless the guard is killed as well.

    `pid` is None until it runs, `failed` is the error of a program that cannot be run, and `status` is None until it
    has ended, then its exit status, negative for a signal.
    """

    _guard: subprocess.Popen[bytes]
    lifeline: socket.socket  # readable when there is something to hear
    pid: int | None = field(default=None, init=False)
    failed: OSError | None = field(default=None, init=False)
    status: int | None = field(default=None, init=False)
    _heard: bytes = field(default=b"", init=False)
    _hearing: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    def start(cls, command: Sequence[str], environ: Mapping[str, str]) -> Child:
        """Start the child with exactly these variables; whether the program can be run is heard later.

        Raises `OSError` where no process can be started.
        """
        ours, guards = socket.socketpair()
        spec = guard.Spec(
            command=tuple(command),
            stop_signal=signal.SIGTERM,
            grace=GRACE,
            death_signal=signal.SIGKILL,
            lifeline=guards.fileno(),
            patience=PATIENCE,
            group=True,
        )
        with guards:
            try:
                keeper = subprocess.Popen(  # noqa: S603  the command is the operator's own choice
                    guard.guarded(spec),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    env=environ,
                    pass_fds=[guards.fileno()],
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        return cls(keeper, ours)

    @property
    def streams(self) -> tuple[int, int, int]:
        """The descriptors of its standard input, output and error."""
        keeper = self._guard
        assert keeper.stdin and keeper.stdout and keeper.stderr  # noqa: PT018  for the type checker
        return keeper.stdin.fileno(), keeper.stdout.fileno(), keeper.stderr.fileno()

    @property
    def started(self) -> bool:
        """Whether it has begun to run, or failed to."""
        self._hear()
        return self.pid is not None or self.failed is not None or self.status is not None

    @property
    def ended(self) -> bool:
        self._hear()
        return self.status is not None or self.failed is not None

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left of it, nor of what it has started."""
        return self._guard.poll() is not None

    def close_input(self) -> None:
        assert self._guard.stdin
        self._guard.stdin.close()

    def let_go(self) -> None:
        """Have the guard end it: by the end of its input, which is the caller's to close, SIGTERM, at last SIGKILL."""
        with suppress(OSError):
            self.lifeline.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill it with its group, and have the guard end what it has started elsewhere."""
        self.let_go()
        if not self.ended:
            self._kill_group()

    def close(self) -> None:
        """Close the streams, and collect the guard when it has ended; the child has been let go or has ended."""
        self.let_go()
        for stream in (self._guard.stdin, self._guard.stdout, self._guard.stderr):
            assert stream
            stream.close()
        if not self.is_gone:
            threading.Thread(target=self._guard.wait, name="guard", daemon=True).start()
        self.lifeline.close()

    def _hear(self) -> None:
        """Take what the guard has told by now."""
        with self._hearing:
            if self.lifeline.fileno() < 0:
                return
            told, over = _received(self.lifeline)
            *lines, self._heard = (self._heard + told).split(b"\n")
            for line in lines:
                self._learn(*line.decode().split())
            if over and self.status is None and self.failed is None:
                self.status = self._guard.wait()  # the guard has ended first: somebody has killed it
                self._kill_group()

    def _learn(self, what: str, number: str) -> None:
        match what:
            case "started":
                self.pid = int(number)
            case "failed":
                self.failed = OSError(int(number), os.strerror(int(number)))
            case "ended":
                self.status = int(number)

    def _kill_group(self) -> None:
        if self.pid is not None:
            with suppress(OSError):  # nobody of it is left, or it is another user's by now
                os.killpg(self.pid, signal.SIGKILL)


def _received(lifeline: socket.socket) -> tuple[bytes, bool]:
    """Return what there is to read, and whether that was all there will be."""
    told = b""
    while True:
        try:
            part = lifeline.recv(1024)
        except BlockingIOError:
            return told, False
        except OSError:
            return told, True
        if not part:
            return told, True
        told += part
