"""What a failure says to do is so: a source that is named has the data, a coin that is guessed at is not known."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.gateway.mcp.served import Session

CANDLE = {"symbol": "btc", "open": 1, "high": 3, "low": 1, "close": 2, "source": "simulator"}


def test_a_source_is_named_only_once_it_has_the_data(session: Session) -> None:
    asked = {"coinId": "litecoin", "interval": "1h"}
    code, text = session.error("get_current_ohlcv", asked)
    assert (code, "there are 30m, 4h, 4d" in text) == ("unsupported", True)
    assert "'history'" not in text

    arguments = {"coinId": "litecoin", "days": 1}
    session.answer("run_pipe", {"operation": "get_price_history", "source": "coingecko", "targets": ["database"],
                                "arguments": arguments})  # fmt: skip
    _, text = session.error("get_current_ohlcv", asked)
    assert "Source 'history' has it now" in text
    assert session.answer("get_current_ohlcv", asked | {"source": "history"})["result"]["timeframe"] == "1h"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_level1_data", {"coinId": "bitcoin", "market": "BTC/NOSUCH"}),
        ("get_level1_data", {"coinId": "bitcoin", "exchange": "no-such-exchange"}),
        ("get_current_ohlcv", {"coinId": "stored", "interval": "15m", "source": "history"}),
        ("get_current_price", {"coinId": "stored", "source": "history"}),
    ],
)
def test_nothing_is_guessed_where_the_coin_is_known(session: Session, name: str, arguments: dict[str, Any]) -> None:
    candles = [
        CANDLE | {"coinId": "stored", "timestamp": "2026-03-01T00:00:00Z", "timeframe": timeframe}
        for timeframe in ("30m", "4h", "4d")
    ]
    session.answer("publish_ohlcv_batch", {"candles": candles})
    code, text = session.error(name, arguments)
    assert code == "not_found"
    assert "Did you mean" not in text
    assert "Known ids" not in text


def test_an_interval_that_a_coin_lacks_is_told_with_those_that_it_has(session: Session) -> None:
    session.answer("publish_ohlcv", {"candle": CANDLE | {"coinId": "framed", "timestamp": "2026-03-01T00:00:00Z",
                                                         "interval": "4h"}})  # fmt: skip
    _, text = session.error("get_current_ohlcv", {"coinId": "framed", "interval": "15m", "source": "history"})
    assert text == "not_found: history has no candles of 15m of 'framed'; there are 4h. Ask for one of those."


@pytest.mark.parametrize("name", ["get_current_price", "get_price_history", "get_current_ohlcv", "get_level1_data"])
def test_an_unknown_coin_is_guessed_at_by_all_ids_of_its_source(session: Session, name: str) -> None:
    arguments = {"coinId": "bitcoinn", **({"days": 1} if name == "get_price_history" else {})}
    code, text = session.error(name, arguments)
    assert code == "not_found"
    assert "Did you mean 'bitcoin'" in text


def test_rows_that_are_not_answered_because_they_are_real_are_told(session: Session) -> None:
    candle = CANDLE | {"coinId": "real-only", "timestamp": "2026-03-01T00:00:00Z", "interval": "4h", "source": "real"}
    session.answer("publish_ohlcv", {"candle": candle})
    _, text = session.error("get_current_ohlcv", {"coinId": "real-only", "interval": "4h", "source": "history"})
    assert text == (
        "not_found: history has only real rows of 'real-only'."
        " Set simulated = false under [sources.history] to read them."
    )
