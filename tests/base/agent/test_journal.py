"""Incidents are remembered until the final report, and bounded."""

from __future__ import annotations

from datetime import UTC, datetime

from dataplatform.base.agent import Incident, Journal
from dataplatform.base.agent.runtime import KEPT


def incident(first: int) -> Incident:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Incident(at, "reader", "gap", "crypto-prices", 0, first, first + 10, "the topic lost its tail")


def test_an_incident_knows_how_many_records_it_is_about() -> None:
    assert incident(5).records == 10


def test_a_journal_remembers_the_latest_incidents_and_counts_all() -> None:
    journal = Journal()
    for first in range(KEPT + 3):
        journal.record(incident(first))
    assert journal.count == KEPT + 3
    assert [remembered.first for remembered in journal.incidents()] == list(range(3, KEPT + 3))
