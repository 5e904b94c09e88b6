"""The unprivileged user a server runs as when the platform is root, and its way to the files it needs."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from dataplatform.base.agent.logger import get_logger
from dataplatform.errors import Permanent

__all__ = ["Account", "server_account"]

NAME, FALLBACK = "dataplatform", "nobody"
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
REFUSALS = {errno.EPERM, errno.EACCES, errno.EROFS, errno.EINVAL}  # the last for a user this container does not map


@frozen
class Account:
    """A user who is not root. Every change made on its behalf is logged."""

    name: str
    uid: int
    gid: int

    def own(self, folder: Path) -> None:
        """Create a folder that is this account's alone, or hand it an existing one with all that is in it."""
        existed = folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.lstat().st_uid == self.uid:
            return
        with self._permitted(folder):
            for path in _inside_out(folder):  # the folder itself last: a change cut short is begun again
                os.chown(path, self.uid, self.gid, follow_symlinks=False)
        if existed:
            get_logger("platform").info("handed to the server's user", path=str(folder), user=self.name)

    def let_pass(self, path: Path) -> None:
        """Let this account enter every folder on the way to `path`: the right to search, not to list."""
        self._say_opened(path, self._open_way(path))

    def let_read(self, tree: Path) -> None:
        """Let this account read and run what is in `tree`: an installed package that a strict umask closed."""
        opened = self._open_way(tree)
        files = [path for path in _inside_out(tree) if not path.is_symlink()]
        count = sum(self._grant(path, path.stat().st_mode & (stat.S_IRUSR | stat.S_IXUSR)) for path in files)
        self._say_opened(tree, [*opened, *([f"{count} files in {tree}"] if count else [])])

    def _open_way(self, path: Path) -> list[str]:
        """Return the folders that were opened, with the mode that each had."""
        modes = [(folder, stat.S_IMODE(folder.stat().st_mode)) for folder in reversed(path.resolve().parents)]
        return [f"{folder} (was {mode:04o})" for folder, mode in modes if self._grant(folder, stat.S_IXUSR)]

    def _say_opened(self, path: Path, opened: list[str]) -> None:
        if opened:
            why = f"servers never run as root, and their user {self.name} has to reach {path}"
            get_logger("platform").info("opened to the server's user", reason=why, opened=", ".join(opened))

    def _grant(self, path: Path, rights: int) -> bool:
        """Add the rights, given as the owner's bits, in the one class of the three that counts; tell if any lacked."""
        status = path.stat()
        before = stat.S_IMODE(status.st_mode)
        if status.st_uid != self.uid:
            rights >>= 3 if status.st_gid == self.gid else 6
        if before & rights == rights:
            return False
        with self._permitted(path):
            path.chmod(before | rights)
        return True

    @contextmanager
    def _permitted(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            raise Permanent(
                "not_permitted",
                f"{path} cannot be opened to user {self.name}, whom the server runs as because it refuses root",
                remedy="run the platform as an ordinary user, or choose a directory that others can enter",
            ) from error


def server_account(data: Path) -> Account | None:
    """Return whom a server that refuses root runs as: the owner of its `data`, else a user for this purpose.

    `None` where the platform itself is not root: then it runs as the platform's own user.
    """
    if os.geteuid() != 0:
        return None
    if data.is_dir() and (owner := data.stat()).st_uid != 0:
        return Account(str(owner.st_uid), owner.st_uid, owner.st_gid)
    return _known(NAME) or _new(NAME) or _known(FALLBACK) or Account(FALLBACK, 65_534, 65_534)


def _known(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def _new(name: str) -> Account | None:
    """Create a system user without a home or a shell; `None` where this machine does not let us."""
    useradd = shutil.which("useradd", path=SYSTEM_PATH)
    if useradd is None:
        return None
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run([useradd, *options, name], check=False, capture_output=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    account = _known(name)
    if account is not None:
        get_logger("platform").info("created a user for the servers", user=name, uid=account.uid)
    return account


def _inside_out(folder: Path) -> Iterator[Path]:
    for parent, _folders, files in os.walk(folder, topdown=False):
        yield from (Path(parent, name) for name in files)
        yield Path(parent)
