"""The view of topics: an agent that answers with the latest values that stand in them at the time of asking."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Any, ClassVar, TypeAlias, TypeVar, assert_never

from attrs import field, frozen
from kafka.errors import KafkaError

from dataplatform.base.agent import Agent, Context, Request
from dataplatform.base.streaming.errors import explain
from dataplatform.base.streaming.follower import Follower, ViewSpec
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success

__all__ = ["Latest", "Seen", "TopicView"]

PATIENCE = 2.0  # seconds that a request may take to read on to the end
FOLLOW_EVERY = 1.0  # seconds between two looks for more, while nobody asks

T = TypeVar("T")


@frozen(eq=False)
class Seen:
    """The latest values of a topic as of a time: all that the topic held then has been read.

    Its messages were written from `since` on, which is None for a topic whose messages tell no time, or that held none.
    So many of them were `malformed`: they stand for no value.
    """

    topic: str
    as_of: datetime
    since: datetime | None
    values: list[Any] = field(repr=lambda values: f"{len(values)} values")
    malformed: int = 0


@frozen
class Latest(Request[Seen]):
    """Answers the latest values of the groups in a topic of the view, of all groups where none are named.

    Groups that were not seen are absent. Fails with `Transient("catching_up")` while more is to be read than one
    request has time for, `Permanent("not_found")` for a topic that is not there.
    """

    topic: str
    groups: tuple[Hashable, ...] | None = field(
        default=None, repr=lambda groups: "all" if groups is None else f"{len(groups)} groups"
    )


@frozen
class Follow:
    """Read on in a topic, so that little is left to read when somebody asks."""

    topic: str


Message: TypeAlias = Latest | Follow


class TopicView(Agent):
    """Keeps the latest values of topics, beginning with a topic when it is first asked about it.

    A request is answered from what the topic held when it was handled, so an answer is never older than the asking.
    Its counters: messages read, malformed ones among them, and items evicted; its gauges: `kept` items, and messages
    that it was `behind` the ends when it last saw them.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: RedpandaSettings, spec: ViewSpec) -> None:
        super().__init__(context)
        self._settings = settings
        self._spec = spec
        self._followers: dict[str, Follower] = {}
        self._following: set[str] = set()  # topics of which there is a `Follow` under way

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case Latest():
                return self._latest(message)
            case Follow(topic):
                self._follow(topic)
                return None
            case _:
                assert_never(message)

    def _close(self) -> None:
        for follower in self._followers.values():
            follower.close()

    def _peer_restarted(self, name: str) -> None:
        """Begin anew: the log of a light broker may be another, though it is as long as the one that was read."""
        if self.kind_of(name) == "server":
            self.log.info("beginning anew", because=f"{name} restarted")
            self._close()

    def _latest(self, request: Latest) -> Result[Seen]:
        follower = self._follower(request.topic)
        as_of = self.clock.now()
        read = self._with_broker(follower, lambda: follower.read_to_end(PATIENCE, self.context.stopping))
        if follower.begun and request.topic not in self._following:
            self._following.add(request.topic)
            self.after(FOLLOW_EVERY, Follow(request.topic))
        if isinstance(read, Failure):
            return read
        self.recover()
        values = follower.latest.values(request.groups)
        return Success(Seen(request.topic, as_of, follower.since, values, follower.malformed))

    def _follower(self, topic: str) -> Follower:
        if topic not in self._followers:
            self._followers[topic] = Follower(topic, self._settings, self._spec, self.count)
        return self._followers[topic]

    def _follow(self, topic: str) -> None:
        """Read on; where reading has to begin anew, that is left to the next request."""
        follower = self._followers[topic]
        if not follower.begun:
            self._following.discard(topic)
            return
        match self._with_broker(follower, follower.read_on):
            case Success(True):
                self.actor_ref.tell(Follow(topic))
            case Success():
                self.after(FOLLOW_EVERY, Follow(topic))
            case Failure():
                self.after(max(FOLLOW_EVERY, self.backoff.next()), Follow(topic))

    def _with_broker(self, follower: Follower, run: Callable[[], T]) -> Result[T]:
        try:
            answer = run()
        except (KafkaError, OSError) as error:
            return self._failed(follower, error)
        except PlatformError as error:
            return Failure(error)
        finally:
            self.gauge("kept", sum(len(one.latest) for one in self._followers.values()))
            self.gauge("behind", sum(one.behind for one in self._followers.values()))
        return Success(answer)

    def _failed(self, follower: Follower, cause: KafkaError | OSError) -> Failure:
        error = explain(cause, f"{follower.topic} at {', '.join(self._settings.brokers)}")
        self.count("failed")
        self.degrade(error)
        if isinstance(cause, KafkaError) and not cause.retriable:
            follower.close()
        return Failure(error)
