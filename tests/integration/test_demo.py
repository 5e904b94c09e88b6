"""The demo from an empty directory, and a second run on what the first has left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.base.embedded.servers import all_end
from tests.integration.conftest import open_folder
from tests.integration.platforms import PlatformProcess, PricesTable, address_of, consume, restarted, unbalanced

TIMED_KEYS = {"version", "outcome", "reason", "uptime_s", "agents", "routes", "tables", "topics", "incidents"}


@frozen
class Run:
    """What one run has shown."""

    status: int
    report: dict[str, Any]
    process: PlatformProcess


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder / "data"


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[Run]:
    with closing(PlatformProcess.start(folder, "--demo", "--run-for", "5")) as process:
        yield Run(process.wait(), process.report(), process)


@frozen
class SecondRun(Run):
    rows_before: int
    coins: int
    sources: list[str]
    messages: int
    servers: list[int]


@pytest.fixture(scope="module")
def second(first: Run, folder: Path) -> Iterator[SecondRun]:
    """A run that is interrupted once it has written something."""
    with closing(PlatformProcess.start(folder, "--demo")) as process:
        process.ready()
        servers = process.servers()
        with closing(PricesTable.of(folder)) as table:
            before = rows(first.report, "crypto_prices")
            table.wait_for(before + 250)
            ((coins,),) = table.query("select count(distinct coin_id) from crypto_prices")
            sources = [source for (source,) in table.query("select distinct source from crypto_prices")]
        messages = len(consume(address_of(folder), "crypto-prices"))
        status = process.stop()
        yield SecondRun(status, process.report(), process, before, coins, sources, messages, servers)


def test_the_demo_ends_by_itself_with_status_0(first: Run) -> None:
    assert first.status == 0
    assert (first.report["outcome"], first.report["reason"]) == ("ok", None)
    assert first.report["uptime_s"] >= 5


def test_every_route_balances_and_nothing_is_in_flight(first: Run, second: SecondRun) -> None:
    for run in (first, second):
        assert unbalanced(run.report) == []
        assert {(route["source"], route["target"]) for route in run.report["routes"]} == {
            ("coingecko", "stream"),
            ("topics", "database"),
        }
    assert all(route["records_written"] >= 250 for route in second.report["routes"])


def test_no_agent_was_restarted_and_none_has_an_error(first: Run, second: SecondRun) -> None:
    for run in (first, second):
        assert restarted(run.report) == {}
        assert [agent for agent in run.report["agents"] if agent["last_error"]] == []
        assert run.report["incidents"] == []


def test_the_report_has_the_keys_that_were_promised(first: Run) -> None:
    assert first.report.keys() >= TIMED_KEYS
    assert first.report["version"] == 1
    kinds = {"server", "client", "target", "source", "service", "control", "supervisor"}
    assert {agent["kind"] for agent in first.report["agents"]} == kinds
    for agent in first.report["agents"]:
        assert agent.keys() >= {"name", "kind", "state", "restarts", "last_error"}
        assert agent["state"] == "stopped"
    for route in first.report["routes"]:
        assert route.keys() >= {
            "source",
            "target",
            "records_read",
            "records_written",
            "records_already_stored",
            "records_dead_lettered",
            "batches_in_flight",
        }
    assert {"name": "crypto_prices", "rows": rows(first.report, "crypto_prices")} in first.report["tables"]
    assert all(topic.keys() >= {"name", "records"} for topic in first.report["topics"])


def test_the_report_counts_what_is_in_the_table_and_the_topic(first: Run) -> None:
    (route,) = (route for route in first.report["routes"] if route["target"] == "database")
    tables = rows(first.report, "crypto_prices") + rows(first.report, "market_analytics")
    assert tables == route["records_written"]
    assert records(first.report, "crypto-prices") >= rows(first.report, "crypto_prices")


def test_a_second_run_goes_on_with_the_data_of_the_first(first: Run, second: SecondRun) -> None:
    assert rows(second.report, "crypto_prices") >= second.rows_before + 250
    assert second.messages > records(first.report, "crypto-prices")


def test_the_table_holds_prices_of_many_coins_all_of_them_simulated(second: SecondRun) -> None:
    assert second.coins >= 20
    assert second.sources == ["simulator"]


def test_an_interrupted_run_drains_and_exits_with_status_0(second: SecondRun) -> None:
    assert second.status == 0
    assert (second.report["outcome"], second.report["reason"]) == ("signal", "SIGINT")


def test_no_process_is_left_behind(second: SecondRun) -> None:
    assert len(second.servers) >= 4
    assert all_end(*second.servers, timeout=0)


def test_standard_error_holds_one_object_of_json_a_line_and_nothing_else(first: Run, second: SecondRun) -> None:
    for run in (first, second):
        assert run.process.garbage == []
        assert all(event.keys() >= {"event", "level", "timestamp", "agent"} for event in run.process.events)


def test_ready_status_draining_and_stopped_are_each_said_when_it_is_so(first: Run) -> None:
    words = ["ready", "status", "draining", "stopped"]
    said = [event["event"] for event in first.process.events if event["event"] in words]
    assert [word for word in said if word != "status"] == ["ready", "draining", "stopped"]
    assert said.count("status") <= 1


def rows(report: dict[str, Any], table: str) -> int:
    return next((one["rows"] for one in report["tables"] if one["name"] == table), 0)


def records(report: dict[str, Any], topic: str) -> int:
    return next((one["records"] for one in report["topics"] if one["name"] == topic), 0)
