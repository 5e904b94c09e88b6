"""`replay` of a topic on the embedded broker, beside a running platform: bounded, resumable, and of no group's harm."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dataplatform.base.agent import ManualClock
from dataplatform.base.embedded import broker_address, postgres_dsn
from dataplatform.base.streaming import RedpandaSettings, TopicSpec, ensure_topics
from dataplatform.base.streaming.starts import timestamp_of
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.system.cli.data.reading import Pace
from dataplatform.system.platform.platform import Platform
from tests.dsl.records import price
from tests.support.storage import run
from tests.support.waiting import DEADLINE
from tests.system.commands.listening import hears, listening
from tests.system.commands.processes import beside
from tests.system.commands.topologies import HISTORY

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    import kafka

pytestmark = pytest.mark.long
Command = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]
BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
MINUTE = timedelta(minutes=1)
COUNT, PARTITIONS = 60, 3
TIMESTAMPS = (-1, 0, 1_767_225_600_000_000, 2**63 - 1, -(2**63))
STORED = "SELECT coin_id FROM crypto_prices WHERE coin_id LIKE %(like)s ORDER BY 1"
TELL = """
    CREATE OR REPLACE FUNCTION tell_replayed() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('replayed', ''); RETURN NULL; END $$;
    CREATE OR REPLACE TRIGGER tell_replayed AFTER INSERT ON crypto_prices FOR EACH ROW
        EXECUTE FUNCTION tell_replayed();
