"""Redpanda and Kafka clusters as a kind of client, and what any kind of client with topics can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve, frozen

from dataplatform.base.agent import ChildSpec, Request
from dataplatform.base.embedded import DataDirectory, EmbeddedBroker, broker_address, broker_kind
from dataplatform.base.embedded.process import lock_is_held
from dataplatform.base.streaming.log import RedpandaLog
from dataplatform.base.streaming.producer import RedpandaProducer
from dataplatform.base.streaming.requests import CountRecords, TopicMessage
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.base.streaming.topics import tail
from dataplatform.base.technology import Embedded, Technology
from dataplatform.result import Result

__all__ = ["RedpandaTechnology", "Topics"]

EMBEDDED = ("embedded",)
HOST = "127.0.0.1"


@frozen
class Topics:
    """The ability to keep messages in topics, and to read them again. The client's agents answer `Produce`.

    - `count(topics)`: what an agent of the client is asked to learn how many records each topic holds
    - `tail(settings, topic, most)`: the last messages of a topic, read in the caller's thread
    - `log(name, settings, group)`: the agent that answers `FindStretches`, `ReadStretch` and, with a group, `NoteRead`
      and `ReadGroupOffsets`
    """

    count: Callable[[tuple[str, ...]], Request[dict[str, int]]]
    tail: Callable[[Any, str, int], Result[list[TopicMessage]]]
    log: Callable[[str, Any, str | None], ChildSpec]


def _is_light() -> bool:
    return broker_kind() == "light"


def _address(data_dir: Path, port: int | None) -> str:
    return broker_address(data_dir) if port is None else f"{HOST}:{port}"


def _settings_at(settings: RedpandaSettings, address: str) -> RedpandaSettings:
    return evolve(settings, brokers=(address,), light=_is_light())


EMBEDDED_BROKER = Embedded(
    server="broker",
    wanted=lambda settings: settings.brokers == EMBEDDED,
    package=lambda: "noida-db" if _is_light() else None,
    address=_address,
    is_running=lambda data_dir: lock_is_held(DataDirectory(data_dir).broker / "server.lock"),
    child=lambda data_dir, address: EmbeddedBroker.child("broker", data_dir, address),
    settings_at=_settings_at,
)


class RedpandaTechnology(Technology):
    """A cluster of Redpanda or Apache Kafka."""

    title: ClassVar[str] = "Redpanda"
    Options = RedpandaSettings
    place: ClassVar[str] = "brokers"
    remedy: ClassVar[str] = "check brokers, and that they run"
    abilities: ClassVar[tuple[object, ...]] = (Topics(CountRecords, tail, RedpandaLog.child), EMBEDDED_BROKER)

    @classmethod
    def agents(cls, name: str, settings: RedpandaSettings, *, written: bool) -> tuple[ChildSpec, ...]:
        """Return the producer, where there is somebody to write; a source brings its own consumer."""
        return (RedpandaProducer.child(f"{name}.producer", settings),) if written else ()

    @classmethod
    def sign_of_life(cls) -> Request[dict[str, int]]:
        return CountRecords(())
