"""Dead letters for people and programs: counted, a line each, or one on a page."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import msgspec
from attrs import define, field

from dataplatform.dsl.types import DeadLetter

__all__ = ["Tally", "as_json", "as_line", "as_page"]

ASPECTS = ("origin", "stream", "error", "target")
ID = 12  # characters of an id in a list
WIDE = 16  # bytes in a line of hexadecimal
LONGEST = 100  # characters of an error in a list
MOST_TEXT = 4_000  # characters of a letter on a page,
MOST_DUMPED = 51 * WIDE  # or bytes in hexadecimal, which are about as many characters


@define
class Tally:
    """Letters counted by what went wrong where, and the latest of them."""

    counts: Counter[tuple[str, ...]] = field(factory=Counter)
    latest: deque[DeadLetter] = field(factory=deque)

    @classmethod
    def of(cls, letters: Iterable[DeadLetter], most: int) -> Self:
        """Count letters, each once, and keep the latest `most`."""
        tally, seen = cls(latest=deque(maxlen=most)), set[str]()
        for letter in letters:
            if letter.id not in seen:
                seen.add(letter.id)
                tally.counts[letter.origin, letter.stream, error_kind(letter), letter.target] += 1
                tally.latest.append(letter)
        return tally

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, the most frequent first, and the letters without their bytes."""
        counts = [dict(zip(ASPECTS, key, strict=True)) | {"count": n} for key, n in self.counts.most_common()]
        return {"count": self.counts.total(), "counts": counts, "letters": [as_line(one) for one in self.latest]}

    def lines(self) -> Iterator[str]:
        """Yield the same for people."""
        if not self.counts:
            yield "no dead letters"
            return
        yield from _columns([("COUNT", *map(str.upper, ASPECTS)), *_rows(self.counts)])
        yield ""
        yield from _columns([("ID", "TIME", "ORIGIN", "PLACE", "BYTES", "ERROR"), *map(_row, self.latest)])


def error_kind(letter: DeadLetter) -> str:
    """Return the code that the error begins with, such as `malformed`, `invalid` or `rejected`."""
    return letter.error.partition(":")[0][:40]


def as_line(letter: DeadLetter, *, whole: bool = False) -> dict[str, Any]:
    """Return a letter as JSON has it; its bytes only if it is to be `whole`."""
    shown = {
        "id": letter.id,
        "time": letter.time.isoformat(),
        "origin": letter.origin,
        "stream": letter.stream,
        "partition": letter.partition,
        "offset": letter.offset,
        "target": letter.target,
        "error": letter.error,
        "record_kind": letter.record_kind,
        "source_kind": letter.source_kind,
        "source": letter.source,
        "bytes": len(letter.raw),
    }
    return shown | ({"raw": letter.raw} if whole else {})


def as_json(value: Any) -> str:
    """Return indented JSON, bytes in base64."""
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def as_page(letter: DeadLetter) -> str:
    """Return a letter for people: the first of its bytes as text if that is printable, else in hexadecimal."""
    head = "\n".join(f"{name:<12}{value}" for name, value in as_line(letter).items() if value not in (None, ""))
    body, shown = _text(letter.raw)
    rest = len(letter.raw) - shown
    return f"{head}\n\n{body}" + (f"\n… {rest} more bytes; --raw writes them all" if rest else "")


def _text(raw: bytes) -> tuple[str, int]:
    """Return the beginning of the bytes in a legible form, and how many of them that is."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(one.isprintable() or one in "\n\t" for one in text):
        beginning = text[:MOST_TEXT]
        return beginning, len(beginning.encode())
    return _hexadecimal(raw[:MOST_DUMPED]), min(len(raw), MOST_DUMPED)


def _hexadecimal(raw: bytes) -> str:
    lines = []
    for place in range(0, len(raw), WIDE):
        part = raw[place : place + WIDE]
        legible = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else "." for byte in part)
        lines.append(f"{place:08x}  {part.hex(' '):<{3 * WIDE - 1}}  {legible}")
    return "\n".join(lines)


def _rows(counts: Counter[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    return ((str(count), *(part or "-" for part in key)) for key, count in counts.most_common())


def _row(letter: DeadLetter) -> tuple[str, ...]:
    place = f"{letter.stream}/{letter.partition}@{letter.offset}" if letter.offset is not None else letter.stream
    error = letter.error if len(letter.error) <= LONGEST else f"{letter.error[: LONGEST - 1]}…"
    return letter.id[:ID], f"{letter.time:%Y-%m-%d %H:%M:%S}Z", letter.origin, place or "-", str(len(letter.raw)), error


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
