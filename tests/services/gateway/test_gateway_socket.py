"""The control socket of a running platform: its owner is answered, nobody else, and no client can harm it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import ExitStack, closing, suppress
from http.client import HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attrs import frozen
from click.testing import CliRunner

from dataplatform.base.agent import Request, State
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.operations import operations as ops
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Success, get_data, get_error
from dataplatform.services.gateway import app
from dataplatform.services.gateway import service as module
from dataplatform.services.gateway.client import RemotePlatform
from dataplatform.services.gateway.operations import operations
from dataplatform.services.gateway.place import NAME, connect, listen, peer_of
from dataplatform.services.gateway.requests import GetPlatformInfo, RestartAgent, RunQuery, TailTopic
from dataplatform.services.gateway.status import GetDeadLetters, GetLag, Lag, ListSources
from dataplatform.services.service import Phase
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.platform.platform import Platform
from tests.support.agents import DEADLINE, no_thread_left_behind
from tests.support.waiting import until
from tests.system.control.small import SMALL, small_platform


def fail(remote: RemotePlatform, request: Request[Any], agent: str = "") -> PlatformError:
    error = get_error(remote.ask(agent, request, DEADLINE))
    assert error is not None
    return error


@frozen
class Response:
    status: int
    content: bytes


def request_for(method: str, path: str, body: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def response_from(client: socket.socket) -> Response:
    response = HTTPResponse(client)
    response.begin()
    return Response(response.status, response.read())


def state_of(platform: Platform, name: str) -> State:
    status = platform.address(name).status()
    assert status is not None
    return status.state


# What is answered


def test_the_status_is_the_one_that_the_platform_has(platform: Platform, remote: RemotePlatform) -> None:
    ours, theirs = platform.status(), remote.status()
    assert theirs.phase is Phase.RUNNING
    assert [agent.name for agent in theirs.agents] == [agent.name for agent in ours.agents]
    assert [agent.state for agent in theirs.agents] == [agent.state for agent in ours.agents]
    assert "control" in {agent.name for agent in theirs.agents}


def test_the_info_says_who_is_there_and_where(platform: Platform, remote: RemotePlatform) -> None:
    info = remote.info()
    assert (info.pid, info.data_dir, info.demo) == (os.getpid(), str(platform.data.path), False)
    assert (info.sources, info.targets) == (("coingecko",), ())


def test_an_agent_is_asked_through_the_proxy_that_a_script_has(platform: Platform, remote: RemotePlatform) -> None:
    proxy = remote["coingecko"]
    assert type(proxy) is type(platform["coingecko"])
    ours = platform["coingecko"].get_current_prices([]).get(timeout=DEADLINE)
    assert proxy.get_current_prices([]).get(timeout=DEADLINE) == ours
    assert get_data(proxy.get_status().get(timeout=DEADLINE)).name == "coingecko"


def test_an_agent_that_is_not_there_is_an_error_with_a_suggestion(remote: RemotePlatform) -> None:
    with pytest.raises(KeyError, match="did you mean 'coingecko'"):
        remote["coingeko"]


def test_a_source_is_paused_and_resumed(platform: Platform, remote: RemotePlatform) -> None:
    assert remote.ask("coingecko", Pause(), DEADLINE) == Success(None)
    assert state_of(platform, "coingecko") is State.PAUSED
    assert remote.ask("coingecko", Resume(), DEADLINE) == Success(None)
    assert state_of(platform, "coingecko") is State.RUNNING


def test_an_agent_is_restarted_as_often_as_one_likes_and_that_is_no_crash(
    platform: Platform, remote: RemotePlatform
) -> None:
    before = platform.address("coingecko").status()
    assert before is not None
    for _ in range(8):  # more than there may be crashes
        assert remote.ask("", RestartAgent("coingecko"), DEADLINE) == Success(None)
    after = platform.address("coingecko").status()
    assert after is not None
    assert (after.restarts, after.state, after.last_error) == (before.restarts + 8, State.RUNNING, before.last_error)
    assert platform.reason is None


@pytest.mark.parametrize(
    ("agent", "request_", "code", "said"),
    [
        ("coingeko", Pause(), "not_found", "did you mean 'coingecko'"),
        ("bookkeeper", Pause(), "unsupported", "the sources are coingecko"),
        ("", RestartAgent("nobody"), "not_found", "there are"),
        ("", RestartAgent("supervisor"), "unsupported", "supervisor is not restarted: it restarts the others"),
        ("", RestartAgent("control"), "unsupported", "control is not restarted: requests come by it"),
        ("nosuch", Resume(), "not_found", "no source is called 'nosuch'; there are coingecko"),
        ("", TailTopic("crypto-prices"), "not_found", "no broker"),
        ("", RunQuery("select 1"), "not_found", "no database"),
        ("", Pause(), "unsupported", "the platform does not take Pause"),
        ("bookkeeper", ops.GetCurrentPrice("bitcoin"), "unsupported", "the sources are coingecko"),
        ("coingecko", ops.Flush(), "unsupported", "the targets are none"),
        ("coingecko", GetPlatformInfo(), "unsupported", "does not take GetPlatformInfo"),
        ("nobody", ops.Flush(), "not_found", "there are"),
    ],
)
def test_what_cannot_be_done_is_said_and_harms_nobody(
    platform: Platform, remote: RemotePlatform, agent: str, request_: Request[Any], code: str, said: str
) -> None:
    restarts = {one.name: one.restarts for one in platform.status().agents}
    error = fail(remote, request_, agent)
    assert error.code == code
    assert said in str(error)
    assert {one.name: one.restarts for one in platform.status().agents} == restarts


# Whoever else speaks HTTP


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_answered_what_the_command_prints(platform: Platform) -> None:
    curl = str(shutil.which("curl"))
    place = str(platform.data.path / NAME)
    command = [curl, "--silent", "--show-error", "--fail", "--unix-socket", place, "http://localhost/status"]
    answered = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout
    printed = CliRunner().invoke(main, ["status", "--json", "--data-dir", str(platform.data.path)]).stdout
    ours, theirs = json.loads(answered), json.loads(printed)
    for one in (ours, theirs):
        one["uptime_s"] = one["agents"] = None  # which go on meanwhile
    assert list(json.loads(answered)) == list(json.loads(printed))
    assert ours == theirs


def test_the_platforms_own_looks_are_answered(platform: Platform, remote: RemotePlatform) -> None:
    places = get_data(remote.ask("", ListSources(), DEADLINE))
    assert [(one.name, one.targets) for one in places.sources] == [("coingecko", ())]
    assert get_data(remote.ask("", GetLag(), DEADLINE)) == Lag(0, 0, (), ())
    assert get_data(remote.ask("", GetDeadLetters(), DEADLINE)).total == 0


def test_every_operation_can_be_found_with_its_arguments(platform: Platform) -> None:
    with connect(platform.data.path, DEADLINE) as client:
        client.sendall(request_for("GET", "/operations"))
        listed = json.loads(response_from(client).content)["operations"]
    assert [one["name"] for one in listed] == list(operations())
    schema = next(one for one in listed if one["name"] == "get_price_history")["arguments"]
    jsonschema.validate({"source": "coingecko", "coinId": "bitcoin", "days": 7}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"source": "coingecko", "coinId": "bitcoin", "days": "seven"}, schema)


# Clients


def test_the_socket_is_for_its_owner_only(platform: Platform) -> None:
    mode = (platform.data.path / NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell who is at the other end")
def test_another_user_is_refused_even_where_the_files_would_let_him_in(platform: Platform) -> None:
    folder = Path(tempfile.mkdtemp(prefix="dp-", dir="/tmp"))
    program = """
        import os, socket, sys
        os.setgid(65534); os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.connect(sys.argv[1])
            print(theirs.recv(1000), theirs.recv(1000))
    """
    try:
        folder.chmod(0o755)
        with small_platform(folder / "data"):
            (folder / "data").chmod(0o755)
            (folder / "data" / NAME).chmod(0o666)
            other = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(program), str(folder / "data" / NAME)],
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=True,
            )
    finally:
        shutil.rmtree(folder)
    assert "not_yours" in other.stdout
    assert "user 65534 asks" in other.stdout


def test_a_platform_of_another_user_is_not_spoken_to(remote: RemotePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplatform.services.gateway.place.peer_of", lambda _: (1, os.geteuid() + 1))
    error = fail(remote, GetPlatformInfo())
    assert error.code == "not_yours"
    assert "sudo" in error.remedy


def test_many_clients_are_answered_at_once(remote: RemotePlatform) -> None:
    answers = [remote["coingecko"].get_status() for _ in range(20)]
    assert {get_data(answer.get(timeout=DEADLINE)).name for answer in answers} == {"coingecko"}


def test_a_client_too_many_is_told_so_and_the_next_is_answered_when_one_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 2)
    with small_platform(tmp_path):
        remote = RemotePlatform(tmp_path)
        with ExitStack() as others:
            for _ in range(2):
                held = others.enter_context(connect(tmp_path, DEADLINE))
                held.sendall(request_for("GET", "/status"))
                assert response_from(held).status == 200
            error = fail(remote, GetPlatformInfo())
            assert isinstance(error, Transient)
            assert (error.code, error.retry_after) == ("busy", 1.0)
        eventually_answers(remote)


def eventually_answers(remote: RemotePlatform) -> None:
    """Ask until there is room: the server notices in its own time that others have left."""
    for _ in range(1_000):
        if isinstance(remote.ask("", GetPlatformInfo(), DEADLINE), Success):
            return
    raise AssertionError("the others' places were not given back")


MALFORMED = [
    b"\xff" * 100,
    b"\x00\x00\x00\x02ab",
    b"\x00",
    b"GET /status\r\n\r\n",
    b"POST /operations/pause HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    b"POST /operations/pause HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /status HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 100_000,
    b"GET /status HTTP/1.1\r\nhost : x\r\n\r\n",
]
REFUSED = [
    ("GET", "/", b"", 404, "not_found"),
    ("GET", "/../../etc/passwd", b"", 404, "not_found"),
    ("DELETE", "/status", b"", 405, "method"),
    ("GET", "/operations/pause", b"", 405, "method"),
    ("POST", "/operations/paus", b"{}", 404, "not_found"),
    ("POST", "/operations/pause", b"{", 400, "bad_request"),
    ("POST", "/operations/pause", b"\xff\xfe", 400, "bad_request"),
    ("POST", "/operations/pause", b"[" * 100_000, 400, "bad_request"),
    ("POST", "/operations/pause", b"[]", 400, "bad_argument"),
    ("POST", "/operations/pause", b"{}", 400, "bad_argument"),
    ("POST", "/operations/pause", b'{"source": 7}', 400, "bad_argument"),
    ("POST", "/operations/pause", b'{"source": "coingecko", "x": 1}', 400, "bad_argument"),
    ("POST", "/operations/pause", b'{"source": "nobody"}', 404, "not_found"),
    ("POST", "/operations/pause", b'{"source": "coingecko", "timeout": 0}', 400, "bad_argument"),
    ("POST", "/operations/pause", b'{"source": "coingecko", "timeout": 1e9}', 400, "bad_argument"),
    ("POST", "/operations/tail", b'{"topic": "t", "most": 1000000000}', 400, "bad_argument"),
    ("POST", "/operations/flush", b'{"target": "coingecko"}', 422, "unsupported"),
]


def test_three_hundred_malformed_requests_harm_nothing(platform: Platform, remote: RemotePlatform) -> None:
    before = {one.name: (one.restarts, one.state) for one in platform.status().agents}
    hung_up = 0
    for number in range(300):
        noise = MALFORMED[number % len(MALFORMED)]
        with connect(remote.data_dir, DEADLINE) as client:
            with suppress(BrokenPipeError, ConnectionResetError):  # it has hung up on the first of it
                client.sendall(noise)
                client.shutdown(socket.SHUT_WR)
            try:
                response = response_from(client)
            except (RemoteDisconnected, ConnectionResetError):  # it has waited for the rest, and got none
                hung_up += 1
                continue
        assert response.status == 400, noise
        assert json.loads(response.content)["error"]["code"] == "bad_request"
    assert hung_up < 150  # most are told why
    assert {one.name: (one.restarts, one.state) for one in platform.status().agents} == before
    assert remote.info().sources == ("coingecko",)


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
def test_what_cannot_be_answered_is_an_error_in_json_and_the_connection_goes_on(
    platform: Platform, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    with connect(platform.data.path, DEADLINE) as client:
        for _ in range(2):
            client.sendall(request_for(method, path, body))
            response = response_from(client)
            error = json.loads(response.content)["error"]
            assert (response.status, error["code"]) == (status, code), error
            assert set(error) >= {"code", "message", "remedy"}


def test_a_body_that_is_too_large_is_refused_before_it_has_come(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MOST_BYTES", 1_000)
    with connect(platform.data.path, DEADLINE) as client:
        client.sendall(b"POST /operations/sql HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n" + b"x" * 5_000)
        response = response_from(client)
    assert (response.status, json.loads(response.content)["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "begun", [b"", b"GET /sta", b"POST /operations/sql HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
)
def test_a_client_that_keeps_the_door_waiting_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(module, "IDLE", 0.05)
    with small_platform(tmp_path), connect(tmp_path, DEADLINE) as client:
        client.sendall(begun)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_requests_that_take_their_time_are_no_more_than_there_are_places_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MOST_ASKED", 1)
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        slow = parse_topology(SMALL.replace("127.0.0.1:9", f"127.0.0.1:{mute.getsockname()[1]}"))
        with Platform.start(slow, data_dir=tmp_path), connect(tmp_path, DEADLINE) as client:
            body = b'{"source": "coingecko", "coinId": "bitcoin", "timeout": 60}'
            client.sendall(request_for("POST", "/operations/get_current_price", body))
            mute.settimeout(DEADLINE)
            asked, _ = mute.accept()  # so the first request has its place
            remote = RemotePlatform(tmp_path)
            error = fail(remote, Pause(), "coingecko")
            assert error == Transient("busy", "1 requests are under way", retry_after=1.0)
            assert remote.status_as_json()["phase"] == "running"
            asked.close()
            assert response_from(client).status >= 400
            assert remote.ask("coingecko", Pause(), DEADLINE) == Success(None)


def test_a_request_that_is_answered_late_is_a_timeout_for_its_asker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplatform.services.gateway.client.GRACE", 0.01)
    with closing(listen(tmp_path)):  # takes the connection, and never says a word
        answer = RemotePlatform(tmp_path).ask("", GetPlatformInfo(), 0.01)
    error = get_error(answer)
    assert error is not None
    assert error.code == "timeout"


# Where there is none


def test_where_no_platform_runs_it_is_said_where_was_looked_and_how_to_start_one(tmp_path: Path) -> None:
    error = fail(RemotePlatform(tmp_path / "nowhere"), GetPlatformInfo())
    assert isinstance(error, Permanent)
    assert error.code == "not_running"
    assert str(tmp_path / "nowhere" / NAME) in error.message
    assert "python -m dataplatform.system" in error.remedy


def test_a_socket_that_a_killed_platform_left_is_explained_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    listen(tmp_path).close()
    assert (tmp_path / NAME).exists()
    error = fail(RemotePlatform(tmp_path), GetPlatformInfo())
    assert error.code == "stale"
    assert "was killed" in error.message
    with small_platform(tmp_path):
        assert RemotePlatform(tmp_path).info().sources == ("coingecko",)
    assert not (tmp_path / NAME).exists()


def test_a_data_directory_may_be_deeper_than_a_socket_path_may_be_long(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-directory-with-quite-a-long-name"] * 5)
    assert len(str(deep)) > 108
    with small_platform(deep):
        assert (deep / NAME).is_socket()
        assert RemotePlatform(deep).info().data_dir == str(deep)
    assert fail(RemotePlatform(deep), GetPlatformInfo()).code == "not_running"


def test_a_platform_whose_directory_takes_no_socket_runs_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> socket.socket:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(module, "listen", refuse)
    with small_platform(tmp_path) as platform:
        status = platform.address("control").status()
        assert status is not None
        assert status.degraded is not None
        assert "no control socket" in status.degraded.reason
        assert platform.status().phase is Phase.RUNNING


# The end


def test_a_drain_stops_the_platform_and_answers_when_it_has_stopped(tmp_path: Path) -> None:
    with small_platform(tmp_path) as platform:
        assert RemotePlatform(tmp_path).drain() == Success(None)
        assert platform.wait_end(0)
        assert platform.reason is None
        with small_platform(tmp_path) as next_one:  # the directory is free
            assert next_one.status().phase is Phase.RUNNING


def test_a_platform_stops_while_requests_are_under_way_and_clients_wait(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        mute.settimeout(DEADLINE)
        slow = parse_topology(SMALL.replace("127.0.0.1:9", f"127.0.0.1:{mute.getsockname()[1]}"))
        with (
            no_thread_left_behind(),
            Platform.start(slow, data_dir=tmp_path) as platform,
            connect(tmp_path, DEADLINE) as asking,
            connect(tmp_path, DEADLINE) as silent,
        ):
            body = b'{"source": "coingecko", "coinId": "bitcoin", "timeout": 60}'
            asking.sendall(request_for("POST", "/operations/get_current_price", body))
            mute.accept()  # so it is under way
            platform.stop()
            for client in (asking, silent):
                with suppress(ConnectionResetError):
                    while client.recv(1_000):
                        pass
        assert not (tmp_path / NAME).exists()


def test_an_asker_in_the_middle_of_a_drain_is_told_that_it_hung_up_or_is_gone(tmp_path: Path) -> None:
    with small_platform(tmp_path) as platform:
        with connect(tmp_path, DEADLINE) as held:
            held.sendall(request_for("POST", "/operations/drain", b"{}"))
            assert response_from(held).status == 200
            with suppress(ConnectionResetError):
                assert held.recv(1) == b""
        assert platform.wait_end(DEADLINE)
    assert fail(RemotePlatform(tmp_path), GetPlatformInfo()).code in {"not_running", "hung_up"}


def test_an_answer_that_breaks_off_is_no_other_release(tmp_path: Path) -> None:
    def break_off(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.recv(100_000)
            client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")

    with closing(listen(tmp_path)) as listener:
        threading.Thread(target=break_off, args=(listener,), daemon=True).start()
        assert fail(RemotePlatform(tmp_path), GetPlatformInfo()).code == "hung_up"


def test_a_bug_in_answering_is_logged_and_told_and_the_next_request_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    with small_platform(tmp_path):
        remote = RemotePlatform(tmp_path)
        with monkeypatch.context() as broken:
            broken.setattr(app, "status_as_json", lambda _: 1 // 0)
            with pytest.raises(Transient, match="its log says why"):
                remote.status_as_json()
        assert remote.status_as_json()["phase"] == "running"
        until(lambda: [line for line in logs if line["event"] == "bug"], "it is logged")
    (bug,) = (line for line in logs if line["event"] == "bug")
    assert (bug["path"], bug["error"]) == ("/status", "ZeroDivisionError: integer division or modulo by zero")


def test_a_release_that_speaks_another_language_is_named(tmp_path: Path) -> None:
    def answer_in_frames(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.recv(100_000)
            client.sendall(b"\x00\x00\x00\x03abc\r\n")

    with closing(listen(tmp_path)) as listener:
        threading.Thread(target=answer_in_frames, args=(listener,), daemon=True).start()
        assert fail(RemotePlatform(tmp_path), GetPlatformInfo()).code == "other_version"


def test_the_other_end_of_a_connection_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) in {(os.getpid(), os.geteuid()), (None, None)}
