"""The flow and records that can never be written: they stand aside as dead letters, and the others go on."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from dataplatform.dsl.flow.feeds import FeedResult
from dataplatform.dsl.flow.source import FeedDue
from dataplatform.dsl.flow.target import WriteDue
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, PRICES, Kind
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result
from tests.dsl.doubles import BareTarget, Write
from tests.dsl.flows import SOURCE, Flow
from tests.dsl.records import letter, price
from tests.dsl.scripts import Log, Poll, failing

COINS = [f"coin-{number}" for number in range(10)]
OUTAGE = Transient("database", "the server is restarting")
Logs = list[MutableMapping[str, Any]]


def test_a_poison_record_is_found_by_halving_and_goes_to_the_dead_letters(flow: Flow) -> None:
    flow.store("table").poison.add("coin-5")
    flow.start(Log(coin_ids=COINS, size=8), "table", dead_letters="letters")
    flow.written(9)
    flow.until(lambda: flow.account("table").dead_lettered == 1)
    assert flow.store("table").coins == [coin for coin in COINS if coin != "coin-5"]
    assert flow.store("table").sizes == [8, 4, 4, 2, 1, 1, 2, 2]
    (dead,) = flow.store("letters").letters
    assert codec(PRICES).decode(dead.raw) == price("coin-5")
    assert (dead.origin, dead.target, dead.stream) == (SOURCE, "table", "prices")
    assert dead.error == "rejected: no row can hold coin-5"
    assert flow.account("table").in_flight == 0


@pytest.mark.parametrize("bad", [["coin-0"], ["coin-0", "coin-1"], COINS[1:8], COINS])
def test_all_poison_records_stand_aside_and_all_others_are_written(flow: Flow, bad: list[str]) -> None:
    flow.store("table").poison |= set(bad)
    flow.start(Log(coin_ids=COINS, size=10), "table")
    flow.until(lambda: flow.account("table").dead_lettered == len(bad))
    assert flow.store("table").coins == [coin for coin in COINS if coin not in bad]
    assert [json.loads(dead.raw)["coinId"] for dead in flow.store("table").letters] == bad
    account = flow.account("table")
    assert (account.written, account.in_flight) == (10 - len(bad), 0)


def test_an_outage_in_the_middle_of_the_halving_is_waited_out(flow: Flow) -> None:
    store = flow.store("table")
    store.poison.add("coin-1")
    store.acts += [lambda _: None, failing(OUTAGE), lambda _: None, failing(OUTAGE)]
    flow.start(Log(coin_ids=COINS[:4], size=4), "table", dead_letters="letters")
    flow.wait_for(WriteDue)
    flow.wait_for(WriteDue)
    flow.written(3)
    assert store.coins == ["coin-0", "coin-2", "coin-3"]
    flow.until(lambda: len(flow.store("letters").letters) == 1)


def test_one_target_refuses_and_the_others_take(flow: Flow) -> None:
    log = Log(coin_ids=COINS[:2])
    flow.store("table").poison.add("coin-1")
    flow.start(log, "table", "topic")
    flow.until(lambda: log.committed == 2)
    assert flow.store("topic").coins == COINS[:2]
    assert flow.store("table").coins == COINS[:1]
    assert (flow.account("table").written, flow.account("table").dead_lettered) == (1, 1)
    assert (flow.account("topic").written, flow.account("topic").dead_lettered) == (2, 0)
    assert [dead.target for dead in flow.store("topic").letters] == ["table"]


def test_dead_letters_that_are_read_as_records_are_written_as_records(flow: Flow) -> None:
    source = Poll()
    source.feed_results.append([FeedResult(DEAD_LETTERS, [letter("1"), letter("2")])])
    flow.start(source, "table")
    flow.written(2)
    assert flow.account("table").dead_lettered == 0


def test_a_letter_that_was_read_as_a_record_and_is_refused_gets_a_letter_of_its_own(flow: Flow) -> None:
    source = Poll()
    source.feed_results.append([FeedResult(DEAD_LETTERS, [letter("1")])])
    flow.store("table").acts.append(failing(Permanent("rejected", "too long")))
    flow.start(source, "table")
    flow.until(lambda: flow.account("table").dead_lettered == 1)
    (of_letter,) = flow.store("table").letters
    assert codec(DEAD_LETTERS).decode(of_letter.raw) == letter("1")
    assert flow.incidents == []


def test_a_dead_letter_that_is_refused_stays_in_the_log_and_is_an_incident(flow: Flow, logs: Logs) -> None:
    lost = letter("1", stream="crypto-prices", partition=3, offset=77, raw=b"\xff{")
    source = Poll()
    source.feed_results.append([FeedResult(PRICES, [], letters=[lost])])
    flow.store("table").acts.append(failing(Permanent("rejected", "too long")))
    flow.start(source, "table")
    flow.until(lambda: flow.account("table").dead_lettered == 1)
    (incident,) = flow.incidents
    assert (incident.kind, incident.agent) == ("dead_letter_lost", SOURCE)
    assert (incident.stream, incident.partition, incident.first, incident.next) == ("crypto-prices", 3, 77, 78)
    assert incident.message == "table refused a dead letter (rejected: too long); it is in the log alone"
    (line,) = [log for log in logs if log["event"] == "dead letter lost"]
    assert line["log_level"] == "error"
    assert codec(DEAD_LETTERS).decode(line["letter"].encode()) == lost
    assert flow.store("table").asked[1:] == [], "no dead letters are made of dead letters"
    assert flow.status(SOURCE).counters["dead_letters_lost"] == 1


def test_only_the_refused_ones_of_several_dead_letters_are_lost(flow: Flow) -> None:
    source = Poll()
    source.feed_results.append([FeedResult(PRICES, [], letters=[letter(str(number)) for number in range(4)])])
    flow.start(source, "table")

    def refuse(request: Write) -> Result[int] | None:
        ids = [one.id for one in request.records if one in letters]
        return Failure(Permanent("rejected", "no")) if "2" in ids else None

    letters = [letter(str(number)) for number in range(4)]
    flow.until(lambda: flow.account("table").dead_lettered == 4)
    assert [one.id for one in flow.store("table").letters] == ["0", "1", "2", "3"]
    source.feed_results.append([FeedResult(PRICES, [], letters=letters)])
    flow.store("table").acts.extend([refuse] * 20)
    flow.wait_for(FeedDue)
    flow.until(lambda: flow.account("table").dead_lettered == 8)
    assert [one.id for one in flow.store("table").letters[4:]] == ["0", "1", "3"]
    assert [incident.kind for incident in flow.incidents] == ["dead_letter_lost"]


@pytest.mark.parametrize("bad", [[], ["coin-0"], ["coin-4", "coin-9"], COINS])
def test_a_batch_that_takes_several_requests_is_written_when_all_of_them_are(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, bad: list[str]
) -> None:
    log, store = Log(coin_ids=COINS, size=10), flow.store("table")
    monkeypatch.setattr(BareTarget, "_portions", in_fours)
    store.poison |= set(bad)
    store.acts += [lambda _: None, failing(OUTAGE)]
    flow.start(log, "table", dead_letters="letters")
    flow.wait_for(WriteDue)
    assert log.committed == 0
    flow.until(lambda: log.committed == 10)
    assert store.coins == [coin for coin in COINS if coin not in bad]
    assert max(store.sizes) == 4
    assert [json.loads(dead.raw)["coinId"] for dead in flow.store("letters").letters] == bad


def in_fours(_target: BareTarget, _kind: Kind, records: list[Record]) -> list[list[Record]]:
    return [records[start : start + 4] for start in range(0, len(records), 4)] or [records]
