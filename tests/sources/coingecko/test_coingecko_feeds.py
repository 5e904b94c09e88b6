"""CoinGecko's feeds: what changed is sent once, what is odd stands aside, and every outage is waited out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog.testing
from attrs import evolve

from dataplatform.base.http import HttpClient, HttpSettings
from dataplatform.dsl.flow import PolledRow
from dataplatform.dsl.flow.source import FeedDue
from dataplatform.dsl.records.types import CryptoMarketAnalytics, CryptoPriceData
from dataplatform.errors import Permanent, PlatformError
from dataplatform.simulator import Fault, Simulator
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource, FeedOptions
from tests.base.http.scripted_server import ScriptedServer, answer
from tests.dsl.flows import INPUT, SOURCE, Flow
from tests.dsl.records import NOON
from tests.sources.coingecko.answers import BAD_TEXTS, row, spoilt
from tests.sources.coingecko.conftest import Moment
from tests.sources.coingecko.test_coingecko_operations import FAULTS
from tests.support.waiting import DEADLINE, SHORT

TOP_20 = FeedOptions(operation="get_current_prices", top=20, every=60.0)
ANALYTICS = FeedOptions(operation="get_market_analytics", every=300.0)

LATER = "2025-12-31T12:49:22Z"

Begin = Callable[..., None]


@pytest.fixture
def begin(flow: Flow, market: Simulator) -> Begin:
    """Start a source with feeds, of the simulated CoinGecko or of another server, and one target for all of it."""

    def start(*feeds: FeedOptions, url: str = "", **settings: object) -> None:
        made = HttpSettings(**{"base_url": url or market.base_url, "attempts": 1, **settings})  # type: ignore[arg-type]
        options = CoinGeckoOptions(client=INPUT, feeds=feeds or (TOP_20,))
        flow.run(
            HttpClient.child(INPUT, made),
            lambda outbox: CoinGeckoSource.child(SOURCE, options, INPUT, outbox, stage=2),
            "table",
        )

    return start


def poll(flow: Flow, market: Simulator) -> None:
    """Let the time pass until the next poll, and wait for what it brings."""
    flow.quiet()
    polls = len(market.requests)
    flow.wait_for(FeedDue)
    flow.until(lambda: len(market.requests) > polls)
    flow.quiet()


def coins(flow: Flow) -> list[str]:
    return flow.store("table").coins


def prices(flow: Flow) -> list[CryptoPriceData]:
    return [row for row in flow.store("table").rows if isinstance(row, CryptoPriceData)]


# What is sent


def test_a_feed_brings_the_coins_with_the_largest_market_cap(flow: Flow, begin: Begin) -> None:
    begin()
    flow.until(lambda: flow.account("table").written == 20)
    assert coins(flow)[0] == "bitcoin"
    assert len(set(coins(flow))) == 20
    assert {row.source for row in flow.store("table").rows if isinstance(row, CryptoPriceData)} == {"simulator"}


def test_a_feed_brings_the_coins_it_names(flow: Flow, begin: Begin) -> None:
    begin(FeedOptions(operation="get_current_prices", coins=["solana", "bitcoin"]))
    flow.until(lambda: flow.account("table").written == 2)
    assert set(coins(flow)) == {"solana", "bitcoin"}


def test_prices_that_did_not_change_are_not_sent_again(
    flow: Flow, begin: Begin, market: Simulator, moment: Moment
) -> None:
    begin()
    flow.until(lambda: flow.account("table").written == 20)
    poll(flow, market)
    assert len(market.requests) == 2
    assert flow.account("table").read == 20
    moment.pass_(minutes=1)
    poll(flow, market)
    flow.until(lambda: flow.account("table").written == 40)
    assert len(set(flow.store("table").rows)) == 40


def test_the_state_of_the_market_is_sent_once_for_each_time_it_is_of(
    flow: Flow, begin: Begin, market: Simulator, moment: Moment
) -> None:
    begin(ANALYTICS)
    flow.until(lambda: flow.account("table").written == 1)
    poll(flow, market)
    assert flow.account("table").read == 1
    moment.pass_(minutes=5)
    poll(flow, market)
    flow.until(lambda: flow.account("table").written == 2)
    assert all(isinstance(row, CryptoMarketAnalytics) for row in flow.store("table").rows)


def test_feeds_for_the_same_coins_send_each_price_once(flow: Flow, begin: Begin) -> None:
    begin(TOP_20, FeedOptions(operation="get_current_prices", coins=("bitcoin", "ethereum")))
    flow.until(lambda: flow.account("table").written == 20)
    flow.quiet()
    assert sorted(coins(flow)) == sorted(set(coins(flow)))


def test_more_coins_than_a_page_holds_come_whole_even_when_the_rate_is_low(
    flow: Flow, begin: Begin, market: Simulator
) -> None:
    begin(FeedOptions(operation="get_current_prices", top=300, every=60.0), rate_per_minute=1.0, timeout=10.0)
    flow.until(lambda: flow.reason(SOURCE) is not None)
    assert "1 requests a minute" in str(flow.reason(SOURCE))
    flow.quiet()
    flow.wait_for(FeedDue)
    flow.until(lambda: flow.account("table").written == 300)
    assert len(set(coins(flow))) == 300
    assert len(market.requests) == 2, "the page that had been answered was not asked for again"


# What is odd


def test_a_bad_row_goes_to_the_dead_letters_and_the_others_go_on(flow: Flow, begin: Begin) -> None:
    bad = row("ethereum", current_price="much")
    server = ScriptedServer(answer(200, [row("bitcoin"), bad, row("solana")]))
    begin(url=server.url)
    flow.until(lambda: flow.account("table").written == 2 and flow.account("table").dead_lettered == 1)
    server.close()
    assert coins(flow) == ["bitcoin", "solana"]
    (letter,) = flow.store("table").letters
    assert json.loads(letter.raw) == bad
    assert (letter.origin, letter.stream, letter.record_kind) == (SOURCE, "/coins/markets", "prices")
    assert (letter.source_kind, letter.source) == ("coingecko", "coingecko")
    assert letter.error.startswith("changed_shape: /coins/markets ('ethereum'): Expected `float | null`")
    assert flow.reason(SOURCE) is None


@pytest.mark.parametrize("when", ["1970-01-01T00:00:00Z", "2007-12-31T23:59:59Z", "2026-01-03T00:00:00Z"])
def test_a_price_of_a_time_that_cannot_be_is_a_dead_letter(flow: Flow, begin: Begin, when: str) -> None:
    server = ScriptedServer(answer(200, [row("bitcoin"), row("ethereum", last_updated=when)]))
    begin(url=server.url)
    flow.until(lambda: flow.account("table").written == 1 and flow.account("table").dead_lettered == 1)
    server.close()
    assert coins(flow) == ["bitcoin"]
    (letter,) = flow.store("table").letters
    assert "last_updated: expected a time from 2008 to a day from now" in letter.error


def test_a_coin_that_has_no_symbol_to_show_is_stored_by_its_id(flow: Flow, begin: Begin) -> None:
    server = ScriptedServer(answer(200, [row("bitcoin"), row("tulip", symbol="\u202e")]))
    begin(url=server.url)
    flow.until(lambda: flow.account("table").written == 2)
    server.close()
    assert [(price.coin_id, price.symbol) for price in prices(flow)] == [("bitcoin", "bit"), ("tulip", "tulip")]
    assert flow.store("table").letters == []


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_name_that_is_no_text_costs_no_other_coin(flow: Flow, begin: Begin, bad: bytes) -> None:
    rows = [row("bitcoin"), row("tulip", name="bad#", symbol="t#"), row("solana", current_price=2.5)]
    server = ScriptedServer(answer(200, spoilt(rows, bad)))
    begin(url=server.url)
    flow.until(lambda: flow.account("table").written == 3)
    server.close()
    assert [(price.coin_id, price.symbol, price.name, price.usd_price) for price in prices(flow)] == [
        ("bitcoin", "bit", "Bitcoin", 1.5),
        ("tulip", "t\ufffd", "bad\ufffd", 1.5),
        ("solana", "sol", "Solana", 2.5),
    ]
    assert flow.store("table").letters == []
    assert flow.reason(SOURCE) is None
    assert flow.status(SOURCE).counters["notes"] == 1


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_a_coin_whose_id_is_no_text_is_a_dead_letter(flow: Flow, begin: Begin, bad: bytes) -> None:
    server = ScriptedServer(answer(200, spoilt([row("bitcoin"), row("tu#lip"), row("solana")], bad)))
    begin(url=server.url)
    flow.until(lambda: flow.account("table").written == 2 and flow.account("table").dead_lettered == 1)
    server.close()
    assert coins(flow) == ["bitcoin", "solana"]
    (letter,) = flow.store("table").letters
    assert "expected an id, got 'tu\ufffdlip'" in letter.error
    with pytest.raises(Permanent, match="expected an id"):
        CoinGeckoSource.decode_row(PolledRow.of(letter))


def test_a_coin_that_the_feed_does_not_name_is_not_sent_and_counted(flow: Flow, begin: Begin) -> None:
    server = ScriptedServer(answer(200, [row("bitcoin"), row("ethereum")]))
    begin(FeedOptions(operation="get_current_prices", coins=["ethereum"]), url=server.url)
    flow.until(lambda: flow.account("table").written == 1)
    server.close()
    assert coins(flow) == ["ethereum"]
    assert flow.status(SOURCE).counters["not_asked_for"] == 1


def test_the_letter_of_a_row_is_enough_to_decode_it_as_the_feed_would_have(flow: Flow, begin: Begin) -> None:
    server = ScriptedServer(answer(200, [row("bitcoin"), row("ethereum", current_price="much")]))
    begin(url=server.url)
    flow.until(lambda: flow.account("table").written == flow.account("table").dead_lettered == 1)
    server.close()
    (letter,) = flow.store("table").letters
    (fed,) = [one for one in flow.store("table").rows if isinstance(one, CryptoPriceData)]

    with pytest.raises(Permanent, match=r"Expected `float \| null`"):
        CoinGeckoSource.decode_row(PolledRow.of(letter))
    mended = evolve(PolledRow.of(letter), raw=json.dumps(row("bitcoin")).encode())
    assert CoinGeckoSource.decode_row(mended) == fed


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"endpoint": "/global"}, "unsupported"),
        ({"source": "somebody"}, "unknown_source"),
        ({"raw": json.dumps(row("bitcoin", current_price=None)).encode()}, "no_price"),
        ({"raw": b'{"id": "cut of'}, "not_json"),
    ],
)
def test_what_of_a_row_cannot_be_a_price_is_an_error(changes: dict[str, Any], code: str) -> None:
    whole = PolledRow(
        raw=json.dumps(row("bitcoin")).encode(),
        source_kind="coingecko",
        endpoint="/coins/markets",
        source="coingecko",
        received_at=NOON,
    )
    with pytest.raises(PlatformError) as caught:
        CoinGeckoSource.decode_row(evolve(whole, **changes))
    assert caught.value.code == code


def test_coins_that_never_come_are_counted_and_named_once_per_change(flow: Flow, begin: Begin) -> None:
    two, three = [row("bitcoin"), row("dead-coin", current_price=None)], [row("etherium", last_updated=LATER)]
    odd = row("odd-coin", current_price="much")
    polls = [[*two, odd], [*two, odd], [*two, odd, *three], [*two, odd]]
    server = ScriptedServer(*[answer(200, rows) for rows in polls])
    with structlog.testing.capture_logs() as logs:
        named = ["bitcoin", "etherium", "dead-coin", "odd-coin", "solano"]
        begin(FeedOptions(operation="get_current_prices", coins=named), url=server.url)
        heard = 0
        for number, unknown in enumerate([2, 2, 1, 2], 1):
            flow.until(lambda heard=heard: flow.status(INPUT).counters.get("bytes", 0) > heard)  # type: ignore[misc]
            flow.quiet()
            heard = flow.status(INPUT).counters["bytes"]
            assert flow.status(SOURCE).counters["unknown_coins"] == unknown
            if number < len(polls):
                flow.wait_for(FeedDue)
    server.close()
    told = [line["coins"] for line in logs if line["event"] == "coins that CoinGecko lacks"]
    assert told == [["etherium", "solano"], ["solano"], ["etherium", "solano"]]
    assert flow.reason(SOURCE) is None


def test_a_feed_none_of_whose_coins_comes_says_so(flow: Flow, begin: Begin, market: Simulator) -> None:
    begin(FeedOptions(operation="get_current_prices", coins=["bitcoinn"]), TOP_20)
    flow.until(lambda: flow.account("table").written == 20)
    flow.until(lambda: flow.status(SOURCE).counters.get("unknown_coins") == 1)


def test_a_coin_without_a_price_is_left_out_and_counted(flow: Flow, begin: Begin) -> None:
    rows = [row("bitcoin"), row("dead-coin", current_price=None), row("old-coin", last_updated=None)]
    server = ScriptedServer(answer(200, rows))
    begin(url=server.url)
    flow.until(lambda: flow.account("table").written == 1)
    server.close()
    assert flow.account("table").read == 1
    assert flow.status(SOURCE).counters["unpriced"] == 2


def test_a_coin_that_stands_on_two_pages_is_sent_once(flow: Flow, begin: Begin) -> None:
    first = [row(f"coin-{number}") for number in range(250)]
    second = [row("coin-249", current_price=2.5, last_updated="2025-12-31T12:49:22Z"), row("coin-250")]
    server = ScriptedServer(answer(200, first), answer(200, second))
    begin(FeedOptions(operation="get_current_prices", top=500), url=server.url)
    flow.until(lambda: flow.account("table").written == 251)
    server.close()
    assert len(coins(flow)) == len(set(coins(flow))) == 251
    (twice,) = [
        one for one in flow.store("table").rows if isinstance(one, CryptoPriceData) and one.coin_id == "coin-249"
    ]
    assert twice.usd_price == 2.5


# Outages


@pytest.mark.parametrize(
    ("fault", "kind", "code", "retry_after"), FAULTS, ids=lambda value: value.kind if isinstance(value, Fault) else None
)
def test_every_fault_is_shown_and_waited_out(
    flow: Flow,
    begin: Begin,
    market: Simulator,
    fault: Fault,
    kind: type[PlatformError],
    code: str,
    retry_after: float | None,
) -> None:
    market.inject(fault)
    begin(timeout=SHORT if fault.kind == "slow" else DEADLINE)
    flow.until(lambda: flow.reason(SOURCE) is not None)
    status = flow.status(SOURCE)
    assert status.shown == "degraded"
    assert status.degraded is not None
    assert status.degraded.reason.startswith(f"{code}: ")
    assert status.degraded.next_try is not None
    wait = (status.degraded.next_try - flow.stage.clock.now()).total_seconds()
    assert wait >= (TOP_20.every if kind is Permanent else retry_after or 0.0)
    assert flow.account("table").read == 0
    market.clear_faults()
    flow.quiet()
    flow.wait_for(FeedDue)
    flow.until(lambda: flow.account("table").written == 20)
    assert flow.reason(SOURCE) is None
    assert flow.status(SOURCE).restarts == 0


def test_a_feed_that_works_goes_on_while_another_fails(flow: Flow, begin: Begin, market: Simulator) -> None:
    market.inject(Fault("changed_shape", path="/global"))
    begin(TOP_20, ANALYTICS)
    flow.until(lambda: flow.account("table").written == 20)
    flow.until(lambda: flow.reason(SOURCE) is not None)
    assert str(flow.reason(SOURCE)).startswith("changed_shape: the answer of")
    assert "/global" in str(flow.reason(SOURCE))
    poll(flow, market)
    assert "/global" in str(flow.reason(SOURCE))
    market.clear_faults()
    flow.in_time(lambda: flow.reason(SOURCE) is None)


# Options


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"operation": "get_current_prices"}, "either coins"),
        ({"operation": "get_current_prices", "top": 5, "coins": ["bitcoin"]}, "either coins"),
        ({"operation": "get_current_prices", "coins": ["bit coin"]}, "no coin id"),
        ({"operation": "get_market_analytics", "top": 5}, "neither coins nor top"),
        ({"operation": "get_market_analytics", "coins": ["bitcoin"]}, "neither coins nor top"),
        ({"operation": "get_everything"}, "operation"),
        ({"operation": "get_current_prices", "top": 0}, "top"),
        ({"operation": "get_current_prices", "top": 5_001}, "top"),
        ({"operation": "get_current_prices", "top": 5, "every": 0.0}, "every"),
    ],
)
def test_a_feed_that_makes_no_sense_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        FeedOptions(**options)


@pytest.mark.parametrize("coin", ["BTC", "Bitcoin", "USD-coin"])
def test_a_feed_names_its_coins_by_their_ids(coin: str) -> None:
    feeds = (TOP_20, FeedOptions(operation="get_current_prices", coins=["solana", coin]))
    with pytest.raises(ValueError, match=f"no capitals, got '{coin}'; write 'bitcoin' for BTC"):
        CoinGeckoOptions(client=INPUT, feeds=feeds)


def test_a_single_text_is_no_list_of_coins() -> None:
    with pytest.raises(TypeError, match="a list of texts"):
        FeedOptions(operation="get_current_prices", coins="bitcoin")
