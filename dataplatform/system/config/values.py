"""Values as people write them in a topology: `${NAME}` from the environment, durations and sizes.

`${NAME}` and `${NAME:-default}` in the texts of a topology: where secrets and what differs by machine come from.
Durations and sizes as people write them: `30s`, `5m`, `64MiB`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from attrs import define, field

__all__ = ["Expansion", "expand", "parse_duration", "parse_size"]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
TELLING = 3  # a shorter value gives nothing away, and masking it would garble texts


@define
class Expansion:
    """A value as it stands in a file (`raw`) and with the environment's values; what is `unset`, in words."""

    raw: Any
    value: Any = None
    unset: list[str] = field(factory=list)
    _used: dict[str, str] = field(factory=dict)

    def concealed(self, text: str) -> str:
        """Return a message with the names in place of the environment's values."""
        for value, name in sorted(self._used.items(), key=lambda used: -len(used[0])):
            text = text.replace(value, name)
        return text


def expand(raw: Any, environ: Mapping[str, str]) -> Expansion:
    """Replace the variables in a text, and in the texts of a list or a table. An empty variable counts as unset.

    >>> expand("${USER}@${HOST:-localhost}", {"USER": "ada"}).value
    'ada@localhost'
    >>> expand("${DATABASE_ULR}", {"DATABASE_URL": "postgresql://db"}).unset
    ['environment variable DATABASE_ULR is not set; did you mean DATABASE_URL?']
    """
    expansion = Expansion(raw)
    expansion.value = _expanded(raw, environ, expansion)
    return expansion


def _expanded(raw: Any, environ: Mapping[str, str], expansion: Expansion) -> Any:
    def replace(match: re.Match[str]) -> str:
        name: str = match[1]
        if value := environ.get(name):
            if len(value) >= TELLING:
                expansion._used[value] = match[0]  # noqa: SLF001  this module's own
            return value
        if match[2] is None:
            expansion.unset.append(_unset(name, environ))
            return ""
        return match[2] or ""

    if isinstance(raw, str):
        return VARIABLE.sub(replace, raw)
    if isinstance(raw, list):
        return [_expanded(one, environ, expansion) for one in raw]
    if isinstance(raw, dict):
        return {key: _expanded(one, environ, expansion) for key, one in raw.items()}
    return raw


def _unset(name: str, environ: Mapping[str, str]) -> str:
    close = [] if name in environ else get_close_matches(name, list(environ), n=1, cutoff=0.8)
    what = "is empty" if name in environ else "is not set"
    return f"environment variable {name} {what}; " + (f"did you mean {close[0]}?" if close else f"export {name}=…")


SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"": 1.0, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return seconds; `ValueError` for what is no duration. A number alone means seconds.

    >>> parse_duration("5m"), parse_duration("250ms"), parse_duration("30")
    (300.0, 0.25, 30.0)
    """
    return _parse(text, SECONDS)


def parse_size(text: str) -> int:
    """Return bytes; `ValueError` for what is no size, or not a whole number of bytes. A number alone means bytes.

    >>> parse_size("64MiB"), parse_size("1.5KB")
    (67108864, 1500)
    """
    size = _parse(text, BYTES)
    if not size.is_integer():
        raise ValueError(f"{text!r:.60} is no whole number of bytes")
    return int(size)


def _parse(text: str, units: dict[str, float]) -> float:
    match = QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r:.60} is not a number with one of {', '.join(filter(None, units))}")
    return float(match[1]) * units[match[2]]
