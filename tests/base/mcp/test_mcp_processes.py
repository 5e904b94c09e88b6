"""Servers that are child processes: how they die, hang and babble, and that nothing is left of any of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from dataplatform.base.mcp import CallTool, ListTools, ServerInfo
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure
from dataplatform.simulator import Fault, Simulator
from tests.base.mcp.driven_client import MARK, STDIO_SERVER, Client, odd
from tests.base.mcp.http_server import ScriptedMcp, hang_up, status, stay_silent
from tests.support.waiting import DEADLINE, SHORT, until

pytestmark = pytest.mark.long  # many processes, one after the other

Start = Callable[..., Client]
COMMAND = sys.executable


@pytest.fixture
def no_process_left() -> Iterator[None]:
    yield
    assert odd_servers() == []


def odd_servers() -> list[psutil.Process]:
    """The servers of these tests that run, their children included."""
    return [process for process in psutil.process_iter() if MARK in command_of(process)]


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


# Death


def test_a_server_that_dies_in_mid_call_is_a_loss_that_tells_its_last_words(
    start: Start, no_process_left: None
) -> None:
    client = start(**odd(), call_timeout=DEADLINE)
    assert client.fail(CallTool("die")) == Transient(
        "lost",
        f"the connection to {COMMAND} is lost: it exited with status 3; it said: I have seen enough",
    )
    assert client.degraded
    client.call()
    assert not client.degraded
    assert client.vitals.counters["sessions"] == 2
    client.stop()


def test_a_server_that_died_while_nothing_was_asked_is_replaced_unnoticed(start: Start) -> None:
    client = start(**odd())
    client.ask(ServerInfo())
    (process,) = odd_servers()
    guard = process.parent()
    assert guard is not None
    process.kill()
    wait_until_dead(guard)
    client.call()
    assert client.vitals.counters == {"requests": 2, "sessions": 2, "bytes": 2}


def test_a_server_that_is_killed_tells_by_what(start: Start) -> None:
    client = start(**odd(), call_timeout=DEADLINE)
    client.ask(ServerInfo())
    (process,) = odd_servers()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.fail, CallTool("hang"))
        wait_until(lambda: process.status() == psutil.STATUS_SLEEPING and client.vitals.busy_since is not None)
        process.kill()
        assert answer.result(DEADLINE) == Transient(
            "lost", f"the connection to {COMMAND} is lost: it was killed by SIGKILL"
        )


def test_a_program_that_exits_at_once_is_unreachable_and_quoted_without_secrets(start: Start) -> None:
    client = start(**odd("complain", "exit"), env={"API_KEY": "CG-abcdef123456"})
    assert client.fail(ListTools()) == Transient(
        "unreachable", f"cannot reach {COMMAND}: it exited with status 5; it said: my key is ***"
    )


def test_a_server_that_closes_its_ears_is_not_waited_for_beyond_the_timeout(
    start: Start, no_process_left: None
) -> None:
    client = start(**odd(), call_timeout=SHORT)
    assert client.fail(CallTool("deafen")).code == "timeout"
    client.call()
    client.stop()


@pytest.mark.parametrize("command", ["/nowhere/at-all", "no-such-program-anywhere", str(STDIO_SERVER), "/dev/null/x"])
def test_a_program_that_cannot_be_started_is_a_permanent_failure(start: Start, command: str) -> None:
    client = start(transport="stdio", command=command)
    failure = client.fail(ListTools())
    assert (type(failure), failure.code) == (Permanent, "no_command")
    assert command in failure.message
    assert "PATH" in failure.remedy
    assert client.degraded


def test_a_program_that_is_no_mcp_server_is_a_failure(start: Start) -> None:
    failure = start(transport="stdio", command="echo", args=("hello",)).fail(ListTools())
    assert failure == Transient("unreachable", "cannot reach echo: it exited with status 0; it said: hello")


# Silence and babble


def test_a_server_that_hangs_is_killed_and_replaced(start: Start, no_process_left: None) -> None:
    client = start(**odd(), call_timeout=SHORT)
    assert client.fail(CallTool("hang")) == Transient("timeout", f"{COMMAND} gave no answer in {SHORT:g} s")
    client.call()
    client.stop()


def test_a_server_that_never_answers_the_handshake_is_waited_for_no_longer_than_the_timeout(start: Start) -> None:
    client = start(**odd("silent", "complain"), connect_timeout=SHORT)
    failure = client.fail(ServerInfo())
    assert failure.code == "timeout"
    assert failure.message.startswith(f"{COMMAND} gave no answer in {SHORT:g} s")
    assert "connect_timeout" in failure.remedy


def test_a_server_that_never_answers_what_it_does_not_know_is_greeted_as_the_older_protocol_has_it(
    start: Start,
) -> None:
    client = start(**odd("mute"), connect_timeout=SHORT)
    assert client.fail(ServerInfo()).code == "timeout"
    client.call()
    assert client.vitals.counters["sessions"] == 2


def test_lines_that_are_no_messages_are_passed_over(start: Start) -> None:
    client = start(**odd())
    assert client.call("garbage", a=1).text == '{"a": 1}'
    assert client.vitals.counters["sessions"] == 1


def test_a_line_without_end_is_broken_off(start: Start, no_process_left: None) -> None:
    client = start(**odd(), max_text=100_000, call_timeout=DEADLINE)
    assert client.fail(CallTool("endless")).code == "too_large"
    client.call()
    client.stop()


ALONE = """\
import sys
from dataplatform.base.agent import Context, Runtime
from dataplatform.base.mcp import CallTool, McpClient, McpSettings
from tests.base.mcp.driven_client import Parent, odd
runtime, parent = Runtime.start(), Parent()
client = McpClient.start(Context("mcp", runtime, parent), McpSettings(**odd("complain")))
for tool in ("garbage", "unlisted", "error"):
    client.ask(CallTool(tool))
