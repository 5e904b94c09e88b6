"""The file that a platform's log goes to while a person types at its terminal."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TextIO

from attrs import define, field

__all__ = ["LogFile"]

NAME = "platform.log"
MOST = 10_000_000  # characters; then the file becomes `platform.log.1`, and the one before it goes


@define(eq=False)
class LogFile:
    """A stream of log lines in a data directory, of bounded size."""

    path: Path
    _file: TextIO
    _room: int
    _lock: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def open(cls, data_dir: Path) -> LogFile:
        """Go on with the log of that directory, which is made if need be; raises `OSError`."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = data_dir / NAME
        file = path.open("a", encoding="utf-8")
        path.chmod(0o600)
        return cls(path, file, MOST - path.stat().st_size)

    def write(self, text: str) -> None:
        with self._lock:
            if len(text) > self._room:
                self._turn_over()
            self._room -= len(text)
            self._file.write(text)
            self._file.flush()

    def flush(self) -> None:
        """Do nothing: what is written is there."""

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()

    def _turn_over(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(f"{NAME}.1"))
        self._file = self.path.open("w", encoding="utf-8")
        self.path.chmod(0o600)
        self._room = MOST
