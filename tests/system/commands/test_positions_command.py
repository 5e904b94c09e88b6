"""Members of a group that add up to what the table gained; and `positions`, by which a database forgets what it has."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataplatform.base.embedded import broker_address, postgres_dsn
from dataplatform.base.streaming import RedpandaSettings, TopicSpec, ensure_topics
from dataplatform.dsl.flow import RouteAccount
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import parse_topology
from dataplatform.system.console.logs import configure_logs
from dataplatform.system.platform.platform import Platform, PlatformStatus
from tests.dsl.records import price
from tests.support.storage import query, run
from tests.system.commands.topologies import MENDED
from tests.system.logs import restored

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    import kafka
    from kafka.structs import OffsetAndMetadata

pytestmark = pytest.mark.long
PATIENCE = 60.0  # seconds
PARTITIONS = 2
END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '% timescale.%'"
MEMBER = """
[clients.redpanda]
kind = "redpanda"
brokers = ["{broker}"]

[clients.timescale]
kind = "timescale"
dsn = "{dsn}"

[sources.topics]
kind = "redpanda"
client = "redpanda"
group = "{group}"
topics = {{ prices = "{group}" }}
most = 50

[targets.database]
kind = "timescale"
client = "timescale"
append = true
tables = {{ prices = "{table}" }}

[[routes]]
from = "topics"
to = ["database"]
"""


class Group:
    """A group of the running platform's servers, its topic, and its table without a key."""

    def __init__(self, running: Platform, name: str, folder: Path) -> None:
        self.name, self.table = name, name.replace("-", "_")
        self.broker, self.dsn = broker_address(running.data.path), postgres_dsn(running.data.path)
        self.folder = folder
        self.produced = 0
        assert ensure_topics(RedpandaSettings((self.broker,), light=True), [TopicSpec(name, PARTITIONS)]) is None

    @property
    def topology(self) -> str:
        return MEMBER.format(broker=self.broker, dsn=self.dsn, group=self.name, table=self.table)

    @contextmanager
    def member(self) -> Iterator[Platform]:
        with (
            TemporaryDirectory(dir=self.folder) as home,
            Platform.start(parse_topology(self.topology), data_dir=Path(home)) as platform,
        ):
            yield platform

    def produce(self, count: int) -> None:
        """Put prices into the topic, over its partitions in turn."""
        numbers = range(self.produced, self.produced + count)
        values = codec(PRICES).encode([price(f"{self.name}-{number}") for number in numbers])
        with closing(kafka.KafkaProducer(bootstrap_servers=self.broker)) as producer:
            for number, value in zip(numbers, values, strict=True):
                producer.send(self.name, value=value, partition=number % PARTITIONS)
            producer.flush(timeout=PATIENCE)
        self.produced += count

    def set_back(self) -> None:
        """Have the group begin anew, as an operator does with the broker's own tools."""
        begin = {kafka.TopicPartition(self.name, number): OffsetAndMetadata(0, "", -1) for number in range(PARTITIONS)}
        with closing(
            kafka.KafkaConsumer(bootstrap_servers=self.broker, group_id=self.name, enable_auto_commit=False)
        ) as consumer:
            consumer.commit(begin)

    def rows(self) -> int:
        ((count,),) = query(self.dsn, f"SELECT count(*) FROM {self.table}")
        return int(count)


@pytest.fixture
def group(running: Platform, request: pytest.FixtureRequest, tmp_path: Path) -> Group:
    return Group(running, f"group-{abs(hash(request.node.name)) % 10_000}", tmp_path)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    written = io.StringIO()
    with restored():
        configure_logs("console", "warning", (), written)
        yield written


def account(status: PlatformStatus) -> RouteAccount:
    (route,) = status.routes
    return route


def settled(platform: Platform, count: int) -> bool:
    """Wait until a member has settled so many records."""
    return platform.wait_until(
        lambda status: account(status).written + account(status).already_stored >= count, timeout=PATIENCE
    )


def positions(group: Group, *arguments: object) -> Result:
    """Give the command in a directory of its own."""
    file = group.folder / "group.toml"
    file.write_text(group.topology)
    with TemporaryDirectory(dir=group.folder) as home:
        return CliRunner().invoke(main, ["positions", *map(str, arguments), str(file), "--data-dir", home])


def test_two_members_have_written_what_the_table_gained(group: Group) -> None:
    group.produce(1_000)
    with group.member() as one:
        assert settled(one, 500)
        with group.member() as two:
            group.produce(1_000)
            assert settled(two, 1)
            group.produce(1_000)
            assert one.wait_until(lambda _: group.rows() == group.produced, timeout=PATIENCE)
        assert one.wait_until(lambda status: account(status).in_flight == 0, timeout=PATIENCE)
    members = [account(one.status()), account(two.status())]
    assert sum(member.written for member in members) == group.rows() == 3_000
    for member in members:
        assert member.read == member.written + member.already_stored + member.dead_lettered + member.in_flight


