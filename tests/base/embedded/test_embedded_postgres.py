from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil
import psycopg2
import psycopg2.extras
import pytest

from dataplatform.base.agent import Address, PeerJoined, PeerRestarted, Ready, State
from dataplatform.base.embedded import EmbeddedPostgres, postgres_dsn
from dataplatform.base.embedded.postgres import SOCKET_PATH_LIMIT, installed_trees, postgres_binaries, socket_folder
from dataplatform.base.embedded.process import ServerProcess
from dataplatform.errors import Permanent
from tests.base.embedded.servers import House, Inbox, Running, all_end


def start(house: House, data_dir: Path) -> Running:
    running = house.start(EmbeddedPostgres.child("postgres", data_dir))
    running.ready()
    return running


def query(data_dir: Path, sql: str) -> list[Any]:
    with closing(psycopg2.connect(postgres_dsn(data_dir))) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres/data/postmaster.pid").read_text().split()[0]))


def server_is_ready(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "server is ready")


def test_a_new_data_directory_becomes_a_database_with_utf8_checksums_and_safe_settings(
    house: House, data_dir: Path
) -> None:
    postgres = start(house, data_dir)
    settings = {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "TimeZone": "UTC",
        "shared_buffers": "64MB",
        "max_connections": "50",
    }
    assert {name: query(data_dir, f"show {name}")[0] for name in settings} == settings
    assert query(data_dir, "select current_user || ' ' || current_database()") == ["postgres postgres"]
    assert postgres.status.state is State.RUNNING
    assert postgres.status.kind == "server"
    assert postgres.status.degraded is None


def test_it_is_reached_through_a_folder_of_its_own_user_and_no_port(house: House, database: Path) -> None:
    start(house, database)
    folder, server = socket_folder(database), postmaster(database)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == server.uids().real != 0
    assert [c for c in server.net_connections() if c.family is not socket.AF_UNIX] == []


def test_a_stop_ends_every_process_and_the_next_start_finds_the_data(house: House, database: Path) -> None:
    first, dsn = start(house, database), postgres_dsn(database)
    query(database, "create table kept as select 1 as id")
    server = postmaster(database)
    pids = [server.pid, server.ppid(), *(child.pid for child in server.children())]
    assert first.stop().failure is None
    assert all_end(*pids, timeout=0)
    start(house, database)
    assert postgres_dsn(database) == dsn
    assert query(database, "select id from kept") == [1]


def test_an_open_session_does_not_delay_a_stop(house: House, database: Path) -> None:
    postgres = start(house, database)
    with closing(psycopg2.connect(postgres_dsn(database))) as session:
        session.cursor().execute("select 1")
        assert postgres.stop().failure is None
        with pytest.raises(psycopg2.OperationalError):
            session.cursor().execute("select 1")


def test_a_killed_server_is_an_outage_that_is_shown_mended_counted_and_told_to_the_peers(
    house: House, database: Path, events: Inbox
) -> None:
    postgres, client = start(house, database), house.peer("client")
    postgres.ref.tell(PeerJoined(house.runtime.directory.address("client"), downstream=True))
    query(database, "create table kept as select 1 as id")
    postmaster(database).kill()
    degraded = events.next(dict, where=lambda event: event["event"] == "degraded")
    assert "PostgreSQL ended with signal 9; restarting" in degraded["reason"]
    assert str(database / "postgres/server.log") in degraded["reason"]
    assert degraded["next_try"] is not None
    assert client.next(PeerRestarted) == PeerRestarted("postgres")
    assert query(database, "select id from kept") == [1]
    assert postgres.status.counters == {"process_restarts": 1}
    assert postgres.status.restarts == 0
    assert postgres.status.degraded is None
    assert "signal 9" in str(postgres.status.last_error)


def test_a_server_stopped_from_outside_is_started_again(house: House, database: Path, events: Inbox) -> None:
    postgres = start(house, database)
    events.next(dict, where=server_is_ready)
    postmaster(database).send_signal(signal.SIGTERM)
    assert "ended with status 0" in events.next(dict, where=lambda event: event["event"] == "degraded")["reason"]
    events.next(dict, where=server_is_ready)
    assert query(database, "select 1") == [1]
    assert postgres.stop().failure is None


def test_a_killed_guard_costs_one_restart_and_no_row(house: House, database: Path, events: Inbox) -> None:
    start(house, database)
    events.next(dict, where=server_is_ready)
    query(database, "create table kept as select 1 as id")
    old = postmaster(database)
    guard = old.parent()
    assert guard is not None
    guard.kill()
    assert "lost its guard" in events.next(dict, where=lambda event: event["event"] == "degraded")["reason"]
    events.next(dict, where=server_is_ready)
    assert all_end(old.pid)
    assert query(database, "select id from kept") == [1]


def test_a_busy_backend_of_a_killed_server_does_not_keep_the_next_one_from_starting(
    house: House, database: Path, events: Inbox
) -> None:
    start(house, database)
    events.next(dict, where=server_is_ready)
    with closing(psycopg2.connect(postgres_dsn(database), async_=True)) as session:
        psycopg2.extras.wait_select(session)
        session.cursor().execute("do $$ begin loop end loop; end $$")  # never looks whether its server lives
        postmaster(database).kill()
        events.next(dict, where=server_is_ready)
    assert query(database, "select 1") == [1]


def test_a_pid_file_left_by_a_crash_whose_number_another_process_has_now_is_no_obstacle(
    house: House, database: Path
) -> None:
    start(house, database).stop()
    data, run = database / "postgres/data", socket_folder(database)
    owner = data.stat()
    with subprocess.Popen(["sleep", "60"], user=owner.st_uid) as other:
        stale = f"{other.pid}\n{data}\n1700000000\n5432\n{run}\n\n  1  1\nready   \n"
        for file in (data / "postmaster.pid", run / ".s.PGSQL.5432.lock"):
            file.write_text(stale)
            os.chown(file, owner.st_uid, owner.st_gid)
        start(house, database)
        assert other.poll() is None
        other.kill()
    assert query(database, "select 1") == [1]


