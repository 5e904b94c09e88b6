"""A server as a child process that speaks over its standard streams, and that never outlives its session.

The SDK's own transport keeps nothing of what a server complains about, reads lines of any length, and takes 4.5 s for
a server that ignores the end of its input; it cannot be told otherwise.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.mcp.shown import shown_text

__all__ = ["ServerProcess"]

CHUNK = 64 * 1024
WORDS_KEPT = 20  # lines of what the server has said besides its messages
PATIENCE = 1.0  # seconds for a server to end when its input has ended
INSISTENCE = 0.5  # seconds more for it and its children when they were asked to by SIGTERM
MOURNING = 1.0  # seconds for the system to take a killed process down
GLANCE = 0.01  # seconds between looks at whether a process has ended

Incoming: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
Outgoing: TypeAlias = MemoryObjectReceiveStream[SessionMessage]
Received: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
Sent: TypeAlias = MemoryObjectSendStream[SessionMessage]


@define(eq=False)
class ServerProcess:
    """The process, in a session and process group of its own, so that Ctrl-C passes it by and a kill takes it whole.

    What it writes to its standard error, and whatever on its standard output is no message, is kept in `said`: the
    latest 20 lines, each cut to 300 characters, without secrets. A message of more than `limit` bytes ends the
    connection, and `too_large` tells why.
    """

    settings: McpSettings
    limit: int
    too_large: bool = field(default=False, init=False)
    said: deque[str] = field(factory=lambda: deque(maxlen=WORDS_KEPT), init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    @property
    def last_words(self) -> str:
        """How the process ended, if it has, and what it said last."""
        status = self._process.poll() if self._process else None
        end = "" if status is None else f"it exited with status {status}"
        if status is not None and status < 0:
            end = f"it was killed by {_signal_name(-status)}"
        said = f"it said: {self.said[-1]}" if self.said else ""
        return "; ".join(part for part in (end, said) if part)

    def kill(self) -> None:
        """Kill it with its children; from any thread."""
        if self._process is not None and self._process.poll() is None:
            _signal(self._process, signal.SIGKILL)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[Received, Sent]]:
        """Start the process and give the streams of its messages; it is gone, with its children, when this ends."""
        process = self._process = self._start()
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018  for the type checker
        incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        with process.stdin, process.stdout, process.stderr, incoming, received, sent, outgoing:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, process.stdout.fileno(), incoming)
                tasks.start_soon(self._write, process.stdin.fileno(), outgoing, incoming)
                tasks.start_soon(self._listen, process.stderr.fileno())
                try:
                    yield received, sent
                finally:
                    received.close()
                    sent.close()
                    with anyio.CancelScope(shield=True):
                        await _end(process)
                    tasks.cancel_scope.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        settings = self.settings
        assert settings.command is not None
        process = subprocess.Popen(  # noqa: S603  the command is the operator's own choice
            [settings.command, *settings.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=get_default_environment() | dict(settings.env),
            start_new_session=True,
        )
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe
            os.set_blocking(pipe.fileno(), False)
        return process

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


async def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process as the protocol has it: by the end of its input, else by SIGTERM, at last by SIGKILL."""
    assert process.stdin
    anyio.notify_closing(process.stdin)
    process.stdin.close()
    if not await _ended(process, PATIENCE):
        _signal(process, signal.SIGTERM)
        await _ended(process, INSISTENCE)
    _signal(process, signal.SIGKILL)  # whoever of its group is left, when itself has ended too
    await _ended(process, MOURNING)


async def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        while process.poll() is None:  # noqa: ASYNC110  nothing tells of a death of which pipes stay open
            await anyio.sleep(GLANCE)
    return process.poll() is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the whole group; its number is the process's own and stays taken while any member lives."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
