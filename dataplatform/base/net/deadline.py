"""Connections that are open by a deadline, however long a name server or one of several addresses keeps silent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from attrs import define, field, frozen

__all__ = ["Deadline", "SlowNameError", "open_connection"]

Lookup = Callable[[str, int], list[Any]]


class SlowNameError(TimeoutError):
    """A name was not resolved in time."""


@frozen
class Deadline:
    """A time that several waits share, none of which may take longer than `step` seconds."""

    due: float
    step: float

    @classmethod
    def after(cls, seconds: float, step: float) -> Deadline:
        return cls(time.monotonic() + seconds, step)

    @property
    def has_passed(self) -> bool:
        return time.monotonic() >= self.due

    def left(self) -> float:
        """Return how many seconds the next wait may take; raises `TimeoutError` when no time is left."""
        left = self.due - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("no time is left")
        return min(self.step, left)


@define(eq=False)
class Resolver:
    """Looks names up, each on a thread of its own, as nothing can interrupt that.

    Who asks for a name that is being looked up waits for the same answer: a silent name server costs one thread a name.
    """

    _look_up: Lookup
    _under_way: dict[tuple[str, int], Future[list[Any]]] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock)

    def resolve(self, host: str, port: int, seconds: float) -> list[Any]:
        """Return the addresses as `getaddrinfo` does; raises `SlowNameError` when that takes longer."""
        with self._lock:
            found = self._under_way.get((host, port))
            if found is None:
                found = self._under_way[host, port] = Future()
                threading.Thread(target=self._run, args=(host, port, found), name="resolver", daemon=True).start()
        try:
            return found.result(seconds)
        except TimeoutError as error:
            raise SlowNameError(f"{host} was not resolved in {seconds:.1f} s") from error

    def _run(self, host: str, port: int, found: Future[list[Any]]) -> None:
        try:
            addresses, failure = self._look_up(host, port), None
        except Exception as error:  # noqa: BLE001  raised again in the threads that wait
            addresses, failure = [], error
        with self._lock:
            del self._under_way[host, port]
        if failure is None:
            found.set_result(addresses)
        else:
            found.set_exception(failure)


def _stream_addresses(host: str, port: int) -> list[Any]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


RESOLVER = Resolver(_stream_addresses)


def open_connection(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Return a connection to the first of a name's addresses that takes one; raises `OSError` as the last of them does.

    It is `socket.gaierror` where the name is not known, and `TimeoutError` when the time is over.
    """
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in RESOLVER.resolve(host, port, deadline.left()):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.left())
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure
