"""One dead letter on a page: legible, and no longer than a person reads."""

from __future__ import annotations

import pytest

from dataplatform.dsl.flow import letter_for_input
from dataplatform.errors import Permanent
from dataplatform.system.cli.data.dead_letters import as_page
from tests.dsl.records import NOON

MEGABYTE = 1_000_000


def page(raw: bytes) -> str:
    """Return what is shown of a letter's bytes."""
    letter = letter_for_input(raw, Permanent("malformed", "no"), origin="topics", at=NOON)
    return as_page(letter).partition("\n\n")[2]


@pytest.mark.parametrize("raw", [b"", b"x" * 4_000, "\u20bf".encode() * 4_000])
def test_what_fits_is_shown_whole(raw: bytes) -> None:
    assert page(raw) == raw.decode()


def test_longer_text_is_cut_and_the_bytes_of_the_rest_are_counted() -> None:
    shown = page("\u20bf".encode() * 4_001)
    assert shown == "\u20bf" * 4_000 + "\n… 3 more bytes; --raw writes them all"


def test_longer_bytes_are_cut_too() -> None:
    *lines, last = page(b"\xff" * MEGABYTE).splitlines()
    assert sum(len(line) for line in lines) <= 4_000
    assert last == f"… {MEGABYTE - 16 * len(lines)} more bytes; --raw writes them all"
