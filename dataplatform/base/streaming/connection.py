"""Opening and closing kafka-python's clients without leaving any of their threads behind."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, NodeNotReadyError

from dataplatform.base.streaming.diagnosis import diagnose
from dataplatform.base.streaming.errors import UnreachableError, explain
from dataplatform.base.streaming.fetcher import name_broken_batches
from dataplatform.base.streaming.membership import name_broken_joins
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.errors import PlatformError

__all__ = ["close_consumer", "close_producer", "connect", "explain_at"]

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
