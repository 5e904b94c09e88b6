"""All operations that there are: those of `dsl/operations`, and those that follow from each kind of record.

A kind says what its operations are called; where no message of that name is written down, it is made here. So a kind
that a package adds is published and asked for like the platform's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast, get_args

import attrs
from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.kinds import Kind, kinds
from dataplatform.dsl.operations import ReadingOperation, SourceRequest, TargetRequest, WritingOperation
from dataplatform.dsl.queries import BatchPublishResult, PublishResult

__all__ = ["LATEST_HOOK", "OfKind", "messages", "of_kind", "reading", "writing"]

LATEST_HOOK = "_latest_records"
READING = {
    "get_current_price": "_current_prices",
    "get_current_prices": "_current_prices",
    "get_current_ohlcv": "_latest_ohlcv",
    "get_latest_ohlcv": "_latest_ohlcv",
    "get_price_history": "_price_history",
    "get_ohlcv_by_date_range": "_ohlcv_by_date_range",
    "get_available_tickers": "_available_tickers",
    "get_level1_data": "_level1",
    "get_market_analytics": "_market_analytics",
}


@frozen
class OfKind:
    """An operation that follows from a kind: `several` says that it takes a list of records."""

    kind: Kind
    name: str
    several: bool

    def value(self, message: Any) -> Any:
        """Return the one argument of a message of this operation: records, or the keys of those asked for."""
        return getattr(message, attrs.fields(type(message))[0].name)


@cache
def reading() -> Mapping[str, str]:
    """Return the reading operations, each with the hook that a reader overrides to support it."""
    return READING | {kind.get_latest: LATEST_HOOK for kind in kinds() if kind.get_latest}


@cache
def writing() -> Mapping[str, tuple[Kind, ...]]:
    """Return the writing operations, each with the kinds it is about; a writer that takes one of them supports it."""
    return {name: (kind,) for name, (kind, _) in _publishing().items()} | {"publish_batch": kinds(), "flush": kinds()}


@cache
def messages() -> Mapping[str, type[Request[Any]]]:
    """Return the message of each operation."""
    written = {cls.__name__.lower(): cls for cls in (*get_args(ReadingOperation), *get_args(WritingOperation))}
    made = {name: _publish_message(kind, name, several=several) for name, (kind, several) in _publishing().items()}
    made |= {kind.get_latest: _latest_message(kind) for kind in kinds() if kind.get_latest}
    return {name: written.get(name.replace("_", "")) or made[name] for name in (*reading(), *writing())}


def of_kind(message: object) -> OfKind | None:
    """Return what a message of an operation that follows from a kind asks for; None for any other message."""
    return _by_message().get(type(message))


@cache
def _by_message() -> Mapping[type[Any], OfKind]:
    found = {messages()[name]: OfKind(kind, name, several) for name, (kind, several) in _publishing().items()}
    latest = {
        messages()[one.get_latest]: OfKind(one, one.get_latest, several=True) for one in kinds() if one.get_latest
    }
    return found | latest


@cache
def _publishing() -> Mapping[str, tuple[Kind, bool]]:
    each = [
        (name, kind, number) for kind in kinds() for number, name in enumerate((kind.publish_one, kind.publish_many))
    ]
    return {name: (kind, bool(number)) for name, kind, number in each if name}


def _publish_message(kind: Kind, name: str, *, several: bool) -> type[Request[Any]]:
    base: Any = TargetRequest[BatchPublishResult] if several else TargetRequest[PublishResult]
    hint: Any = Sequence[kind.type] if several else kind.type  # type: ignore[name-defined]
    what = f"Write several {kind.name}." if several else f"Write one record of {kind.name}."
    return _message(name, name.removeprefix("publish_"), hint, base, what)


def _latest_message(kind: Kind) -> type[Request[Any]]:
    base: Any = SourceRequest[list[kind.type]]  # type: ignore[name-defined]
    return _message(
        kind.get_latest, f"{kind.message_key}s", Sequence[str], base, f"The latest {kind.name}, one for each key."
    )


def _message(name: str, argument: str, hint: Any, base: Any, what: str) -> type[Request[Any]]:
    """Make a frozen message class of one argument."""
    title = "".join(word.capitalize() for word in name.split("_"))
    cls = attrs.make_class(title, {argument: attrs.field(type=hint)}, bases=(base,), frozen=True, slots=True)
    cls.__doc__ = what
    return cast("type[Request[Any]]", cls)
