"""A server as a child process that speaks over its standard streams, and that never outlives its session.

The SDK's own transport keeps nothing of what a server complains about, reads lines of any length, and takes 4.5 s for
a server that ignores the end of its input; it cannot be told otherwise.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from typing import TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from dataplatform.base.mcp.child import GRACE, PATIENCE, Child
from dataplatform.base.mcp.last_words import telling_line
from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.net.shown import shown_text

__all__ = ["ServerProcess"]

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
