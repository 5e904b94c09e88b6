"""The parts of the server that stand by themselves: options, wire forms, notices, the command's tokens."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from dataplatform.base.agent import ManualClock
from dataplatform.base.http.rate import TokenBucket
from dataplatform.dsl.records.schema import Wire, to_json
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.errors import Permanent, Transient
from dataplatform.services.gateway.mcp.failures import text_of
from dataplatform.services.gateway.mcp.subscriptions import Subscriber
from dataplatform.services.gateway.options import GatewayOptions, digest
from dataplatform.system.cli.main import main
from dataplatform.system.cli.mcp import with_server
from dataplatform.system.config.topology import ConfigurationError, default_topology, parse_topology

SERVICE = """
[clients.gecko]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"
[sources.coingecko]
kind = "coingecko"
client = "gecko"
[services.agents]
kind = "gateway"
"""


# Options


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('host = "0.0.0.0"', "other machines reach 0.0.0.0, so tokens are required"),
        ('tokens = [{ name = "a", sha256 = "secret" }]', "sha256: expected 64 hexadecimal digits"),
        (f'tokens = [{{ name = "a", sha256 = "{"0" * 64}", rights = ["root"] }}]', "'root' is no right"),
        (f'tokens = [{{ name = "a", sha256 = "{"0" * 64}", rights = [] }}]', "without any right"),
        ("max_item = 5", "unknown key 'max_item'; did you mean 'max_items'?"),
        ('port = "http"', "port: expected a whole number"),
        ("readers = 0", "readers: must be from 1 to 64, got 0"),
    ],
)
def test_a_service_s_table_is_checked_as_every_other_is(lines: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_topology(f"{SERVICE}{lines}")
    assert problem in str(refused.value)


def test_a_kind_of_service_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown kind 'gatway'; did you mean 'gateway'"):
        parse_topology(SERVICE.replace('"gateway"', '"gatway"'))


def test_a_service_has_a_name_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="'coingecko' is already the name of a source"):
        parse_topology(SERVICE.replace("services.agents", "services.coingecko"))


def test_other_machines_are_let_in_with_tokens() -> None:
    token = f'host = "0.0.0.0"\ntokens = [{{ name = "laptop", sha256 = "{digest("x")}" }}]'
    options = parse_topology(SERVICE + token).services["agents"].options
    assert [(token.name, token.rights) for token in options.tokens] == [("laptop", ("read",))]
    assert digest("x") not in repr(options)


# The command


def test_the_command_prints_a_token_and_a_line_that_lets_it_in() -> None:
    said = CliRunner().invoke(main, ["mcp", "token", "--name", "laptop", "--right", "read", "--right", "write"]).stdout
    (token,) = re.findall(r"nowhere:  (\S{43})$", said, re.MULTILINE)
    line = said.splitlines()[-1]
    (made,) = parse_topology(SERVICE + line).services["agents"].options.tokens
    assert (made.name, made.sha256, made.rights) == ("laptop", digest(token), ("read", "write"))
    assert token not in line


def test_the_command_gives_any_topology_a_server_and_changes_the_one_it_has() -> None:
    added, name = with_server(default_topology(), {"port": 0, "host": None})
    assert (name, added.services["mcp"].options) == ("mcp", GatewayOptions(port=0))
    changed, name = with_server(parse_topology(f"{SERVICE}readers = 7"), {"port": 0})
    assert (name, changed.services["agents"].options) == ("agents", GatewayOptions(port=0, readers=7))


def test_the_command_refuses_a_public_address_without_tokens() -> None:
    refused = CliRunner().invoke(main, ["mcp", "--host", "0.0.0.0", "--demo"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "tokens are required" in refused.stderr


# On the wire


def test_what_goes_out_comes_in_again() -> None:
    sent = {"coinId": "bitcoin", "symbol": "btc", "usdPrice": 1, "lastUpdated": "2026-01-01T00:00:00Z", "source": "x"}
    price = Wire().read(CryptoPriceData, sent)
    assert Wire().read(CryptoPriceData, to_json(price)) == price


@pytest.mark.parametrize(
    ("change", "place"),
    [({"usdPrice": "1"}, "usdPrice: expected"), ({"usdPrise": 1}, "usdPrise"), ({"usdPrice": -1}, "usd_price")],
)
def test_what_does_not_fit_is_refused_with_its_place(change: dict[str, Any], place: str) -> None:
    sent = {"coinId": "bitcoin", "symbol": "btc", "usdPrice": 1, "lastUpdated": "2026-01-01T00:00:00Z", "source": "x"}
    with pytest.raises(Permanent, match=re.escape(place)):
        Wire().read(CryptoPriceData, sent | change)


# Failures


def test_a_failure_says_to_wait_as_long_as_was_asked_for() -> None:
    assert text_of(Transient("throttled", "used up", retry_after=12.0)) == "throttled: used up. Try again in 12 s."


# Notices


def test_a_client_gets_notices_at_its_rate_and_those_that_wait_are_joined() -> None:
    told: list[str] = []

    async def tell(coin: str) -> None:
        told.append(coin)

    clock = ManualClock()
    subscriber = Subscriber(tell, TokenBucket(clock, per_minute=120, burst=2))
    for coin in ("a", "b", "c", "d", "c"):
        subscriber.pending[coin] = None
    anyio.run(subscriber.flush)
    assert told == ["a", "b"]
    clock.advance(0.5)
    anyio.run(subscriber.flush)
    assert told == ["a", "b", "c"]
    assert list(subscriber.pending) == ["d"]
