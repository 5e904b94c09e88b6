"""Topologies in which CoinGecko is read over MCP."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplatform.base.mcp import McpSettings
from dataplatform.system.cli.check import unreachable, wiring
from dataplatform.system.config.topology import ConfigurationError, Topology, parse_topology
from dataplatform.system.platform.assembly import assemble

GECKO = """
[clients.gecko]
kind = "mcp"
url = "https://mcp.example/mcp"
headers = { x-cg-demo-api-key = "${KEY}" }
call_timeout = "20s"
"""
LOCAL = """
[clients.gecko]
kind = "mcp"
transport = "stdio"
command = "npx"
args = ["-y", "@coingecko/coingecko-mcp"]
env = { COINGECKO_DEMO_API_KEY = "${KEY}" }
"""
REST = """
[sources.coingecko]
kind = "coingecko"
client = "gecko"
feeds = [{ operation = "get_current_prices", top = 20, every = "60s" }]

[clients.db]
kind = "timescale"
dsn = "postgresql://db"

[targets.database]
kind = "timescale"
client = "db"

[[routes]]
from = "coingecko"
to = ["database"]
"""
KEY = "CG-abcdef123456"


def parsed(client: str, rest: str = REST) -> Topology:
    return parse_topology(client + rest, environ={"KEY": KEY})


def refusals(client: str, rest: str = REST) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        parsed(client, rest)
    return refused.value.lines


def test_a_hosted_and_a_local_server_are_clients_of_kind_mcp() -> None:
    hosted, local = (parsed(client).clients["gecko"].settings for client in (GECKO, LOCAL))
    assert hosted == McpSettings(url="https://mcp.example/mcp", headers={"x-cg-demo-api-key": KEY}, call_timeout=20.0)
    assert (local.transport, local.command, local.args) == ("stdio", "npx", ("-y", "@coingecko/coingecko-mcp"))
    assert local.env == {"COINGECKO_DEMO_API_KEY": KEY}
    assert KEY not in repr(hosted) + repr(local)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ('transport = "htp"', "topology:4: transport: expected 'http' or 'sse' or 'stdio', got 'htp'"),
        ('transport = "stdio"', "topology:5: url is for the transports http and sse, which need it; this is stdio"),
        ('api_key = "secret"', "topology:4: unknown key 'api_key'; there are args, call_timeout, command,"),
    ],
)
def test_what_is_wrong_with_such_a_client_is_said_by_line(changed: str, line: str) -> None:
    lines = refusals(GECKO.replace('kind = "mcp"', f'kind = "mcp"\n{changed}'))
    assert any(said.startswith(line) for said in lines)


def test_a_source_of_coingecko_takes_a_client_of_either_kind_and_no_other() -> None:
    assert [said.partition(": ")[2] for said in refusals(GECKO, REST.replace('client = "gecko"', 'client = "db"'))] == [
        "'coingecko' needs a client of kind 'http' or 'mcp', and 'db' is of kind 'timescale'; did you mean 'gecko'?"
    ]


def test_a_source_of_another_technology_takes_no_mcp_client() -> None:
    rest = REST.replace('kind = "coingecko"', 'kind = "timescale"').replace("feeds", "# feeds")
    assert any("needs a client of kind 'timescale', and 'gecko'" in said for said in refusals(GECKO, rest))


@pytest.mark.parametrize("client", [GECKO, LOCAL])
def test_in_a_demo_the_simulator_is_the_mcp_server_and_gets_no_key(tmp_path: Path, client: str) -> None:
    topology = parsed(client)
    assert "client  gecko                mcp (simulator)" in list(wiring(topology, demo=True))
    assembly = assemble(topology, tmp_path, demo=True)
    settings = assembly.connections["gecko"].settings
    assert settings.url.startswith("http://127.0.0.1:")
    assert settings.url.endswith("/mcp/code/mcp")
    assert (settings.transport, settings.command, settings.headers, settings.env) == ("http", None, {}, {})
    assert assembly.servers.used_by["gecko"] == "simulator"


def test_an_mcp_server_that_cannot_be_reached_is_said_with_its_line() -> None:
    client = GECKO.replace("https://mcp.example/mcp", "http://127.0.0.1:1/mcp")
    problems = {problem.path[1]: problem.message for problem in unreachable(parsed(client))}
    assert "client 'gecko': cannot reach http://127.0.0.1:1/mcp" in problems["gecko"]
