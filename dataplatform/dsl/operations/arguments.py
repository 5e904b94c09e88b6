"""The arguments of operations as callers outside of Python spell them: flat, and each name with one meaning.

A query or options are spread: `GetLevel1Data(Level1Query("bitcoin"))` is asked for with `coin_id` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query

__all__ = ["RENAMED", "SPREAD", "Argument", "arguments_of", "gathered", "spread"]

SPREAD = (CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query)
RENAMED = {"ticker": "coin_id", "timeframe": "interval"}
"""Fields that are called in another way than the same thing is everywhere else."""


@frozen
class Argument:
    """One argument: where its value goes in the message, `within` one of its options or as one; its type and default.

    The default is `attrs.NOTHING` where a value has to be given.
    """

    name: str
    option: str
    within: str | None
    hint: Any
    default: Any

    @property
    def type(self) -> Any:
        """The type of a value that is given: without `None`, which stands for one that is not."""
        return _given(self.hint)


@cache
def arguments_of(message: type[Any]) -> tuple[Argument, ...]:
    """Return the arguments of the operation that a message asks for.

    >>> from dataplatform.dsl.operations.operations import GetLevel1Data
    >>> [argument.name for argument in arguments_of(GetLevel1Data)]
    ['coin_id', 'exchange', 'market']
    """
    found: list[Argument] = []
    hints = get_type_hints(message)
    for option in attrs.fields(message):
        group = _given(hints[option.name])
        if group in SPREAD:
            found += [_argument(one, get_type_hints(group)[one.name], option.name) for one in attrs.fields(group)]
        else:
            found.append(_argument(option, hints[option.name], None))
    return tuple(found)


def spread(request: Request[Any]) -> dict[str, Any]:
    """Return the arguments of a message, those left out that have their default."""
    message: Any = type(request)
    found = {}
    for argument in arguments_of(message):
        holder = request if argument.within is None else getattr(request, argument.within)
        value = argument.default if holder is None else getattr(holder, argument.option)
        if value != argument.default:
            found[argument.name] = value
    return found


def gathered(message: Any, values: Mapping[str, Any]) -> Any:
    """Return the message of some arguments; raises what its classes raise for values that break a rule.

    >>> from dataplatform.dsl.operations.operations import GetLevel1Data
    >>> gathered(GetLevel1Data, {"coin_id": "bitcoin"})
    GetLevel1Data(query=Level1Query(ticker='bitcoin', exchange=None, market=None))
    """
    own: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for argument in arguments_of(message):
        if argument.name in values:
            holder = own if argument.within is None else groups.setdefault(argument.within, {})
            holder[argument.option] = values[argument.name]
    hints = get_type_hints(message)
    return message(**own, **{option: _given(hints[option])(**given) for option, given in groups.items()})


def _argument(option: attrs.Attribute[Any], hint: Any, within: str | None) -> Argument:
    return Argument(RENAMED.get(option.name, option.name), option.name, within, hint, option.default)


def _given(hint: Any) -> Any:
    if get_origin(hint) not in {Union, UnionType}:
        return hint
    left = [one for one in get_args(hint) if one is not type(None)]
    return left[0] if len(left) == 1 else hint
