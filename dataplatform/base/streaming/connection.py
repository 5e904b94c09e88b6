"""Opening and closing kafka-python's clients without leaving any of their threads behind; their errors in words.

kafka-python's errors as failures that say what to do. Opening and closing kafka-python's clients without leaving any of
their threads behind.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, NodeNotReadyError

from dataplatform.base.streaming.diagnosis import diagnose
from dataplatform.base.streaming.fetcher import BrokenBatchError, UnreadableBatch, name_broken_batches
from dataplatform.base.streaming.membership import name_broken_joins
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["UnreachableError", "close_consumer", "close_producer", "connect", "explain", "explain_at", "unreadable"]

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


UNEXPLAINED = (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, OSError)
LAST_WORDS = 0.5  # seconds for leaving a group, and for a sender to end


def connect(kind: type[Any], settings: RedpandaSettings, **options: Any) -> Any:
    """Return a client of this kind, connected; raises `KafkaError` or `OSError` where no broker answers.

    It is `UnreachableError` where the reason could be found out.
    A client that fails to connect would keep the thread that it has started, and each try of an outage add another.
    No client makes a topic by asking for it: topics have settings of their own. A consumer says which batch it cannot
    read, and what of its group.
    """
    made: list[Any] = []

    def make(**configs: Any) -> Any:
        client = kind.DEFAULT_CONFIG["kafka_client"](**configs)
        client.cluster.config["allow_auto_create_topics"] = False  # kafka-python forgets to hand its own option on
        made.append(client)
        return client

    try:
        opened = kind(**options, kafka_client=make)
    except BaseException as error:
        for client in made:
            client.close()
        if isinstance(error, UNEXPLAINED) and (reason := diagnose(settings)):
            raise UnreachableError(reason) from error
        raise
    if kind is KafkaConsumer:
        name_broken_batches(opened)
        name_broken_joins(opened)
    return opened


def explain_at(error: BaseException, settings: RedpandaSettings) -> PlatformError:
    """Return what an error of a connected client means: what `explain` says, or why its brokers are out of reach."""
    reason = diagnose(settings) if isinstance(error, UNEXPLAINED) else None
    return reason or explain(error, ", ".join(settings.brokers))


def close_consumer(consumer: KafkaConsumer) -> None:
    """Leave the group, unless as a static member, and disconnect; nothing is committed."""
    with suppress(KafkaError, OSError):
        consumer.close(autocommit=False, timeout_ms=round(LAST_WORDS * 1000))


def close_producer(producer: KafkaProducer) -> None:
    """Stop a producer for good: what it still holds is dropped.

    Its own `close` raises while messages wait, and leaves its thread running, which would send them behind the back
    of the producer that comes next.
    """
    producer._sender.force_close()  # noqa: SLF001
    with suppress(KafkaError, OSError):
        producer.close(timeout=LAST_WORDS)
