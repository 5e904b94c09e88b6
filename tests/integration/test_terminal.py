"""On a terminal: a live table below the log lines, and a terminal that is as before in the end."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.base.embedded.servers import all_end
from tests.integration.terminals import Session, at_terminal
from tests.integration.topologies import main_job

pytestmark = pytest.mark.story  # of one platform


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
