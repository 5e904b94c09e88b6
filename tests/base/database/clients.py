"""Database clients as their tests see them: what they answer, and what they show of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pykka
from attrs import define, field, frozen

from dataplatform.base.agent import AgentStatus, Entry, PeerRestarted, Request, State
from dataplatform.base.agent.messages import Vitals
from dataplatform.base.database import Query, TableSpec, TimescaleClient, TimescaleSettings, WriteRows, table_spec
from dataplatform.errors import PlatformError
from dataplatform.result import Failure, Result, Success
from tests.support.agents import Stage
from tests.support.waiting import DEADLINE

T = TypeVar("T")
PATIENCE = DEADLINE
SERVER = "postgres"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@frozen(kw_only=True)
class Reading:
    """A record with a column of every type, and one that may be missing of each."""

    sensor: str
    time: datetime = NOON
    text: str = ""
    number: float = 0.0
    count: int = 0
    flag: bool = False
    raw: bytes = b""
    maybe_text: str | None = None
    maybe_number: float | None = None
    maybe_count: int | None = None
    maybe_flag: bool | None = None
    maybe_raw: bytes | None = None
    maybe_time: datetime | None = None


def readings(name: str) -> TableSpec:
    return table_spec(Reading, name, ("sensor", "time"), "time")


def rows(spec: TableSpec, *records: Any) -> WriteRows:
    return WriteRows(spec, spec.copy_lines(records))


@define(eq=False)
class Client:
    """A running database client."""

    name: str
    ref: pykka.ActorRef[Any]
    stage: Stage

    def ask(self, request: Request[T]) -> Result[T]:
        answer: Result[T] = self.ref.ask(request, block=True, timeout=PATIENCE)
        return answer

    def get(self, request: Request[T]) -> T:
        answer = self.ask(request)
        assert isinstance(answer, Success), answer
        return answer.data

    def fail(self, request: Request[Any]) -> PlatformError:
        answer = self.ask(request)
        assert isinstance(answer, Failure), answer
        return answer.error

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return self.get(Query(sql, parameters)).rows

    def write(self, spec: TableSpec, *records: Any) -> None:
        assert self.get(rows(spec, *records)).rows == len(records)

    def written(self, spec: TableSpec) -> Sequence[tuple[Any, ...]]:
        """Return all rows of a table of readings, by sensor and time."""
        return self.query(f"SELECT {', '.join(spec.columns)} FROM {spec.name} ORDER BY sensor, time")

    def peer_restarted(self) -> None:
        """Tell it what the agent of an embedded server tells when the server is back."""
        self.ref.tell(PeerRestarted(SERVER))

    @property
    def status(self) -> AgentStatus:
        status = self.stage.runtime.directory.status(self.name)
        assert status is not None
        return status

    def stop(self) -> None:
        self.ref.stop(timeout=PATIENCE)


@define(eq=False)
class Clients:
    """Starts clients on a clock that stands still, and stops them."""

    stage: Stage
    _started: list[Client] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        server = Vitals(State.RUNNING, self.stage.clock.now())
        self.stage.runtime.directory.enter(SERVER, Entry("server", 1, server))

    def start(self, dsn: str, **settings: Any) -> Client:
        """Start a client, which waits as long as it takes where a test says nothing else."""
        settings = {"connect_timeout": PATIENCE, "statement_timeout": PATIENCE, "lock_timeout": PATIENCE, **settings}
        name = f"database.{len(self._started) + 1}"
        ref = self.stage.start(TimescaleClient, TimescaleSettings(dsn, **settings), name=name)
        self._started.append(Client(name, ref, self.stage))
        return self._started[-1]

    def stop(self) -> None:
        for client in self._started:
            client.stop()
