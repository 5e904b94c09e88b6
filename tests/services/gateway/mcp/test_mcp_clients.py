"""The server as clients meet it: the SDK's own over stdio, and an independent one, npm's MCP inspector, over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from anyio.from_thread import start_blocking_portal
from mcp import Client, StdioServerParameters

from tests.services.gateway.mcp.served import Served, Session
from tests.services.gateway.mcp.test_mcp_tools import arguments_of

pytestmark = pytest.mark.long
INSPECTOR = "@modelcontextprotocol/inspector@0.21.2"
INSTALL, RUN = 300.0, 60.0  # seconds
CACHE = Path.home() / ".cache" / "dataplatform" / "inspector"


def test_over_stdio_the_client_of_the_sdk_lists_and_calls_every_tool_of_the_demo(data_dir: Path) -> None:
    command = ["-m", "dataplatform.system", "mcp", "--transport", "stdio", "--demo", "--allow-writes"]
    server = StdioServerParameters(command=sys.executable, args=[*command, "--data-dir", str(data_dir)])
    with start_blocking_portal() as portal:
        client = Client(server, cache=None, read_timeout_seconds=60)
        with portal.wrap_async_context_manager(client):
            session = Session(portal, client)
            for name, tool in session.tools().items():
                arguments = arguments_of(name)
                if name.startswith("publish_") or name == "flush":
                    arguments = arguments | {"target": "database"}
                if name == "run_pipe":
                    arguments = arguments | {"targets": ["stream", "database"]}
                assert tool.output_schema is not None
                jsonschema.Draft202012Validator(tool.output_schema).validate(session.answer(name, arguments))


@cache
def installed() -> str:
    """Return the inspector's program, installed first where it is not yet; or a reason after `no `."""
    program = CACHE / "node_modules" / ".bin" / "mcp-inspector"
    if program.exists():
        return str(program)
    CACHE.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--ignore-scripts", INSPECTOR]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL, check=False)
    except OSError:
        return "no Node.js here"
    return str(program) if done.returncode == 0 else f"no inspector: {done.stderr.strip()[-200:]}"


@pytest.fixture(scope="module")
def inspector() -> str:
    program = installed()
    if program.startswith("no "):
        pytest.skip(program)
    return program


def inspected(program: str, served: Served, *request: str) -> Any:
    token = f"Authorization: Bearer {served.tokens['everything']}"
    options = ["--cli", served.url, "--transport", "http", "--header", token]
    done = subprocess.run([program, *options, *request], capture_output=True, text=True, timeout=RUN, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_independent_client_lists_calls_and_reads(inspector: str, served: Served) -> None:
    tools = inspected(inspector, served, "--method", "tools/list")["tools"]
    assert {"get_current_price", "run_pipe", "list_sources"} <= {tool["name"] for tool in tools}
    call = ["--method", "tools/call", "--tool-name", "get_current_price", "--tool-arg", "coinId=bitcoin"]
    assert inspected(inspector, served, *call)["structuredContent"]["result"]["coinId"] == "bitcoin"
    read = inspected(inspector, served, "--method", "resources/read", "--uri", "price://ethereum")
    assert json.loads(read["contents"][0]["text"])["coinId"] == "ethereum"