def test_a_member_whose_sessions_are_ended_again_and_again_has_written_what_the_table_gained(group: Group) -> None:
    """A commit whose answer is lost is no reason to count its rows as somebody else's, or twice."""
    group.produce(4_000)
    with group.member() as one:
        for count in range(500, 4_000, 500):
            assert settled(one, count)
            query(group.dsn, END_OTHERS)
        assert settled(one, 4_000)
    found = account(one.status())
    assert (found.written, found.already_stored, found.in_flight) == (4_000, 0, 0)
    clients = [one.status().counters(f"timescale.{number}")["connections"] for number in (1, 2)]
    assert max(clients) > 1, "a session was ended"
    assert group.rows() == 4_000


def test_what_is_left_out_whole_is_counted_and_said_once_of_each_partition_until_the_positions_are_forgotten(
    group: Group, log: io.StringIO
) -> None:
    group.produce(500)
    with group.member() as one:
        assert settled(one, 500)
    assert (account(one.status()).written, account(one.status()).already_stored) == (500, 0)
    run(group.dsn, f"TRUNCATE {group.table}")
    group.set_back()

    with group.member() as again:
        assert settled(again, 500)
        refused = positions(group, "forget", group.name, "--topic", group.name, "--reread")
        shown = positions(group, "list", group.name, "--topic", group.name)
    assert (account(again.status()).written, account(again.status()).already_stored) == (0, 500)
    assert group.rows() == 0
    said = [line for line in log.getvalue().splitlines() if "are left out" in line]
    assert len(said) == PARTITIONS
    for number in range(PARTITIONS):
        (line,) = [line for line in said if f"{group.name}/{number} offsets 0 to 249 are left out" in line]
        assert f"replay --topic {group.name}" in line
        assert f"positions forget {group.name} --topic {group.name}" in line
    assert refused.exit_code == 2
    assert "group_in_use: the group is running" in refused.stderr
    assert shown.output.splitlines() == [
        f"database: {group.name}/{number} is stored up to offset 250" for number in range(PARTITIONS)
    ]

    forgotten = positions(group, "forget", group.name, "--topic", group.name, "--reread")
    assert forgotten.exit_code == 0, forgotten.output
    assert f"database: {group.name}/0 was stored up to offset 250; forgotten" in forgotten.output
    assert f"{group.name} reads {group.name}/0 on at offset 0" in forgotten.output
    with group.member() as last:
        assert settled(last, 500)
    assert (account(last.status()).written, account(last.status()).already_stored) == (500, 0)
    assert group.rows() == 500


def test_one_partition_is_forgotten_and_the_group_reads_on_where_it_was(group: Group) -> None:
    group.produce(100)
    with group.member() as one:
        assert settled(one, 100)
    forgotten = positions(group, "forget", group.name, "--topic", group.name, "--partition", 1)
    assert forgotten.output.splitlines() == [
        f"database: {group.name}/1 was stored up to offset 50; forgotten",
        f"{group.name} reads {group.name}/1 on at offset 50",
    ]
    shown = positions(group, "list", group.name, "--topic", group.name)
    assert shown.output.splitlines() == [f"database: {group.name}/0 is stored up to offset 50"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("forget", "dataplatform", "--topic", "mixed"), 1, "no positions of the group 'dataplatform'"),
        (("list", "dataplatform", "--topic", "mixed"), 1, "no positions of the group 'dataplatform'"),
        (("forget", "dataplatfrom", "--topic", "mixed"), 2, "did you mean 'dataplatform'?"),
        (("forget", "dataplatform"), 2, "Missing option '--topic'"),
    ],
)
def test_without_a_platform_a_fresh_directory_has_no_positions(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    file = tmp_path / "fresh.toml"
    file.write_text(MENDED)
    with TemporaryDirectory(prefix="dp-", dir="/tmp") as folder:
        answer = CliRunner().invoke(main, ["positions", *arguments, str(file), "--data-dir", str(Path(folder, "data"))])
    assert (answer.exit_code, said in answer.stderr) == (status, True), answer.stderr


def test_beside_a_running_platform_its_group_is_left_alone(command: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "mended.toml"
    file.write_text(MENDED)
    answer = command("positions", "forget", "dataplatform", "--topic", "mixed", file)
    assert (answer.exit_code, "the group is running" in answer.stderr) == (2, True), answer.stderr
