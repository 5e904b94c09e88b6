"""Durations and sizes as people write them: `30s`, `5m`, `64MiB`."""

from __future__ import annotations

import re

__all__ = ["parse_duration", "parse_size"]

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


def parse_duration(text: str) -> float:
    """Return seconds.

    >>> parse_duration("5m"), parse_duration("250ms")
    (300.0, 0.25)
    """
    return _parse(text, SECONDS, "a duration like '30s', '5m' or '250ms'")


def parse_size(text: str) -> int:
    """Return bytes.

    >>> parse_size("64MiB")
    67108864
    """
    return round(_parse(text, {unit: float(size) for unit, size in BYTES.items()}, "a size like '64MiB' or '10MB'"))


def _parse(text: str, units: dict[str, float], expected: str) -> float:
    match = QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise ValueError(f"expected {expected}, got {text!r:.60}")
    return float(match[1]) * units[match[2]]
