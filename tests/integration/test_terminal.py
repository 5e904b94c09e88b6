"""On a terminal: a live table below the log lines, and a terminal that is as before in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from attrs import define, field

from tests.base.embedded.servers import all_end
from tests.integration.platforms import COMMAND, DEADLINE
from tests.integration.screen import Screen
from tests.integration.topologies import main_job

pytestmark = pytest.mark.story  # of one platform

WIDTH, HEIGHT = 120, 60


@define(eq=False)
class Session:
    """The command run by a person at a terminal."""

    process: subprocess.Popen[bytes]
    terminal: int
    screen: Screen = field(factory=lambda: Screen(WIDTH))
    _rest: bytes = b""

    def see(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until the pattern is so many times on the screen; return the lines of the screen."""
        deadline = time.monotonic() + DEADLINE
        while len(re.findall(pattern, "\n".join(self.screen.lines))) < times:
            left = deadline - time.monotonic()
            assert left > 0, "\n".join(self.screen.lines)
            assert self._read(left), "\n".join(self.screen.lines)
        return self.screen.lines

    def end(self, timeout: float = DEADLINE) -> int:
        """Read what still comes, and return the exit status."""
        while self._read(timeout):
            pass
        self.screen.feed(self._rest.decode())
        return self.process.wait(timeout)

    def _read(self, timeout: float) -> bool:
        """Show what has come; False at the end, or when nothing comes."""
        if not select.select([self.terminal], [], [], timeout)[0]:
            return False
        try:
            read = os.read(self.terminal, 65_536)
        except OSError:  # the other side is closed
            return False
        *whole, self._rest = (self._rest + read).splitlines(keepends=True) or [b""]
        self.screen.feed(b"".join(whole).decode())
        return bool(read)


@contextmanager
def at_terminal(*arguments: str) -> Iterator[Session]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    environ |= {"TERM": "xterm-256color", "NO_COLOR": "1"}
    before = termios.tcgetattr(ours)
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Session(process, ours)
        assert termios.tcgetattr(ours) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture(scope="module")
def demo(shared_data_dir: Path) -> Iterator[Session]:
    with at_terminal("--demo", "--data-dir", str(shared_data_dir)) as session:
        yield session


def test_the_table_shows_agents_routes_and_at_least_20_prices(demo: Session) -> None:
    for name in ("supervisor", "postgres", "broker", "redpanda.producer", "timescale.1", "coingecko", "topics"):
        demo.see(rf"(?m)^{name} +\w+ +running")
    demo.see(r"(?m)^coingecko → stream( +[\d,]+){6}$")
    demo.see(r"(?m)^topics → database( +[\d,]+){6}$")
    demo.see(r"\nbitcoin +[\d,.]+ +[+-]")
    demo.see(r"\S+ +[\d,.]+ +[+-]\d+\.\d\d %", times=20)


def test_log_lines_stand_whole_above_the_table(demo: Session) -> None:
    lines = demo.see("latest prices")
    (head,) = [number for number, line in enumerate(lines) if line.startswith("running, up ")]
    above = lines[:head]
    for said in (
        r"\d\d:\d\d:\d\d simulator: serving simulated data \(url=http://127\.0\.0\.1:\d+/api/v3\)",
        r"\d\d:\d\d:\d\d broker: server is ready \(took_s=[\d.]+, pid=\d+, address=127\.0\.0\.1:\d+\)",
        r"\d\d:\d\d:\d\d postgres: server is ready \(took_s=[\d.]+, pid=\d+, address=postgresql://\S+",
    ):
        assert sum(bool(re.fullmatch(said, line)) for line in above) == 1, above
    assert not any("route" in line or "starting, up" in line for line in above)


def test_a_drain_is_shown_and_the_terminal_is_as_before_in_the_end(demo: Session) -> None:
    demo.see("running, up")
    assert not demo.screen.shows_cursor()
    demo.process.send_signal(signal.SIGINT)
    demo.see("draining what is in flight, Ctrl-C stops at once")
    assert demo.end() == 0
    lines = demo.screen.lines
    (head,) = [number for number, line in enumerate(lines) if line.startswith("stopped after ")]
    assert any(line.startswith("coingecko → stream") for line in lines[head:])
    assert re.search(r"crypto_prices [\d,]+ rows", "\n".join(lines[head:]))
    assert demo.screen.shows_cursor()
    assert lines[-1] == ""


def test_a_second_ctrl_c_leaves_the_terminal_as_it_was_too(data_dir: Path, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        topology = main_job(tmp_path, base_url=f"http://127.0.0.1:{silent.getsockname()[1]}/api")
        with at_terminal(str(topology), "--data-dir", str(data_dir)) as session:
            session.see("running, up")
            servers = [child.pid for child in psutil.Process(session.process.pid).children(recursive=True)]
            session.process.send_signal(signal.SIGINT)
            session.see("draining")
            session.process.send_signal(signal.SIGINT)
            assert session.end() == 130
            assert session.screen.shows_cursor()
    assert all_end(*servers)
