"""The other end of the control socket: a running platform as its owner sees it from another process."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from dataplatform.base.agent import AgentStatus, Future, GetStatus, Request, later
from dataplatform.base.embedded.process import lock_is_held
from dataplatform.dsl.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.services.gateway.control import DrainPlatform, GetPlatformInfo, GetPlatformStatus, PlatformInfo
from dataplatform.services.service import PlatformStatus
from dataplatform.suggestions import suggestion
from dataplatform.system.control.place import connect
from dataplatform.system.control.wire import decode_answer, encode_request, read_frame, write_frame

__all__ = ["RemoteAddress", "RemotePlatform"]

T = TypeVar("T")
CONNECT_TIMEOUT = 5.0  # seconds
STOP_TIMEOUT = 15.0
LOOK = 0.02
GRACE = 2.0  # that an answer may take longer than the platform was given for it
PATIENCE = 60.0  # for an operation whose future nobody waits for yet


@frozen
class RemotePlatform:
    """The platform that runs in a data directory; used as a `Platform` is.

    Each request has a connection of its own, so that slow ones hold nobody up. `demo` is for the advice on how to
    start one where none runs.
    """

    data_dir: Path
    demo: bool = False

    def ask(self, agent: str, request: Request[T], timeout: float) -> Result[T]:
        """Put a request to an agent, or to the platform as agent ""; waits a little longer than `timeout` seconds."""
        try:
            content = encode_request(agent, request, timeout)
            with connect(self.data_dir, CONNECT_TIMEOUT, demo=self.demo) as connection:
                connection.settimeout(timeout + GRACE)
                with suppress(BrokenPipeError):  # sent away at the door, with a reason to read
                    write_frame(connection, content)
                answer = read_frame(connection)
            return Failure(self._hung_up()) if answer is None else decode_answer(request, answer)
        except PlatformError as error:
            return Failure(error)
        except TimeoutError:
            return Failure(Transient("timeout", f"the platform in {self.data_dir} gave no answer in {timeout:g} s"))
        except OSError:
            return Failure(self._hung_up())

    def __getitem__(self, name: str) -> Any:
        """Return the proxy of an agent, as `Platform` does; raises `KeyError` for a name that no agent has."""
        info = self.info()
        if name not in info.agents:
            raise KeyError(f"no agent is called {name!r}{suggestion(name, info.agents)}")
        proxy = ReaderProxy if name in info.sources else WriterProxy if name in info.targets else AgentProxy
        return proxy(RemoteAddress(name, self))

    def info(self) -> PlatformInfo:
        """Return who is there; raises `PlatformError` where no platform answers."""
        return get_data(self.ask("", GetPlatformInfo(), CONNECT_TIMEOUT))

    def status(self) -> PlatformStatus:
        """Look at everything; raises `PlatformError` where no platform answers."""
        return get_data(self.look())

    def look(self) -> Result[PlatformStatus]:
        """Answer one look at everything."""
        return self.ask("", GetPlatformStatus(), CONNECT_TIMEOUT)

    def drain(self) -> Result[None]:
        """Drain and stop the platform; answers when it has stopped, and its data directory is free."""
        try:
            with connect(self.data_dir, CONNECT_TIMEOUT, demo=self.demo) as connection:
                connection.settimeout(STOP_TIMEOUT)
                write_frame(connection, encode_request("", DrainPlatform(), CONNECT_TIMEOUT))
                with suppress(ConnectionError):
                    while read_frame(connection) is not None:
                        pass  # the answer; then it hangs up, when only its servers are left to stop
            deadline = time.monotonic() + STOP_TIMEOUT
            while lock_is_held(self.data_dir / "lock"):
                if time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(LOOK)
        except PlatformError as error:
            return Failure(error)
        except TimeoutError:
            return Failure(
                Transient("timeout", f"the platform in {self.data_dir} still drains after {STOP_TIMEOUT:g} s")
            )
        return Success(None)

    def _hung_up(self) -> Transient:
        return Transient("hung_up", f"the platform in {self.data_dir} hung up: it is stopping, or was stopped")


@frozen
class RemoteAddress:
    """An agent of a platform in another process, asked as an `Address` is."""

    name: str
    _platform: RemotePlatform = field(repr=False)

    def ask(self, request: Request[T], timeout: float) -> Result[T]:
        return self._platform.ask(self.name, request, timeout)

    def future(self, request: Request[T]) -> Future[Result[T]]:
        """Send a request and return a future of its answer; raises `TypeError` for one that cannot be sent."""
        encode_request(self.name, request, PATIENCE)
        return later(lambda: self.ask(request, PATIENCE), f"asking {self.name}")

    def status(self) -> AgentStatus | None:
        answer = self.ask(GetStatus(), CONNECT_TIMEOUT)
        return answer.data if isinstance(answer, Success) else None
