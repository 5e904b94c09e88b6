"""The control socket of a running platform: its owner is answered, nobody else, and no client can harm it."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from dataplatform.base.agent import Request, State
from dataplatform.dsl import operations as ops
from dataplatform.dsl.flow.source import Pause
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Success, get_data, get_error
from dataplatform.services.gateway.control import (
    DrainPlatform,
    GetPlatformInfo,
    PauseSource,
    RestartAgent,
    ResumeSource,
    RunQuery,
    TailTopic,
)
from dataplatform.services.service import Phase
from dataplatform.system.control import server as module
from dataplatform.system.control.client import RemotePlatform
from dataplatform.system.control.place import NAME, connect, listen, peer_of
from dataplatform.system.control.wire import decode_answer, encode_request, read_frame, write_frame
from dataplatform.system.platform import Platform
from tests.support.agents import DEADLINE
from tests.system.control.small import small_platform


def fail(remote: RemotePlatform, request: Request[Any], agent: str = "") -> PlatformError:
    error = get_error(remote.ask(agent, request, DEADLINE))
    assert error is not None
    return error


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
    assert remote.ask("", PauseSource("coingecko"), DEADLINE) == Success(None)
    assert state_of(platform, "coingecko") is State.PAUSED
    assert remote.ask("", ResumeSource("coingecko"), DEADLINE) == Success(None)
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
        ("", PauseSource("coingeko"), "not_found", "did you mean 'coingecko'"),
        ("", PauseSource("bookkeeper"), "unsupported", "the sources are coingecko"),
        ("", RestartAgent("nobody"), "not_found", "there are"),
        ("", RestartAgent("supervisor"), "unsupported", "supervisor is not restarted: it restarts the others"),
        ("", RestartAgent("control"), "unsupported", "control is not restarted: requests come by it"),
        ("", ResumeSource("nosuch"), "not_found", "no source is called 'nosuch'; there are coingecko"),
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
            print(theirs.recv(1000))
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
    monkeypatch.setattr("dataplatform.system.control.place.peer_of", lambda _: (1, os.geteuid() + 1))
    error = fail(remote, GetPlatformInfo())
    assert error.code == "not_yours"
    assert "sudo" in error.remedy


def test_many_clients_are_answered_at_once(remote: RemotePlatform) -> None:
    answers = [remote["coingecko"].get_status() for _ in range(20)]
    assert {get_data(answer.get(timeout=DEADLINE)).name for answer in answers} == {"coingecko"}


def test_a_client_too_many_is_told_so_and_the_next_is_answered_when_one_leaves(
    remote: RemotePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 2)
    with ExitStack() as others:
        for _ in range(2):
            held = others.enter_context(connect(remote.data_dir, DEADLINE))
            write_frame(held, encode_request("", GetPlatformInfo(), DEADLINE))
            assert read_frame(held) is not None
        assert fail(remote, GetPlatformInfo()).code == "busy"
    eventually_answers(remote)


def eventually_answers(remote: RemotePlatform) -> None:
    """Ask until there is room: the server notices in its own time that others have left."""
    for _ in range(1_000):
        if isinstance(remote.ask("", GetPlatformInfo(), DEADLINE), Success):
            return
    raise AssertionError("the others' places were not given back")


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\x00\x00\x00\x02ab", b"\x00"])
def test_noise_is_refused_and_others_are_answered(remote: RemotePlatform, noise: bytes) -> None:
    with connect(remote.data_dir, DEADLINE) as client:
        client.sendall(noise)
        client.shutdown(socket.SHUT_WR)
        answers = []
        with suppress(ConnectionResetError):  # it has hung up without reading the rest
            while (content := read_frame(client)) is not None:
                answers.append(get_error(decode_answer(GetPlatformInfo(), content)))
    assert all(answer is not None and answer.code in {"bad_request", "too_large"} for answer in answers)
    assert remote.info().sources == ("coingecko",)


def test_a_silent_client_is_hung_up_on(remote: RemotePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", 0.05)
    with connect(remote.data_dir, DEADLINE) as client:
        assert read_frame(client) is None


def test_a_request_that_is_answered_late_is_a_timeout_for_its_asker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplatform.system.control.client.GRACE", 0.01)
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


def test_an_asker_in_the_middle_of_a_drain_is_told_that_it_hung_up_or_is_gone(tmp_path: Path) -> None:
    with small_platform(tmp_path) as platform:
        with connect(tmp_path, DEADLINE) as held:
            write_frame(held, encode_request("", DrainPlatform(), DEADLINE))
            assert read_frame(held) is not None
            assert read_frame(held) is None
        assert platform.wait_end(DEADLINE)
    assert fail(RemotePlatform(tmp_path), GetPlatformInfo()).code in {"not_running", "hung_up"}


def test_the_other_end_of_a_connection_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) in {(os.getpid(), os.geteuid()), (None, None)}
