"""What a database client does when its server is away, dies, or is busy with others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg2
import pytest

from dataplatform.base.database import Probe, Query, TableSpec
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Success
from tests.base.database.clients import PATIENCE, Client, Clients, Reading, rows
from tests.base.database.cluster import Cluster
from tests.faults.proxy import Proxy
from tests.support.waiting import DEADLINE, SHORT, until

BACKEND = "SELECT pg_backend_pid()"
FOR_LONG = Query(f"SELECT pg_sleep({10 * DEADLINE})")


def outage(error: PlatformError) -> bool:
    return isinstance(error, Transient) and error.code == "database"


@contextmanager
def locked(server: Cluster, spec: TableSpec) -> Iterator[None]:
    """Somebody holds the table for himself."""
    with server.session() as session:
        session.autocommit = False
        with session.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {spec.name} IN ACCESS EXCLUSIVE MODE")
        yield
        with suppress(psycopg2.OperationalError):  # the server may have been killed
            session.rollback()


# The server


def test_a_server_that_is_down_is_an_outage_and_the_next_request_recovers_by_itself(
    clients: Clients, own: Cluster, spec: TableSpec
) -> None:
    client = clients.start(own.dsn)
    client.write(spec, Reading(sensor="a"))
    own.stop()
    for _ in range(2):
        assert outage(client.fail(rows(spec, Reading(sensor="b"))))
    assert client.status.shown == "degraded"
    own.start()
    client.write(spec, Reading(sensor="b"))
    assert client.status.shown == "running"
    assert [row[0] for row in client.written(spec)] == ["a", "b"]


def test_a_server_killed_between_two_requests_costs_one_of_them(
    clients: Clients, own: Cluster, spec: TableSpec
) -> None:
    client = clients.start(own.dsn)
    client.write(spec, Reading(sensor="a"))
    own.kill()
    own.start()
    assert outage(client.fail(rows(spec, Reading(sensor="b"))))
    client.write(spec, Reading(sensor="b"))
    assert [row[0] for row in client.written(spec)] == ["a", "b"]


def test_it_costs_none_where_the_server_s_agent_tells_in_time(client: Client, server: Cluster, spec: TableSpec) -> None:
    client.write(spec, Reading(sensor="a"))
    ((backend,),) = client.query(BACKEND)
    server.run("SELECT pg_terminate_backend(%(pid)s, 5000)", pid=backend)
    client.peer_restarted()
    client.write(spec, Reading(sensor="b"))
    assert client.status.counters == {"connections": 2, "rows": 2}


@pytest.mark.parametrize("sending", ["a lock", "the rows"])
def test_a_server_killed_during_a_request_loses_or_doubles_nothing_of_it(
    clients: Clients, own: Cluster, spec: TableSpec, sending: str
) -> None:
    client = clients.start(own.dsn)
    client.write(spec)
    batch = rows(spec, *[Reading(sensor=f"{number}", text="x" * 1_000) for number in range(20_000)])
    if sending == "a lock":
        with locked(own, spec):
            answer = client.ref.ask(batch, block=False)
            wait_for(own, "wait_event_type = 'Lock'")
            own.kill()
    else:
        answer = client.ref.ask(batch, block=False)
        wait_for(own, "query LIKE 'COPY%' AND state = 'active'")
        own.kill()
    result = answer.get(timeout=PATIENCE)
    assert isinstance(result, Failure)
    assert outage(result.error)
    own.start()
    assert client.query(f"SELECT count(*) FROM {spec.name}") == [(0,)]
    assert client.get(batch).rows == 20_000
    assert client.query(f"SELECT count(*) FROM {spec.name}") == [(20_000,)]


def wait_for(server: Cluster, sessions: str, count: int = 1) -> None:
    """Look until there are so many sessions of this kind."""
    question = f"SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {sessions}"
    with server.session() as session, session.cursor() as cursor:

        def found() -> bool:
            cursor.execute(question)
            return bool(cursor.fetchone() == (count,))

        until(found, f"{count} sessions with {sessions}")


def test_a_session_that_is_ended_costs_one_request(client: Client, server: Cluster, spec: TableSpec) -> None:
    client.write(spec, Reading(sensor="a"))
    ((backend,),) = client.query(BACKEND)
    server.run("SELECT pg_terminate_backend(%(pid)s, 5000)", pid=backend)
    assert outage(client.fail(rows(spec, Reading(sensor="b"))))
    client.write(spec, Reading(sensor="b"))
    assert client.status.counters["connections"] == 2


def test_one_that_is_ended_while_a_statement_runs_too(clients: Clients, server: Cluster) -> None:
    client = clients.start(server.dsn)
    ((backend,),) = client.query(BACKEND)
    answer = client.ref.ask(FOR_LONG, block=False)
    wait_for(server, f"pid = {backend} AND wait_event = 'PgSleep'")
    server.run("SELECT pg_terminate_backend(%(pid)s)", pid=backend)
    result = answer.get(timeout=PATIENCE)
    assert isinstance(result, Failure)
    assert outage(result.error)
    assert isinstance(client.ask(Probe()), Success)


def test_one_who_accepts_connections_and_says_nothing_is_waited_for_no_longer_than_the_connect_time_out(
    clients: Clients,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dsn = f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres"
        assert outage(clients.start(dsn, connect_timeout=SHORT).fail(Probe()))


def test_a_host_that_is_not_known_is_an_outage(clients: Clients) -> None:
    assert outage(clients.start("postgresql://postgres@unknown.invalid/postgres").fail(Probe()))


def test_a_server_that_has_no_connection_left_is_an_outage(clients: Clients, server: Cluster, name: str) -> None:
    server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'x' CONNECTION LIMIT 1")
    first, second = (clients.start(server.tcp(name, "x")) for _ in range(2))
    first.get(Probe())
    assert outage(second.fail(Probe()))
    first.stop()
    wait_for(server, f"usename = '{name}'", 0)
    second.get(Probe())


# Others


def test_a_lock_that_somebody_holds_for_long_is_an_outage(clients: Clients, server: Cluster, spec: TableSpec) -> None:
    client = clients.start(server.dsn, lock_timeout=SHORT)
    client.write(spec, Reading(sensor="a"))
    with locked(server, spec):
        assert outage(client.fail(rows(spec, Reading(sensor="b"))))
    client.write(spec, Reading(sensor="b"))


def test_also_while_a_table_is_being_made(clients: Clients, server: Cluster, spec: TableSpec) -> None:
    client = clients.start(server.dsn, lock_timeout=SHORT)
    with server.session() as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (0x64617461,))
        assert outage(client.fail(rows(spec, Reading(sensor="a"))))
    client.write(spec, Reading(sensor="a"))


def test_a_statement_that_takes_too_long_is_an_outage(clients: Clients, server: Cluster) -> None:
    client = clients.start(server.dsn, statement_timeout=SHORT)
    assert outage(client.fail(FOR_LONG))
    assert client.query("SELECT 1") == [(1,)]


def test_a_stop_waits_for_a_statement_no_longer_than_it_may_take(clients: Clients, server: Cluster) -> None:
    client = clients.start(server.dsn, statement_timeout=SHORT)
    ((backend,),) = client.query(BACKEND)
    answer = client.ref.ask(FOR_LONG, block=False)
    wait_for(server, f"pid = {backend} AND wait_event = 'PgSleep'")
    client.stop()
    assert isinstance(answer.get(timeout=0), Failure)


def test_a_server_that_takes_no_writes_is_an_outage_for_writing_only(
    clients: Clients, server: Cluster, name: str, spec: TableSpec
) -> None:
    server.run(f"CREATE DATABASE {name}_read_only")
    dsn = server.dsn.replace("/postgres?", f"/{name}_read_only?")
    clients.start(dsn).write(spec, Reading(sensor="a"))
    server.run(f"ALTER DATABASE {name}_read_only SET default_transaction_read_only = on")
    client = clients.start(dsn)
    error = client.fail(rows(spec, Reading(sensor="b")))
    assert isinstance(error, Transient)
    assert error.code == "read_only"
    assert [row[0] for row in client.written(spec)] == ["a"]
    missing = client.fail(Query("SELECT * FROM elsewhere", needs=(spec,)))
    assert isinstance(missing, Transient)


def test_a_client_counts_connections_rows_and_failures(clients: Clients, server: Cluster, spec: TableSpec) -> None:
    client = clients.start(server.dsn, statement_timeout=SHORT)
    client.write(spec, Reading(sensor="a"), Reading(sensor="b"))
    client.fail(FOR_LONG)
    client.write(spec, Reading(sensor="a"))
    assert client.status.counters == {"connections": 2, "rows": 3, "failed": 1}


@pytest.mark.long
def test_a_path_that_takes_in_everything_and_passes_nothing_on_is_given_up(
    clients: Clients, server: Cluster, name: str, spec: TableSpec
) -> None:
    server.run(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'open'")
    with closing(Proxy(server.port)) as path:
        dsn = server.tcp(name, "open").replace(str(server.port), str(path.port))
        client = clients.start(dsn, connect_timeout=SHORT, statement_timeout=SHORT, lock_timeout=SHORT)
        client.write(spec, Reading(sensor="a"))
        path.set(swallow=True)
        assert outage(client.fail(rows(spec, Reading(sensor="b"))))
        path.clear()
        client.write(spec, Reading(sensor="b"))
        assert [row[0] for row in client.written(spec)] == ["a", "b"]
