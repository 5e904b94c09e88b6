"""`dead-letters` on the default's topic, beside the platform that made the letters: all of it real."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.system.platform.platform import Platform
from tests.dsl.records import price
from tests.system.commands.topologies import MENDED, WRONG

pytestmark = pytest.mark.long
Command = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]
GARBAGE = b"\x00\xffno JSON"
COINS = [f"mixed-{number}" for number in range(12)]
LETTERS = len(COINS) + 1
STORED = "SELECT coin_id, count(*) FROM crypto_prices WHERE coin_id LIKE 'mixed-%%' GROUP BY 1"


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("wrong") / "wrong.toml"
    file.write_text(WRONG)
    return file


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mended") / "mended.toml"
    file.write_text(MENDED)
    return file


@pytest.fixture
def letters(
    running: Platform, publish: Callable[[str, Sequence[bytes]], None], messages: Callable[[str, int], list[bytes]]
) -> None:
    """Prices in a topic that is read as one of candles, and a message that is nothing at all, become dead letters."""
    (route,) = running.status().routes
    if not route.read:
        publish("mixed", [*codec(PRICES).encode([price(coin) for coin in COINS]), GARBAGE])
    messages("crypto-dead-letters", LETTERS)


def listed(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def id_of_garbage(command: Command, topology: Path) -> str:
    found = listed(command("dead-letters", "list", topology, "--json", "--replayed"))
    (number,) = [one["id"] for one in found["letters"] if one["bytes"] == len(GARBAGE)]
    return str(number)


def test_they_are_counted_by_what_went_wrong_where(letters: None, command: Command, wrong: Path) -> None:
    found = listed(command("dead-letters", "list", wrong, "--json"))

    assert found["counts"] == [
        {"origin": "topics", "stream": "mixed", "error": "malformed", "target": "", "count": LETTERS}
    ]


def test_people_get_the_counts_and_a_line_each(letters: None, command: Command, wrong: Path) -> None:
    lines = command("dead-letters", "list", wrong).stdout.splitlines()

    assert lines[0].split() == ["COUNT", "ORIGIN", "STREAM", "ERROR", "TARGET"]
    assert lines[1].split() == [str(LETTERS), "topics", "mixed", "malformed", "-"]
    assert len(lines) == 4 + LETTERS


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--origin", "topics", "--stream", "mixed", "--since", "1h"], LETTERS),
        (["--origin", "nobody"], 0),
        (["--stream", "crypto-prices"], 0),
        (["--since", "2999-01-01"], 0),
        (["--limit", "5"], 5),
    ],
)
def test_filters_choose_among_them(
    letters: None, command: Command, wrong: Path, filters: list[str], count: int
) -> None:
    assert listed(command("dead-letters", "list", wrong, "--json", *filters))["count"] == count


def test_one_is_shown_with_its_bytes(letters: None, command: Command, wrong: Path) -> None:
    number = id_of_garbage(command, wrong)

    assert "00 ff 6e 6f 20 4a 53 4f 4e" in command("dead-letters", "show", number[:8], wrong).stdout
    assert command("dead-letters", "show", number, wrong, "--raw").stdout_bytes == GARBAGE
    assert listed(command("dead-letters", "show", number, wrong, "--json"))["raw"] == "AP9ubyBKU09O"


def test_one_that_is_not_there_is_the_caller_s_mistake(letters: None, command: Command, wrong: Path) -> None:
    refused = command("dead-letters", "show", "nothing", wrong)
    assert (refused.exit_code, "no single dead letter begins with 'nothing'" in refused.stderr) == (2, True)


def test_before_the_fix_all_of_them_stay(letters: None, command: Command, wrong: Path) -> None:
    failed = command("dead-letters", "replay", wrong)

    assert failed.exit_code == 1
    assert "replayed 0" in failed.stdout
    assert f"kept {LETTERS}" in failed.stderr
    assert listed(command("dead-letters", "list", wrong, "--json"))["count"] == LETTERS


def test_after_the_fix_records_are_written_once_and_what_is_none_stays(
    letters: None, command: Command, mended: Path, rows: Rows
) -> None:
    first, second = command("dead-letters", "replay", mended), command("dead-letters", "replay", mended)

    assert (first.exit_code, second.exit_code) == (1, 1), first.output
    assert f"replayed {len(COINS)} ({len(COINS)} in database)" in first.stdout
    assert "kept 1\n  1  malformed" in first.stderr
    assert "replayed 0" in second.stdout
    assert dict(rows(STORED)) == dict.fromkeys(COINS, 1)
    assert listed(command("dead-letters", "list", mended, "--json"))["count"] == 1
    assert listed(command("dead-letters", "list", mended, "--json", "--replayed"))["count"] == LETTERS


def test_a_target_that_nobody_knows_is_refused(letters: None, command: Command, mended: Path) -> None:
    refused = command("dead-letters", "replay", mended, "--to", "databse")
    assert (refused.exit_code, "did you mean 'database'?" in refused.stderr) == (2, True)


@pytest.mark.parametrize("name", ["replay", "drop"])
def test_an_origin_that_no_letter_has_is_named_with_those_there_are(
    letters: None, command: Command, mended: Path, name: str
) -> None:
    answer = command("dead-letters", name, mended, "--origin", "nosuch")
    assert (answer.exit_code, answer.stderr) == (0, "no dead letter has the origin 'nosuch'; there are topics\n")


def test_to_drop_all_of_them_is_not_meant_by_saying_nothing(letters: None, command: Command, mended: Path) -> None:
    refused = command("dead-letters", "drop", mended)
    assert (refused.exit_code, "say which letters to drop" in refused.stderr) == (2, True)


def test_an_id_alone_is_no_topology(letters: None, command: Command) -> None:
    refused = command("dead-letters", "drop", "0123456789ab0")
    assert (refused.exit_code, "no single dead letter begins with '0123456789ab0'" in refused.stderr) == (2, True)


def test_one_that_is_not_there_keeps_the_others_from_being_dropped(
    letters: None, command: Command, mended: Path
) -> None:
    refused = command("dead-letters", "drop", id_of_garbage(command, mended), "nothing", mended)
    assert (refused.exit_code, "no single dead letter begins with 'nothing'" in refused.stderr) == (2, True)
    assert listed(command("dead-letters", "list", mended, "--json"))["count"] == 1


def test_what_can_never_be_written_is_dropped(letters: None, command: Command, mended: Path) -> None:
    dropped = command("dead-letters", "drop", mended, "--stream", "mixed")

    assert (dropped.exit_code, dropped.stdout) == (0, "dropped 1\n"), dropped.output
    assert command("dead-letters", "list", mended).stdout == "no dead letters\n"
    assert listed(command("dead-letters", "list", mended, "--json", "--replayed"))["count"] == LETTERS


@pytest.mark.parametrize("name", ["list", "show", "replay", "drop"])
def test_its_help_shows_an_example(command: Command, name: str) -> None:
    assert "python -m dataplatform.system dead-letters list my.toml" in command("dead-letters", name, "--help").stdout
