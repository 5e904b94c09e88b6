"""The view of topics: an agent that answers with the latest values in them, and how it follows and keeps them.

Compaction: of all values that were seen, the latest of each kind of thing, as many as are allowed. A follower: reads
one topic from a start to its end, outside of any group, and keeps the latest values.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime
from threading import Event
from typing import Any, ClassVar, TypeAlias, TypeVar, assert_never

from attrs import define, field, frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError

from dataplatform.base.agent import Agent, Context, Request
from dataplatform.base.streaming.connection import close_consumer, connect, explain
from dataplatform.base.streaming.settings import RedpandaSettings
from dataplatform.base.streaming.starts import EARLIEST, Start, moment_of, starting_offset
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["Compacted", "Digest", "Follower", "Item", "Latest", "Seen", "TopicView", "ViewSpec"]


@frozen
class Item:
    """A value with its place, a `key` within a `group`; of two in one place the one of the higher `rank` is kept.

    A coin is a group, and the exchanges or the times for which there is something to know of it are its keys.
    """

    group: Hashable
    key: Hashable
    rank: Any
    value: Any


@define(eq=False)
class Compacted:
    """The latest value of each place, of at most `most` places: the one that was not renewed the longest goes first.

    >>> coins = Compacted(most=2)
    >>> coins.add([Item("a", "usd", 1, "old"), Item("b", "usd", 1, "b"), Item("a", "usd", 2, "new")])
    0
    >>> coins.add([Item("a", "usd", 1, "late"), Item("c", "usd", 1, "c")])  # no room for "b"
    1
    >>> coins.values(["a", "b", "x"]), coins.values()
    (['new'], ['new', 'c'])
    """

    most: int
    _items: OrderedDict[tuple[Hashable, Hashable], Item] = field(factory=OrderedDict, init=False)  # as renewed
    _keys: dict[Hashable, dict[Hashable, None]] = field(factory=dict, init=False)  # of each group

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[Item]) -> int:
        """Take values in the order in which they were seen; answers how many others had to go for them."""
        for item in items:
            place = (item.group, item.key)
            before = self._items.get(place)
            if before is None:
                self._keys.setdefault(item.group, {})[item.key] = None
            elif item.rank < before.rank:
                continue
            self._items[place] = item
            self._items.move_to_end(place)
        evicted = max(0, len(self._items) - self.most)
        for _ in range(evicted):
            self._evict()
        return evicted

    def values(self, groups: Iterable[Hashable] | None = None) -> list[Any]:
        """Return the values of these groups, or all there are; groups that were never seen are absent."""
        if groups is None:
            return [item.value for item in self._items.values()]
        return [self._items[group, key].value for group in groups for key in self._keys.get(group, ())]

    def _evict(self) -> None:
        (group, key), _ = self._items.popitem(last=False)
        keys = self._keys[group]
        del keys[key]
        if not keys:
            del self._keys[group]


AT_ONCE = 5_000  # messages of one poll
STEP = 20  # milliseconds that a poll waits: the light broker answers an empty fetch at once, so to wait burns a core
OTHER_LOG = (OffsetOutOfRangeError, LogTruncationError, NoOffsetForPartitionError)

Digest: TypeAlias = Callable[[Sequence[bytes | None]], tuple[list[Item], int]]


@frozen
class ViewSpec:
    """What is viewed: for each topic, what makes items of its messages.

    Reading begins at `start`; of each topic at most `most` items are kept.
    """

    digests: dict[str, Digest]
    start: Start = EARLIEST
    most: int = 100_000


@define(eq=False)
class Follower:
    """The latest values of one topic, connected when first used; used by one thread.

    A log that ends before what was read of it, a topic that was made anew, and one that got more partitions are read
    from the start again, and what is known of the one before is forgotten.
    """

    topic: str
    _settings: RedpandaSettings
    _spec: ViewSpec
    _count: Callable[[str, int], None]
    latest: Compacted = field(init=False)
    since: datetime | None = field(default=None, init=False)  # the time of the earliest message that has one
    malformed: int = field(default=0, init=False)  # messages that were read and are not valid items
    behind: int = field(default=0, init=False)  # messages that were still to be read when the end was last seen
    _consumer: KafkaConsumer | None = field(default=None, init=False)
    _log: Log | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.latest = Compacted(self._spec.most)

    @property
    def begun(self) -> bool:
        """Whether it is connected, and stands somewhere in the topic."""
        return self._consumer is not None

    def read_to_end(self, seconds: float, stopping: Event) -> None:
        """Read all that the topic holds now.

        Raises `Transient("catching_up")` when that takes longer, `Permanent("not_found")` for a topic that is not
        there, and `KafkaError` or `OSError` in an outage.
        """
        deadline = time.monotonic() + seconds
        consumer, ends = self._begun()
        while self._measure(consumer, ends):
            if stopping.is_set() or time.monotonic() > deadline:
                text = f"{self.topic}: {self.behind} messages are still to be read"
                raise Transient("catching_up", text, retry_after=1.0)
            self.read_on()
        if not self._stands(consumer):
            raise self._other_log()

    def read_on(self) -> bool:
        """Read what has come, in one poll; tell whether anything had. Raises as `read_to_end` does."""
        assert self._consumer is not None, "only what has been begun is read on"
        try:
            polled = self._consumer.poll(STEP, max_records=AT_ONCE)
        except OTHER_LOG as error:
            raise self._other_log() from error
        for messages in polled.values():
            self._take(messages)
        return bool(polled)

    def close(self) -> None:
        """Disconnect, and forget all that was read."""
        consumer, self._consumer = self._consumer, None
        self.latest, self.since, self.behind, self.malformed = Compacted(self._spec.most), None, 0, 0
        if consumer is not None:
            close_consumer(consumer)

    def _take(self, messages: Sequence[Any]) -> None:
        items, malformed = self._spec.digests[self.topic]([message.value for message in messages])
        times = [self.since, moment_of(messages[0].timestamp)]
        self.since = min(filter(None, times), default=None)
        self.malformed += malformed
        self._count("messages", len(messages))
        self._count("malformed", malformed)
        self._count("evicted", self.latest.add(items))

    def _measure(self, consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> int:
        self.behind = sum(max(0, end - consumer.position(tp)) for tp, end in ends.items())
        return self.behind

    # The log

    def _begun(self) -> tuple[KafkaConsumer, dict[TopicPartition, int]]:
        """Return the consumer, and the ends of the log that it reads."""
        consumer = self._consumer
        if consumer is not None and self._stands(consumer):
            ends = self._ends(consumer)
            if self._stands(consumer) and all(consumer.position(tp) <= end for tp, end in ends.items()):
                return consumer, ends
        self.close()
        return self._begin()

    def _stands(self, consumer: KafkaConsumer) -> bool:
        """Tell whether the topic is, as far as the client knows by now, the one that was read."""
        return Log.of(consumer, self.topic) == self._log

    def _other_log(self) -> Transient:
        self.close()
        return Transient("catching_up", f"{self.topic}: its log is another one, to be read anew", retry_after=1.0)

    def _begin(self) -> tuple[KafkaConsumer, dict[TopicPartition, int]]:
        consumer = connect(KafkaConsumer, self._settings, **self._options())
        try:
            log = Log.of(consumer, self.topic)
            if not log.partitions:
                text = f"the broker has no topic {self.topic!r}"
                raise Permanent("not_found", text, remedy="publish to it, or name another under 'topics'")
            consumer.assign(log.partitions)
            ends = self._ends(consumer)
            self._seek(consumer, ends)
        except BaseException:
            close_consumer(consumer)
            raise
        self._consumer, self._log = consumer, log
        return consumer, ends

    def _seek(self, consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        limit = self._settings.milliseconds
        firsts = consumer.beginning_offsets(list(ends), timeout_ms=limit)
        for tp, end in ends.items():
            consumer.seek(tp, starting_offset(consumer, tp, firsts[tp], end, self._spec.start, limit))

    def _ends(self, consumer: KafkaConsumer) -> dict[TopicPartition, int]:
        ends: dict[TopicPartition, int] = consumer.end_offsets(
            consumer.assignment(), timeout_ms=self._settings.milliseconds
        )
        return ends

    def _options(self) -> dict[str, Any]:
        return self._settings.common("dataplatform-view") | {
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
            "fetch_max_wait_ms": min(500, self._settings.milliseconds // 2),
        }


@frozen
class Log:
    """Which log a topic's name stands for at the moment, as far as the client has been told."""

    topic_id: Any
    partitions: tuple[TopicPartition, ...]

    @classmethod
    def of(cls, consumer: KafkaConsumer, topic: str) -> Log:
        numbers = sorted(consumer.partitions_for_topic(topic))
        topic_id = consumer._client.cluster.topic_id(topic)  # noqa: SLF001  kafka-python has no other way to ask
        return cls(topic_id, tuple(TopicPartition(topic, number) for number in numbers))


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
