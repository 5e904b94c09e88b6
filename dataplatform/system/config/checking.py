"""From a table of a topology to an options class: every key checked, all problems found at once, no secret shown.

What a validator refused, in words: attrs's own messages name classes and repeat values that may be secret. What of an
option's value is secret, which the process has to hide from the moment that it has read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import SimpleNamespace, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
import msgspec

from dataplatform.redaction import REDACTOR
from dataplatform.suggestions import suggestion
from dataplatform.system.config.lines import Path
from dataplatform.system.config.values import Expansion, expand, parse_duration, parse_size

__all__ = ["Problem", "Problems", "key_of", "refusal", "secrets_of_option", "structure"]

COMPARED = re.compile(r"'\w+' must be (>=|>|<=|<) (\S+): ", re.ASCII)
LENGTH = re.compile(r"Length of '\w+' must be (>=|<=) (\d+): ", re.ASCII)
IN_WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
PARTS = 4  # of attrs's errors: message, attribute, what was allowed, value


def refusal(error: ValueError | TypeError, key: str, got: str) -> str:
    """Return the message for a key; `got` shows the value, and is added where the validator's own text does not.

    >>> from attrs import field, frozen, validators
    >>> @frozen
    ... class Options:
    ...     pool: int = field(validator=validators.ge(1))
    >>> try:
    ...     Options(0)
    ... except ValueError as error:
    ...     print(refusal(error, "pool", ", got 0"))
    pool: must be at least 1, got 0
    """
    said = str(error.args[0]) if error.args else str(error)
    if words := _in_words(error, said, got):
        return f"{key}: {words}"
    return said if not key or said.startswith(key) else f"{key}: {said}"


def _in_words(error: ValueError | TypeError, said: str, got: str) -> str:
    """Translate a message of attrs's own validators; nothing for another."""
    if match := COMPARED.match(said):
        return f"must be {IN_WORDS[match[1]]} {_number(match[2])}{got}"
    if match := LENGTH.match(said):
        return f"must have {IN_WORDS[match[1]]} {match[2]} item{'' if match[2] == '1' else 's'}{got}"
    if len(error.args) != PARTS:
        return ""
    allowed, value = error.args[2:]
    if isinstance(allowed, re.Pattern):
        return f"must be like {allowed.pattern}{got}"
    if isinstance(allowed, range):
        return f"must be from {allowed.start} to {allowed.stop - 1}{got}"
    if isinstance(allowed, Iterable) and not isinstance(allowed, (str, type)):
        return f"must be one of {', '.join(map(str, allowed))}{got}{_meant(value, allowed)}"
    return ""


def _number(text: str) -> str:
    return text.removesuffix(".0")


