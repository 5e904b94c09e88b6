"""What TimescaleDB adds to the tables, brought to the state that the layouts say. Done twice, it changes nothing."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from dataplatform.base.database.hypertables import (
    Candles,
    Layout,
    Storage,
    candles_ddl,
    candles_index_ddl,
    columnstore_ddl,
    hypertable_ddl,
)
from dataplatform.base.database.stale_candles import LATE_AFTER
from dataplatform.base.database.tables import quoted

__all__ = ["Server", "ensure", "look"]

OLDEST = (2, 18)  # the first with `enable_columnstore`
VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
LONGEST = 200
PLAIN = "hypertables, compression or retention; candles are plain views"


@frozen
class Server:
    """What a server has: the version of TimescaleDB, and whether its licence grants the community's features."""

    version: str | None = None
    community: bool = False
    remedy: str = ""

    @property
    def usable(self) -> bool:
        """Whether its TimescaleDB is one that the statements are written for."""
        return self.version is not None and tuple(map(int, self.version.split("-")[0].split(".")[:2])) >= OLDEST

    @property
    def continuous(self) -> bool:
        """Whether it compresses, drops what is old, and keeps candles."""
        return self.usable and self.community

    @property
    def lacks(self) -> str:
        """What tables and candles do without; "" where nothing is missing."""
        if self.version is None:
            return f"no TimescaleDB, so no {PLAIN}{self.remedy}"
        if not self.usable:
            return f"TimescaleDB {self.version} is older than 2.18, so no {PLAIN}"
        return "" if self.community else "TimescaleDB without its community licence: no compression or retention"


def look(engine: Engine) -> Server:
    """Create the extension where the server has it and we may; say what there is.

    On connections of its own: a server that was not started with the extension's library breaks one off for trying.
    """
    remedy = ""
    with engine.connect() as connection:
        version = connection.scalar(text(VERSION))
        offered = connection.scalar(text("SELECT true FROM pg_available_extensions WHERE name = 'timescaledb'"))
    if version is None and offered:
        remedy = _create(engine)
    with engine.connect() as connection:
        version = connection.scalar(text(VERSION))
        licence = connection.scalar(text("SELECT current_setting('timescaledb.license', true)"))
    return Server(version, licence == "timescale", remedy)


def _create(engine: Engine) -> str:
    """Create the extension; where that fails, return what the server says and what to do."""
    try:
        with engine.begin() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except ProgrammingError:  # not allowed
        return "; have an administrator run CREATE EXTENSION timescaledb, then migrate again"
    except DBAPIError as error:
        why = " ".join(str(error.orig).split())[:LONGEST]
        return f"; to create it failed ({why}): set shared_preload_libraries = 'timescaledb', restart, migrate again"
    return ""


def ensure(connection: Connection, storage: Storage, server: Server) -> list[str]:
    """Bring the features up; return what was done. The connection is in autocommit mode, as refreshing asks for."""
    done: list[str] = []
    if server.usable:
        for layout in storage.layouts:
            done += _hypertable(connection, layout)
            if server.community:
                done += [*_columnstore(connection, layout), *_policies(connection, layout)]
    for view in storage.candles:
        done += _candles(connection, view, continuous=server.continuous)
    return done


def _hypertable(connection: Connection, layout: Layout) -> list[str]:
    known = connection.scalar(
        text(
            "SELECT time_interval FROM timescaledb_information.dimensions"
            " WHERE hypertable_schema = current_schema() AND hypertable_name = :table AND dimension_number = 1"
        ),
        {"table": layout.table},
    )
    if known is None:
        connection.execute(text(hypertable_ddl(layout)))
        return [f"{layout.table} is a hypertable"]
    if known == layout.chunk:
        return []
    connection.execute(
        text("SELECT set_chunk_time_interval(CAST(:table AS regclass), CAST(:chunk AS interval))"),
        {"table": quoted(layout.table), "chunk": layout.chunk},
    )
    return [f"{layout.table}: new chunks of {layout.chunk}"]


def _columnstore(connection: Connection, layout: Layout) -> list[str]:
    settings = connection.execute(
        text(
            "SELECT segmentby, orderby FROM timescaledb_information.hypertable_columnstore_settings"
            " WHERE hypertable = CAST(:table AS regclass)"
        ),
        {"table": quoted(layout.table)},
    ).one_or_none()
    wanted = (",".join(layout.segment), ",".join(layout.order).replace('"', ""))
    if settings is not None and tuple((known or "").replace('"', "") for known in settings) == wanted:
        return []
    connection.execute(text(columnstore_ddl(layout)))
    return [f"{layout.table} is compressed by {wanted[0]}, ordered by {wanted[1]}"]


