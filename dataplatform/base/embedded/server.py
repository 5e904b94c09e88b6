"""What all embedded servers are: an agent that keeps one process running, and says so when it does not run."""

from __future__ import annotations

from abc import abstractmethod
from enum import Enum, auto
from typing import Any, ClassVar, assert_never

from attrs import frozen

from dataplatform.base.agent import Address, Agent, Context, PeerRestarted
from dataplatform.base.embedded.process import Program, ServerProcess
from dataplatform.errors import Transient
from dataplatform.result import Result

__all__ = ["CheckProcess", "Progress", "ServerAgent"]

STARTING_CHECK, RUNNING_CHECK = 0.03, 0.2  # seconds between looks
START_LIMIT = 45.0  # seconds without progress, or until the agent is ready, degraded; its supervisor waits for 60
LASTING = 30.0  # seconds a server has to run before its failures are forgotten


@frozen
class CheckProcess:
    """Look at the process, and take the next step."""


class Phase(Enum):
    DOWN = auto()
    STARTING = auto()
    RUNNING = auto()


class Progress(Enum):
    """What a look at a starting server shows."""

    SILENT = auto()
    WORKING = auto()  # not to be disturbed: a recovery may take minutes
    READY = auto()


class ServerAgent(Agent):
    """Starts a server and keeps it running.

    The agent is `Ready` when the server is, or when a first start failed; then it is degraded and tries again for as
    long as it takes. When a server that had ended is back, the agent tells its peers `PeerRestarted`. Nothing here
    waits: each look at the process schedules the next one.
    """

    kind: ClassVar[str] = "server"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._process: ServerProcess | None = None
        self._phase = Phase.DOWN
        self._peers: dict[str, Address] = {}
        self._told_ready = False
        self._was_up = False
        self._started_at = 0.0  # monotonic, like the next
        self._progress_at = 0.0

    # What a concrete server writes

    @abstractmethod
    def _program(self) -> Program:
        """Put everything in place and return what to run next: a preparation, or the server.

        Raises `OSError` or `Transient` for what is tried again, `Permanent` for what only a person can change.
        """

    @abstractmethod
    def _look(self, pid: int) -> Progress:
        """Look whether the server, running as `pid`, can be used; answers within seconds."""

    def _address(self) -> str | None:
        """Return where clients of any kind reach the server, for the log."""
        return None

    # The agent

    def _open(self) -> None:
        self._step()

    def _opened(self) -> None:
        """`Ready` is said when the first start has succeeded or failed."""

    def receive(self, message: CheckProcess) -> Result[Any] | None:
        match message:
            case CheckProcess():
                self._step()
            case _:
                assert_never(message)
        return None

    def _close(self) -> None:
        if self._process is not None:
            self._process.stop()

    def _peer_joined(self, peer: Address, *, downstream: bool) -> None:
        del downstream
        self._peers[peer.name] = peer

    # Steps

    def _step(self) -> None:
        try:
            if self._process is None:
                self._start()
            elif self._phase is Phase.RUNNING:
                self._expect_alive(self._process)
            else:
                self._expect_ready(self._process)
        except Transient as error:
            self._failed(error)
        except OSError as error:
            self._failed(Transient("server_failed", str(error)))
        else:
            self.after(RUNNING_CHECK if self._phase is Phase.RUNNING else STARTING_CHECK, CheckProcess())

    def _start(self) -> None:
        self._process = ServerProcess.start(self._program())
        self._phase = Phase.STARTING
        self._started_at = self._progress_at = self.clock.monotonic()

    def _expect_ready(self, process: ServerProcess) -> None:
        program, now = process.program, self.clock.monotonic()
        if (how := process.ended()) is not None:
            if program.then is None or not process.succeeded:
                raise process.failure(f"{how} instead of starting")
            process.stop()
            program.then()
            self._start()
            return
        match self._look_at(process):
            case Progress.READY:
                self._up(process)
                return
            case Progress.WORKING:
                self._progress_at = now
        if now - self._progress_at > START_LIMIT:
            raise process.failure(f"was not ready within {START_LIMIT:g} s")
        if now - self._started_at > START_LIMIT:
            self.degrade(process.failure("is still starting"))
            self._tell_ready()

    def _look_at(self, process: ServerProcess) -> Progress:
        if process.pid is None:
            return Progress.SILENT  # the guard waits for an earlier run to end
        return Progress.WORKING if process.program.then else self._look(process.pid)

    def _up(self, process: ServerProcess) -> None:
        now, failures = self.clock.monotonic(), self.backoff.failures
        took = round(now - self._started_at, 3)
        self.log.info("server is ready", took_s=took, pid=process.pid, address=self._address())
        self.recover()
        self.backoff.failures = failures  # forgotten once the server has lasted, not when it has merely started
        self._phase, self._started_at = Phase.RUNNING, now
        if self._was_up:
            self.count("process_restarts")
            for peer in self._peers.values():
                peer.tell(PeerRestarted(self.name))
        self._was_up = True
        self._tell_ready()

    def _expect_alive(self, process: ServerProcess) -> None:
        if (how := process.ended()) is not None:
            title, log = process.program.title, process.program.log
            raise Transient("server_ended", f"{title} {how}; restarting", remedy=f"its log is {log}")
        if self.backoff.failures and self.clock.monotonic() - self._started_at > LASTING:
            self.backoff.reset()

    def _failed(self, error: Transient) -> None:
        if self._process is not None:
            self._process.stop()
        self._process, self._phase = None, Phase.DOWN
        self.retry(error, CheckProcess())
        self._tell_ready()

    def _tell_ready(self) -> None:
        if not self._told_ready:
            self._told_ready = True
            self.ready()
