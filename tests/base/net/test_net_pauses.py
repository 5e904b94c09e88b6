"""The pauses that servers ask for, in each form in which they do, are read by one parser."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dataplatform.base.net.failures import retry_after, told_pause

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 119 ", 119.0),
        ("1.5", 1.5),
        ("0.25", 0.25),
        ("2.", 2.0),
        ("86400", 3600.0),
        ("86400.5", 3600.0),
        ("9" * 5000, 3600.0),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0),
        ("Thu, 01 Jan 2026 00:02:00 -0000", 120.0),
        ("Thursday, 01-Jan-26 00:02:00 GMT", 120.0),
        ("Thu Jan  1 00:02:00 2026", 120.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", 3600.0),
        ("", None),
        ("-5", None),
        ("1e3", None),
        (".", None),
        ("nan", None),
        ("\u0661", None),  # a digit, but not an ASCII one
        ("soon", None),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("429 Retry-After: 30", 30.0),
        ('429 {"retry_after": 12.5}', 12.5),
        ("please retry after 30 seconds", 30.0),
        ("try again in 30s", 30.0),
        ("try again in 1.5s", 1.5),
        ("Try again in 2 minutes.", 120.0),
        ("retry in 5m", 300.0),
        ("retry in 500ms", 0.5),
        ("retry in 2 h", 3600.0),
        ("retry in 100000", 3600.0),
        ("retry in 30x", None),
        ("retry 3 times", None),
        ("429 too many requests", None),
        ("x" * 1_000 + " retry in 30", None),
    ],
)
def test_the_pause_that_a_tool_asks_for_in_words_is_read_with_its_unit(text: str, seconds: float | None) -> None:
    assert told_pause(text) == seconds
