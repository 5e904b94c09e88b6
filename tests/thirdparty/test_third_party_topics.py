"""A kind of client with topics, in a package of somebody else's: counted, read, replayed and given back like ours."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplatform.dsl.flow import letter_for_input
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, PRICES
from dataplatform.errors import Permanent
from tests.dsl.records import NOON, price
from tests.support.waiting import DEADLINE
from tests.thirdparty.conftest import Site, running, until

TOPOLOGY = """
[clients.gecko]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"

[clients.files]
kind = "journal"
folder = "{folder}"

[clients.timescale]
kind = "timescale"
dsn = "embedded"

[sources.coingecko]
kind = "coingecko"
client = "gecko"
feeds = [{{ operation = "get_current_prices", top = 20, every = "1s" }}]

[targets.database]
kind = "timescale"
client = "timescale"

[targets.journal]
kind = "journal"
client = "files"

[[routes]]
from = "coingecko"
to = ["journal"]
"""


@pytest.fixture(scope="module")
def installed(install: Callable[[str], Site]) -> Site:
    return install("journal")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


@pytest.fixture
def file(tmp_path: Path, folder: Path) -> Path:
    written = tmp_path / "topology.toml"
    written.write_text(TOPOLOGY.format(folder=folder))
    return written


def test_a_target_with_topics_takes_the_dead_letters_before_one_with_tables(installed: Site, file: Path) -> None:
    checked = installed.platform(file, "--check", "--demo")
    assert checked.returncode == 0, checked.stderr
    assert re.search(r"target +journal +Journal through files, takes dead letters", checked.stdout)


def test_a_folder_that_is_not_there_is_told_with_its_line(installed: Site, file: Path, folder: Path) -> None:
    folder.rmdir()
    checked = installed.platform(file, "--check", "--connect", "--demo")
    assert f"{file}:8: client 'files': cannot write to {folder}" in checked.stderr
    assert "check folder, which has to exist" in checked.stderr


@pytest.mark.long
def test_its_topics_are_counted_and_tailed(
    installed: Site, file: Path, folder: Path, tmp_path: Path, data_dir: Path
) -> None:
    report = tmp_path / "report.json"
    with running(installed, file, "--demo", "--data-dir", data_dir, "--report", report) as process:
        until(installed, data_dir, lambda now: now["routes"][0]["records_written"] >= 40)
        seen = installed.platform("tail", "crypto-prices", "-n", "3", "--data-dir", data_dir)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=DEADLINE)

    assert process.returncode == 0, said
    assert len(re.findall(r"\t0/\d+\t", seen.stdout)) == 3, seen.stdout + seen.stderr
    account = json.loads(report.read_text())
    counted = {topic["name"]: topic["records"] for topic in account["topics"]}
    assert counted["crypto-prices"] == account["routes"][0]["records_written"]
    assert counted["crypto-prices"] == len((folder / "crypto-prices.jsonl").read_bytes().splitlines())


@pytest.mark.long
def test_it_is_replayed_and_its_dead_letters_are_given_back(
    installed: Site, file: Path, folder: Path, data_dir: Path
) -> None:
    prices = [price(f"coin-{number}", source="simulator") for number in range(5)]
    letter = letter_for_input(b"{}", Permanent("undecodable", "no price"), origin="coingecko", at=NOON, stream="prices")
    for topic, values in (
        (PRICES.topic, codec(PRICES).encode(prices)),
        (DEAD_LETTERS.topic, codec(DEAD_LETTERS).encode([letter])),
    ):
        lines = [json.dumps({"time": int(NOON.timestamp() * 1000), "key": "", "value": one.decode()}) for one in values]
        (folder / f"{topic}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    at = ("--data-dir", data_dir, "--demo")

    since = ("--topic", "crypto-prices", "--from", "2020-01-01")
    circle = installed.platform("replay", *since, "--to-target", "journal", file, *at)
    replayed = installed.platform("replay", *since, "--to-target", "database", file, *at)
    listed = installed.platform("dead-letters", "list", "--json", file, *at)
    dropped = installed.platform("dead-letters", "drop", letter.id, file, *at)
    left = installed.platform("dead-letters", "list", "--json", file, *at)

    assert circle.returncode == 2
    assert "'journal' writes to 'crypto-prices' itself" in circle.stderr
    assert "replayed 5 messages (5 in database), 0 dead letters" in replayed.stdout, replayed.stderr
    assert json.loads(listed.stdout)["count"] == 1, listed.stderr
    assert "dropped 1" in dropped.stdout, dropped.stderr
    assert json.loads(left.stdout)["count"] == 0, left.stderr
