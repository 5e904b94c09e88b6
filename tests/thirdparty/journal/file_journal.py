"""Topics as files: a line a message, one partition each, whose offsets are the numbers of the lines."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, assert_never

import msgspec
from attrs import field, frozen, validators

from dataplatform import Failure, Permanent, Result, Success, Technology, Transient
from dataplatform.base.agent import Agent, ChildSpec, Context, Request
from dataplatform.base.streaming import CountRecords, Produce, Produced, TopicMessage
from dataplatform.base.streaming.log import FindStretches, LogMessage, LogSlice, ReadStretch, Stretch
from dataplatform.base.streaming.technology import Topics
from dataplatform.targets.redpanda import RedpandaTarget

__all__ = ["JournalTarget", "JournalTechnology"]


@frozen(kw_only=True)
class JournalSettings:
    """Options of `kind = "journal"` under `[clients.NAME]`."""

    folder: str = field(validator=validators.min_len(1), metadata={"help": "where the files are, which has to exist"})

    def file(self, topic: str) -> Path:
        return Path(self.folder, f"{topic}.jsonl")


class Line(msgspec.Struct):
    """A message as it stands in its file; `time` in milliseconds."""

    time: int
    key: str
    value: str


Message: TypeAlias = Produce | CountRecords | FindStretches | ReadStretch


class JournalClient(Agent):
    """Appends messages, durable when it answers, and reads them again."""

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: JournalSettings) -> None:
        super().__init__(context)
        self._settings = settings

    def receive(self, message: Message) -> Result[Any]:
        try:
            answer = self._carry_out(message)
        except OSError as error:
            outage = Transient("unreachable", f"cannot write to {self._settings.folder}: {error.strerror}")
            self.degrade(outage)
            return Failure(outage)
        self.recover()
        return Success(answer)

    def _carry_out(self, message: Message) -> Any:
        match message:
            case Produce():
                return self._append(message)
            case CountRecords(topics):
                os.scandir(self._settings.folder).close()
                return {topic: sum(1 for _ in lines(self._settings, topic)) for topic in topics}
            case FindStretches(topic, since, until):
                times = [line.time for line in lines(self._settings, topic)]
                first, end = (before(times, moment) for moment in (since, until or datetime.max.replace(tzinfo=UTC)))
                return [Stretch(topic, 0, first, end)] if times else []
            case ReadStretch(stretch, most):
                end = min(stretch.end, stretch.first + most)
                found = list(lines(self._settings, stretch.topic))[stretch.first : end]
                read = [LogMessage(stretch.first + at, line.time, line.value.encode()) for at, line in enumerate(found)]
                return LogSlice(read, end)
            case _:
                assert_never(message)

    def _append(self, produce: Produce) -> Produced:
        now = time.time_ns() // 1_000_000
        made = [
            Line(now, key.decode(), value.decode()) for key, value in zip(produce.keys, produce.values, strict=True)
        ]
        with self._settings.file(produce.topic.name).open("ab") as file:
            file.writelines(msgspec.json.encode(line) + b"\n" for line in made)
            file.flush()
            os.fsync(file.fileno())
        self.count("messages", len(made))
        return Produced(produce.topic.name)


def lines(settings: JournalSettings, topic: str) -> Iterator[Line]:
    file = settings.file(topic)
    if file.exists():
        with file.open("rb") as text:
            yield from (msgspec.json.decode(line, type=Line) for line in text)


def before(times: list[int], moment: datetime | None) -> int:
    """Count the messages that were written before a moment."""
    return 0 if moment is None else sum(1 for one in times if one < moment.timestamp() * 1000)


def tail(settings: JournalSettings, topic: str, most: int) -> Result[list[TopicMessage]]:
    found = list(enumerate(lines(settings, topic)))[-most:]
    if not found:
        return Failure(Permanent("not_found", f"there is no topic {topic!r} in {settings.folder}"))
    return Success(
        [
            TopicMessage(topic, 0, at, datetime.fromtimestamp(one.time / 1000, UTC), one.key, one.value)
            for at, one in found
        ]
    )


def log(name: str, settings: JournalSettings, group: str | None) -> ChildSpec:
    del group  # how far was read is not noted
    return JournalClient.child(name, settings)


class JournalTechnology(Technology):
    """A folder of files, each a topic."""

    title: ClassVar[str] = "Journal"
    Options = JournalSettings
    place: ClassVar[str] = "folder"
    remedy: ClassVar[str] = "check folder, which has to exist"
    abilities: ClassVar[tuple[object, ...]] = (Topics(CountRecords, tail, log),)

    @classmethod
    def agents(cls, name: str, settings: Any, *, written: bool) -> tuple[ChildSpec, ...]:
        del written
        return (JournalClient.child(name, settings),)

    @classmethod
    def sign_of_life(cls) -> Request[dict[str, int]]:
        return CountRecords(())


class JournalTarget(RedpandaTarget):
    """Appends each kind of record to the file of its topic, at least once."""

    technology: ClassVar[str] = "Journal"
    client_kind: ClassVar[str] = "journal"
    commits: ClassVar[bool] = False
