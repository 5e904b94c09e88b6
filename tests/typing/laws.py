"""What a type checker says about pipes: checked by mypy, never run. Each ignored line is one that must be refused."""

from __future__ import annotations

from typing import assert_type

from dataplatform.dsl.operations.pipe import Pipe, Piped, pipe
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.dsl.records.types import CryptoOHLCVData, CryptoPriceData
from dataplatform.result import Result, is_success


def what_fits(reader: ReaderProxy, writer: WriterProxy, other: WriterProxy) -> None:
    prices = pipe(reader.get_current_prices, writer.publish_prices, other.publish_prices)
    assert_type(prices(["bitcoin"]), Result[Piped[CryptoPriceData]])
    pipe(reader.get_current_price, writer.publish_price)("bitcoin")
    pipe(reader.get_latest_ohlcv, writer.publish_ohlcv_batch)(["bitcoin"], "4h")
    pipe(reader.get_market_analytics, writer.publish_analytics)()
    prices.filter(lambda price: price.usd_price > 1).map(lambda price: price)


def what_does_not_fit(reader: ReaderProxy, writer: WriterProxy) -> None:
    pipe(reader.get_current_prices, writer.publish_ohlcv_batch)  # type: ignore[arg-type]
    pipe(reader.get_latest_ohlcv, writer.publish_prices)  # type: ignore[arg-type]
    pipe(reader.get_market_analytics, writer.publish_price)  # type: ignore[arg-type]
    prices = pipe(reader.get_current_prices, writer.publish_prices)
    prices("bitcoin", 3)  # type: ignore[arg-type]
    prices.map(lambda price: price.usd_price)  # type: ignore[arg-type, return-value]
    prices.filter(lambda price: price.volume)  # type: ignore[attr-defined]


def what_a_proxy_answers(reader: ReaderProxy) -> None:
    answer = reader.get_current_prices(["bitcoin"]).get(timeout=1)
    assert_type(answer, Result[list[CryptoPriceData]])
    candle = reader.get_current_ohlcv("bitcoin").get(timeout=1)
    if is_success(candle):
        assert_type(candle.data, CryptoOHLCVData)
    reader.get_current_prices(1)  # type: ignore[arg-type]
    reader.get_level1_data("bitcoin")  # type: ignore[arg-type]


def what_a_pipe_is(reader: ReaderProxy, writer: WriterProxy) -> Pipe[..., CryptoPriceData]:
    return pipe(reader.get_current_prices, writer.publish_prices)
