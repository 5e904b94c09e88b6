"""What a platform is run within where its machine itself is at fault: a wall clock and a list of hosts of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from attrs import define

from tests.faults.servers import Unfit

__all__ = ["Clock", "Hosts"]

SOURCE = Path(__file__).with_name("clock.c")
BIND = 'mount --bind "$0" /etc/hosts && exec "$@"'


@define(eq=False)
class Clock:
    """A wall clock that jumps: a small library, preloaded, that adds `offset` seconds to the real one."""

    folder: Path

    def prefix(self) -> tuple[str, ...]:
        """Return what is put before a command to run it by this clock; raises `Unfit` without a C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise Unfit("a clock that jumps needs a C compiler (cc)")
        self.jump(0)
        library = self.folder / "clock.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True, timeout=60)
        return "env", f"LD_PRELOAD={library}", f"FAULTS_CLOCK={self.folder / 'offset'}"

    def jump(self, seconds: int) -> None:
        """Set the clock to the real time and so many seconds."""
        file = self.folder / "offset"
        with file.open("r+b" if file.exists() else "w+b") as offset:  # written in place: it is mapped
            offset.write(seconds.to_bytes(8, "little", signed=True))


@define(eq=False)
class Hosts:
    """An `/etc/hosts` that only the platform sees, in a mount namespace of its own."""

    folder: Path

    def prefix(self) -> tuple[str, ...]:
        """Return what is put before a command to run it with these hosts; raises `Unfit` where that is not allowed."""
        self.resolve("127.0.0.1")
        prefix = ("unshare", "--mount", "sh", "-c", BIND, str(self._file))
        if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
            raise Unfit("hosts of its own need a mount namespace, which only root may make")
        return prefix

    def resolve(self, address: str | None) -> None:
        """Have `localhost` mean this address, or none at all."""
        with self._file.open("a+") as file:  # in place: another file under the name would not be seen
            file.truncate(0)
            file.write("" if address is None else f"{address} localhost\n")

    @property
    def _file(self) -> Path:
        return self.folder / "hosts"
