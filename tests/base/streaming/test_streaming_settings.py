"""How brokers are reached: what settings kafka-python's clients get."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from dataplatform.base.streaming import RedpandaSettings, Subscription, TopicSpec
from tests.support.secure_kafka import Certificate, certificate

SECRET = "s3cr3t"
TOPIC = TopicSpec("prices")
SASL: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "username": "ada",
    "password": SECRET,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificates"))


def test_security_settings_reach_every_client_under_its_own_names(made: Certificate) -> None:
    settings = RedpandaSettings(
        ("one:9092", "two:9092"),
        **SASL,
        ca_file=str(made.file),
        cert_file=str(made.file),
        key_file=str(made.key),
    )
    common = settings.common("trial")
    assert common["bootstrap_servers"] == ["one:9092", "two:9092"]
    expected = {
        "client_id": "trial",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ada",
        "sasl_plain_password": SECRET,
        "ssl_cafile": str(made.file),
        "ssl_certfile": str(made.file),
        "ssl_keyfile": str(made.key),
    }
    assert {name: common[name] for name in expected} == expected
    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        assert set(common) <= set(client.DEFAULT_CONFIG)


@pytest.mark.parametrize("option", ["sasl_mechanism", "username", "password"])
def test_a_login_is_given_whole_and_with_the_protocol_that_has_one(option: str) -> None:
    for missing in (None, ""):
        with pytest.raises(ValueError, match=f"{option}: is missing; security_protocol SASL_SSL needs|must be in"):
            RedpandaSettings("broker:9092", **{**SASL, option: missing})
    for protocol in ("PLAINTEXT", "SSL"):
        with pytest.raises(ValueError, match=f"{option}: is for SASL; set security_protocol to SASL_SSL or"):
            RedpandaSettings("broker:9092", security_protocol=protocol, **{option: SASL[option]})


@pytest.mark.parametrize("option", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_cannot_be_used_is_refused_by_its_name(option: str, made: Certificate, tmp_path: Path) -> None:
    files: dict[str, Any] = {"ca_file": str(made.file), "cert_file": str(made.file), "key_file": str(made.key)}
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for file, said in [
        (str(tmp_path / "nowhere.pem"), f"{option}: there is no file {tmp_path}/nowhere.pem"),
        (str(tmp_path), f"{option}: there is no file {tmp_path}"),
        (str(rubbish), f"{option.replace('key', 'cert')}: .*{rubbish}"),
    ]:
        with pytest.raises(ValueError, match=said):
            RedpandaSettings("broker:9092", security_protocol="SSL", **{**files, option: file})
    with pytest.raises(ValueError, match="_file: is for TLS; set security_protocol to SSL or SASL_SSL"):
        RedpandaSettings("broker:9092", **{option: files[option]})


def test_a_key_is_that_of_its_certificate_and_is_not_locked(made: Certificate, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="key_file: goes with cert_file"):
        RedpandaSettings("broker:9092", security_protocol="SSL", key_file=str(made.key))
    another, locked = certificate(tmp_path, "another").key, tmp_path / "locked.key"
    lock = ["openssl", "pkey", "-aes256", "-passout", "pass:hunter2", "-in", str(made.key), "-out", str(locked)]
    subprocess.run(lock, check=True, capture_output=True, timeout=60)
    for key in (another, locked):
        with pytest.raises(ValueError, match=r"cert_file: .* cannot be used .* the key without"):
            RedpandaSettings("a:1", security_protocol="SSL", cert_file=str(made.file), key_file=str(key))


def test_the_embedded_broker_speaks_no_tls() -> None:
    with pytest.raises(ValueError, match="security_protocol: the embedded broker speaks PLAINTEXT, not SSL"):
        RedpandaSettings("embedded", security_protocol="SSL")


def test_time_outs_are_passed_on_in_milliseconds() -> None:
    common = RedpandaSettings(("broker:9092",), request_timeout=1.25).common("trial")
    assert common["request_timeout_ms"] == common["bootstrap_timeout_ms"] == 1_250


def test_a_password_is_never_shown() -> None:
    assert SECRET not in repr(RedpandaSettings(("broker:9092",), **SASL))


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