def _policies(connection: Connection, layout: Layout) -> list[str]:
    compression = Policy(
        "policy_compression",
        "compress_after",
        add="CALL add_columnstore_policy(CAST(:name AS regclass), after => CAST(:wanted AS interval))",
        remove="CALL remove_columnstore_policy(CAST(:name AS regclass))",
    )
    retention = Policy(
        "policy_retention",
        "drop_after",
        add="SELECT add_retention_policy(CAST(:name AS regclass), drop_after => CAST(:wanted AS interval))",
        remove="SELECT remove_retention_policy(CAST(:name AS regclass))",
    )
    return [
        *compression.bring(connection, layout.table, layout.compress_after),
        *retention.bring(connection, layout.table, layout.keep),
    ]


def _candles(connection: Connection, view: Candles, *, continuous: bool) -> list[str]:
    """Make the candles, also in place of a plain view from the time before the server had TimescaleDB."""
    done = []
    kind = _relation(connection, view.name)
    if kind and continuous and not _is_continuous(connection, view.name):
        connection.execute(text(f"DROP VIEW {quoted(view.name)}"))
        kind = None
    if not kind:
        connection.execute(text(candles_ddl(view, continuous=continuous)))
        if continuous:  # else the first run of the policy would hide the older candles
            _refresh_all(connection, view)
        done.append(f"{view.name} is a {'continuous aggregate' if continuous else 'view'}")
    if continuous:
        done += _index(connection, view)
        refresh = Policy(
            "policy_refresh_continuous_aggregate",
            "start_offset",
            add="SELECT add_continuous_aggregate_policy(CAST(:name AS regclass), start_offset => CAST(:wanted AS"
            " interval), end_offset => CAST(:every AS interval), schedule_interval => CAST(:every AS interval))",
            remove="SELECT remove_continuous_aggregate_policy(CAST(:name AS regclass))",
        )
        done += refresh.bring(connection, view.name, view.refresh_from, every=view.every)
    return done


def _refresh_all(connection: Connection, view: Candles) -> None:
    """Make the candles of all rows, but for the latest ones, which rows that are not late may still change."""
    end = connection.scalar(
        text("SELECT time_bucket(CAST(:every AS interval), now() - CAST(:late_after AS interval))"),
        {"every": view.every, "late_after": LATE_AFTER},
    )
    connection.execute(
        text("CALL refresh_continuous_aggregate(CAST(:name AS regclass), NULL, CAST(:end AS timestamptz))"),
        {"name": quoted(view.name), "end": end},
    )


def _index(connection: Connection, view: Candles) -> list[str]:
    known = text("SELECT true FROM pg_class WHERE relkind = 'i' AND relname = :name")
    if connection.scalar(known, {"name": view.index}):
        return []
    connection.execute(text(candles_index_ddl(view)))
    return [f"{view.name} has an index by {view.of.key[0]} and time"]


def _relation(connection: Connection, name: str) -> str | None:
    kind = text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(:name)")
    found: str | None = connection.scalar(kind, {"name": quoted(name)})
    return found


def _is_continuous(connection: Connection, name: str) -> bool:
    known = text(
        "SELECT true FROM timescaledb_information.continuous_aggregates"
        " WHERE view_schema = current_schema() AND view_name = :name"
    )
    return connection.scalar(known, {"name": name}) is not None


@frozen
class Policy:
    """A background job of one kind: under which procedure and key it is noted, how it is added and removed."""

    procedure: str
    key: str
    add: str
    remove: str

    def bring(self, connection: Connection, name: str, wanted: timedelta | None, **more: timedelta) -> list[str]:
        """Give the table or view `name` the job with the `wanted` time, or none; adding alone changes no known job."""
        known = self._known(connection, name)
        if known == wanted:
            return []
        if known is not None:
            connection.execute(text(self.remove), {"name": quoted(name)})
        if wanted is not None:
            connection.execute(text(self.add), {"name": quoted(name), "wanted": wanted, **more})
        return [f"{name}: {self.key} {wanted}"]

    def _known(self, connection: Connection, name: str) -> timedelta | None:
        jobs = text(
            "SELECT CAST(config->>:key AS interval) FROM timescaledb_information.jobs"
            " WHERE proc_name = :procedure AND hypertable_schema = current_schema() AND hypertable_name = :name"
        )
        asked = {"key": self.key, "procedure": self.procedure, "name": name}
        known: timedelta | None = connection.scalar(jobs, asked)
        return known
