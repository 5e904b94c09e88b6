"""A TCP proxy between a platform and its servers that cuts, swallows, delays, dribbles and corrupts on command."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from attrs import define, evolve, frozen

__all__ = ["FAIR", "Proxy", "Weather"]

T = TypeVar("T")
HOST = "127.0.0.1"
CHUNK = 65_536
BACKLOG = 256  # chunks on their way in one direction
GRACE = 10.0  # seconds


@frozen
class Weather:
    """How bytes get through. Times in seconds.

    refuse: new connections are reset. swallow: bytes vanish, nobody is told, and the connections they belonged to are
    reset when they are next used in better weather. delay: each byte arrives so much later. piece: so many bytes at a
    time, 0 as they come. corrupt: the share of chunks from the server of which one byte is changed, in a place that
    `places` names; none where it names none.
    """

    refuse: bool = False
    swallow: bool = False
    delay: float = 0.0
    piece: int = 0
    corrupt: float = 0.0
    places: Callable[[bytes], Sequence[range]] = lambda data: [range(len(data))]


FAIR = Weather()


@define(eq=False)
class Link:
    """A connection through the proxy: both its halves, and whether bytes of it are missing."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    gap: bool = False

    def reset(self) -> None:
        for writer in self.writers:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as a firewall or a dead host's successor does, not with a polite FIN."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Chunks: TypeAlias = "asyncio.Queue[tuple[float, bytes]]"


class Proxy:
    """Listens on `port` and passes on to the loopback's `target`, which may be set later; runs on its own thread."""

    def __init__(self, target: int = 0, *, host: str = HOST, port: int = 0, seed: int = 0) -> None:
        self.target = target
        self.weather = FAIR
        self.connections = self.damaged = 0
        self._dice = random.Random(seed)
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, host, port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def set(self, **conditions: Any) -> None:
        """Change the weather in some respects: `set(delay=2.0)`; what is not named stays."""
        self.weather = evolve(self.weather, **conditions)

    def clear(self) -> None:
        self.weather = FAIR

    def cut(self) -> int:
        """Reset every connection that there is; return how many."""
        return self._do(self._cut())

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GRACE)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(GRACE)

    # On the loop

    async def _cut(self) -> int:
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.weather.refuse:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            _reset(writer)
            return
        link = Link((writer, far_writer))
        self._links.add(link)
        try:
            await self._carry(link, reader, far_reader)
        finally:
            self._links.discard(link)
            link.reset()

    async def _carry(self, link: Link, near: asyncio.StreamReader, far: asyncio.StreamReader) -> None:
        """Pass bytes on in both directions until one of the ends is gone."""
        queues: tuple[Chunks, Chunks] = asyncio.Queue(BACKLOG), asyncio.Queue(BACKLOG)
        tasks = [
            asyncio.create_task(self._take(link, near, queues[0], harm=False)),
            asyncio.create_task(self._give(queues[0], link.writers[1])),
            asyncio.create_task(self._take(link, far, queues[1], harm=True)),
            asyncio.create_task(self._give(queues[1], link.writers[0])),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, link: Link, reader: asyncio.StreamReader, queue: Chunks, *, harm: bool) -> None:
        while data := await reader.read(CHUNK):
            if self.weather.swallow:
                link.gap = True
            elif link.gap:
                return
            else:
                await queue.put((time.monotonic() + self.weather.delay, self._harmed(data) if harm else data))

    async def _give(self, queue: Chunks, writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            piece = self.weather.piece or len(data)
            for begin in range(0, len(data), piece):
                writer.write(data[begin : begin + piece])
                await writer.drain()
                if self.weather.piece:
                    await asyncio.sleep(0)  # a packet each

    def _harmed(self, data: bytes) -> bytes:
        if not self.weather.corrupt or self._dice.random() >= self.weather.corrupt:
            return data
        places = self.weather.places(data)
        if not places:
            return data
        self.damaged += 1
        place = self._dice.choice(self._dice.choice(places))
        return data[:place] + bytes([data[place] ^ (1 << self._dice.randrange(8))]) + data[place + 1 :]
