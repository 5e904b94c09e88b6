"""How brokers are reached: what settings kafka-python's clients get."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from dataplatform.base.streaming import RedpandaSettings, Subscription, TopicSpec

SECRET = "s3cr3t"
TOPIC = TopicSpec("prices")


def test_security_settings_reach_every_client_under_its_own_names() -> None:
    settings = RedpandaSettings(
        ("one:9092", "two:9092"),
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        username="ada",
        password=SECRET,
        ca_file="ca.pem",
        cert_file="cert.pem",
        key_file="key.pem",
    )
    common = settings.common("trial")
    assert common["bootstrap_servers"] == ["one:9092", "two:9092"]
    expected = {
        "client_id": "trial",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ada",
        "sasl_plain_password": SECRET,
        "ssl_cafile": "ca.pem",
        "ssl_certfile": "cert.pem",
        "ssl_keyfile": "key.pem",
    }
    assert {name: common[name] for name in expected} == expected
    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        assert set(common) <= set(client.DEFAULT_CONFIG)


def test_time_outs_are_passed_on_in_milliseconds() -> None:
    common = RedpandaSettings(("broker:9092",), request_timeout=1.25).common("trial")
    assert common["request_timeout_ms"] == common["bootstrap_timeout_ms"] == 1_250


def test_a_password_is_never_shown() -> None:
    assert SECRET not in repr(RedpandaSettings(("broker:9092",), password=SECRET))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("security_protocol", "TLS"),
        ("sasl_mechanism", "GSSAPI"),
        ("compression", "snappy"),
        ("request_timeout", 0.0),
        ("delivery_timeout", -1.0),
    ],
)
def test_a_setting_that_is_none_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        RedpandaSettings(("broker:9092",), **{option: value})


@pytest.mark.parametrize(("option", "value"), [("partitions", 0), ("retention", 0.0), ("max_message_bytes", 10)])
def test_a_topic_that_cannot_be_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        TopicSpec("prices", **{option: value})


@pytest.mark.parametrize(
    ("option", "value"), [("start", "middle"), ("session_timeout", 0.0), ("isolation", "serializable")]
)
def test_a_subscription_that_cannot_be_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        Subscription((TOPIC,), "group", **{option: value})


def test_a_topic_is_created_with_its_retention_and_its_limit() -> None:
    assert TopicSpec("prices", retention=60.0, max_message_bytes=2_048).configs == {
        "retention.ms": "60000",
        "max.message.bytes": "2048",
    }
