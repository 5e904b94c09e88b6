"""The platform's data directory: one platform at a time works in it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from attrs import define, field

from dataplatform.errors import Permanent

__all__ = ["DataDirectory"]

REMEDY = "choose another (--data-dir, data_dir=)"


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


def _kind(*, simulated: bool) -> str:
    return "simulated data" if simulated else "real data"


@define(eq=False)
class DataDirectory:
    """A directory that belongs to one platform while it is open.

    The lock is the kernel's and ends with its holder, so that a dead process is no obstacle.

    >>> import tempfile
    >>> with DataDirectory(Path(tempfile.mkdtemp())) as data:
    ...     data.postgres.name, data.broker.name
    ('postgres', 'broker')
    """

    path: Path = field(converter=_absolute)
    _lock: int | None = field(default=None, init=False, repr=False)

    @property
    def _note(self) -> Path:
        return self.path / "holds"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def broker(self) -> Path:
        return self.path / "broker"

    def open(self) -> Self:
        """Create the directory (mode 0700) and take its lock.

        Raises `Permanent` with code `data_dir_in_use` where another process holds the lock, `data_dir_unusable`
        where the directory cannot be created or written.
        """
        if self._lock is not None:
            return self
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._take(lock)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return self

    def keep_apart(self, *, simulated: bool) -> None:
        """Note in the file `holds` whether the directory is for simulated data or for real ones, once and for all.

        Raises `Permanent` where it is for the others.
        """
        self.require_kind(simulated=simulated)
        self._note.write_text(f"{_kind(simulated=simulated)}\n", encoding="utf-8")

    def require_kind(self, *, simulated: bool) -> None:
        """Raise `Permanent` where the directory is for the other kind of data; one for neither is left as it is."""
        held = self._note.read_text(encoding="utf-8").strip() if self._note.exists() else ""
        if held not in {"", _kind(simulated=simulated)}:
            remedy = f"{'leave out' if simulated else 'say'} --demo, or {REMEDY}"
            raise Permanent("other_data", f"{self.path} holds {held}", remedy=remedy)

    def close(self) -> None:
        """Give the directory up. Safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise Permanent(
                "data_dir_in_use",
                f"{self.path} is in use by process {holder or 'unknown'}",
                remedy=f"stop it, or {REMEDY}",
            ) from None
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> Permanent:
        where = f" ({error.filename})" if error.filename and error.filename != str(self.path) else ""
        return Permanent("data_dir_unusable", f"cannot work in {self.path}: {error.strerror}{where}", remedy=REMEDY)
