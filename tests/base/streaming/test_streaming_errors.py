"""Every error of kafka-python says whether to try again, and what to do otherwise."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from kafka import errors

from dataplatform.base.streaming.connection import explain
from dataplatform.errors import Permanent, Transient

ALL: list[Any] = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.KafkaError)]


def test_every_error_is_mapped_and_every_one_that_can_be_retried_is_an_outage() -> None:
    assert len(ALL) > 140
    for cls in ALL:
        error = explain(cls({}) if cls is errors.LogTruncationError else cls(), "the topic")
        assert type(error) in {Transient, Permanent}
        assert error.message.startswith("the topic: "), cls
        assert cls.__name__ in error.message
        if cls.retriable:
            assert type(error) is Transient, cls
        if type(error) is Permanent:
            assert (error.code == "rejected") == (not error.remedy), cls


@pytest.mark.parametrize(
    "cls", [errors.MessageSizeTooLargeError, errors.RecordListTooLargeError, errors.InvalidRecordError]
)
def test_some_are_the_record_s_fault(cls: type[Exception]) -> None:
    error = explain(cls(), "the topic")
    assert (type(error), error.code) == (Permanent, "rejected")


@pytest.mark.parametrize(
    ("cls", "remedy"),
    [
        (errors.TopicAuthorizationFailedError, "rights at the broker"),
        (errors.GroupAuthorizationFailedError, "rights at the broker"),
        (errors.ClusterAuthorizationFailedError, "rights at the broker"),
        (errors.SaslAuthenticationFailedError, "the password"),
        (errors.UnsupportedSaslMechanismError, "settings"),
        (errors.InvalidTopicError, "settings"),
        (errors.InvalidReplicationFactorError, "settings"),
        (errors.InvalidConfigurationError, "settings"),
        (errors.KafkaConfigurationError, "settings"),
        (errors.FencedInstanceIdError, "an instance_id of its own"),
        (errors.UnsupportedVersionError, "use a broker"),
        (errors.UnsupportedCodecError, "install"),
    ],
)
def test_some_are_for_somebody_to_mend(cls: type[Exception], remedy: str) -> None:
    error = explain(cls(), "the topic")
    assert (type(error), error.code) == (Permanent, "broker")
    assert remedy in error.remedy


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "refused"), TimeoutError(), errors.KafkaTimeoutError()])
def test_what_the_network_does_is_an_outage(error: Exception) -> None:
    assert type(explain(error, "broker:9092")) is Transient


def test_a_message_is_one_line_of_bounded_length() -> None:
    message = explain(errors.KafkaError("a\n\tb " + 1_000 * "c"), "the topic").message
    assert message.startswith("the topic: KafkaError: a b ccc")
    assert len(message) < 350
