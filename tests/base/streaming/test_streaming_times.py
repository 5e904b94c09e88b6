"""Messages are read whatever their producer has written for a timestamp: Kafka takes any 64 bits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from dataplatform.base.streaming import (
    Item,
    Latest,
    Seen,
    Subscription,
    TopicSpec,
    TopicView,
    ViewSpec,
    tail,
)
from dataplatform.base.streaming.log import FindStretches, ReadStretch, RedpandaLog
from dataplatform.base.streaming.log_identity import fingerprint
from dataplatform.base.streaming.starts import moment_of, timestamp_of
from dataplatform.result import get_data
from tests.base.streaming.broker import Broker
from tests.base.streaming.clients import Client, Clients

USUAL = 1_767_225_600_123
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=123)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = {
    -1: None,
    0: EPOCH,
    1_767_225_600_000_000: None,  # microseconds: the year 57,971
    2**63 - 1: None,
    -(2**63): None,
    -2: None,
    253_402_300_799_999: datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    253_402_300_800_000: None,
    USUAL: NEW_YEAR,
}
VALUES = {timestamp: b"coin key %d" % number for number, timestamp in enumerate(TIMES)}


@pytest.fixture
def odd(broker: Broker, topic: str) -> str:
    """A topic with a message of each timestamp."""
    broker.create(topic, configs={"retention.ms": "-1"})
    broker.put_at(topic, VALUES)
    return topic


def digest(values: Sequence[bytes | None]) -> tuple[list[Item], int]:
    items = [Item("coin", value, number, value) for number, value in enumerate(values)]
    return items, 0


@pytest.mark.parametrize(
    ("timestamp", "moment"), [*TIMES.items(), (None, None), (1, EPOCH + timedelta(milliseconds=1))]
)
def test_a_timestamp_is_a_time_or_none(timestamp: int | None, moment: datetime | None) -> None:
    assert moment_of(timestamp) == moment


@pytest.mark.parametrize("moment", [moment for moment in TIMES.values() if moment])
def test_a_time_has_its_timestamp_again(moment: datetime) -> None:
    assert moment_of(timestamp_of(moment)) == moment


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)])
def test_a_broker_is_asked_for_no_time_before_1970(moment: datetime) -> None:
    assert timestamp_of(moment) == 0


def test_the_end_of_a_topic_shows_times_and_raw_what_is_none(broker: Broker, odd: str) -> None:
    messages = get_data(tail(broker.settings, odd, 100))
    assert {message.offset: message.time for message in messages} == {
        offset: moment or timestamp for offset, (timestamp, moment) in enumerate(TIMES.items())
    }
    assert [message.offset for message in messages] == [4, 5, 0, 1, 8, 6, 7, 2, 3]  # by timestamp


def test_a_log_is_read_whole_and_asked_for_any_time(broker: Broker, odd: str, clients: Clients) -> None:
    log = clients._keep(Client("log", clients.stage.start(RedpandaLog, broker.settings, name="log"), clients.stage))
    (whole,) = log.get(FindStretches(odd))
    piece = log.get(ReadStretch(whole))
    assert [(message.timestamp, message.value) for message in piece.messages] == list(VALUES.items())
    for moment in (datetime(1, 1, 1, tzinfo=UTC), EPOCH, datetime(9999, 12, 31, tzinfo=UTC)):
        assert log.get(FindStretches(odd, since=moment))[0].end == len(VALUES)


def test_a_view_answers_and_tells_since_when_as_far_as_messages_do(broker: Broker, odd: str, clients: Clients) -> None:
    agent = clients.stage.start(TopicView, broker.settings, ViewSpec({odd: digest}), name="view")
    view = clients._keep(Client("view", agent, clients.stage))
    for _ in range(10):
        seen: Seen = view.get(Latest(odd))
        assert sorted(seen.values) == sorted(VALUES.values())
    assert seen.since in {None, *TIMES.values()}


@pytest.mark.parametrize("timestamp", [-1, 1_767_225_600_000_000, 2**63 - 1, -(2**63)])
def test_a_view_of_messages_without_a_time_has_no_beginning(
    broker: Broker, topic: str, clients: Clients, timestamp: int
) -> None:
    broker.create(topic, configs={"retention.ms": "-1"})
    broker.put_at(topic, {timestamp: b"coin"})
    agent = clients.stage.start(TopicView, broker.settings, ViewSpec({topic: digest}), name="view")
    view = clients._keep(Client("view", agent, clients.stage))
    assert view.get(Latest(topic)).since is None
    broker.put_at(topic, {USUAL: b"later"})
    assert view.get(Latest(topic)).since == NEW_YEAR


def test_a_member_reads_them_all(broker: Broker, odd: str, clients: Clients) -> None:
    consumer = clients.consumer(broker.settings, Subscription((TopicSpec(odd, 1),), f"group-{odd}"))
    assert consumer.read(len(VALUES)) == list(VALUES.values())


class Old:
    """A message of Kafka's oldest format."""

    value, key, timestamp = b"value", b"key", None


def test_a_message_without_a_timestamp_has_a_fingerprint() -> None:
    assert fingerprint(Old()) == fingerprint(Old())
