"""What a source reads by itself: its feeds, and what one reading brings in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from attrs import define, evolve, field, frozen

from dataplatform.base.agent import Backoff
from dataplatform.dsl.flow import Position
from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.plan import Plan
from dataplatform.dsl.types import DeadLetter, Record
from dataplatform.result import Failure, Result, Success

__all__ = ["Crop", "Feed", "FeedState"]


@frozen
class Crop:
    """Records of one kind, where they came from, and the dead letters of the input that was none."""

    kind: Kind
    records: list[Record]
    positions: tuple[Position, ...] = ()
    letters: list[DeadLetter] = field(factory=list)


@frozen
class Feed:
    """Read by `plan` every `every` seconds; at once again after a reading that brought something when `greedy`.

    A feed of a topic is greedy and `every` is its pause after an empty reading; a poll of an API is not.
    """

    name: str
    plan: Callable[[], Result[Plan[list[Crop]]]]
    every: float
    greedy: bool = False

    @classmethod
    def polling(cls, name: str, kind: Kind, plan: Callable[[], Result[Plan[Any]]], every: float) -> Self:
        """Return a feed of a reading operation's plan, whose answer is a list of records of the kind."""

        def cropped() -> Result[Plan[list[Crop]]]:
            planned = plan()
            if isinstance(planned, Failure):
                return planned
            read = planned.data
            transform = read.transform
            return Success(evolve(read, transform=lambda answers: [Crop(kind, transform(answers))]))

        return cls(name, cropped, every)


@define(eq=False)
class FeedState:
    """A feed at work."""

    feed: Feed
    backoff: Backoff
    due: float = 0.0
    reading: bool = False
    answers: list[Any] = field(factory=list)
    failing: str | None = None
