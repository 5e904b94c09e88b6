"""What an operator asks of a platform: pause and resume aside, which sources take, each request that there is."""

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
    "GetPlatformInfo",
    "GetPlatformStatus",
    "PlatformInfo",
    "PlatformRequest",
    "RestartAgent",
    "RunQuery",
    "SkipPartition",
    "TailTopic",
]

MOST_ROWS, MOST_MESSAGES = 1_000, 1_000


@frozen
class PlatformInfo:
    """Who is there: the agents' names, which of them are sources and targets, and the process they live in."""

    pid: int
    data_dir: str
    demo: bool
    agents: tuple[str, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    topics: tuple[str, ...]


@frozen
class GetPlatformInfo(Request[PlatformInfo]):
    """Answers who is there."""


@frozen
class GetPlatformStatus(Request[PlatformStatus]):
    """Answers one look at everything."""


@frozen
class RestartAgent(Request[None]):
    """Stop an agent in good order and start it anew; answers when it runs again."""

    agent: str


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
    GetPlatformInfo | GetPlatformStatus | RestartAgent | SkipPartition | DrainPlatform | TailTopic | RunQuery
)
