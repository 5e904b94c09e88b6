"""Durations and sizes as people write them: `30s`, `5m`, `64MiB`."""

from __future__ import annotations

import re

__all__ = ["parse_duration", "parse_size"]

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
