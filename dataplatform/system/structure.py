"""From a table of a topology to an options class: every key checked, all problems found at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import SimpleNamespace, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import msgspec

from dataplatform.system.places import Path
from dataplatform.system.quantities import parse_duration, parse_size

__all__ = ["Problem", "Problems", "structure", "suggestion"]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@attrs.frozen
class Problem:
    """What is wrong, and the path of the key it is about."""

    path: Path
    message: str


Problems = list[Problem]


def structure(
    cls: type[Any], table: Any, path: Path, problems: Problems, environ: Mapping[str, str] = os.environ
) -> Any:
    """Return an instance of the options class, or None after adding at least one problem."""
    if not isinstance(table, dict):
        problems.append(Problem(path, f"expected a table, got {table!r:.60}"))
        return None
    before = len(problems)
    options = {option.name: option for option in attrs.fields(cls) if option.init}
    problems.extend(
        Problem((*path, key), f"unknown key {key!r}{suggestion(key, options)}") for key in table if key not in options
    )
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, option in options.items():
        if name in table:
            shown = f"{table[name]!r:.60}" if option.repr else "a secret"
            values[name] = _value(hints[name], table[name], (*path, name), problems, environ, shown)
        elif option.default is attrs.NOTHING:
            problems.append(Problem(path, f"{name!r} is missing: {option.metadata.get('help', 'it is required')}"))
    if len(problems) == before:
        _validate(cls, values, path, problems)
    return cls(**values) if len(problems) == before else None


def suggestion(name: str, known: Any) -> str:
    """Return `; did you mean …?`, or what there is to choose from.

    >>> suggestion("sorces", ["sources", "targets"])
    "; did you mean 'sources'?"
    """
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(sorted(known))}" if known else ""


def _value(hint: Any, value: Any, path: Path, problems: Problems, environ: Mapping[str, str], shown: str) -> Any:
    value = _expanded(value, path, problems, environ)
    item = get_args(hint)[0] if get_origin(hint) is tuple else None
    if item is not None and attrs.has(item) and isinstance(value, list):
        return tuple(structure(item, one, (*path, n), problems, environ) for n, one in enumerate(value))
    try:
        return msgspec.convert(_written_by_people(hint, value), hint, strict=True)
    except (msgspec.ValidationError, ValueError) as error:
        problems.append(Problem(path, f"{path[-1]}: {_plain(error)}, got {shown}"))
        return None


def _written_by_people(hint: Any, value: Any) -> Any:
    """Turn `"30s"` into seconds, `"64MiB"` into bytes, and a single text into a list where a list is expected."""
    kinds = set(get_args(hint)) if isinstance(hint, UnionType) else {hint}
    if isinstance(value, str) and str not in kinds:
        if float in kinds:
            return parse_duration(value)
        if int in kinds:
            return parse_size(value)
        if get_origin(hint) is tuple:
            return [value]
    return value


def _expanded(value: Any, path: Path, problems: Problems, environ: Mapping[str, str]) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` by the environment's values."""

    def replace(match: re.Match[str]) -> str:
        found: str | None = environ.get(match[1], match[2])
        if found is None:
            problems.append(Problem(path, f"environment variable {match[1]} is not set; export {match[1]}=…"))
            return ""
        return found

    if isinstance(value, str):
        return VARIABLE.sub(replace, value)
    if isinstance(value, list):
        return [_expanded(one, path, problems, environ) for one in value]
    if isinstance(value, dict):
        return {key: _expanded(one, (*path, key), problems, environ) for key, one in value.items()}
    return value


def _validate(cls: type[Any], values: dict[str, Any], path: Path, problems: Problems) -> None:
    """Run the validator of each given option, so that every bad one is found, not only the first."""
    made = {
        option.name: values.get(option.name, None if _is_factory(option.default) else option.default)
        for option in attrs.fields(cls)
    }
    for option in attrs.fields(cls):
        if option.name not in values:
            continue
        try:
            converted = option.converter(values[option.name]) if callable(option.converter) else values[option.name]
            if option.validator is not None:
                option.validator(SimpleNamespace(**made), option, converted)
        except (ValueError, TypeError) as error:
            text = str(error.args[0]) if error.args else str(error)
            problems.append(Problem((*path, option.name), f"{option.name}: {text.removeprefix(option.name + ': ')}"))


def _is_factory(default: Any) -> bool:
    return default is attrs.NOTHING or hasattr(default, "factory")


def _plain(error: Exception) -> str:
    text = str(error).split(" - at ", 1)[0].replace("`", "")
    return re.sub(r", got .*$", "", text)[:1].lower() + re.sub(r", got .*$", "", text)[1:]
