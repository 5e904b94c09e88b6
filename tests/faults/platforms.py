"""Platforms under test: processes of `python -m dataplatform.system` that are started, killed and frozen at will."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from attrs import define, field

from tests.faults.waiting import until
from tests.integration.platforms import COMMAND, PlatformProcess

__all__ = ["TOPOLOGY", "Platform", "Wiring", "migrate"]

MINUTE = 60.0  # seconds
TOPOLOGY = """
[system]
restarts = {restarts}

[clients.redpanda]
kind = "redpanda"
brokers = {brokers}

[sources.topics]
kind = "redpanda"
client = "redpanda"
group = "{group}"
topics = {{ {kind} = "{topic}" }}
session_timeout = "6s"
{instance}
{target}
[[routes]]
from = "topics"
to = ["destination"]
"""


@define(frozen=True)
class Wiring:
    """What a platform is told of the world: from which topic to which `target` it is to bring records of a kind.

    `target` is in TOML, and called `destination`.
    """

    brokers: str
    topic: str
    kind: str
    target: str
    restarts: int = 5

    @property
    def group(self) -> str:
        return f"group-{self.topic}"

    def write(self, file: Path, instance: str | None) -> Path:
        """Write a topology; `instance` makes it a static member of its group, which is back at once after a kill."""
        text = TOPOLOGY.format(
            restarts=self.restarts,
            brokers=self.brokers.split(","),
            group=self.group,
            kind=self.kind,
            topic=self.topic,
            target=self.target,
            instance=f'instance_id = "{instance}"' if instance else "",
        )
        file.write_text(text, encoding="utf-8")
        return file


@define(eq=False)
class Platform:
    """One platform, over all its lives. `name` is its folder's, and its member's where it is a static one."""

    name: str
    folder: Path
    wiring: Wiring
    static: bool = True
    prefix: tuple[str, ...] = ()  # what its command is run by
    kills: int = 0
    events: list[dict[str, Any]] = field(factory=list)
    _run: PlatformProcess | None = None

    def start(self) -> None:
        """Start it; returns before it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.wiring.write(self.folder / "topology.toml", self.name if self.static else None)
        os.environ["PYTHONFAULTHANDLER"] = "1"  # inherited; see `stacks`
        self._run = PlatformProcess.start(self.folder / "data", str(file), prefix=self.prefix)

    @property
    def run(self) -> PlatformProcess:
        assert self._run is not None, f"{self.name} does not run"
        return self._run

    @property
    def runs(self) -> bool:
        return self._run is not None and self._run.process.poll() is None

    def kill(self) -> None:
        """SIGKILL it."""
        self.kills += 1
        self._end()

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self, timeout: float = 30.0) -> dict[str, Any]:
        """Have it drain and end, as soon as it listens to signals; return its report."""
        self.run.ready()
        status = self.run.stop(signal.SIGTERM, timeout)
        assert status == 0, f"{self.name} ended with {status}: {self.last_words()}"
        report = self.run.report()
        self._end()
        return report

    def freeze(self) -> None:
        self.run.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.run.send(signal.SIGCONT)

    def close(self) -> None:
        if self._run is not None:
            with suppress(psutil.Error):
                self.thaw()
            self._end()

    def peak(self) -> int:
        """Return the most bytes that it has had in memory."""
        status = Path(f"/proc/{self.run.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def is_ahead(self, seconds: float) -> None:
        """Wait until its log lines say a time that is about so many seconds ahead of ours."""
        run = self.run

        def off() -> float:
            return (datetime.fromisoformat(run.events[-1]["timestamp"]) - datetime.now(UTC)).total_seconds() - seconds

        until(lambda: run.events and abs(off()) < MINUTE, f"its clock is {seconds:g} s ahead")

    def limit(self, what: int, most: int) -> int:
        """Set a limit of the running process (`resource.RLIMIT_…`); return what it was."""
        before, hard = resource.prlimit(self.run.process.pid, what)
        resource.prlimit(self.run.process.pid, what, (most, hard))
        return before

    def stacks(self) -> str:
        """End it and return what its threads were at, for one that does nothing any more."""
        run = self.run
        run.send(signal.SIGABRT)
        run.wait()
        lines = [line.rstrip() for line in run.garbage if "Thread 0x" in line or "dataplatform" in line]
        self._end()
        return "\n".join(lines)

    def mentions(self, word: str) -> bool:
        """Tell whether this is in a line that its present life has written, one of its log or not."""
        return any(word in str(line) for line in [*self.run.events, *self.run.garbage])

    def incidents(self, kind: str) -> Counter[tuple[str, int]]:
        """Return the topics and partitions of which it has reported this, and how often."""
        return Counter((one["stream"], one["partition"]) for one in self.said("incident") if one["kind"] == kind)

    def last_words(self, count: int = 15) -> str:
        """Return the end of its log, and what is no log line, such as a traceback."""
        run = self._run
        events, rest = (self.events, []) if run is None else (run.events, run.garbage)
        said = [str(one) for one in events if one.get("event") != "status"]
        return "\n".join(said[-count:] + rest[-count:])

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return every such line of its logs, of all its lives."""
        current = self._run.events if self._run is not None else []
        return [one for one in [*self.events, *current] if one.get("event") == event]

    def _end(self) -> None:
        run, self._run = self.run, None
        run.close()
        self.events += run.events


def migrate(topology: Path) -> None:
    """Bring the database of a topology up to date, as an operator would."""
    ran = subprocess.run([*COMMAND, "migrate", str(topology)], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, f"not migrated: {ran.stdout}{ran.stderr}"
