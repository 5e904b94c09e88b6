"""The READMEs are true: their topology is valid, their script runs, their example of a source is a source."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dataplatform.base.agent import Context, Entry, Runtime
from dataplatform.base.http import HttpClient, HttpSettings
from dataplatform.result import Success
from dataplatform.system.config.topology import parse_topology
from tests.support.waiting import DEADLINE

ROOT = Path(__file__).parents[1]


LONGEST = 300  # lines of the README at the top; what is longer stands beside what it describes


def text(folder: str = ".") -> str:
    return (ROOT / folder / "README.md").read_text(encoding="utf-8")


def blocks(language: str, folder: str = ".") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text(folder), re.DOTALL)


def test_the_readme_is_short_and_what_it_links_to_is_there() -> None:
    assert len(text().splitlines()) < LONGEST
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text()) if "://" not in link]
    assert [link for link in links if not (ROOT / link).is_file()] == []
    everywhere = {str(path.relative_to(ROOT)) for path in ROOT.rglob("README.md") if not hidden(path)}
    assert everywhere - {"README.md"} == set(links), "each other README is linked"


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(ROOT).parts)


def test_the_topology_of_the_readme_is_valid() -> None:
    (topology_text,) = blocks("toml")

    topology = parse_topology(
        topology_text, environ={"COINGECKO_API_KEY": "CG-key", "DATABASE_URL": "postgresql://db/prices"}
    )

    assert [route.source for route in topology.routes] == ["coingecko", "topics"]


def test_the_script_of_the_readme_prints_simulated_prices(tmp_path: Path) -> None:
    script = next(block for block in blocks("python") if "Platform.start" in block)

    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"XDG_DATA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    prices = [line for line in ran.stdout.splitlines() if line.endswith("simulator")]
    assert [line.split()[0] for line in prices] == ["bitcoin", "ethereum"]


@pytest.fixture
def spot_server() -> Iterator[str]:
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


class Nobody:
    def tell(self, message: object, /) -> None:
        del message


def test_the_source_of_the_readme_reads_prices(spot_server: str) -> None:
    code = next(block for block in blocks("python", "dataplatform/sources") if "class SpotSource" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    runtime = Runtime.start()
    contexts = {name: Context(name, runtime, Nobody()) for name in ("http", "spot")}
    http = HttpClient.start(contexts["http"], HttpSettings(base_url=spot_server))
    runtime.directory.enter("http", Entry("client", 1, contexts["http"].vitals, http))
    options = names["SpotOptions"](client="http", coins=("bitcoin",))
    spot = names["SpotSource"].start(contexts["spot"], options, "http")

    answer = spot.proxy().get_current_prices(["bitcoin"]).get(timeout=DEADLINE)

    assert isinstance(answer, Success)
    assert [(price.coin_id, price.usd_price, price.source) for price in answer.data] == [("bitcoin", 1.5, "spot")]
    spot.stop(timeout=5)
    http.stop(timeout=5)
    runtime.stop()


def test_the_tree_names_the_rooms_that_there_are() -> None:
    tree = next(block for block in text().split("```") if "system/    config" in block)
    named = set(re.findall(r"[a-z0-9]+", tree))
    package = ROOT / "dataplatform"
    rooms = {
        folder.name
        for depth in ("*", "*/*")
        for folder in package.glob(depth)
        if (folder / "__init__.py").exists() and folder.parent.name != "simulator"
    }
    assert rooms <= named
    assert all(any(package.glob(f"**/{name}")) for name in re.findall(r"\b([a-z]+)/", tree))
