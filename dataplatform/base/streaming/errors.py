"""kafka-python's errors as failures that say what to do."""

from __future__ import annotations

from kafka import errors as kafka

from dataplatform.base.streaming.fetcher import BrokenBatchError, UnreadableBatch
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["UnreachableError", "explain", "unreadable"]

ABOUT_RECORDS = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError, kafka.InvalidRecordError)
REMEDIES = {
    "check the user, the password and its rights at the broker": (
        kafka.AuthorizationError,
        kafka.SaslAuthenticationFailedError,
        kafka.IllegalSaslStateError,
        kafka.SecurityDisabledError,
    ),
    "check the topic's and the client's settings": (
        kafka.KafkaConfigurationError,
        kafka.InvalidTopicError,
        kafka.InvalidPartitionsError,
        kafka.InvalidReplicationFactorError,
        kafka.InvalidReplicationAssignmentError,
        kafka.InvalidConfigurationError,
        kafka.InvalidRequiredAcksError,
        kafka.InvalidTimestampError,
        kafka.InvalidGroupIdError,
        kafka.InvalidSessionTimeoutError,
        kafka.PolicyViolationError,
        kafka.UnsupportedSaslMechanismError,
        kafka.UnsupportedCompressionTypeError,
        kafka.UnsupportedForMessageFormatError,
    ),
    "give each process a group or an instance_id of its own": (
        kafka.FencedInstanceIdError,
        kafka.UnreleasedInstanceIdError,
        kafka.InconsistentGroupProtocolError,
        kafka.GroupMaxSizeReachedError,
    ),
    "use a broker that kafka-python speaks with": (kafka.UnsupportedVersionError, kafka.UnrecognizedBrokerVersion),
    "install the Python package of the codec that the topic's messages are compressed with": (
        kafka.UnsupportedCodecError,
    ),
}


class UnreachableError(kafka.KafkaError):  # type: ignore[misc]
    """No broker lets the client in; `reason` says why, and what to do."""

    def __init__(self, reason: PlatformError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def explain(error: BaseException, where: str) -> PlatformError:
    """Return what an error of kafka-python, or of the network under it, means; `where` is the topic or the brokers.

    `Permanent("rejected")` is the record's fault; rights, settings and versions are Permanent with another code and a
    remedy; anything else is an outage.
    """
    if isinstance(error, BrokenBatchError):
        return unreadable(error.batch)
    if isinstance(error, UnreachableError):
        return error.reason
    text = f"{where}: {_one_line(error)}"
    if isinstance(error, ABOUT_RECORDS):
        return Permanent("rejected", text)
    for remedy, kinds in REMEDIES.items():
        if isinstance(error, kinds):
            return Permanent("broker", text, remedy=remedy)
    return Transient("broker", text)


def unreadable(batch: UnreadableBatch) -> Permanent:
    """Return the error of a batch that cannot be read."""
    return Permanent("unreadable", str(batch), remedy=batch.remedy)


def _one_line(error: BaseException) -> str:
    name, text = type(error).__name__, " ".join(str(error).split())[:300]
    return text if name in text else f"{name}: {text}"
