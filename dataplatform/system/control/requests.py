"""What a platform as a whole is asked by whoever operates it, at its own prompt or by its control socket."""

from __future__ import annotations

from attrs import field, frozen, validators

from dataplatform.base.agent import Request
from dataplatform.base.database import Rows
from dataplatform.base.streaming import TopicMessage
from dataplatform.services.service import PlatformStatus

__all__ = [
    "MOST_MESSAGES",
    "MOST_ROWS",
    "DrainPlatform",
    "GetPlatformStatus",
    "GetRoster",
    "PauseSource",
    "PlatformRequest",
    "RestartAgent",
    "ResumeSource",
    "Roster",
    "RunQuery",
    "SkipPartition",
    "TailTopic",
]

MOST_ROWS, MOST_MESSAGES = 1_000, 1_000


@frozen
class Roster:
    """Who is there: the agents' names, which of them are sources and targets, and the process they live in."""

    pid: int
    data_dir: str
    demo: bool
    agents: tuple[str, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    topics: tuple[str, ...]


@frozen
class GetRoster(Request[Roster]):
    """Answers who is there."""


@frozen
class GetPlatformStatus(Request[PlatformStatus]):
    """Answers one look at everything."""


@frozen
class PauseSource(Request[None]):
    """Have a source read nothing until it is resumed; what is in flight settles, and operations are answered."""

    name: str


@frozen
class ResumeSource(Request[None]):
    """Have a paused source read on."""

    name: str


@frozen
class RestartAgent(Request[None]):
    """Stop an agent in good order and start it anew; answers when it runs again."""

    name: str


@frozen
class SkipPartition(Request[str]):
    """Give up the batch that cannot be read and holds a partition up, as a dead letter; answers what it is."""

    topic: str
    partition: int = field(validator=validators.ge(0))


@frozen
class DrainPlatform(Request[None]):
    """Drain and stop everything, as the first Ctrl-C does; answers at once."""


@frozen
class TailTopic(Request[list[TopicMessage]]):
    """Answers the last messages of a topic, oldest first."""

    topic: str
    most: int = field(default=10, validator=[validators.ge(1), validators.le(MOST_MESSAGES)])


@frozen
class RunQuery(Request[Rows]):
    """Run one SELECT in a read-only transaction of the first database client, or of the one that is named.

    Over the socket, values that are neither numbers, texts, bytes nor times come as text.
    """

    sql: str
    client: str | None = None
    most: int = field(default=MOST_ROWS, validator=[validators.ge(1), validators.le(MOST_ROWS)])


PlatformRequest = (
    GetRoster
    | GetPlatformStatus
    | PauseSource
    | ResumeSource
    | RestartAgent
    | SkipPartition
    | DrainPlatform
    | TailTopic
    | RunQuery
)
