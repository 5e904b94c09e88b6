"""The desk: carries out what a platform is asked by its operator, and passes on what one of its agents is."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from dataplatform.base.agent import GetStatus, Request, RestartChild, State
from dataplatform.base.database import Query, Rows
from dataplatform.base.database.technology import Tables
from dataplatform.base.streaming import SkipBatch, TopicMessage
from dataplatform.base.streaming.technology import Topics
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.operations import SourceRequest, TargetRequest
from dataplatform.dsl.registry import ability
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.system.control.requests import (
    DrainPlatform,
    GetPlatformStatus,
    GetRoster,
    PauseSource,
    RestartAgent,
    ResumeSource,
    Roster,
    RunQuery,
    SkipPartition,
    TailTopic,
)
from dataplatform.system.root import ROOT
from dataplatform.system.structure import suggestion

if TYPE_CHECKING:
    from dataplatform.system.platform import Platform

__all__ = ["Desk"]

T = TypeVar("T")
TABLES = "status() names the tables; a name with capitals needs double quotes"
LOOK = 0.05  # seconds between looks at an agent that restarts
BY_CONTROL = "requests come by it"
NEVER_RESTARTED = {ROOT: "it restarts the others", "control": BY_CONTROL, "control.supervisor": BY_CONTROL}
READING = re.compile(r"(?>\s|\(|--[^\n]*|/\*.*?\*/)*+(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)


@frozen
class Desk:
    """Answers requests about one platform, in the thread of whoever asks.

    The agent "" is the platform itself. An agent is asked only what agents of its kind understand.
    """

    platform: Platform

    def ask(self, agent: str, request: Request[T], timeout: float) -> Result[T]:
        """Answer a request within `timeout` seconds; never raises for what was asked."""
        answer: Result[Any] = self._of_agent(agent, request, timeout) if agent else self._of_platform(request, timeout)
        return answer

    def _of_agent(self, name: str, request: Request[Any], timeout: float) -> Result[Any]:
        topology, address = self.platform.topology, self.platform.address(name)
        if address.status() is None:
            return Failure(_nobody("agent", name, self.platform.runtime.directory.names()))
        understood = (
            isinstance(request, GetStatus)
            or (isinstance(request, SourceRequest) and name in topology.sources)
            or (isinstance(request, TargetRequest) and name in topology.targets)
        )
        if not understood:
            whose, names = (
                ("sources", topology.sources) if isinstance(request, SourceRequest) else ("targets", topology.targets)
            )
            remedy = f"the {whose} are {', '.join(names) or 'none'}"
            return Failure(Permanent("unsupported", f"{name} does not take {type(request).__name__}", remedy=remedy))
        return address.ask(request, timeout)

    def _of_source(self, name: str, request: Request[None], timeout: float) -> Result[None]:
        if self.platform.address(name).status() is None:
            return Failure(_nobody("source", name, tuple(self.platform.topology.sources)))
        return self._of_agent(name, request, timeout)

    def _of_platform(self, request: Request[Any], timeout: float) -> Result[Any]:
        match request:
            case GetRoster():
                return Success(self._roster())
            case GetPlatformStatus():
                return Success(self.platform.status())
            case PauseSource(name):
                return self._of_source(name, Pause(), timeout)
            case ResumeSource(name):
                return self._of_source(name, Resume(), timeout)
            case RestartAgent(name):
                return self._restart(name, timeout)
            case SkipPartition():
                return self._skip(request, timeout)
            case DrainPlatform():
                threading.Thread(target=self.platform.stop, name="drain", daemon=True).start()
                return Success(None)
            case TailTopic(topic, most):
                return self._tail(topic, most)
            case RunQuery():
                return self._query(request, timeout)
            case _:
                return Failure(Permanent("unsupported", f"the platform does not take {type(request).__name__}"))

    def _roster(self) -> Roster:
        platform, topology = self.platform, self.platform.topology
        written = {
            topic for target in topology.targets.values() for topic in target.cls.places(target.options).values()
        }
        return Roster(
            pid=os.getpid(),
            data_dir=str(platform.data.path),
            demo=platform.demo,
            agents=tuple(platform.runtime.directory.names()),
            sources=tuple(topology.sources),
            targets=tuple(topology.targets),
            topics=tuple(sorted(written)),
        )

    def _restart(self, name: str, timeout: float) -> Result[None]:
        """Have an agent's supervisor restart it, and wait until it runs again."""
        if name in NEVER_RESTARTED:
            remedy = "drain the platform and start it again"
            return Failure(Permanent("unsupported", f"{name} is not restarted: {NEVER_RESTARTED[name]}", remedy=remedy))
        deadline = time.monotonic() + timeout
        directory = self.platform.runtime.directory
        before, entry = directory.status(name), directory.entry(name)
        if before is None or entry is None:
            return Failure(_nobody("agent", name, directory.names()))
        answer = directory.address(entry.supervisor or ROOT).ask(RestartChild(name), timeout)
        if isinstance(answer, Failure):
            return answer
        while time.monotonic() < deadline:
            now = self.platform.address(name).status()
            if now is not None and now.restarts > before.restarts and now.state in {State.RUNNING, State.PAUSED}:
                return Success(None)
            time.sleep(LOOK)
        state = now.shown if now else "gone"
        return Failure(Transient("timeout", f"{name} was told to restart, and is {state} after {timeout:g} s"))

    def _skip(self, request: SkipPartition, timeout: float) -> Result[str]:
        """Ask the sources that read the topic; the first that is held up there gives the batch up."""
        sources = self.platform.topology.sources
        readers = [
            name for name, source in sources.items() if request.topic in source.cls.places(source.options).values()
        ]
        answer: Result[str] = Failure(Permanent("not_found", f"no source reads a topic {request.topic!r}"))
        for name in readers:
            answer = self.platform.address(name).ask(SkipBatch(request.topic, request.partition), timeout)
            if not isinstance(answer, Failure):
                break
        return answer

    def _tail(self, topic: str, most: int) -> Result[list[TopicMessage]]:
        """Read the topic where it is; a name that several brokers have is the first one's."""
        missing: Result[list[TopicMessage]] = Failure(Permanent("not_found", "the topology has no broker"))
        for connection in self.platform.connections.values():
            if (topics := ability(connection.kind, Topics)) is None:
                continue
            missing = topics.tail(connection.settings, topic, most)
            if not (isinstance(missing, Failure) and missing.error.code == "not_found"):
                return missing
        return missing

    def _query(self, request: RunQuery, timeout: float) -> Result[Rows]:
        """Run one statement on the last connection of the client's pool, which waits for it."""
        connections = self.platform.connections
        clients = {name: one for name, one in connections.items() if ability(one.kind, Tables)}
        if not clients:
            return Failure(Permanent("not_found", "the topology has no database"))
        name = request.client or next(iter(clients))
        if name not in clients:
            remedy = f"there are {', '.join(clients)}"
            return Failure(Permanent("not_found", f"no database client is called {name!r}", remedy=remedy))
        if not READING.match(request.sql):
            return Failure(Permanent("rejected", "sql() only reads: one SELECT, WITH, VALUES or TABLE"))
        query = Query(request.sql.strip().rstrip(";"), most=request.most)
        answer: Result[Rows] = self.platform.address(clients[name].agents[-1]).ask(query, timeout)
        if isinstance(answer, Failure) and answer.error.code == "schema":
            return Failure(Permanent("not_found", answer.error.message, remedy=TABLES))
        return answer


def _nobody(what: str, name: str, names: Sequence[str]) -> Permanent:
    hint = suggestion(name, get_close_matches(name, names, n=1, cutoff=0.5))
    return Permanent(
        "not_found", f"no {what} is called {name!r}{hint}", remedy=f"there are {', '.join(names) or 'none'}"
    )
