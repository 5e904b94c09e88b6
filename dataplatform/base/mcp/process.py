"""A server as a child process that speaks over its standard streams, and never outlives its session.

A child process under a guard: how it began and ended, and an end that comes however ours does. Which of the lines that
a dying program has written tells what went wrong.

The SDK's own transport keeps nothing of what a server complains about, reads lines of any length, and takes 4.5 s for a
server that ignores the end of its input; it cannot be told otherwise.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from typing import TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from dataplatform.base import guard
from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.net.shown import shown_text

__all__ = ["Child", "ServerProcess", "telling_line"]

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


EXCEPTION = re.compile(r"(?:Uncaught )?(?:[\w.]+(?:Error|Exception|Rejection)|Error)(?: \[\w+\])?: .|panic: |FATAL")
NPM = re.compile(r"npm (?:error|ERR!) (?!(?:code|errno|syscall|path|dest|A complete log)\b)\S")
NOISE = re.compile(
    r"Node\.js v\d|npm (?:notice|warn)|npm (?:error|ERR!)(?: A complete log.*)?$|at |\W*$"  # a stack, a closing brace
    r"|\.\.\. \d+ lines|(?:code|errno|syscall): "
)


def telling_line(lines: Sequence[str]) -> str:
    """Return the last line that names an exception, npm's own reason, or else the last that is no noise.

    >>> telling_line(["app.js:3", "Error: no API key", "at run (app.js:3:7)", "", "Node.js v20.20.2"])
    'Error: no API key'
    >>> telling_line(["npm error code E404", "npm error 404 Not Found", "npm error A complete log of this run is in x"])
    'npm error 404 Not Found'
    """
    exceptions = [line for line in lines if EXCEPTION.match(line)]
    if exceptions:
        return exceptions[-1]
    reasons = [line for line in lines if NPM.match(line)]
    if reasons:
        return reasons[0]
    plain = [line for line in lines if not NOISE.match(line)]
    return (plain or list(lines) or [""])[-1]


CHUNK = 64 * 1024
WORDS_KEPT = 60  # lines of what the server has said besides its messages; an exception with a cause takes 30
MOURNING = 1.0  # seconds for the system to take a killed process down
LEAVING = 0.2  # seconds for a guard to end after its child
GLANCE = 0.01  # seconds between looks at whether a process has ended

Incoming: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
Outgoing: TypeAlias = MemoryObjectReceiveStream[SessionMessage]
Received: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
Sent: TypeAlias = MemoryObjectSendStream[SessionMessage]


@define(eq=False)
class ServerProcess:
    """The process and what it says.

    What it writes to its standard error, and whatever on its standard output is no message, is kept in `said`: the
    latest 60 lines, each cut to 300 characters, without secrets. A message of more than `limit` bytes ends the
    connection, and `too_large` tells why.
    """

    settings: McpSettings
    limit: int
    too_large: bool = field(default=False, init=False)
    said: deque[str] = field(factory=lambda: deque(maxlen=WORDS_KEPT), init=False)
    _child: Child | None = field(default=None, init=False)

    @property
    def ended(self) -> bool:
        return self._child is not None and self._child.ended

    @property
    def last_words(self) -> str:
        """How the process ended, if it has, and what it said of the reason."""
        status = self._child.status if self._child and self._child.ended else None
        end = "" if status is None else f"it exited with status {status}"
        if status is not None and status < 0:
            end = f"it was killed by {_signal_name(-status)}"
        said = f"it said: {line}" if (line := telling_line(list(self.said))) else ""
        return "; ".join(part for part in (end, said) if part)

    def kill(self) -> None:
        """Kill it with its children; from any thread."""
        if self._child is not None:
            self._child.kill()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[Received, Sent]]:
        """Start the process and give the streams of its messages; it is gone, with its children, when this ends.

        Raises `OSError` for a program that cannot be run.
        """
        assert self.settings.command is not None
        environ = get_default_environment() | dict(self.settings.env)
        child = self._child = Child.start([self.settings.command, *self.settings.args], environ)
        for pipe in child.streams:
            os.set_blocking(pipe, False)
        writing, reading, complaining = child.streams
        incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        with closing(child), incoming, received, sent, outgoing:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, reading, incoming)
                tasks.start_soon(self._write, writing, outgoing, incoming)
                tasks.start_soon(self._listen, complaining)
                try:
                    await _begun(child)
                    yield received, sent
                finally:
                    received.close()
                    sent.close()
                    with anyio.CancelScope(shield=True):
                        await _end(child)
                    tasks.cancel_scope.cancel()

    async def _read(self, pipe: int, incoming: Incoming) -> None:
        """Deliver its messages; the end of `incoming` tells the session that there will be no more."""
        line = bytearray()
        with incoming:
            while chunk := await _some(pipe):
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    await self._deliver(bytes(line + end), incoming)
                    line.clear()
                line += rest
                if len(line) > self.limit:
                    self.too_large = True
                    return

    async def _deliver(self, line: bytes, incoming: Incoming) -> None:
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            self._note(line)
            return
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the session has gone
            await incoming.send(SessionMessage(message))

    async def _write(self, pipe: int, outgoing: Outgoing, incoming: Incoming) -> None:
        with suppress(OSError, anyio.ClosedResourceError):  # its input was closed, by it or by us
            async for sent in outgoing:
                line = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                await _send(pipe, line.encode() + b"\n")
            return
        incoming.close()  # it reads no more, so it will not answer either

    async def _listen(self, pipe: int) -> None:
        """Take what it writes to its standard error, so that neither our terminal is garbled nor its pipe is full."""
        line = b""
        while chunk := await _some(pipe):
            *whole, line = (line + chunk).split(b"\n")
            for said in whole:
                self._note(said)
            line = line[:CHUNK]
        self._note(line)

    def _note(self, line: bytes) -> None:
        if text := shown_text(line[:CHUNK].decode(errors="replace"), self.settings.secrets):
            self.said.append(text)


async def _some(pipe: int) -> bytes:
    """Return what there is to read, once there is something; nothing when that was all."""
    while True:
        await anyio.wait_readable(pipe)
        with suppress(BlockingIOError):
            return os.read(pipe, CHUNK)


async def _send(pipe: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        await anyio.wait_writable(pipe)
        with suppress(BlockingIOError):
            left = left[os.write(pipe, left) :]


async def _begun(child: Child) -> None:
    """Wait until the child runs; raise the `OSError` of a program that cannot be run."""
    while not child.started:
        await anyio.wait_readable(child.lifeline)
    if child.failed is not None:
        raise child.failed


async def _end(child: Child) -> None:
    """Close the child's input and have its guard end it; lend a hand where that takes too long."""
    anyio.notify_closing(child.streams[0])
    child.close_input()
    child.let_go()
    if not await _until(lambda: child.ended, PATIENCE + GRACE + MOURNING):
        child.kill()
        await _until(lambda: child.ended, MOURNING)
    await _until(lambda: child.is_gone, LEAVING)


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110  the guard tells of deaths in its own words, and of its own not at all
            await anyio.sleep(GLANCE)
    return condition()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
