"""An application served over a Unix socket: what silent, slow and many clients may do, and how it ends."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest
from attrs import field, frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from dataplatform.base.net.serving import AsgiServer, Limits, listen
from dataplatform.errors import Permanent, PlatformError
from tests.support.waiting import DEADLINE, until

IDLE = 0.2
MANY = 100_000_000  # bytes, more than any socket holds
SLOWLY = 5 * IDLE


async def at_once(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def slowly(request: Request) -> Response:
    del request
    await asyncio.sleep(SLOWLY)
    return PlainTextResponse("at last")


async def much(request: Request) -> Response:
    del request
    return PlainTextResponse("x" * MANY)


async def for_ever(request: Request) -> Response:
    del request

    async def events() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.Event().wait()

    return StreamingResponse(events())


async def who(request: Request) -> Response:
    return PlainTextResponse(request.client.host if request.client else "?")


PATHS = {"/": at_once, "/who": who, "/slowly": slowly, "/much": much, "/for-ever": for_ever}


@frozen
class Served:
    """A server at work, and who was sent away."""

    place: str
    server: AsgiServer
    thread: threading.Thread
    refused: list[PlatformError] = field(factory=list)

    @contextmanager
    def asking(self, sent: bytes) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(self.place)
            with suppress(BrokenPipeError):
                client.sendall(sent)
            yield client


@contextmanager
def serving(
    folder: Path,
    connections: int = 10,
    refusal: PlatformError | None = None,
    *,
    per_address: int = 10,
    listener: socket.socket | None = None,
) -> Iterator[Served]:
    app = Starlette(routes=[Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in PATHS.items()])
    refused: list[PlatformError] = []
    limits = Limits(
        connections=connections,
        per_address=per_address,
        arrival=IDLE,
        idle=IDLE,
        refusal=lambda _: refusal,
        refused=refused.append,
        body=lambda error: json.dumps({"code": error.code}).encode(),
    )
    server = AsgiServer(app, limits)
    if listener is None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "socket"))
        listener.listen()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(listener)), daemon=True)
    thread.start()
    try:
        yield Served(str(folder / "socket"), server, thread, refused)
    finally:
        server.close()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def answer(client: socket.socket) -> tuple[int, bytes]:
    response = HTTPResponse(client)
    response.begin()
    return response.status, response.read()


def hung_up(client: socket.socket) -> bool:
    """Read what still comes, until the other side has hung up."""
    with suppress(ConnectionResetError):
        while client.recv(1_000_000):
            pass
    return True


def test_one_connection_asks_several_things(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.asking(get("/")) as client:
        assert answer(client) == (200, b"0 bytes")
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
        assert answer(client) == (200, b"3 bytes")


POST = b"POST / HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET", POST, POST + b"content-length: 9\r\n\r\nab"])
def test_a_request_that_does_not_come_whole_is_not_waited_for(tmp_path: Path, begun: bytes) -> None:
    with serving(tmp_path) as served, served.asking(begun) as client:
        assert hung_up(client)


def test_a_client_that_sends_a_byte_now_and_then_gains_no_time_by_it(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.asking(b"GET / HTTP/1.1\r\nx: ") as client:
        client.settimeout(IDLE / 10)
        for _ in range(int(DEADLINE / (IDLE / 10))):
            try:
                client.sendall(b"a")
                if client.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return
    pytest.fail("it was waited for as long as it trickled")


def test_a_client_that_does_not_read_its_answer_is_hung_up_on(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.asking(get("/much")) as client:
        connections = served.server._uvicorn.server_state.connections
        until(lambda: connections, "it is connected")
        until(lambda: not connections, "it is hung up on")
        assert hung_up(client)


def test_an_answer_that_takes_its_time_is_waited_for_and_one_that_is_large_arrives_whole(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        with served.asking(get("/slowly")) as client:
            assert answer(client) == (200, b"at last")
        with served.asking(get("/much")) as client:
            status, body = answer(client)
            assert (status, len(body)) == (200, MANY)


def test_a_client_too_many_and_one_that_is_none_of_ours_are_told_so(tmp_path: Path) -> None:
    with serving(tmp_path, connections=1) as served:
        with served.asking(get("/for-ever")) as first:
            assert first.recv(1) == b"H"
            with served.asking(b"") as second:
                assert answer(second) == (503, b'{"code": "busy"}')
        assert [error.code for error in served.refused] == ["busy"]
    (tmp_path / "socket").unlink()
    with serving(tmp_path, refusal=Permanent("not_yours", "no")) as served, served.asking(get("/")) as client:
        assert answer(client) == (403, b'{"code": "not_yours"}')


def test_half_sent_requests_of_one_address_leave_room_for_others_and_are_hung_up_on(tmp_path: Path) -> None:
    """A thousand of them once took all descriptors of the process, and so stopped the whole platform."""
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    with serving(tmp_path, connections=40, per_address=20, listener=listener) as served, ExitStack() as opened:
        flood = [opened.enter_context(socket.create_connection(address, DEADLINE)) for _ in range(60)]
        for one in flood:
            with suppress(OSError):
                one.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        with socket.create_connection(address, DEADLINE, ("127.0.0.2", 0)) as other:
            other.sendall(get("/"))
            assert answer(other) == (200, b"0 bytes")
        assert len(served.server._uvicorn.server_state.connections) <= 20 + 1
        assert all(map(hung_up, flood))
    assert {error.code for error in served.refused} == {"busy"}
    assert len(served.refused) >= 40
    assert "from this address" in served.refused[0].message


def test_who_asks_cannot_say_that_he_is_somebody_else(tmp_path: Path) -> None:
    listener = listen("127.0.0.1", 0)
    with serving(tmp_path, listener=listener), socket.create_connection(listener.getsockname(), DEADLINE) as client:
        client.sendall(b"GET /who HTTP/1.1\r\nhost: x\r\nx-forwarded-for: \x1b[31m9.9.9.9\r\n\r\n")
        status, body = answer(client)
        assert (status, body) in ((200, b"127.0.0.1"), (400, b'{"code": "bad_request"}'))
    with (
        serving(tmp_path, listener=(listener := listen("127.0.0.1", 0))),
        socket.create_connection(listener.getsockname(), DEADLINE) as client,
    ):
        client.sendall(b"GET /who HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 9.9.9.9\r\n\r\n")
        assert answer(client) == (200, b"127.0.0.1")


def test_the_descriptors_are_raised_and_some_are_kept_from_clients() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 700));"
        "from dataplatform.base.net.descriptors import descriptors, left_to_clients;"
        "print(descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], left_to_clients(1000), left_to_clients(9))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["700", "700", "222", "9"]


def test_noise_is_told_that_it_is_no_request(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.asking(b"\x00\xff\r\n\r\n") as client:
        assert answer(client) == (400, b'{"code": "bad_request"}')


def test_it_ends_whatever_clients_wait_for(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as served,
        served.asking(get("/for-ever")) as listening,
        served.asking(get("/much")) as deaf,
        served.asking(b"GET") as silent,
    ):
        assert listening.recv(1) == b"H"
        served.server.close()
        served.thread.join(DEADLINE)
        assert not served.thread.is_alive()
        assert all(map(hung_up, (listening, deaf, silent)))


def test_a_port_that_is_taken_is_not_listened_on_twice() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", first.getsockname()[1])
