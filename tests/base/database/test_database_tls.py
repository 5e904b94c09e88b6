"""A server that is reached by TLS: a connection that breaks is an outage, one that is not trusted is to be mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dataplatform.base.database import Probe, Query, TableSpec
from dataplatform.errors import Permanent, PlatformError, Transient
from tests.base.database.clients import Clients, Reading, rows
from tests.base.database.cluster import Cluster
from tests.faults.proxy import Proxy
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.secure_kafka import Certificate, certificate


@pytest.fixture
def made(tmp_path: Path) -> Certificate:
    return certificate(tmp_path)


@pytest.fixture
def secure(server: Cluster, made: Certificate) -> Iterator[PgBouncer]:
    """A server that speaks TLS: the embedded one cannot, so it is PgBouncer before it."""
    with pgbouncer(server, made) as proxy:
        yield proxy


def test_a_connection_by_tls_that_breaks_is_an_outage(clients: Clients, secure: PgBouncer, spec: TableSpec) -> None:
    with closing(Proxy(secure.port)) as path:
        dsn = secure.dsn.replace(str(secure.port), str(path.port))
        client = clients.start(f"{dsn}?sslmode=require")
        client.write(spec, Reading(sensor="a"))
        path.cut()
        assert_outage(client.fail(rows(spec, Reading(sensor="b"))))
        client.write(spec, Reading(sensor="b"))
        path.set(refuse=True)
        path.cut()
        assert_outage(client.fail(rows(spec, Reading(sensor="c"))))
        assert_outage(client.fail(Probe()))
        path.clear()
        client.write(spec, Reading(sensor="c"))
        assert [row[0] for row in client.written(spec)] == ["a", "b", "c"]


def assert_outage(error: PlatformError) -> None:
    assert isinstance(error, Transient)
    assert error.code == "database"


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
def test_a_certificate_that_is_trusted_lets_in_and_another_is_to_be_mended(
    clients: Clients, secure: PgBouncer, made: Certificate, tmp_path: Path, sslmode: str
) -> None:
    dsn = f"{secure.dsn}?sslmode={sslmode}&sslrootcert="
    assert clients.start(f"{dsn}{made.file}").query("SELECT 1") == [(1,)]
    other = certificate(tmp_path, "other.example", "10.0.0.1")
    error = clients.start(f"{dsn}{other.file}").fail(Query("SELECT 1"))
    assert isinstance(error, Permanent)
    assert "certificate verify failed" in error.message
    assert error.remedy == "check sslmode and the certificates in the DSN"


def test_a_server_without_tls_is_to_be_mended_where_tls_is_asked_for(clients: Clients, server: Cluster) -> None:
    error = clients.start(f"{server.tcp('postgres', 'x')}?sslmode=require").fail(Query("SELECT 1"))
    assert isinstance(error, Permanent)
    assert error.remedy == "check sslmode and the certificates in the DSN"


def test_one_that_lets_nobody_in_without_tls_likewise(clients: Clients, secure: PgBouncer) -> None:
    error = clients.start(f"{secure.dsn}?sslmode=disable").fail(Query("SELECT 1"))
    assert isinstance(error, Permanent)
    assert "SSL required" in error.message
    assert error.remedy == "check sslmode and the certificates in the DSN"
