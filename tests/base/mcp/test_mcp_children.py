"""No child process of a client outlives it, whatever the child does and however the platform ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from dataplatform.base import guard
from dataplatform.base.mcp import CallTool, ServerInfo
from dataplatform.base.mcp.process import Child
from tests.base.embedded.servers import all_end
from tests.base.mcp.driven_client import Client, odd

Start = Callable[..., Client]
PLATFORM = """\
import os, signal, sys
from dataplatform.base.agent import Context, Runtime
from dataplatform.base.mcp import McpClient, McpSettings, ServerInfo
from tests.base.mcp.driven_client import Parent, odd
client = McpClient.start(Context("mcp", Runtime.start(), Parent()), McpSettings(**odd(*sys.argv[2:])))
client.ask(ServerInfo())
print("connected", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "killed" else os._exit(7)
"""
# A server that starts another under a guard, as a platform does, says so, and listens no more.
NESTING = """\
import os, signal, subprocess, sys
from dataplatform.base import guard
lifeline, _ = os.pipe()
command = (sys.executable, "-I", "-S", "-c", sys.argv[1], sys.argv[2])
spec = guard.Spec(command, signal.SIGTERM, 30.0, signal.SIGTERM, lock=sys.argv[2] + ".lock")
subprocess.Popen(guard.guarded(spec), stdin=subprocess.PIPE, start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
"""
ORDERLY = """\
import pathlib, signal, sys
report = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: (report.write_text("in good order"), sys.exit()))
report.write_text("runs")
signal.pause()
"""


def started_by(pid: int) -> dict[str, int]:
    """The servers of these tests that have come of a process, by what they are; a `child` is what one has started."""
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        line = process.cmdline()
        if f"test-run-{pid}" not in " ".join(line):
            continue
        kind = "guard" if guard.__file__ in line else "child" if line[-1:] == ["child"] else "server"
        found[kind] = process.pid
    return found


@contextmanager
def platform(manner: str, *nature: str) -> Iterator[subprocess.Popen[str]]:
    """A process with a connected client, which ends in this manner when its input has ended."""
    command = [sys.executable, "-c", PLATFORM, manner, *nature]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        yield process


@pytest.mark.parametrize(("manner", "nature"), [("killed", "stubborn"), ("killed", "daemon"), ("exits", "stubborn")])
def test_nothing_of_a_server_outlives_the_platform_however_that_ends(manner: str, nature: str) -> None:
    with platform(manner, nature) as process:
        started = started_by(process.pid)
        assert set(started) == {"guard", "server", "child"}
        process.communicate()
    assert all_end(*started.values(), timeout=60)


@pytest.mark.parametrize("nature", ["stubborn", "daemon"])
def test_nothing_of_a_server_outlives_a_client_that_stops(start: Start, nature: str) -> None:
    client = start(**odd(nature))
    client.ask(ServerInfo())
    started = started_by(os.getpid())
    assert set(started) == {"guard", "server", "child"}
    assert client.stop().failure is None
    assert all_end(*started.values(), timeout=60)


def test_a_server_does_not_outlive_its_guard(start: Start) -> None:
    client = start(**odd("stubborn"))
    client.ask(ServerInfo())
    started = started_by(os.getpid())
    os.kill(started["guard"], signal.SIGKILL)
    assert all_end(started["server"], timeout=60)
    client.call()  # another server took its place
    assert all_end(started["child"], timeout=60)


def test_a_server_that_signals_its_process_group_does_not_reach_its_guard(start: Start) -> None:
    client = start(**odd(), call_timeout=60.0)
    client.ask(ServerInfo())
    failure = client.fail(CallTool("signal_group"))
    assert "it was killed by SIGHUP" in failure.message


def test_what_a_server_has_under_a_guard_of_its_own_stops_in_good_order(tmp_path: Path) -> None:
    """A platform is such a server: its broker must not be killed because it was itself."""
    report = tmp_path / "report"
    command = [sys.executable, "-c", NESTING, ORDERLY, str(report)]
    with closing(Child.start(command, os.environ)) as child:
        wait_until(lambda: report.exists() and report.read_text() == "runs")
        nested = [int(pid) for pid in Path(f"{report}.lock").read_text().split()]
        child.kill()
        assert all_end(*nested, timeout=60)
    assert report.read_text() == "in good order"


def test_a_program_that_cannot_be_run_is_heard_of_with_the_systems_reason() -> None:
    with closing(Child.start(["/nowhere/at-all"], {})) as child:
        wait_until(lambda: child.started)
        assert isinstance(child.failed, FileNotFoundError)
        assert child.ended


@pytest.mark.parametrize(("text", "status"), [("raise SystemExit(130)", 130), ("import os; os.kill(0, 9)", -9)])
def test_the_end_of_a_child_is_told_as_it_was(text: str, status: int) -> None:
    with closing(Child.start([sys.executable, "-c", text], {})) as child:
        wait_until(lambda: child.ended)
        assert child.status == status


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again; there is nothing that would tell of it."""
    due, pause = time.monotonic() + 60, threading.Event()
    while not condition():
        assert time.monotonic() < due, "it did not come to pass"
        pause.wait(0.01)
