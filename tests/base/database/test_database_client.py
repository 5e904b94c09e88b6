"""What a database client answers while its server is well: queries, refusals, and what somebody has to mend."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from dataplatform.base.database import MeasureStorage, Probe, Query, TableSpec, TimescaleSettings
from dataplatform.base.database.sizes import CountRows
from dataplatform.errors import Permanent, PlatformError, Transient
from tests.base.database.clients import PATIENCE, Client, Clients, Reading, readings, rows
from tests.base.database.cluster import Cluster

SECRET = "s3cr3t-p4ssw0rd"


def rejected(error: PlatformError) -> bool:
    return isinstance(error, Permanent) and error.code == "rejected"


# Queries


def test_a_probe_answers_the_server_s_version(client: Client) -> None:
    assert client.get(Probe()).split(".")[0] == "18"


def test_a_client_connects_when_it_is_first_asked(clients: Clients, server: Cluster) -> None:
    client = clients.start(server.dsn)
    assert client.status.counters == {}
    client.get(Probe())
    client.get(Probe())
    assert client.status.counters == {"connections": 1}


def test_a_query_answers_names_and_rows(client: Client) -> None:
    answer = client.get(Query("SELECT 1 AS one, 'x' AS two"))
    assert answer.columns == ("one", "two")
    assert answer.rows == [(1, "x")]


def test_a_query_without_rows_has_names_all_the_same(client: Client) -> None:
    answer = client.get(Query("SELECT 1 AS one WHERE false"))
    assert answer.columns == ("one",)
    assert answer.rows == []


def test_parameters_are_bound_and_never_read_as_sql(client: Client) -> None:
    evil = "'; DROP TABLE x; --%(a)s"
    assert client.query("SELECT %(a)s, %(b)s::int", a=evil, b=None) == [(evil, None)]
    assert client.query("SELECT 'a%b' LIKE 'a%'") == [(True,)]


def test_a_query_sends_no_more_rows_than_it_may(client: Client) -> None:
    """And the server makes no more: to make all of these would take longer than a statement may."""
    endless = Query("SELECT generate_series(1, 10_000_000_000)", most=5)
    assert client.get(endless).rows == [(1,), (2,), (3,), (4,), (5,)]
    with pytest.raises(ValueError, match="most"):
        Query("SELECT 1", most=0)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM {0}",
        "WITH gone AS (DELETE FROM {0} RETURNING 1) SELECT * FROM gone",
        "SELECT nextval('{0}_s')",
        "SELECT 1; COMMIT; DELETE FROM {0}",
    ],
)
def test_a_query_that_writes_is_refused(client: Client, server: Cluster, spec: TableSpec, sql: str) -> None:
    client.write(spec, Reading(sensor="a"))
    server.run(f"CREATE SEQUENCE {spec.name}_s")
    assert rejected(client.fail(Query(sql.format(spec.name))))
    assert len(client.written(spec)) == 1


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT nothing", "SELECT 1 + 'x'", "SELECT 1 / 0", ""])
def test_a_query_that_makes_no_sense_is_refused_and_does_no_harm(client: Client, sql: str) -> None:
    client.get(Probe())
    assert rejected(client.fail(Query(sql)))
    assert client.query("SELECT 1") == [(1,)]
    assert client.status.counters["connections"] == 1
    assert client.status.degraded is None


@pytest.mark.parametrize("value", ["half a pair: \ud800", "NUL: \0"])
def test_a_parameter_that_is_no_text_is_refused(client: Client, value: str) -> None:
    assert rejected(client.fail(Query("SELECT %(a)s", {"a": value})))
    assert client.query("SELECT 1") == [(1,)]


def test_a_table_that_a_query_needs_is_made_and_one_that_nobody_makes_is_missing(client: Client, name: str) -> None:
    spec = readings(name)
    error = client.fail(Query(f"SELECT * FROM {name}"))
    assert isinstance(error, Transient)
    assert error.code == "schema"
    assert client.get(Query(f"SELECT * FROM {name}", needs=(spec,))).columns == spec.columns


@pytest.mark.parametrize("sql", ["SELECT * FROM nowhere", "SELECT no_function(1)"])
def test_a_query_whose_server_lacks_something_is_run_otherwise(client: Client, spec: TableSpec, sql: str) -> None:
    instead = Query(f"SELECT sensor FROM {spec.name}", needs=(spec,))
    assert client.get(Query(sql, instead=instead)).columns == ("sensor",)
    assert client.status.degraded is None


def test_a_function_that_the_server_lacks_is_the_query_s_fault(client: Client, spec: TableSpec) -> None:
    assert rejected(client.fail(Query("SELECT no_function(1)", needs=(spec,))))


def test_a_plain_server_tells_the_rows_and_bytes_of_its_tables(client: Client, spec: TableSpec) -> None:
    client.write(spec, *[Reading(sensor=f"{place}") for place in range(1000)])
    told = client.get(MeasureStorage())
    (table,) = [table for table in told.tables if table.name == spec.name]
    assert told.timescaledb is None
    assert (table.rows, table.chunks, table.saved) == (1000, 0, None)
    assert 1000 * 40 < table.bytes < 1000 * 1000


@pytest.mark.parametrize("called", ["Readings of 'us'; all", 'say "it"'])
def test_rows_are_counted_of_the_tables_that_there_are_whatever_they_are_called(
    client: Client, spec: TableSpec, called: str
) -> None:
    odd = readings(called)
    client.write(spec, *[Reading(sensor=f"{place}") for place in range(7)])
    client.write(odd, Reading(sensor="a"))
    assert client.get(CountRows((spec.name, odd.name, "nowhere"))) == {spec.name: 7, odd.name: 1}
    assert client.get(CountRows(("nowhere",))) == {}
    assert client.status.degraded is None


# Records

VETO = """
    CREATE FUNCTION {0}_f() RETURNS trigger AS $$ BEGIN RAISE 'not here'; END $$ LANGUAGE plpgsql;
    CREATE TRIGGER veto BEFORE INSERT ON {0} FOR EACH ROW WHEN (NEW.number < 0) EXECUTE FUNCTION {0}_f()
