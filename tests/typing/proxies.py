"""What a type checker says about `ask`: checked by mypy, never run. Each ignored line is one that must be refused."""

from __future__ import annotations

from typing import assert_type

from dataplatform.base.agent import AgentStatus
from dataplatform.base.database import Query, Rows
from dataplatform.dsl.flow.source import Pause
from dataplatform.dsl.operations.operations import Flush, GetCurrentPrice, PublishPrices
from dataplatform.dsl.operations.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.dsl.records.queries import BatchPublishResult
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.result import Result
from dataplatform.system.platform.factories import MarketDataReader


def what_a_source_takes(reader: ReaderProxy, started: MarketDataReader) -> None:
    assert_type(reader.ask(GetCurrentPrice("bitcoin")), Result[CryptoPriceData])
    assert_type(started.ask(GetCurrentPrice("bitcoin"), timeout=1.0), Result[CryptoPriceData])
    assert_type(reader.ask(Pause()), Result[None])
    assert_type(reader.get_status().get(), Result[AgentStatus])
    reader.ask(Flush())  # type: ignore[arg-type]
    reader.ask(Query("SELECT 1"))  # type: ignore[arg-type]
    reader.ask(GetCurrentPrice)  # type: ignore[arg-type]
    reader.ask("get_current_price")  # type: ignore[arg-type]


def what_a_target_takes(writer: WriterProxy, prices: list[CryptoPriceData]) -> None:
    assert_type(writer.ask(PublishPrices(prices)), Result[BatchPublishResult])
    assert_type(writer.ask(Flush()), Result[None])
    writer.ask(GetCurrentPrice("bitcoin"))  # type: ignore[arg-type]
    writer.ask(Pause())  # type: ignore[arg-type]
    writer.ask(None)  # type: ignore[arg-type]


def what_any_agent_takes(agent: AgentProxy) -> None:
    assert_type(agent.ask(Query("SELECT 1")), Result[Rows])
    agent.ask("SELECT 1")  # type: ignore[arg-type]
