"""The end of a topic, as a person asks for it."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve

from dataplatform.base.streaming import tail, topic_names
from dataplatform.result import get_data, get_error
from tests.base.streaming.broker import Broker


def numbered(first: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, end)]


def test_the_last_messages_come_oldest_first(broker: Broker, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, numbered(0, 20))
    messages = get_data(tail(broker.settings, topic, 3))
    assert [(message.topic, message.partition, message.offset, message.value) for message in messages] == [
        (topic, 0, 17, "17"),
        (topic, 0, 18, "18"),
        (topic, 0, 19, "19"),
    ]
    assert all(isinstance(message.time, datetime) and message.time.utcoffset() is not None for message in messages)


def test_a_topic_with_fewer_messages_is_read_whole(broker: Broker, topic: str) -> None:
    broker.create(topic)
    assert get_data(tail(broker.settings, topic, 10)) == []
    broker.put(topic, numbered(0, 2))
    assert [message.value for message in get_data(tail(broker.settings, topic, 10))] == ["0", "1"]


def test_bytes_that_are_no_text_are_shown_as_far_as_they_are(broker: Broker, topic: str) -> None:
    broker.create(topic)
    broker.put(topic, [b"\xff\xfe ok"])
    (message,) = get_data(tail(broker.settings, topic, 1))
    assert message.value == "\ufffd\ufffd ok"


def test_a_missing_topic_is_not_made_and_those_there_are_named(broker: Broker, topic: str) -> None:
    broker.create(topic)
    error = get_error(tail(broker.settings, f"{topic}-missing", 1))
    assert error is not None
    assert error.code == "not_found"
    assert topic in error.remedy
    assert f"{topic}-missing" not in get_data(topic_names(broker.settings))


def test_a_broker_that_is_away_is_an_outage(broker: Broker, topic: str) -> None:
    away = evolve(broker.settings, brokers=("127.0.0.1:9",), request_timeout=0.5)
    error = get_error(tail(away, topic, 1))
    assert error is not None
    assert error.code == "broker"
