"""kafka-python's errors as failures that say what to do."""

from __future__ import annotations

from kafka import errors as kafka

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["explain"]

TOO_LARGE = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError, kafka.InvalidRecordError)
NOT_ALLOWED = (kafka.AuthorizationError, kafka.SaslAuthenticationFailedError)
MISCONFIGURED = (
    kafka.KafkaConfigurationError,
    kafka.InvalidTopicError,
    kafka.InvalidReplicationFactorError,
    kafka.InvalidPartitionsError,
    kafka.PolicyViolationError,
    kafka.UnsupportedSaslMechanismError,
)


def explain(error: BaseException, where: str) -> PlatformError:
    """Return what an error of kafka-python means; `where` is the topic or the brokers it is about.

    `Permanent("rejected")` is the record's fault; rights and settings are Permanent with another code; anything else
    is an outage.
    """
    text = f"{where}: {type(error).__name__}: {_one_line(error)}"
    if isinstance(error, TOO_LARGE):
        return Permanent("rejected", text)
    if isinstance(error, NOT_ALLOWED):
        return Permanent("broker", text, remedy="check the user, the password and its rights at the broker")
    if isinstance(error, MISCONFIGURED):
        return Permanent("broker", text, remedy="check the topic's and the client's settings")
    return Transient("broker", text)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