"""


def test_a_value_that_the_server_cannot_take_is_the_record_s_fault(client: Client, spec: TableSpec) -> None:
    client.get(Probe())
    for bad in (
        Reading(sensor="a", text="NUL: \0"),
        Reading(sensor="a", text="half a pair: \ud800"),
        Reading(sensor="a", count=2**63),
    ):
        ((index, error),) = client.get(rows(spec, Reading(sensor="b"), bad)).refused
        assert index == 1, bad
        assert rejected(error)
    assert [row[0] for row in client.written(spec)] == ["b"]
    assert client.status.counters["connections"] == 1
    assert client.status.degraded is None


def test_a_key_that_is_too_long_for_an_index_is_the_record_s_fault(client: Client, spec: TableSpec) -> None:
    long = Random(1).randbytes(10_000).hex()
    ((_, error),) = client.get(rows(spec, Reading(sensor=long))).refused
    assert rejected(error)


@pytest.mark.parametrize(
    "rule",
    [
        "ALTER TABLE {0} ADD CHECK (number >= 0)",
        "CREATE UNIQUE INDEX ON {0} (text)",
        VETO,
    ],
)
def test_a_rule_of_the_table_that_a_record_breaks_is_the_record_s_fault(
    client: Client, server: Cluster, spec: TableSpec, rule: str
) -> None:
    client.write(spec, Reading(sensor="a", text="a"))
    server.run(rule.format(spec.name))
    ((_, error),) = client.get(rows(spec, Reading(sensor="b", text="a", number=-1.0))).refused
    assert rejected(error)
    assert error.message.startswith("PostgreSQL refuses the data: ")
    client.write(spec, Reading(sensor="b", text="b", number=1.0))


def test_text_arrives_whatever_the_database_s_own_encoding_is(clients: Clients, server: Cluster, name: str) -> None:
    server.run(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")
    client = clients.start(server.dsn.replace("/postgres?", f"/{name}?"))
    spec = readings(name)
    client.write(spec, Reading(sensor="é"))
    assert client.written(spec)[0][0] == "é"
    ((_, error),) = client.get(rows(spec, Reading(sensor="€"))).refused  # that encoding does not have it
    assert rejected(error)


# Tables


def test_tables_that_were_dropped_meanwhile_are_made_again(client: Client, server: Cluster, spec: TableSpec) -> None:
    client.write(spec, Reading(sensor="a"))
    server.run(f"DROP TABLE {spec.name}")
    error = client.fail(rows(spec, Reading(sensor="b")))
    assert isinstance(error, Transient)
    assert error.code == "schema"
    client.write(spec, Reading(sensor="b"))
    assert [row[0] for row in client.written(spec)] == ["b"]


def test_two_clients_that_make_one_table_at_once_do_not_disturb_each_other(
    clients: Clients, server: Cluster, name: str
) -> None:
    pair = [clients.start(server.dsn) for _ in range(4)]
    for client in pair:
        client.get(Probe())
    for attempt in range(5):
        spec = readings(f"{name}_{attempt}")
        asked = [client.ref.ask(rows(spec, Reading(sensor=client.name)), block=False) for client in pair]
        answers = [future.get(timeout=PATIENCE) for future in asked]
        assert [answer.data.rows for answer in answers] == [1] * 4


def test_a_role_that_may_only_write_to_existing_tables_can_do_so(
    clients: Clients, client: Client, server: Cluster, spec: TableSpec, name: str
) -> None:
    client.write(spec, Reading(sensor="a"))
    role = f"{name}_role"
    server.run(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'; GRANT SELECT, INSERT, UPDATE ON {spec.name} TO {role}")
    clients.start(server.tcp(role, SECRET)).write(spec, Reading(sensor="b"))
    assert len(client.written(spec)) == 2


@pytest.mark.parametrize(
    "change",
    ["DROP COLUMN maybe_time", "DROP CONSTRAINT {0}_pkey"],
)
def test_a_table_of_another_shape_has_to_be_mended(
    clients: Clients, client: Client, server: Cluster, spec: TableSpec, change: str
) -> None:
    client.write(spec, Reading(sensor="a"))
    server.run(f"ALTER TABLE {spec.name} " + change.format(spec.name))
    error = clients.start(server.dsn).fail(rows(spec, Reading(sensor="b")))
    assert isinstance(error, Permanent)
    assert error.code == "database"
    assert "made by another program or version" in error.remedy


# What somebody has to mend


def wrong_password(server: Cluster, name: str) -> str:
    server.run(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    return server.tcp(name, f"{SECRET}-wrong")


def no_password(server: Cluster, name: str) -> str:
    server.run(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    return f"postgresql://{name}@127.0.0.1:{server.port}/postgres?passfile=/dev/null"


def missing_role(server: Cluster, name: str) -> str:
    return server.dsn.replace("postgres@", f"{name}@")


def role_without_login(server: Cluster, name: str) -> str:
    server.run(f"CREATE ROLE {name} NOLOGIN")
    return server.dsn.replace("postgres@", f"{name}@")


def missing_database(server: Cluster, name: str) -> str:
    return server.dsn.replace("/postgres?", f"/{name}?")


def closed_database(server: Cluster, name: str) -> str:
    server.run(f"CREATE DATABASE {name}")
    server.run(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    return server.tcp(name, SECRET, name)


def no_tls(server: Cluster, name: str) -> str:
    return f"{server.tcp('postgres', SECRET)}?sslmode=require"


@pytest.mark.parametrize(
    ("set_up", "remedy"),
    [
        (wrong_password, "check the password in the DSN"),
        (no_password, "check the password in the DSN"),
        (missing_role, "check the user in the DSN and the server's pg_hba.conf"),
        (role_without_login, "check the user in the DSN and the server's pg_hba.conf"),
        (missing_database, "create the database, or check its name in the DSN"),
        (closed_database, "grant the user the right it lacks"),
        (no_tls, "check sslmode and the certificates in the DSN"),
    ],
)
def test_what_somebody_has_to_mend_is_named_with_a_remedy_and_without_the_password(
    clients: Clients,
    server: Cluster,
    name: str,
    capfd: pytest.CaptureFixture[str],
    set_up: Callable[[Cluster, str], str],
    remedy: str,
) -> None:
    client = clients.start(set_up(server, name))
    error = client.fail(Probe())
    assert isinstance(error, Permanent)
    assert error.code == "database"
    assert error.remedy == remedy
    assert client.status.degraded is not None
    assert remedy in client.status.degraded.reason
    log = "".join(capfd.readouterr())
    assert "degraded" in log
    for shown in (str(error), repr(error), str(client.status), log):
        assert SECRET not in shown
        assert SECRET[:6] not in shown


def test_a_right_that_is_missing_is_named_with_a_remedy(clients: Clients, server: Cluster, name: str) -> None:
    server.run(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    client = clients.start(server.tcp(name, SECRET))
    error = client.fail(rows(readings(f"{name}_t"), Reading(sensor="a")))
    assert isinstance(error, Permanent)
    assert error.remedy == "grant the user the right it lacks"


def test_a_password_that_is_right_lets_the_client_in(clients: Clients, server: Cluster, name: str) -> None:
    server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'a@b:c/d e'")
    assert clients.start(server.tcp(name, "a%40b%3Ac%2Fd%20e")).query("SELECT current_user") == [(name,)]


# Settings


def test_the_dsn_is_never_shown() -> None:
    assert SECRET not in repr(TimescaleSettings(f"postgresql://u:{SECRET}@h/db"))


def test_a_session_is_named_bounded_and_in_utc(clients: Clients, server: Cluster) -> None:
    client = clients.start(server.dsn, statement_timeout=60.5, lock_timeout=30.25, application_name="trial")
    names = ("application_name", "statement_timeout", "lock_timeout", "TimeZone", "client_encoding")
    ((*shown,),) = client.query("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    assert shown == [f"trial {client.name}", "60500ms", "30250ms", "UTC", "UTF8"]


def test_options_of_the_dsn_are_kept_beside_ours(clients: Clients, server: Cluster) -> None:
    dsn = f"{server.dsn}&options=-c%20work_mem%3D5MB%20-c%20statement_timeout%3D0"
    client = clients.start(dsn, statement_timeout=50.0)
    settings = client.query("SELECT current_setting('work_mem'), current_setting('statement_timeout')")
    assert settings == [("5MB", "50s")]


@pytest.mark.parametrize("option", ["pool", "connect_timeout", "statement_timeout", "lock_timeout"])
def test_a_setting_of_nothing_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        TimescaleSettings("", **{option: 0})  # type: ignore[arg-type]
