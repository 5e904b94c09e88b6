"""How a gateway on TCP is asked for: by a topology, by its name of before, and on the command line."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from dataplatform.services.gateway.options import GatewayOptions
from dataplatform.services.gateway.service import FormerGateway, Gateway
from dataplatform.system.cli.check import wiring
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.platform.platform import Platform
from tests.support.waiting import DEADLINE, until
from tests.system.control.small import SMALL

SERVICE = '[services.door]\nkind = "{kind}"\nport = 0\n'
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def url_of(platform: Platform) -> str:
    def port() -> int | None:
        return platform.status().counters("door").get("port")

    until(port, "the gateway listens")
    return f"http://127.0.0.1:{port()}"


@pytest.mark.parametrize(("kind", "cls"), [("gateway", Gateway), ("mcp", FormerGateway)])
def test_both_names_make_the_gateway_and_the_former_one_says_what_it_is_called_now(
    kind: str, cls: type[Gateway], tmp_path: Path, logs: list[Any]
) -> None:
    topology = parse_topology(SMALL + SERVICE.format(kind=kind))
    assert topology.services["door"].cls is cls
    assert isinstance(topology.services["door"].options, GatewayOptions)
    with Platform.start(topology, data_dir=tmp_path) as platform:
        accept = {"accept": "application/json, text/event-stream"}
        answer = requests.post(f"{url_of(platform)}/mcp", json=INITIALIZE, headers=accept, timeout=DEADLINE)
        assert answer.status_code == 200
        assert "dataplatform" in answer.text
    said = [line for line in logs if line["event"] == "kind renamed"]
    assert len(said) == (kind == "mcp")
    assert [line for line in wiring(topology) if 'now called kind = "gateway"' in line] == [
        line for line in wiring(topology) if line.startswith("service") and kind == "mcp"
    ]


def test_what_is_not_there_is_said_in_json_and_the_owners_operations_are_not_on_tcp(tmp_path: Path) -> None:
    with Platform.start(parse_topology(SMALL + SERVICE.format(kind="gateway")), data_dir=tmp_path) as platform:
        url = url_of(platform)
        for method, path in (("GET", "/status"), ("GET", "/operations"), ("POST", "/operations/drain")):
            answer = requests.request(method, url + path, timeout=DEADLINE)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["remedy"]) == (404, "not_found", "there are /mcp")
        assert platform.status().agent("door") is not None


def test_the_command_line_adds_a_gateway_or_moves_that_of_the_topology(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    added = CliRunner().invoke(main, [str(file), "--check", "--http", "127.0.0.1:0"])
    assert added.exit_code == 0, added.output
    assert "service gateway" in added.output
    file.write_text(SMALL + SERVICE.format(kind="gateway"), encoding="utf-8")
    own = CliRunner().invoke(main, [str(file), "--check", "--http", "[::1]:0"])
    assert "service door" in own.output
    assert "service gateway" not in own.output


@pytest.mark.parametrize("address", ["8765", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "::1:8765", ":80", ""])
def test_an_address_that_is_none_is_refused_with_an_example(address: str) -> None:
    refused = CliRunner().invoke(main, ["--check", "--http", address])
    assert refused.exit_code == 2
    assert "like 127.0.0.1:8765" in refused.output


def test_a_host_that_others_reach_needs_tokens_and_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    open_to_all = CliRunner().invoke(main, ["--check", "--http", "0.0.0.0:8765"])
    assert open_to_all.exit_code == 2
    assert "tokens are required" in open_to_all.stderr
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        taken = CliRunner().invoke(main, ["--demo", "--http", address, "--data-dir", str(tmp_path / "data")])
    assert taken.exit_code == 2
    assert f"--http: cannot listen on {address}" in taken.stderr
    assert not (tmp_path / "data").exists()
