"""What a type checker says about factories: checked by mypy, never run. Each ignored line is one to be refused."""

from __future__ import annotations

from typing import assert_type

from dataplatform import (
    BatchPublishResult,
    CryptoPriceData,
    MarketDataReader,
    MarketDataWriter,
    Result,
    create_coingecko_market_data_reader,
    create_mcp_market_data_reader,
    create_mcp_market_data_writer,
    create_redpanda_market_data_reader,
    create_redpanda_market_data_writer,
    create_timescale_market_data_reader,
    create_timescale_market_data_writer,
    is_success,
    pipe,
)


def what_a_reader_answers() -> None:
    reader = create_coingecko_market_data_reader(name="coingecko", use_remote_server=True)
    assert_type(reader.get_current_prices(["bitcoin"]).get(), Result[list[CryptoPriceData]])
    assert_type(create_redpanda_market_data_reader(), MarketDataReader)
    assert_type(create_timescale_market_data_reader(connection_string="postgresql://db"), MarketDataReader)
    assert_type(create_mcp_market_data_reader(source="coingecko"), MarketDataReader)
    reader.publish_prices([])  # type: ignore[attr-defined]


def what_a_writer_answers(prices: list[CryptoPriceData]) -> None:
    with create_timescale_market_data_writer(name="timescale", connection_string="postgresql://db") as writer:
        assert_type(writer, MarketDataWriter)
        answer = writer.publish_prices(prices).get(timeout=10)
        if is_success(answer):
            assert_type(answer.data, BatchPublishResult)
        writer.publish_prices("bitcoin")  # type: ignore[arg-type]


def what_they_are_told() -> None:
    assert_type(create_mcp_market_data_writer("there", target="database"), MarketDataWriter)
    create_mcp_market_data_reader(client="https://platform.example/mcp")  # type: ignore[arg-type]
    create_redpanda_market_data_writer(name="redpanda", brokers=["localhost:9092"], topics={"prices": "crypto-prices"})
    create_redpanda_market_data_writer(broker="localhost:9092")  # type: ignore[call-arg]
    create_coingecko_market_data_reader(transport="soap")  # type: ignore[arg-type]


def how_they_compose(reader: MarketDataReader, writer: MarketDataWriter) -> None:
    pipe(reader.get_current_prices, writer.publish_prices)
    pipe(reader.get_current_prices, writer.publish_ohlcv_batch)  # type: ignore[arg-type]
