"""What a type checker says about topologies: checked by mypy, never run. Each ignored line is one to be refused."""

from __future__ import annotations

from typing import assert_type

from dataplatform import (
    HttpSettings,
    Platform,
    Result,
    Route,
    SourceSpec,
    TargetSpec,
    TimescaleSettings,
    Topology,
)
from dataplatform.base.database import Rows
from dataplatform.base.http import Response
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget


def what_a_topology_is_made_of() -> Topology:
    Topology(clients={"database": "postgresql://db"})  # type: ignore[dict-item]
    TargetSpec(CoinGeckoSource, TimescaleOptions(client="database"))  # type: ignore[arg-type]
    TimescaleOptions(client="database", apend=True)  # type: ignore[call-arg]
    return Topology(
        clients={"http": HttpSettings(base_url="https://api.example"), "database": TimescaleSettings("embedded")},
        sources={"coingecko": SourceSpec(CoinGeckoSource, CoinGeckoOptions(client="http"))},
        targets={"table": TargetSpec(TimescaleTarget, TimescaleOptions(client="database"))},
        routes=(Route("coingecko", ("table",)),),
    )


def what_a_running_one_answers(platform: Platform, response: Response) -> None:
    assert_type(platform.sql("SELECT 1"), Result[Rows])
    assert_type(platform.wait_until(lambda now: now.counters("table")["records"] > 0, timeout=1.0), bool)
    platform.wait_until(lambda now: now.count("table"), timeout=1.0)  # type: ignore[attr-defined]
    assert_type(response.json(dict[str, float]), dict[str, float])
