"""What the server refuses or is too slow for is halved; what is too slow is never taken for a fault of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import psycopg2
import pytest
from attrs import define, evolve, field

from dataplatform.base.agent.agent import CallOverdue
from dataplatform.base.database import Query, TableSpec, table_spec
from dataplatform.base.database.writing import Portions
from dataplatform.base.position import Position
from dataplatform.dsl.operations.operations import PublishPrice
from dataplatform.errors import Transient
from dataplatform.result import Success
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget
from tests.base.database.clients import Client, Clients, Reading, rows
from tests.base.database.cluster import Cluster
from tests.base.database.test_database_errors import raised
from tests.dsl.records import price
from tests.support.waiting import DEADLINE, SHORT, until

SLOW = """
    CREATE OR REPLACE FUNCTION {name}_slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep({seconds}) WHERE {condition}; RETURN NEW; END $$;
    CREATE OR REPLACE TRIGGER slow BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION {name}_slow()
"""


@define
class Server:
    """Takes so many rows in a statement, refuses some for good, and tells what it was asked to write."""

    most: int
    state: str = "57014"
    bad: frozenset[int] = frozenset()
    asked: list[int] = field(factory=list)
    stored: list[int] = field(factory=list)
    takes: float = 0.0  # seconds for a statement
    time: float = 0.0

    def write(self, portion: Sequence[int]) -> None:
        self.time += self.takes
        self.asked.append(len(portion))
        if len(portion) > self.most:
            raise raised(self.state)
        if self.bad.intersection(portion):
            raise raised("22000")
        self.stored += portion


@pytest.fixture
def portions() -> Portions:
    return Portions(60.0, lambda *_: None)


# How many rows a statement has


@pytest.mark.parametrize("state", ["57014", "53200"])
def test_what_is_too_much_for_one_statement_is_halved_and_all_is_written_in_order(state: str) -> None:
    halved: list[tuple[str, int]] = []
    portions, server = Portions(0.0, lambda table, rows: halved.append((table, rows))), Server(30, state)
    assert portions.write("t", range(100), server.write) == {}
    assert server.stored == list(range(100))
    assert halved == [("t", 50), ("t", 25)]
    assert server.asked == [100, 50, 25, 25, 25, 25]


def test_the_next_batch_begins_with_as_many_rows_as_went_through_and_has_a_few_more_each_time(
    portions: Portions,
) -> None:
    server = Server(30)
    portions.write("t", range(100), server.write)
    server.most, server.asked = 1_000, []
    portions.write("t", range(2_000), server.write)
    *asked, _ = server.asked
    assert asked[0] <= 30
    assert all(1 < after / before <= 1.25 for before, after in pairwise(asked))
    assert asked[-1] > 200


def test_a_statement_that_took_more_than_half_of_its_time_does_not_grow() -> None:
    portions, server = Portions(0.0, lambda *_: None), Server(30)
    for _ in range(3):
        portions.write("t", range(100), server.write)
    assert server.asked == [100, 50, *[25] * 12]


def test_each_table_has_a_number_of_its_own(portions: Portions) -> None:
    portions.write("slow", range(100), Server(10).write)
    server = Server(1_000)
    portions.write("quick", range(100), server.write)
    assert server.asked == [100]


def test_rows_that_cannot_be_stored_are_found_among_those_that_take_long(portions: Portions) -> None:
    server = Server(10, bad=frozenset({0, 41, 42, 99}))
    refused = portions.write("t", range(100), server.write)
    assert sorted(refused) == [0, 41, 42, 99]
    assert all(error.code == "rejected" for error in refused.values())
    assert server.stored == [row for row in range(100) if row not in refused]


@pytest.mark.parametrize("state", ["57014", "53200"])
def test_one_row_that_takes_too_long_is_an_outage(portions: Portions, state: str) -> None:
    server = Server(0, state)
    with pytest.raises(psycopg2.Error) as raised_:
        portions.write("t", range(8), server.write)
    assert raised_.value.pgcode == state
    assert server.asked == [8, 4, 2, 1]
    assert server.stored == []


def test_halving_ends_before_nobody_waits_any_more_and_the_next_try_begins_with_few_rows() -> None:
    server = Server(10, takes=4.0)
    portions = Portions(4.0, lambda *_: None, lambda: server.time)
    with pytest.raises(psycopg2.Error) as outage:
        portions.write("t", range(80), server.write)
    assert (outage.value.pgcode, server.asked) == ("57014", [80, 40])
    server.asked = []
    assert portions.write("t", range(80), server.write) == {}
    assert server.asked == [20, *[10] * 8]
    assert server.stored == list(range(80))


def test_a_write_of_which_no_statement_is_too_slow_is_done_however_long_it_takes() -> None:
    server = Server(10, takes=3.0)
    portions = Portions(4.0, lambda *_: None, lambda: server.time)
    assert portions.write("t", range(40), server.write) == {}
    assert server.time > 15
    assert server.stored == list(range(40))


def test_a_write_that_gets_on_is_halved_again_however_late_that_is() -> None:
    server = Server(10, takes=2.0)
    portions = Portions(4.0, lambda *_: None, lambda: server.time)

    def write(portion: Sequence[int]) -> None:
        server.most = 10 if portion[0] < 40 else 4  # the last rows are slow ones
        server.write(portion)

    assert portions.write("t", range(60), write) == {}
    assert server.asked[:2] == [60, 30]
    assert server.stored == list(range(60))


@pytest.mark.parametrize("state", ["08006", "55P03", "57P01"])
def test_another_outage_is_not_halved(portions: Portions, state: str) -> None:
    server = Server(1, state)
    with pytest.raises(psycopg2.Error):
        portions.write("t", range(8), server.write)
    assert server.asked == [8]


# A server that is slow


@pytest.fixture
def client(clients: Clients, server: Cluster) -> Client:
    """A client whose statements have little time."""
    return clients.start(server.dsn, statement_timeout=SHORT)


@pytest.fixture
def slow(client: Client, server: Cluster) -> Callable[..., None]:
    def make_slow(spec: TableSpec, seconds: float, condition: str = "true") -> None:
        client.write(spec)
        server.run(SLOW.format(name=spec.name, seconds=seconds, condition=condition))

    return make_slow


@pytest.mark.parametrize("strategy", ["copy", "insert"])
def test_a_batch_that_is_slower_than_statement_timeout_is_written(
    clients: Clients,
    server: Cluster,
    spec: TableSpec,
    slow: Callable[..., None],
    strategy: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    slow(spec, 0.15)
    client = clients.start(server.dsn, write_strategy=strategy, statement_timeout=SHORT)
    records = [Reading(sensor=f"{number}", count=number) for number in range(32)]
    assert client.get(rows(spec, *records)).rows == 32
    assert client.query(f"SELECT count(*), sum(count) FROM {spec.name}") == [(32, sum(range(32)))]
    assert client.status.counters["halved"] >= 1
    assert client.status.shown == "running"
    said = capfd.readouterr().out
    assert "a statement took too long, and is halved" in said
    assert "raise statement_timeout (2 s)" in said


def test_a_target_waits_for_its_batch_as_long_as_the_database_gets_on_with_it(
    clients: Clients, server: Cluster, name: str
) -> None:
    stage, client = clients.stage, clients.start(server.dsn)  # each statement has a minute
    options = TimescaleOptions(client=client.name, tables={"prices": name})
    target = stage.start(TimescaleTarget, options, client.name, name="table")
    published = target.ask(PublishPrice(price()), block=False)
    assert isinstance(published.get(timeout=DEADLINE), Success)
    with server.session() as session, session.cursor() as cursor:
        session.autocommit = False
        cursor.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        published = target.ask(PublishPrice(price("ethereum")), block=False)
        until(lambda: server.run("SELECT pid FROM pg_locks WHERE NOT granted"), "the client waits for the lock")
        patience = stage.scheduler.expect(CallOverdue, lambda one: one.token == 2)
        assert stage.pass_timer(patience) == 15.0
        stage.scheduler.expect(CallOverdue, lambda one: one.token == 2)  # it looks again later
        session.rollback()
    assert isinstance(published.get(timeout=DEADLINE), Success)
    assert client.query(f"SELECT count(*) FROM {name}") == [(2,)]


def test_so_is_one_of_rows_that_are_there_and_each_record_once(
    client: Client, spec: TableSpec, name: str, slow: Callable[..., None]
) -> None:
    log = table_spec(Reading, f"{name}_log", (), "time")
    records = [Reading(sensor=f"{number}") for number in range(16)]
    for table in (spec, log):
        client.write(table, *records[:4])
        slow(table, 0.2)
    request = evolve(rows(log, *records), positions=(Position(name, 0, 0, 16, "reader", range(16)),))
    assert client.get(request).rows == 16
    assert client.get(evolve(request)).already_stored == 16
    client.write(spec, *records)
    assert client.query(f"SELECT count(*) FROM {spec.name}") == [(16,)]
    assert client.query(f"SELECT count(*) FROM {log.name}") == [(20,)]


def test_one_row_that_takes_too_long_is_tried_again_and_never_refused(
    client: Client, server: Cluster, spec: TableSpec, slow: Callable[..., None]
) -> None:
    slow(spec, 60, "NEW.sensor = 'slow'")
    request = rows(spec, Reading(sensor="a"), Reading(sensor="slow"), Reading(sensor="b"))
    error = client.fail(request)
    assert isinstance(error, Transient)
    assert error.remedy.startswith("raise statement_timeout")
    assert client.query(f"SELECT count(*) FROM {spec.name}") == [(0,)]
    server.run(f"DROP TRIGGER slow ON {spec.name}")
    answer = client.get(request)
    assert (answer.rows, answer.refused) == (3, ())


def test_a_request_that_was_answered_too_late_is_not_carried_out_twice(client: Client, name: str) -> None:
    spec = table_spec(Reading, name, (), "time")
    request = rows(spec, Reading(sensor="a"))
    assert client.get(request) == client.get(request)
    assert client.query(f"SELECT count(*) FROM {name}") == [(1,)]


def test_a_query_that_takes_too_long_names_the_setting(client: Client) -> None:
    assert client.fail(Query("SELECT pg_sleep(60)")).remedy.startswith("raise statement_timeout")
