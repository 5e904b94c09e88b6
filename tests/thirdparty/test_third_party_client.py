"""A kind of client in a package of somebody else's: configured, checked, run, shown and measured like our own."""

from __future__ import annotations

import json
import re
import signal
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dataplatform.base.net.ports import free_port
from tests.integration.terminals import at_terminal
from tests.support.waiting import DEADLINE
from tests.thirdparty.conftest import Site, running, until

COINS = ("bitcoin", "ethereum")
ODD = b'{"coin": "bitcoin", "price": "much"}\n'
TOPOLOGY = """
[clients.exchange]
kind = "ticks"
host = "127.0.0.1"
port = {port}

[clients.timescale]
kind = "timescale"
dsn = "embedded"

[sources.trades]
kind = "ticks"
client = "exchange"
coins = ["bitcoin", "ethereum"]

[targets.database]
kind = "timescale"
client = "timescale"

[[routes]]
from = "trades"
to = ["database"]
"""


class Trading(socketserver.StreamRequestHandler):
    """Pushes a tick after the other to whoever has subscribed, a line among them that is none."""

    def handle(self) -> None:
        said = self.rfile.readline().strip()
        if said == b"PING":
            self.wfile.write(b"PONG\n")
            return
        assert said == b"SUBSCRIBE bitcoin,ethereum"
        self.wfile.write(ODD)
        for number in count():
            if self.server.ending.wait(0.01):  # type: ignore[attr-defined]
                return
            at = f"2026-11-01T12:{number // 60_000 % 60:02}:{number // 1000 % 60:02}.{number % 1000:03}Z"
            tick = {"coin": COINS[number % 2], "price": 1.0 + number, "at": at}
            try:
                self.wfile.write(json.dumps(tick).encode() + b"\n")
            except OSError:  # nobody listens any more
                return


@contextmanager
def feed(port: int = 0) -> Iterator[int]:
    """Run a feed, and yield its port."""

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        ending = threading.Event()

    with Server(("127.0.0.1", port), Trading) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.ending.set()
        server.shutdown()


@pytest.fixture(scope="module")
def installed(install: Callable[[str], Site]) -> Site:
    return install("ticks")


def topology(folder: Path, port: int, text: str = TOPOLOGY) -> Path:
    file = folder / "topology.toml"
    file.write_text(text.format(port=port))
    return file


def agent(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next((dict(one) for one in status["agents"] if one["name"] == name), {})


def test_it_is_listed_with_its_package_and_settings(installed: Site) -> None:
    listed = json.loads(installed.platform("plugins", "--json").stdout)

    ticks = next(one for one in listed if (one["side"], one["kind"]) == ("clients", "ticks"))
    assert (ticks["package"], ticks["version"], ticks["technology"]) == ("tick-feed", "0.3.0", "Ticks")
    assert (ticks["error"], ticks["abilities"]) == (None, [])
    assert [(one["key"], one["default"]) for one in ticks["options"]] == [
        ("host", None),
        ("port", None),
        ("timeout", "2.0"),
    ]
    source = next(one for one in listed if (one["side"], one["kind"]) == ("sources", "ticks"))
    assert source["clients"] == ["ticks"]


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ("host =", "hots =", "4: unknown key 'hots'; did you mean 'host'?"),
        ("port = {port}", "port = 70000", "5: port: "),
        ('kind = "ticks"\nhost', 'kind = "tiks"\nhost', "3: unknown kind 'tiks'; did you mean 'ticks'?"),
        (
            'client = "exchange"',
            'client = "timescale"',
            "13: 'trades' needs a client of kind 'ticks', and 'timescale' is of kind 'timescale'",
        ),
    ],
)
def test_a_mistake_is_refused_with_file_and_line(
    installed: Site, tmp_path: Path, old: str, new: str, refusal: str
) -> None:
    assert old in TOPOLOGY
    file = topology(tmp_path, 9, TOPOLOGY.replace(old, new, 1))

    refused = installed.platform(file, "--check")

    assert refused.returncode == 2
    assert f"{file}:{refusal}" in refused.stderr


def test_it_is_told_whether_the_feed_can_be_reached(installed: Site, tmp_path: Path) -> None:
    with feed() as port:
        reached = installed.platform(topology(tmp_path, port), "--check", "--connect")
    file = topology(tmp_path, port)
    unreachable = installed.platform(file, "--check", "--connect")

    assert reached.returncode == 0, reached.stderr
    assert "client  exchange             ticks" in reached.stdout
    assert unreachable.returncode != 0
    why = f"client 'exchange': cannot reach 127.0.0.1:{port}: Connection refused"
    assert f"{file}:5: {why}; check host and port, and that the feed runs" in unreachable.stderr


@pytest.mark.long
def test_an_outage_is_shown_and_waited_out_then_its_records_arrive_and_are_counted(
    installed: Site, tmp_path: Path, data_dir: Path
) -> None:
    port, report = free_port(), tmp_path / "report.json"
    file = topology(tmp_path, port)
    options = ["--data-dir", data_dir, "--report", report]

    with running(installed, file, *options) as process:
        down = until(installed, data_dir, lambda now: agent(now, "exchange").get("state") == "degraded")
        with feed(port):
            up = until(installed, data_dir, lambda now: now["routes"][0]["records_written"] >= 50)
            shown = installed.platform("status", "--data-dir", data_dir)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=DEADLINE)

    assert "Connection refused" in agent(down, "exchange")["last_error"]
    assert (agent(up, "exchange")["kind"], agent(up, "exchange")["state"]) == ("client", "running")
    assert re.search(r"exchange +client +running .*\d+ lines", shown.stdout), shown.stdout
    assert re.search(r"trades → database +\d+", shown.stdout), shown.stdout
    assert process.returncode == 0, said
    account = json.loads(report.read_text())
    (route,) = account["routes"]
    assert route["records_written"] >= 50
    assert route["records_dead_lettered"] == 1
    assert route["records_read"] == route["records_written"] + 1
    rows = {table["name"]: table["rows"] for table in account["tables"]}
    assert rows["crypto_prices"] == route["records_written"]
    assert rows["dead_letters"] == 1
    counters = agent(account, "exchange")["counters"]
    assert counters["lines"] >= route["records_written"] + 1
    assert agent(account, "exchange")["restarts"] == 0


@pytest.mark.long
def test_the_live_table_shows_its_agent_and_its_route(
    installed: Site, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed.environment["PYTHONPATH"])
    with feed() as port, at_terminal(str(topology(tmp_path, port)), "--data-dir", str(data_dir)) as session:
        session.see(r"(?m)^exchange +client +running +.*\d lines")
        session.see(r"(?m)^trades → database +[1-9]")
        session.see("latest prices in USD, ticks, ")
        session.process.send_signal(signal.SIGTERM)
        assert session.end() == 0
