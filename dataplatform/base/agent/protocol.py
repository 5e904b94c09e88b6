"""An agent's protocol: the classes of message that its `receive` is annotated with, and so understands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Never, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["understood_by"]


def understood_by(receive: Callable[..., Any]) -> tuple[type[Any], ...]:
    """Return the classes of message that a `receive` understands: those that its annotation names.

    Without an annotation, and with `Any` or `object`, it understands everything. Raises `TypeError` for an annotation
    whose names cannot be found.

    >>> class Prober:
    ...     def receive(self, message: int | str) -> None: ...
    >>> understood_by(Prober.receive)
    (<class 'int'>, <class 'str'>)
    """
    function: Any = inspect.unwrap(receive)
    _, message, *_ = inspect.signature(function).parameters.values()
    if message.annotation is inspect.Parameter.empty:
        return (object,)
    annotated: Any = SimpleNamespace(__annotations__={"message": message.annotation})
    try:
        hints = get_type_hints(annotated, function.__globals__, _enclosing(function))
    except NameError as error:
        where = f"{function.__module__}.{function.__qualname__}"
        raise TypeError(f"{where}: {error}, which its annotation {message.annotation!r} names") from error
    return tuple(dict.fromkeys(_classes(hints["message"])))


def _enclosing(function: Any) -> Mapping[str, Any]:
    """Return what a function that was defined in another one sees of that one's variables."""
    return inspect.getclosurevars(function).nonlocals


def _classes(hint: Any) -> list[type[Any]]:
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return [cls for one in get_args(hint) for cls in _classes(one)]
    if origin is Annotated:
        return _classes(get_args(hint)[0])
    if isinstance(hint, TypeVar):
        return _classes(hint.__bound__ or object)
    if hint is Any:
        return [object]
    if hint is Never:
        return []
    return [NoneType if hint is None else origin or hint]