def _meant(value: Any, allowed: Iterable[Any]) -> str:
    known = [one for one in allowed if isinstance(one, str)]
    close = get_close_matches(value, known, n=1, cutoff=0.5) if isinstance(value, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def secrets_of_option(option: attrs.Attribute[Any], value: Any) -> Iterable[str]:
    """Return what of an option's value is secret: all of a text that is not shown, or what its metadata tell."""
    if option.repr is not False or not isinstance(value, str):
        return ()
    secrets: Iterable[str] = option.metadata["secrets"](value) if "secrets" in option.metadata else (value,)
    return secrets


LARGEST = 1e9  # of a number with a fraction: as seconds some 31 years, beyond which timers overflow
WORDS = {
    str: "text",
    int: "a whole number or a size like '64MiB'",
    float: "a number or a duration like '30s', '5m' or '250ms'",
    bool: "true or false",
}


@attrs.frozen
class Problem:
    """What is wrong, and the path of the key it is about."""

    path: Path
    message: str


Problems = list[Problem]


def structure(
    cls: type[Any], table: Any, path: Path, problems: Problems, environ: Mapping[str, str] = os.environ
) -> Any:
    """Return an instance of the options class, or None where a value is wrong or missing; add all problems.

    `${NAME}` and `${NAME:-default}` in texts are replaced by the environment's values, durations and sizes by numbers,
    and a single text is taken for a list of one where a list is expected. The key of an option is its name, or its
    metadata's `key`.
    """
    if not isinstance(table, dict):
        problems.append(Problem(path, f"expected a table, got {_kind_of(table)}"))
        return None
    return _Structurer(cls, path, problems, environ).structure(table)


def key_of(option: attrs.Attribute[Any]) -> str:
    """Return the key of an option in a file; some, such as `from`, are words of Python's own."""
    key: str = option.metadata.get("key", option.name)
    return key


@attrs.define
class _Structurer:
    """One table on its way to one options class."""

    cls: type[Any]
    path: Path
    problems: Problems
    environ: Mapping[str, str]
    _options: dict[str, attrs.Attribute[Any]] = attrs.field(init=False)
    _given: dict[str, Expansion] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._options = {key_of(option): option for option in attrs.fields(self.cls) if option.init}

    def structure(self, table: dict[str, Any]) -> Any:
        for key in table:
            if key not in self._options:
                self._add(key, f"unknown key {key!r}{suggestion(key, self._options)}")
        before = len(self.problems)
        hints = get_type_hints(self.cls)
        values: dict[str, Any] = {}
        for key, option in self._options.items():
            if key in table:
                self._given[key] = expansion = expand(table[key], self.environ)
                REDACTOR.learn(secrets_of_option(option, expansion.value))
                self._convert(key, option, hints[option.name], expansion, values)
            elif option.default is attrs.NOTHING:
                help_ = option.metadata.get("help", "it is required")
                self.problems.append(Problem(self.path, f"{key!r} is missing: {help_}"))
        self._validate(values)
        return self._make(values) if len(self.problems) == before else None

    def _convert(
        self, key: str, option: attrs.Attribute[Any], hint: Any, given: Expansion, values: dict[str, Any]
    ) -> None:
        """Put the option's value among the `values`, unless it is of the wrong type."""
        item = get_args(hint)[0] if get_origin(hint) is tuple else None
        if item is not None and attrs.has(item) and isinstance(given.raw, list):
            self._convert_tables(key, option, item, given.raw, values)
            return
        if given.unset:
            for problem in given.unset:
                self._add(key, problem)
            return
        try:
            value = msgspec.convert(_written_by_people(hint, given.value), hint, strict=True)
        except (msgspec.ValidationError, ValueError):
            self._add(key, f"{key}: expected {_expected(hint)}{_got(option, given)}")
            return
        if isinstance(value, float) and not abs(value) < LARGEST:
            self._add(key, f"{key}: must be below {LARGEST:,.0f}{_got(option, given)}")
            return
        values[option.name] = value

    def _convert_tables(
        self, key: str, option: attrs.Attribute[Any], cls: type[Any], tables: list[Any], values: dict[str, Any]
    ) -> None:
        path, before = (*self.path, key), len(self.problems)
        made = [structure(cls, table, (*path, n), self.problems, self.environ) for n, table in enumerate(tables)]
        if len(self.problems) == before:
            values[option.name] = tuple(made)

    def _validate(self, values: dict[str, Any]) -> None:
        """Run every validator, so that all that is wrong is found, not only the first of it."""
        made = SimpleNamespace(**self._defaults(), **values)
        for key, option in self._options.items():
            if not hasattr(made, option.name):
                continue
            try:
                converter: Any = option.converter
                if converter is not None:
                    setattr(made, option.name, converter(getattr(made, option.name)))
                if option.validator is not None:
                    option.validator(made, option, getattr(made, option.name))
            except AttributeError:  # it looks at another option too, which has a problem of its own
                continue
            except (ValueError, TypeError) as error:
                delattr(made, option.name)
                self._refused(key, option, error)

    def _refused(self, key: str, option: attrs.Attribute[Any], error: ValueError | TypeError) -> None:
        given = self._given.get(key)
        if given is None:  # by its default it does not go with the others
            self.problems.append(Problem(self.path, refusal(error, key, "")))
            return
        text = given.concealed(refusal(error, key, _got(option, given)))
        if not _may_be_shown(option) and isinstance(given.raw, str):
            text = text.replace(given.raw, "***")
        self._add(key, text)

    def _defaults(self) -> dict[str, Any]:
        """Return the defaults of the options that are not given, as far as they have one that stands by itself."""
        defaults = {}
        for key, option in self._options.items():
            default: Any = option.default
            if key in self._given or default is attrs.NOTHING:
                continue
            if getattr(default, "takes_self", False):
                continue  # made from the others
            defaults[option.name] = default.factory() if hasattr(default, "factory") else default
        return defaults

    def _make(self, values: dict[str, Any]) -> Any:
        aliases = {option.name: option.alias or option.name for option in self._options.values()}
        try:
            return self.cls(**{aliases[name]: value for name, value in values.items()})
        except (ValueError, TypeError) as error:  # a check of the class as a whole
            self.problems.append(Problem(self.path, refusal(error, "", "")))
            return None

    def _add(self, key: str, message: str) -> None:
        self.problems.append(Problem((*self.path, key), message))


def _written_by_people(hint: Any, value: Any) -> Any:
    """Turn `"30s"` into seconds, `"64MiB"` into bytes, and a single text into a list where a list is expected.

    What comes from the environment is always text, so `"true"` and `"8080"` do for a switch and a number too.
    """
    kinds = set(get_args(hint)) if isinstance(hint, UnionType) else {hint}
    if isinstance(value, str) and str not in kinds:
        if float in kinds:
            return parse_duration(value)
        if int in kinds:
            return parse_size(value)
        if bool in kinds:
            return {"true": True, "false": False}.get(value, value)
        if get_origin(hint) is tuple:
            return [value]
    return value


def _expected(hint: Any) -> str:
    """Say in words what a type takes."""
    if isinstance(hint, UnionType):
        return " or ".join(_expected(kind) for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return "a list of tables" if attrs.has(item) else f"a list, each item {_expected(item)}"
    if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Mapping):
        return f"a table, each value {_expected(get_args(hint)[1])}"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _may_be_shown(option: attrs.Attribute[Any]) -> bool:
    return option.repr is True  # a function there shows a part only: the rest is secret


def _got(option: attrs.Attribute[Any], given: Expansion) -> str:
    """Show a value as it stands in the file, so before `${NAME}` was replaced."""
    if option.metadata.get("may_hold_secret"):
        return "; its value may hold a secret and is not shown"
    return f", got {given.raw!r:.60}" if _may_be_shown(option) else "; its value is secret and not shown"


def _kind_of(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return WORDS[str] if isinstance(value, str) else str(value)
