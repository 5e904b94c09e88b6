"""Whatever CoinGecko changes in an answer: nothing crashes, nothing is invented, no row costs another, all is named.

Each endpoint's answer is changed in one place at a time and put through the source's own plans: all changes over REST,
a sample over both generations of MCP tools. What a record may hold is worked out from the changed answer anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from math import inf
from typing import Any, TypeAlias

import pytest
from attrs import field, frozen

from dataplatform.base.agent import Context, ManualClock, Request, Runtime
from dataplatform.base.http import Get, Response
from dataplatform.base.mcp import CallAnyOf, McpSettings, ToolAnswer
from dataplatform.dsl.flow.plan import Plan, transformed
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource, FeedOptions
from dataplatform.sources.coingecko import api as endpoints
from dataplatform.sources.coingecko.transports import Mcp, Rest, Transport
from tests.sources.coingecko.answers import NOW
from tests.sources.coingecko.mutations import Mutation, Path, mutations
from tests.sources.coingecko.shapes import DOCUMENTS, USED
from tests.support.solo import Ear

Bodies: TypeAlias = Mapping[str, bytes]
Carry: TypeAlias = Callable[[Result[Plan[Any]]], Result[Any]]
BODIES = {path: json.dumps(document).encode() for path, document in DOCUMENTS.items()}
COINS = ["bitcoin", "ethereum", "pepe"]
HALF_HOUR = timedelta(minutes=30)
RANGE = DateRangeOHLCVQuery("bitcoin", NOW - timedelta(hours=3), NOW, "30m")
SAMPLED = 7  # of so many changes one goes over MCP as well
CODES = {"changed_shape", "not_found", "no_price", "no_candles"}
PATHS = {one.tool: one.path for one in vars(endpoints).values() if isinstance(one, endpoints.Endpoint)}


# What carries the answers


def over_rest(request: Any, bodies: Bodies) -> Response:
    assert isinstance(request, Get)
    return Response(200, bodies[request.path], {}, f"https://api.example{request.path}", NOW)


def _called(request: Any, place: int) -> tuple[str, str]:
    assert isinstance(request, CallAnyOf)
    call = request.calls[place]
    return call.name, PATHS[call.name].replace("{id}", str(call.arguments.get("id")))


def _told(text: str, tool: str) -> ToolAnswer:
    return ToolAnswer(text, None, "coingecko_mcp", "8.2.0", NOW, tool)


def over_static_tools(request: Any, bodies: Bodies) -> ToolAnswer:
    tool, path = _called(request, 0)
    return _told(bodies[path].decode(), tool)


def over_later_tools(request: Any, bodies: Bodies) -> ToolAnswer:
    tool, path = _called(request, 1)
    return _told(bodies[path].decode(), tool)


def over_code(request: Any, bodies: Bodies) -> ToolAnswer:
    _, path = _called(request, 0)
    return _told(f'{{"result": {bodies[path].decode()}, "log_lines": [], "err_lines": []}}', "execute")


Answering: TypeAlias = Callable[[Request[Any], Bodies], Any]
MCP = Mcp(McpSettings(url="https://mcp.example/mcp"))


@frozen
class Served:
    """A source, and how the requests that it plans are answered."""

    source: CoinGeckoSource
    answer: Answering

    def ask(self, question: Question, bodies: Bodies) -> Result[Any]:
        self.source._open()  # it has seen nothing yet
        return question.ask(self.source, lambda planned: self._carried_out(planned, bodies))

    def _carried_out(self, planned: Result[Plan[Any]], bodies: Bodies) -> Result[Any]:
        plan, answers = get_data(planned), list[Any]()
        while len(answers) < len((plan := plan.followed(answers)).requests):
            answers.append(self.answer(plan.requests[len(answers)], bodies))
        return transformed(plan, answers)


@pytest.fixture(scope="module")
def served() -> Iterator[Callable[[Transport, Answering], Served]]:
    runtime = Runtime.start(ManualClock(NOW))
    feeds = (FeedOptions(operation="get_current_prices", coins=COINS),)

    def serve(transport: Transport, answer: Answering) -> Served:
        options, context = CoinGeckoOptions(client="client", feeds=feeds), Context("coingecko", runtime, Ear())
        return Served(CoinGeckoSource(context, options, "client", None, transport), answer)

    yield serve
    runtime.stop()


# What is asked, and what a record of the answer may hold


@frozen
class Question:
    """An operation or feed that reads the answer at `document`.

    `holds` tells whether a record is what the documents say. The rows stand at one of `rows`; `key` is what a row and
    its record have in common, None for what is made of all of them.
    """

    document: str
    ask: Callable[[CoinGeckoSource, Carry], Result[Any]] = field(repr=False)
    holds: Callable[[Any, Mapping[str, Any]], bool] = field(repr=False)
    rows: tuple[Path, ...] = ()
    key_of_row: Callable[[Any], object] = field(default=lambda _: None, repr=False)
    key_of_record: Callable[[Any], object] = field(default=lambda _: None, repr=False)


def _prices(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
    options = CurrentPricesOptions(("usd", "btc", "eth"))
    return source._prices_of(COINS, carry(source._current_prices(COINS, options)))


def _feed(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
    (feed,) = source._feeds()
    feed_results = carry(feed.plan())
    if isinstance(feed_results, Failure):
        return feed_results
    (feed_result,) = feed_results.data
    return Success(feed_result.records, tuple(letter.error for letter in feed_result.letters))


def _series(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
    series = source._series_of(RANGE, carry(source._ohlcv_by_date_range(RANGE)))
    return series if isinstance(series, Failure) else Success(series.data.candles, series.notes)


def _latest(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
    return source._candles_of(["bitcoin"], "30m", carry(source._latest_ohlcv(["bitcoin"], "30m")))


def _history(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
    return source._history_of("bitcoin", 1, carry(source._price_history("bitcoin", 1)))


def _tickers(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
    return carry(source._available_tickers(None))


def _analytics(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
    state = carry(source._market_analytics())
    return state if isinstance(state, Failure) else Success([state.data], state.notes)


def _level1(query: Level1Query) -> Callable[[CoinGeckoSource, Carry], Result[Any]]:
    def ask(source: CoinGeckoSource, carry: Carry) -> Result[Any]:
        quote = source._level1_of(query, carry(source._level1(query)))
        return quote if isinstance(quote, Failure) else Success([quote.data], quote.notes)

    return ask


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


def _moment(milliseconds: Any) -> datetime | None:
    plain = isinstance(milliseconds, (int, float)) and 0 < milliseconds < 1e13
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if plain else None


def _rows(document: Any, *keys: str) -> list[Any]:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, list) else []


def _number(value: Any, least: float = -inf) -> float | None:
    """Return a number that can be; anything else is unknown, and never something else."""
    return value if type(value) in {int, float} and least <= value < inf else None


def _amount(value: Any) -> float | None:
    return _number(value, 0)


def _is_market(price: Any, documents: Mapping[str, Any]) -> bool:
    other = documents["/simple/price"]
    other = other.get(price.coin_id) if isinstance(other, dict) else None
    other = other if isinstance(other, dict) else {}
    return any(
        isinstance(row, dict)
        and row.get("id") == price.coin_id
        and price.symbol == (row["symbol"] if isinstance(row.get("symbol"), str) else price.coin_id)
        and price.name == (row["name"] if isinstance(row.get("name"), str) else None)
        and price.usd_price == row.get("current_price")
        and price.market_cap == _amount(row.get("market_cap"))
        and price.volume_24h == _amount(row.get("total_volume"))
        and price.change_24h == _number(row.get("price_change_percentage_24h"))
        and price.change_7d == _number(row.get("price_change_percentage_7d_in_currency"))
        and price.last_updated == _time(row.get("last_updated"))
        and price.btc_price in {None, _amount(other.get("btc"))}
        and price.eth_price in {None, _amount(other.get("eth"))}
        for row in _rows(documents["/coins/markets"])
    )


def _is_point(price: Any, documents: Mapping[str, Any]) -> bool:
    chart = documents["/coins/bitcoin/market_chart"]

    def stands(value: float | None, line: str) -> bool:
        points = [row for row in _rows(chart, line) if isinstance(row, list) and len(row) > 1]
        return any(_moment(row[0]) == price.last_updated and row[1] == value for row in points)

    listed = [row for row in _rows(documents["/coins/markets"]) if isinstance(row, dict) and row.get("id") == "bitcoin"]
    return (
        price.coin_id == "bitcoin"
        and price.symbol in ["bitcoin", *(row.get("symbol") for row in listed)]
        and price.name in [None, *(row.get("name") for row in listed)]
        and stands(price.usd_price, "prices")
        and (price.market_cap is None or stands(price.market_cap, "market_caps"))
        and (price.volume_24h is None or stands(price.volume_24h, "total_volumes"))
    )


def _is_candle(candle: Any, documents: Mapping[str, Any]) -> bool:
    numbers = [candle.open, candle.high, candle.low, candle.close]
    return (candle.coin_id, candle.timeframe, candle.volume) == ("bitcoin", "30m", None) and any(
        isinstance(row, list) and _moment(row[0]) == candle.timestamp + HALF_HOUR and row[1:5] == numbers
        for row in _rows(documents["/coins/bitcoin/ohlc"])
        if row
    )


def _is_quote(document: str) -> Callable[[Any, Mapping[str, Any]], bool]:
    def holds(quote: Any, documents: Mapping[str, Any]) -> bool:
        return bool(quote.estimated) and any(
            isinstance(row, dict)
            and row.get("coin_id") == quote.ticker == "bitcoin"
            and f"{row.get('base')}/{row.get('target')}" == quote.market
            and row["market"]["identifier"] == quote.exchange
            and row.get("last") == pytest.approx((quote.best_bid + quote.best_ask) / 2)
            and row.get("bid_ask_spread_percentage") == quote.spread_percent
            and _time(row.get("last_traded_at")) == quote.timestamp
            and not (row.get("is_stale") or row.get("is_anomaly"))
            for row in _rows(documents[document], "tickers")
        )

    return holds


def _is_state(state: Any, documents: Mapping[str, Any]) -> bool:
    data = documents["/global"]["data"]
    shares = data.get("market_cap_percentage")
    shares = shares if isinstance(shares, dict) else {}
    return bool(
        state.timestamp == _moment(data["updated_at"] * 1000)
        and state.total_market_cap == data["total_market_cap"]["usd"]
        and state.total_volume == data["total_volume"]["usd"]
        and state.btc_dominance == _amount(shares.get("btc"))
        and state.eth_dominance == _amount(shares.get("eth"))
        and state.active_cryptocurrencies == data["active_cryptocurrencies"]
        and state.markets == data["markets"]
        and state.market_cap_change_24h == _number(data.get("market_cap_change_percentage_24h_usd"))
    )


def _is_listed(coin_id: Any, documents: Mapping[str, Any]) -> bool:
    return any(isinstance(row, dict) and row.get("id") == coin_id for row in _rows(documents["/coins/list"]))


LINES: tuple[Path, ...] = (("prices",), ("market_caps",), ("total_volumes",))
MARKETS: dict[str, Any] = {
    "holds": _is_market,
    "rows": ((),),
    "key_of_row": lambda row: row["id"],
    "key_of_record": lambda price: price.coin_id,
}
QUOTES: dict[str, Any] = {
    "rows": (("tickers",),),
    "key_of_row": lambda row: f"{row['base']}/{row['target']}",
    "key_of_record": lambda quote: quote.market,
}
QUESTIONS = [
    Question("/coins/markets", _prices, **MARKETS),
    Question("/coins/markets", _feed, **MARKETS),
    Question("/coins/markets", _history, _is_point),
    Question("/simple/price", _prices, _is_market),
    Question(
        "/coins/list",
        _tickers,
        _is_listed,
        rows=((),),
        key_of_row=lambda row: row["id"],
        key_of_record=lambda coin_id: coin_id,
    ),
    Question("/global", _analytics, _is_state),
    *(
        Question(
            "/coins/bitcoin/ohlc",
            ask,
            _is_candle,
            rows=((),),
            key_of_row=lambda row: _moment(row[0]),
            key_of_record=lambda candle: candle.timestamp + HALF_HOUR,
        )
        for ask in (_series, _latest)
    ),
    Question(
        "/coins/bitcoin/market_chart",
        _history,
        _is_point,
        rows=LINES,
        key_of_row=lambda row: _moment(row[0]),
        key_of_record=lambda price: price.last_updated,
    ),
    Question("/coins/bitcoin/tickers", _level1(Level1Query("bitcoin")), _is_quote("/coins/bitcoin/tickers"), **QUOTES),
]
LATER = [
    Question("/coins/bitcoin", _level1(Level1Query("bitcoin")), _is_quote("/coins/bitcoin"), **QUOTES),
    Question(
        "/exchanges/binance/tickers",
        _level1(Level1Query("bitcoin", "binance")),
        _is_quote("/exchanges/binance/tickers"),
        **QUOTES,
    ),
]


# What must hold


def check(question: Question, mutation: Mutation, answer: Result[Any], before: Success[Any]) -> None:
    """Hold the answer against the change: nothing invented, no other row lost, and what is wrong is named."""
    told = answer.notes if isinstance(answer, Success) else (_refusal(answer.error, mutation),)
    for text in (one for one in told if "changed_shape" in one or one.startswith(("left out: ", "taken for "))):
        assert _names(text, mutation.path), text
    if isinstance(answer, Success):
        documents = {**DOCUMENTS, question.document: mutation.document}
        strange = [record for record in answer.data if not question.holds(record, documents)]
        assert not strange
    if not _is_read(question, mutation) or _is_harmless(question, mutation):
        assert isinstance(answer, Success)
        assert sorted(answer.data, key=str) == sorted(before.data, key=str)
    if (row := _row(question, mutation)) is not None:
        changed = question.key_of_row(row)
        kept = [record for record in before.data if question.key_of_record(record) != changed]
        assert isinstance(answer, Success)
        assert all(record in answer.data for record in kept)


def _refusal(error: PlatformError, mutation: Mutation) -> str:
    bare_text = isinstance(mutation.document, str)  # which a tool sends as it is: no JSON then
    assert error.code in (CODES | {"not_json"} if bare_text else CODES)
    return str(error)


def _names(text: str, path: Path) -> bool:
    """Tell whether a text names the field or, in rows without names, the row."""
    names = [step for step in path if isinstance(step, str)]
    places = [step for step in path if isinstance(step, int)]
    named = not names or names[-1] in text or ALIASES.get(names[-1], names[-1]) in text
    return named and (not places or f"[{places[0]}]" in text)


ALIASES = {"current_price": "usd_price"}


def _is_harmless(question: Question, mutation: Mutation) -> bool:
    """Tell whether rows are all there, in another order or one of them twice."""
    if mutation.what == "reordered":
        return mutation.path in question.rows
    return mutation.what == "doubled" and mutation.path[:-1] in question.rows


def _is_read(question: Question, mutation: Mutation) -> bool:
    if mutation.what in {"a field more", "a column more"} and mutation.path not in question.rows:
        return False
    names = [step for step in mutation.path if isinstance(step, str)]
    return all(name in USED[question.document] for name in names)


def _row(question: Question, mutation: Mutation) -> Any:
    """Return the row that was changed, as it was; None for a change outside of rows."""
    for path in question.rows:
        if len(mutation.path) > len(path) and mutation.path[: len(path)] == path:
            row = DOCUMENTS[question.document]
            for step in mutation.path[: len(path) + 1]:
                row = row[step]
            return row
    return None


def _checked(question: Question, served: Served, chosen: Iterable[Mutation]) -> list[Result[Any]]:
    before = served.ask(question, BODIES)
    assert isinstance(before, Success)
    assert before.data
    assert not before.notes
    answers = []
    for mutation in chosen:
        answer = served.ask(question, {**BODIES, question.document: mutation.body})
        try:
            check(question, mutation, answer, before)
        except AssertionError as error:
            raise AssertionError(f"{question.document} {mutation}: {answer}") from error
        answers.append(answer)
    return answers


def test_no_change_of_an_answer_crashes_invents_or_costs_another_row(
    served: Callable[[Transport, Answering], Served], capsys: pytest.CaptureFixture[str]
) -> None:
    rest, later = served(Rest(), over_rest), served(MCP, over_later_tools)
    asked = [*((one, rest) for one in QUESTIONS), *((one, later) for one in LATER)]
    answers = list(chain.from_iterable(_checked(one, by, mutations(DOCUMENTS[one.document])) for one, by in asked))
    whole = sum(isinstance(one, Success) and not one.notes for one in answers)
    noted = sum(isinstance(one, Success) and bool(one.notes) for one in answers)
    refused = len(answers) - whole - noted
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(answers)} changes: {whole} made no note, {noted} did, {refused} were refused by name\n"
        )
    assert len(answers) > 3_000
    assert min(whole, noted, refused) > 50


@pytest.mark.parametrize("answering", [over_static_tools, over_code])
def test_a_sample_of_the_changes_is_answered_over_mcp_as_over_rest(
    served: Callable[[Transport, Answering], Served], answering: Answering
) -> None:
    rest, mcp = served(Rest(), over_rest), served(MCP, answering)
    for question in QUESTIONS:
        sample = list(mutations(DOCUMENTS[question.document]))[::SAMPLED]
        for mutation, ours in zip(sample, _checked(question, mcp, sample), strict=True):
            theirs = rest.ask(question, {**BODIES, question.document: mutation.body})
            if isinstance(theirs, Success):
                assert ours == theirs
            else:
                assert isinstance(ours, Failure)
