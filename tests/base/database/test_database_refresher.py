"""Days whose candles are refreshed: one that fails holds up no other, and comes again after pauses that grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import define

from dataplatform.base.database import CandleRefresher, TimescaleSettings
from dataplatform.base.database.candle_refresh import FailingDays, RefreshDue, StaleDay
from dataplatform.base.database.stale_candles import STALE_DDL
from dataplatform.dsl.storage.tables import STORAGE
from dataplatform.errors import Transient
from tests.base.database.clients import Client, Clients
from tests.base.database.cluster import Cluster
from tests.support.agents import Stage
from tests.support.waiting import until

FIRST = datetime(2026, 1, 2, tzinfo=UTC)
DAYS = [StaleDay("crypto_prices", FIRST + number * timedelta(days=1), 1) for number in range(4)]
REASON = Transient("database", "no space left (53100)", remedy="make room")
NOTED = "SELECT day FROM stale_candles ORDER BY day"
DATABASE = (  # without candles that are kept a day is forgotten at once, but for one, which the server refuses to do
    "CREATE SCHEMA timescaledb_information",
    "CREATE TABLE timescaledb_information.continuous_aggregates (view_name text, view_schema text)",
    STALE_DDL,
    """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the disk of that day is full' USING ERRCODE = '53100'; END $$
    """,
    """
    CREATE TRIGGER refuse BEFORE DELETE ON stale_candles FOR EACH ROW
        WHEN (OLD.day = '2026-01-02 00:00Z') EXECUTE FUNCTION refuse()
    """,
    """
    INSERT INTO stale_candles (table_name, day)
        SELECT 'crypto_prices', '2026-01-02 00:00Z'::timestamptz + number * INTERVAL '1 day'
        FROM generate_series(0, 3) AS number
    """,
)


@define(eq=False)
class Refreshing:
    """A refresher on a clock that a test owns."""

    stage: Stage
    client: Client

    def looks(self) -> None:
        """Let the time pass until it looks for stale days."""
        self.stage.pass_timer(self.stage.scheduler.expect(RefreshDue))

    def looks_until_noted_are(self, *days: datetime) -> None:
        def noted() -> bool:
            self.looks()
            return [day for (day,) in self.client.query(NOTED)] == list(days)

        until(noted, f"the stale days are {days}")

    @property
    def shown(self) -> tuple[str, str]:
        status = self.stage.runtime.directory.status("refresher")
        assert status is not None
        return status.shown, status.degraded.reason if status.degraded else ""


@pytest.fixture
def refreshing(clients: Clients, own: Cluster) -> Refreshing:
    for statement in DATABASE:
        own.run(statement)
    client = clients.start(own.dsn)
    clients.stage.start(CandleRefresher, client.name, TimescaleSettings(own.dsn), STORAGE, name="refresher")
    return Refreshing(clients.stage, client)


def test_a_day_that_fails_holds_up_no_other_and_is_shown_until_it_succeeds(
    refreshing: Refreshing, own: Cluster
) -> None:
    refreshing.looks_until_noted_are(FIRST)
    state, reason = refreshing.shown
    assert state == "degraded"
    assert "the candles of crypto_prices of 2026-01-02 are not refreshed: the disk of that day is full" in reason
    own.run("DROP TRIGGER refuse ON stale_candles")
    refreshing.looks_until_noted_are()
    refreshing.looks()
    until(lambda: refreshing.shown == ("running", ""), "the refresher is well again")


def test_a_failing_day_that_somebody_else_refreshed_is_shown_no_more(refreshing: Refreshing, own: Cluster) -> None:
    refreshing.looks_until_noted_are(FIRST)
    own.run("DROP TRIGGER refuse ON stale_candles")
    own.run("DELETE FROM stale_candles")

    def is_well() -> bool:
        refreshing.looks()
        return refreshing.shown == ("running", "")

    until(is_well, "the refresher is well again")


def test_the_pauses_of_a_failing_day_grow_to_ten_minutes() -> None:
    failing, now, pauses = FailingDays(), 0.0, []
    for _ in range(12):
        failing.failed(DAYS[0], REASON, now)
        pauses.append(failing.next_try(now))
        assert failing.next(DAYS[:1], now) is None
        now += pauses[-1]
        assert failing.next(DAYS[:1], now) == DAYS[0]
    assert pauses[:8] == sorted(pauses[:8])
    assert 2.5 <= pauses[0] <= 5.0
    assert 300 <= pauses[-1] <= 600


def test_days_that_fail_pause_each_by_itself_and_the_oldest_is_named() -> None:
    failing = FailingDays()
    for day in reversed(DAYS[:3]):
        failing.failed(day, REASON, 0.0)
    assert failing.next(DAYS, 0.0) == DAYS[3]
    assert failing.error() == Transient(
        "candles",
        "the candles of crypto_prices of 2026-01-02, and those of 2 more, are not refreshed: no space left (53100)",
        remedy="make room",
    )
    failing.succeeded(DAYS[1])
    assert failing.next(DAYS, 1_000.0) == DAYS[0]
    assert failing.next(DAYS[1:2], 0.0) == DAYS[1]
    assert failing.error() is None