"""


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("history") / "history.toml"
    file.write_text(HISTORY)
    return file


@pytest.fixture(scope="module")
def broker(running: Platform) -> str:
    return broker_address(running.data.path)


def fill(broker: str, topic: str, values: list[bytes], every: timedelta = MINUTE) -> None:
    """Put messages into a topic, one a minute by default, over its partitions in turn."""
    assert ensure_topics(RedpandaSettings((broker,), light=True), [TopicSpec(topic, PARTITIONS)]) is None
    with closing(kafka.KafkaProducer(bootstrap_servers=broker)) as producer:
        for number, value in enumerate(values):
            stamp = round((BEGIN + number * every).timestamp() * 1000)
            producer.send(topic, value=value, partition=number % PARTITIONS, timestamp_ms=stamp)
        producer.flush(timeout=20)


@pytest.fixture(scope="module")
def history(broker: str) -> None:
    """An hour of prices, of which the last message is none."""
    prices = [price(f"replay-{number:02}") for number in range(COUNT)]
    fill(broker, "history", [*codec(PRICES).encode(prices), b"no price"])


@pytest.fixture
def replay(command: Command, topology: Path) -> Command:
    return lambda *arguments: command("replay", topology, *arguments)


def committed(broker: str, group: str, topic: str) -> list[int | None]:
    with closing(kafka.KafkaConsumer(bootstrap_servers=broker, group_id=group, enable_auto_commit=False)) as consumer:
        return [consumer.committed(kafka.TopicPartition(topic, number)) for number in range(PARTITIONS)]


def test_what_lies_between_two_times_is_written_and_nothing_else(
    history: None, replay: Command, rows: Rows, broker: str
) -> None:
    start, end = BEGIN + 10 * MINUTE, BEGIN + 25 * MINUTE

    done = replay("--topic", "history", "--from", start.isoformat(), "--to", end.isoformat())

    assert (done.exit_code, done.stdout) == (0, "replayed 15 messages (15 in database), 0 dead letters\n"), done.output
    assert rows(STORED, like="replay-%") == [(f"replay-{number}",) for number in range(10, 25)]
    assert committed(broker, "dataplatform", "history") == [None] * PARTITIONS


def test_without_an_end_it_reads_to_the_end_of_the_log_and_keeps_what_is_no_record(
    history: None, replay: Command, rows: Rows, command: Command, topology: Path
) -> None:
    done = replay("--topic", "history", "--from", BEGIN.isoformat())

    assert done.exit_code == 0, done.output
    assert done.stdout == f"replayed {COUNT + 1} messages ({COUNT} in database), 1 dead letter\n"
    assert len(rows(STORED, like="replay-%")) == COUNT
    assert "history/0@20" in command("dead-letters", "list", topology, "--stream", "history").stdout


def test_a_topic_can_be_replayed_into_another_one(
    history: None, replay: Command, messages: Callable[[str, int], list[bytes]], broker: str
) -> None:
    ensure_topics(RedpandaSettings((broker,), light=True), [TopicSpec("crypto-prices", 1)])

    done = replay("--topic", "history", "--from", BEGIN.isoformat(), "--to-target", "stream")

    assert done.exit_code == 0, done.output
    records, _ = codec(PRICES).decode_all(messages("crypto-prices", COUNT))
    assert records == [price(f"replay-{number:02}") for number in range(COUNT)]


def test_a_group_notes_how_far_it_came(history: None, replay: Command, broker: str) -> None:
    arguments = ["--topic", "history", "--from", BEGIN.isoformat(), "--group", "again"]
    half = replay(*arguments, "--to", (BEGIN + 30 * MINUTE).isoformat())
    rest, nothing = replay(*arguments), replay(*arguments)

    assert [one.stdout.split()[1] for one in (half, rest, nothing)] == ["30", str(COUNT + 1 - 30), "0"]
    assert committed(broker, "again", "history") == [21, 20, 20]


@pytest.mark.long
def test_killed_in_the_middle_it_loses_nothing_and_repeats_nothing(
    running: Platform, replay: Command, rows: Rows, broker: str, topology: Path
) -> None:
    count = 5_000  # three batches
    prices = [price(f"long-{number:04}") for number in range(count)]
    fill(broker, "long", codec(PRICES).encode(prices), every=timedelta(seconds=1))
    dsn = postgres_dsn(running.data.path)
    arguments = ["--topic", "long", "--from", BEGIN.isoformat(), "--group", "killed", "--kind", "prices"]
    arguments += ["--to-target", "database"]
    with listening(dsn, "replayed", TELL) as session, beside(running, "replay", topology, *arguments) as process:
        hears(session)
        process.kill()
    run(dsn, "DROP TRIGGER tell_replayed ON crypto_prices")
    before = len(rows(STORED, like="long-%"))

    again, nothing = replay(*arguments), replay(*arguments)

    assert again.exit_code == 0, again.output
    assert before > 0
    assert rows(STORED, like="long-%") == [(f"long-{number:04}",) for number in range(count)]
    assert nothing.stdout.startswith("replayed 0 messages")


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--topic", "histroy"], 2, "did you mean 'history'?"),
        (["--topic", "history", "--to-target", "databse"], 2, "did you mean 'database'?"),
        (["--topic", "history", "--group", "dataplatform"], 2, "a source of the topology reads as 'dataplatform'"),
        (["--topic", "crypto-prices", "--to-target", "stream"], 2, "writes to 'crypto-prices' itself"),
        (["--topic", "crypto-level1", "--to-target", "database"], 1, "there is no topic 'crypto-level1'"),
        (["--topic", "history", "--to", "2020-01-01"], 2, "is not before --to"),
        (["--topic", "history", "--speed", "0"], 2, "--speed"),
    ],
)
def test_what_cannot_be_done_is_refused(replay: Command, arguments: list[str], status: int, reason: str) -> None:
    refused = replay("--from", BEGIN.isoformat(), *arguments)
    assert (refused.exit_code, reason in refused.stderr) == (status, True), refused.output


def test_its_help_shows_an_example(replay: Command) -> None:
    assert "--from 1h --speed 10 --to-target database" in replay("--help").stdout


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGIN)


def test_the_pace_is_that_of_the_messages_own_times(clock: ManualClock) -> None:
    pace = Pace(10.0, clock)
    waits = [pace.wait(timestamp_of(BEGIN + number * MINUTE)) for number in (0, 1, 2)]
    clock.advance(9.0)

    assert waits == [0.0, 6.0, 12.0]
    assert pace.wait(timestamp_of(BEGIN + MINUTE)) == 0.0
    assert pace.wait(timestamp_of(BEGIN + 2 * MINUTE)) == 3.0


def test_without_a_speed_nothing_waits(clock: ManualClock) -> None:
    pace = Pace(None, clock)
    assert [pace.wait(timestamp_of(BEGIN + number * MINUTE)) for number in (0, 60)] == [0.0, 0.0]


@pytest.mark.parametrize("timestamp", [*TIMESTAMPS, 253_402_300_799_999])
def test_a_timestamp_that_is_not_of_when_the_message_was_made_holds_up_nothing(
    clock: ManualClock, timestamp: int
) -> None:
    pace = Pace(1.0, clock)
    assert pace.wait(timestamp) == 0.0
    assert pace.wait(timestamp_of(BEGIN)) == 0.0
    assert pace.wait(timestamp) == 0.0
    assert pace.wait(timestamp_of(BEGIN + MINUTE)) == 60.0


def test_messages_are_replayed_whatever_their_timestamps(
    replay: Command, rows: Rows, command: Command, broker: str, topology: Path
) -> None:
    ensure_topics(RedpandaSettings((broker,), light=True), [TopicSpec("odd", 1)])
    values = codec(PRICES).encode([price(f"odd-{number}") for number in range(len(TIMESTAMPS))])
    with closing(kafka.KafkaProducer(bootstrap_servers=broker)) as producer:
        for timestamp, value in zip(TIMESTAMPS, [*values[:-1], b"no price"], strict=True):
            producer.send("odd", value=value, timestamp_ms=timestamp).get(timeout=DEADLINE)

    done = replay(
        "--topic", "odd", "--from", "1970-01-01", "--kind", "prices", "--to-target", "database", "--speed", "1"
    )
    shown = command("tail", "odd")

    assert done.exit_code == 0, done.output
    assert rows(STORED, like="odd-%") == [
        ("odd-1",),
        ("odd-2",),
        ("odd-3",),
    ]  # from the first message on with a time from then on
    assert "odd/0@" in command("dead-letters", "list", topology, "--stream", "odd").stdout
    assert shown.exit_code == 0, shown.output
    times = {line.split("\t")[0] for line in shown.stdout.splitlines()}
    assert times == {str(stamp) for stamp in TIMESTAMPS if stamp} | {"1970-01-01T00:00:00+00:00"}
