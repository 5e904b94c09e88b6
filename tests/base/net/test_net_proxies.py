"""Proxies of the environment: none leads to this machine, and one that does not work is named as what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dataplatform.base.agent import ManualClock
from dataplatform.base.http import Get, HttpClient, HttpSettings
from dataplatform.base.mcp import ListTools, McpClient, McpSettings
from dataplatform.base.net.proxies import is_loopback, proxy_for
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, get_data
from dataplatform.simulator import Simulator
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.support.solo import PATIENCE, Solo, solo

VARIABLES = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]
DEAD = "http://ada:hunter2@127.0.0.1:1"
SHOWN = "the proxy http://127.0.0.1:1 (HTTP_PROXY)"
FAR = "http://api.invalid"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def agents() -> Iterator[Solo]:
    with solo(ManualClock()) as agents:
        yield agents


@pytest.fixture
def proxy() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


def over_http(agents: Solo, url: str) -> PlatformError | None:
    result = agents.start("http", HttpClient, HttpSettings(base_url=url, attempts=1)).ask(Get("/ping"), PATIENCE)
    return result.error if isinstance(result, Failure) else None


def over_mcp(agents: Solo, url: str) -> PlatformError | None:
    result = agents.start("mcp", McpClient, McpSettings(url=url)).ask(ListTools(), PATIENCE)
    return result.error if isinstance(result, Failure) else None


by_client = pytest.mark.parametrize("ask", [over_http, over_mcp])
Ask = Callable[[Solo, str], PlatformError | None]


# The rule


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost.example", False),
        ("mylocalhost", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("::2", False),
        ("", False),
    ],
)
def test_this_machine_is_known_by_all_its_names(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("environ", "url", "found"),
    [
        ({}, "https://api.example/v3", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.example/v3", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://api.example/v3", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://api.example/v3", None),
        ({"ALL_PROXY": "socks5h://p:1"}, "https://api.example/v3", "socks5h://p:1"),
        ({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "http://p:1"}, "https://api.example/v3", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example"}, "https://api.example/v3", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".api.example, other"}, "https://api.example:8443", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example:8443"}, "https://api.example:8443", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example:8443"}, "https://api.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample"}, "https://api.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://11.1.2.3", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[fd00::]/8"}, "https://[fd00::7]", None),
        ({"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:8000", None),
        ({"ALL_PROXY": "http://p:1"}, "http://[::1]:8000", None),
        ({"ALL_PROXY": "nonsense://"}, "http://localhost:8000", None),
    ],
)
def test_the_proxy_is_the_one_that_the_environment_names_and_none_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], url: str, found: str | None
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    assert (proxy and proxy.url) == found


@pytest.mark.parametrize(
    "value", ["http://", "://p:1", "ftp://p:1", "http://p:port", "http://p:0", "two words", "http://[::1"]
)
@by_client
def test_what_is_no_proxy_is_said_by_the_name_of_its_variable(
    agents: Solo, monkeypatch: pytest.MonkeyPatch, ask: Ask, value: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    assert ask(agents, FAR) == Permanent(
        "bad_proxy",
        "HTTP_PROXY names no proxy",
        remedy="set HTTP_PROXY to a URL such as http://proxy.example:3128, or leave it out",
    )


# This machine


@pytest.mark.parametrize("value", [DEAD, "socks5://127.0.0.1:1", "nonsense"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_directly_by_every_client_whatever_the_environment_says(
    agents: Solo, monkeypatch: pytest.MonkeyPatch, simulator: Simulator, name: str, value: str, host: str
) -> None:
    monkeypatch.setenv(name, value)
    assert over_http(agents, simulator.base_url.replace("127.0.0.1", host)) is None
    assert over_mcp(agents, simulator.mcp_url("static").replace("127.0.0.1", host)) is None
    sse = McpSettings(transport="sse", url=simulator.mcp_url("static", "sse").replace("127.0.0.1", host))
    assert get_data(agents.start("sse", McpClient, sse).ask(ListTools(), PATIENCE))


# A proxy that does not work


@by_client
def test_a_proxy_that_is_not_there_is_named_without_its_password(
    agents: Solo, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    error = ask(agents, FAR)
    assert error == Transient(
        "unreachable",
        f"cannot reach {FAR} through {SHOWN}: Connection refused",
        remedy="check HTTP_PROXY, or exempt api.invalid by NO_PROXY",
    )
    assert not error.of_question


@by_client
def test_a_proxy_that_makes_no_tunnel_is_named(
    agents: Solo, monkeypatch: pytest.MonkeyPatch, proxy: ScriptedServer, ask: Ask
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    proxy.script.extend([answer(403)] * 5)
    error = ask(agents, "https://api.invalid")
    assert error is not None
    assert error.code == "unreachable"
    assert f"through the proxy {proxy.url} (ALL_PROXY): " in error.message
    assert "403" in error.message


@by_client
@pytest.mark.parametrize(("status", "code"), [(407, "bad_proxy"), (404, ""), (502, "server_error")])
def test_an_answer_that_a_proxy_may_have_given_names_it(
    agents: Solo, monkeypatch: pytest.MonkeyPatch, proxy: ScriptedServer, ask: Ask, status: int, code: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    proxy.script.extend([answer(status, "<title>squid</title>")] * 5)  # the SDK may ask again in another way
    error = ask(agents, FAR)
    assert error is not None
    assert code in error.code
    assert f"asked through the proxy {proxy.url} (HTTP_PROXY), answered {status}: " in error.message


@by_client
def test_a_proxy_of_a_kind_that_needs_another_package_is_named(
    agents: Solo, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    error = ask(agents, FAR)
    assert error is not None
    assert "through the proxy socks5://127.0.0.1:1 (ALL_PROXY): " in error.message
