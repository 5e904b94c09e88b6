"""A source in a package of somebody else's: installed, it is shown, validated and run like our own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.thirdparty.conftest import Site

TOPOLOGY = """
[clients.market]
kind = "http"
base_url = "{url}"

[clients.redpanda]
kind = "redpanda"
brokers = "embedded"

[sources.spot]
kind = "spot"
client = "market"
coins = ["bitcoin", "ethereum"]
every = "100ms"

[targets.stream]
kind = "redpanda"
client = "redpanda"

[[routes]]
from = "spot"
to = ["stream"]
"""


@pytest.fixture(scope="module")
def installed(install: Callable[[str], Site]) -> Site:
    return install("spot")


@pytest.fixture
def market() -> Iterator[str]:
    """Serve the Spot market."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"id": self.path.rsplit("/", 1)[1], "symbol": "x", "price": 1.5}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def topology(folder: Path, url: str, text: str = TOPOLOGY) -> Path:
    file = folder / "topology.toml"
    file.write_text(text.format(url=url))
    return file


def test_it_is_shown_with_its_package_operations_and_options(installed: Site) -> None:
    shown = installed.platform("plugins", "--json")

    entries = {(entry["side"], entry["kind"]): entry for entry in json.loads(shown.stdout)}
    spot = entries["sources", "spot"]
    assert (spot["package"], spot["version"], spot["technology"]) == ("spot-market", "1.2.3", "Spot")
    assert spot["operations"] == ["get_current_price", "get_current_prices"]
    assert [(option["key"], option["default"]) for option in spot["options"]] == [
        ("client", None),
        ("stall_after", "15.0"),
        ("coins", "[]"),
        ("every", "10.0"),
    ]
    assert ("sources", "timescale") in entries


@pytest.mark.long
def test_its_options_are_validated_with_file_and_line(installed: Site, tmp_path: Path) -> None:
    file = topology(tmp_path, "http://127.0.0.1:9", TOPOLOGY.replace("every =", "evrey ="))

    refused = installed.platform(file, "--check")

    assert refused.returncode == 2
    assert f"{file}:14: unknown key 'evrey'; did you mean 'every'?" in refused.stderr


@pytest.mark.long
def test_it_runs_and_its_records_are_written(installed: Site, market: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--run-for", "1", "--data-dir", tmp_path / "data", "--report", report]

    ran = installed.platform(topology(tmp_path, market), *options)

    assert ran.returncode == 0, ran.stderr
    (route,) = json.loads(report.read_text())["routes"]
    assert (route["source"], route["target"]) == ("spot", "stream")
    assert route["records_written"] >= 2
    assert route["records_dead_lettered"] == 0