client.stop()
parent.bereaved.wait()
runtime.stop()
"""


def test_neither_a_server_nor_the_sdk_writes_on_our_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], check=True, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stderr == ""
    assert "npm warn" not in done.stdout


# Stopping


def test_a_stop_ends_a_call_in_flight(start: Start, server: ScriptedMcp) -> None:
    server.script.append(stay_silent)
    client = start(url=server.url, call_timeout=10 * DEADLINE)
    assert_a_stop_ends(client, CallTool("call"), lambda: "tools/call" in server.methods)


def test_a_stop_ends_connecting(start: Start, no_process_left: None) -> None:
    client = start(**odd("silent"), connect_timeout=10 * DEADLINE)
    assert_a_stop_ends(client, ListTools(), lambda: bool(odd_servers()))


def test_a_stop_ends_the_wait_for_a_stubborn_server_to_go(start: Start, no_process_left: None) -> None:
    client = start(**odd("stubborn"), call_timeout=SHORT)
    assert client.fail(CallTool("hang")).code == "timeout"
    assert_a_stop_ends(client, CallTool("call"), lambda: client.vitals.busy_since is not None)


def assert_a_stop_ends(client: Client, request: Any, begun: Callable[[], bool]) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.send, request)
        wait_until(begun)
        client.context.stopping.set()
        result = answer.result(DEADLINE / 2)
        assert isinstance(result, Failure)
        assert result.error == Transient("stopping", "mcp is stopping")
    assert (client.degraded or "timeout").startswith("timeout")
    assert client.stop().failure is None


def test_a_stubborn_server_is_killed_with_its_children_when_the_client_stops(
    start: Start, no_process_left: None
) -> None:
    client = start(**odd("stubborn"))
    client.call()
    wait_until(lambda: len(odd_servers()) == 2)
    assert client.stop().failure is None


def test_a_client_that_never_connected_stops_at_once(start: Start) -> None:
    assert start(**odd()).stop().failure is None


# Nothing is left


def test_no_thread_process_or_file_is_left_over_50_deaths_of_a_child_process(
    start: Start, no_process_left: None
) -> None:
    def restart(client: Client, number: int) -> None:
        assert client.fail(CallTool("die" if number % 2 else "error", {"code": -32700})).code in {"lost", "protocol"}

    assert_nothing_is_left(start, odd(), restart)


def test_no_thread_or_file_is_left_over_50_losses_of_an_endpoint(start: Start, server: ScriptedMcp) -> None:
    acts = [hang_up, status(500), status(401), status(200, b"{")]

    def restart(client: Client, number: int) -> None:
        server.script.append(acts[number % len(acts)])
        client.fail(CallTool("call"))

    assert_nothing_is_left(start, {"url": server.url}, restart)


def test_no_thread_or_file_is_left_over_50_losses_of_an_sse_endpoint(start: Start, simulator: Simulator) -> None:
    def restart(client: Client, number: int) -> None:
        simulator.inject(Fault("unauthorized" if number % 2 else "server_error", path="/mcp", times=1))
        client.fail(CallTool("get_ping"))

    assert_nothing_is_left(start, {"transport": "sse", "url": simulator.mcp_url("static", "sse")}, restart)


def assert_nothing_is_left(start: Start, settings: dict[str, Any], restart: Callable[[Client, int], None]) -> None:
    warm = start(**settings)
    restart(warm, 0)
    warm.stop()
    threads, files = set(threading.enumerate()), open_files()
    client = start(**settings)
    for number in range(50):
        restart(client, number)
        assert len(set(threading.enumerate()) - threads) <= 4
    assert client.vitals.counters["sessions"] >= 50
    client.stop()
    wait_until(lambda: {thread for thread in threading.enumerate() if "mcp" in thread.name} <= threads)
    wait_until(lambda: open_files() <= files + 2)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  the listing's own descriptor counts each time


def wait_until_dead(process: psutil.Process) -> None:
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again; there is nothing that would tell of it."""
    until(condition, "it comes to pass")