def test_a_start_that_fails_is_shown_with_the_servers_own_words_and_tried_again(
    house: House, database: Path, events: Inbox
) -> None:
    start(house, database).stop()
    version = database / "postgres/data/PG_VERSION"
    good = version.read_bytes()
    version.write_bytes(b"7\n")
    postgres = start(house, database)  # ready, though degraded
    status = postgres.status
    assert status.state is State.RUNNING
    assert status.degraded is not None
    assert "FATAL:  database files are incompatible with server" in status.degraded.reason
    assert f"its log is {database / 'postgres/server.log'}" in status.degraded.reason
    version.write_bytes(good)
    events.next(dict, where=lambda event: event["event"] == "recovered")
    assert query(database, "select 1") == [1]
    assert postgres.status.counters == {}


def test_data_that_is_no_database_is_left_as_it_is(house: House, data_dir: Path) -> None:
    (data_dir / "postgres/data").mkdir(parents=True)
    precious = data_dir / "postgres/data/precious"
    precious.touch()
    status = start(house, data_dir).status
    assert status.degraded is not None
    assert "no_database" in status.degraded.reason
    assert precious.exists()


def test_a_first_start_that_was_cut_short_is_begun_again(house: House, data_dir: Path) -> None:
    half = data_dir / "postgres/data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    start(house, data_dir)
    assert not half.exists()
    assert query(data_dir, "select 1") == [1]


def test_a_stop_during_the_first_start_is_obeyed_and_harms_nothing(house: House, data_dir: Path) -> None:
    running = house.start(EmbeddedPostgres.child("postgres", data_dir))
    assert running.stop().failure is None
    assert [p for p in psutil.process_iter(["cmdline"]) if str(data_dir) in " ".join(p.info["cmdline"] or [])] == []
    start(house, data_dir)


def test_closing_twice_or_before_a_start_is_safe(house: House, database: Path) -> None:
    running = house.start(EmbeddedPostgres.child("postgres", database))
    running.ready()
    agent = running.ref._actor_weakref()
    assert isinstance(agent, EmbeddedPostgres)
    running.stop()
    agent._close()


def test_a_path_too_long_for_a_socket_gets_a_short_folder_that_goes_with_the_server(
    house: House, data_dir: Path
) -> None:
    deep = data_dir / ("deep" * 20) / ("deeper" * 10)
    folder = socket_folder(deep)
    assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT
    assert socket_folder(deep) == folder != socket_folder(deep / "other")
    postgres = start(house, deep)
    assert query(deep, "select 1") == [1]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    postgres.stop()
    assert not folder.exists()


def test_a_long_temporary_folder_is_no_obstacle(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = data_dir / ("deep" * 30)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    assert socket_folder(long).parent == Path("/tmp")


@pytest.mark.parametrize("kind", ["link", "strange"])
def test_a_short_folder_that_somebody_else_has_put_there_is_refused(house: House, data_dir: Path, kind: str) -> None:
    deep = data_dir / ("deep" * 30)
    folder = socket_folder(deep)
    if kind == "link":
        (data_dir / "elsewhere").mkdir()
        folder.symlink_to(data_dir / "elsewhere")
    elif os.geteuid() == 0:
        folder.mkdir()
        os.chown(folder, 65_534, -1)
    else:
        pytest.skip("only root can make a folder of somebody else's")
    try:
        failure = house.start(EmbeddedPostgres.child("postgres", deep)).died()
    finally:
        folder.unlink() if kind == "link" else shutil.rmtree(folder)
    assert isinstance(failure, Permanent)
    assert failure.code == "socket_dir_taken"


@pytest.mark.parametrize("name", ["a b&c=%d 'ü\"", "a,b"])
def test_a_data_directory_with_a_strange_name_is_reached_by_its_dsn(house: House, database: Path, name: str) -> None:
    strange = database / name
    strange.mkdir()
    (database / "postgres").rename(strange / "postgres")
    start(house, strange)
    assert query(strange, "select 1") == [1]
    assert (f"host={strange}/postgres/run&port=5432" in unquote(postgres_dsn(strange))) == ("," not in name)


def test_the_libraries_packed_with_the_programs_are_opened_to_the_servers_user_too() -> None:
    programs, libraries = installed_trees(postgres_binaries())
    assert (programs / "bin/postgres").is_file()
    assert list(libraries.glob("libpq*"))


def test_without_the_wheel_the_agent_dies_saying_what_to_install(
    house: House, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    failure = house.start(EmbeddedPostgres.child("postgres", data_dir)).died()
    assert isinstance(failure, Permanent)
    assert "pip install 'dataplatform[embedded]'" in failure.remedy


def test_a_machine_that_can_start_no_process_is_an_outage(
    house: House, database: Path, events: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_program: object) -> ServerProcess:
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(ServerProcess, "start", refuse)
        postgres = house.start(EmbeddedPostgres.child("postgres", database))
        postgres.parent.next(Ready)
        assert postgres.status.degraded is not None
        assert "Resource temporarily unavailable" in postgres.status.degraded.reason
    events.next(dict, where=server_is_ready)
    assert query(database, "select 1") == [1]


def test_peers_are_not_told_of_a_first_start(house: House, database: Path) -> None:
    client = house.peer("client")
    running = house.start(EmbeddedPostgres.child("postgres", database))
    address: Address = house.runtime.directory.address("client")
    running.ref.tell(PeerJoined(address, downstream=True))
    running.ready()
    assert client.is_empty()
