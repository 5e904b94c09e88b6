"""The operator's requests to a platform, and who carries them out: pause, resume, restart, skip, drain, tail, sql."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from attrs import frozen

from dataplatform.base.agent import Directory, GetStatus, Request, RestartChild, State
from dataplatform.base.agent.supervisor import ROOT
from dataplatform.base.database import Query, Rows
from dataplatform.base.database.technology import Tables
from dataplatform.base.streaming import SkipBatch, TopicMessage
from dataplatform.base.streaming.technology import Topics
from dataplatform.dsl.operations.operations import SourceRequest, TargetRequest
from dataplatform.dsl.operations.registry import ability
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.services.gateway.requests import (
    DrainPlatform,
    GetPlatformInfo,
    GetPlatformStatus,
    PlatformInfo,
    RestartAgent,
    RunQuery,
    SkipPartition,
    TailTopic,
)
from dataplatform.services.gateway.status import GetDeadLetters, GetLag, ListSources, Overview
from dataplatform.services.service import PlatformView
from dataplatform.suggestions import suggestion

__all__ = ["Operator"]

T = TypeVar("T")
TABLES = "status() names the tables; a name with capitals needs double quotes"
LOOK = 0.05  # seconds between looks at an agent that restarts
BY_CONTROL = "requests come by it"
NEVER_RESTARTED = {ROOT: "it restarts the others", "control": BY_CONTROL, "control.supervisor": BY_CONTROL}
READING = re.compile(r"(?>\s|\(|--[^\n]*|/\*.*?\*/)*+(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)


@frozen
class Operator:
    """Answers requests about one platform, in the thread of whoever asks.

    The agent "" is the platform itself. An agent is asked only what agents of its kind understand.
    """

    platform: PlatformView
    directory: Directory

    def ask(self, agent: str, request: Request[T], timeout: float) -> Result[T]:
        """Answer a request within `timeout` seconds; never raises for what was asked."""
        answer: Result[Any] = self._of_agent(agent, request, timeout) if agent else self._of_platform(request, timeout)
        return answer

    def _of_agent(self, name: str, request: Request[Any], timeout: float) -> Result[Any]:
        """Ask an agent what all of its kind understand."""
        what, names = self._who_takes(request)
        address = self.directory.address(name)
        if address.status() is None:
            return Failure(_nobody(what, name, names))
        if name not in names:
            remedy = f"the {what}s are {', '.join(names) or 'none'}"
            return Failure(Permanent("unsupported", f"{name} does not take {type(request).__name__}", remedy=remedy))
        return address.ask(request, timeout)

    def _who_takes(self, request: Request[Any]) -> tuple[str, Sequence[str]]:
        match request:
            case SourceRequest():
                return "source", tuple(self.platform.sources)
            case TargetRequest():
                return "target", tuple(self.platform.targets)
            case GetStatus():
                return "agent", self.directory.names()
            case _:
                return "agent", ()

    def _of_platform(self, request: Request[Any], timeout: float) -> Result[Any]:
        match request:
            case GetPlatformInfo():
                return Success(self._info())
            case GetPlatformStatus():
                return Success(self.platform.status())
            case ListSources():
                return Success(Overview(self.platform).places())
            case GetLag():
                return Success(Overview(self.platform).lag())
            case GetDeadLetters():
                return Success(Overview(self.platform).dead_letters())
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

    def _info(self) -> PlatformInfo:
        platform = self.platform
        topics = {topic for target in platform.targets.values() for topic in target.cls.places(target.options).values()}
        return PlatformInfo(
            pid=os.getpid(),
            data_dir=str(platform.data_dir),
            demo=platform.demo,
            agents=tuple(self.directory.names()),
            sources=tuple(platform.sources),
            targets=tuple(platform.targets),
            topics=tuple(sorted(topics)),
        )

    def _restart(self, name: str, timeout: float) -> Result[None]:
        """Have an agent's supervisor restart it, and wait until it runs again."""
        if name in NEVER_RESTARTED:
            remedy = "drain the platform and start it again"
            return Failure(Permanent("unsupported", f"{name} is not restarted: {NEVER_RESTARTED[name]}", remedy=remedy))
        deadline = time.monotonic() + timeout
        directory = self.directory
        before, entry = directory.status(name), directory.entry(name)
        if before is None or entry is None:
            return Failure(_nobody("agent", name, directory.names()))
        answer = directory.address(entry.supervisor or ROOT).ask(RestartChild(name), timeout)
        if isinstance(answer, Failure):
            return answer
        while time.monotonic() < deadline:
            now = self.directory.address(name).status()
            if now is not None and now.restarts > before.restarts and now.state in {State.RUNNING, State.PAUSED}:
                return Success(None)
            time.sleep(LOOK)
        state = now.shown if now else "gone"
        return Failure(Transient("timeout", f"{name} was told to restart, and is {state} after {timeout:g} s"))

    def _skip(self, request: SkipPartition, timeout: float) -> Result[str]:
        """Ask the sources that read the topic; the first that is held up there gives the batch up."""
        sources = self.platform.sources
        readers = [
            name for name, source in sources.items() if request.topic in source.cls.places(source.options).values()
        ]
        answer: Result[str] = Failure(Permanent("not_found", f"no source reads a topic {request.topic!r}"))
        for name in readers:
            answer = self.directory.address(name).ask(SkipBatch(request.topic, request.partition), timeout)
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
        answer: Result[Rows] = self.directory.address(clients[name].agents[-1]).ask(query, timeout)
        if isinstance(answer, Failure) and answer.error.code == "schema":
            return Failure(Permanent("not_found", answer.error.message, remedy=TABLES))
        return answer


def _nobody(what: str, name: str, names: Sequence[str]) -> Permanent:
    hint = suggestion(name, get_close_matches(name, names, n=1, cutoff=0.5))
    return Permanent(
        "not_found", f"no {what} is called {name!r}{hint}", remedy=f"there are {', '.join(names) or 'none'}"
    )
