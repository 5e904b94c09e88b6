"""Where the control socket of a platform is: `control.sock` in its data directory, for its owner only."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dataplatform.errors import Permanent, PlatformError, Transient

__all__ = ["NAME", "connect", "listen", "peer_of"]

NAME = "control.sock"
LONGEST_PATH = 103  # bytes that every kernel takes; Linux takes 107
DESCRIPTORS = Path("/proc/self/fd")
BACKLOG = 16
CREDENTIALS = struct.Struct("3i")  # of the peer: its process, user and group


def listen(data_dir: Path) -> socket.socket:
    """Return a socket that listens in a data directory whose lock the caller holds; one left by a dead process goes.

    Raises `OSError` where there can be none, such as a file system without sockets.
    """
    with suppress(FileNotFoundError):
        (data_dir / NAME).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(data_dir) as path:
            listener.bind(path)
        (data_dir / NAME).chmod(0o600)  # before it listens, so that nobody gets in meanwhile
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(data_dir: Path, timeout: float, *, demo: bool = False) -> socket.socket:
    """Return a connection to the platform that runs in a data directory.

    `demo` says how it would be started there. Raises `PlatformError`: `not_running`, `stale` for a socket whose
    platform was killed, `not_yours` for one of another user, `Transient` when it does not take the connection in time.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        with _short(data_dir) as path:
            connection.connect(path)
        _, user = peer_of(connection)
        if user not in {None, os.geteuid()}:
            raise _not_yours(data_dir)
    except OSError as error:
        connection.close()
        raise _explained(error, data_dir, _start(data_dir, demo=demo)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def peer_of(connection: socket.socket) -> tuple[int | None, int | None]:
    """Return the process and the user at the other end, None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None, None
    process, user, _ = CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    )
    return process, user


@contextmanager
def _short(data_dir: Path) -> Iterator[str]:
    """Yield a path of the socket that is short enough for the kernel, however deep the directory is.

    A long one goes by way of the open directory's descriptor, where the system has those as files.
    """
    path = str(data_dir / NAME)
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield path
        return
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not DESCRIPTORS.is_dir():
            raise OSError(errno.ENAMETOOLONG, f"longer than {LONGEST_PATH} bytes", path)
        yield f"{DESCRIPTORS}/{folder}/{NAME}"
    finally:
        os.close(folder)


def _explained(error: OSError, data_dir: Path, start: str) -> PlatformError:
    where = data_dir / NAME
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return Permanent("not_running", f"no platform runs in {data_dir}: there is no {where}", remedy=start)
        case ConnectionRefusedError():
            message = f"nobody answers at {where}: it was left by a platform that was killed"
            return Permanent("stale", message, remedy=f"{start}; it takes the directory over")
        case PermissionError():
            return _not_yours(data_dir)
        case TimeoutError() | BlockingIOError():
            return Transient("timeout", f"the platform in {data_dir} does not take connections", remedy="try again")
        case _:
            return Permanent("no_socket", f"cannot reach {where}: {error.strerror or error}", remedy=start)


def _start(data_dir: Path, *, demo: bool) -> str:
    command = f"python -m dataplatform.system{' --demo' if demo else ''} --data-dir {data_dir}"
    return f"start one with `{command}`, or name another with --data-dir"


def _not_yours(data_dir: Path) -> Permanent:
    try:
        owner = str((data_dir / NAME).stat().st_uid)
    except OSError:
        owner = "another user"
    message = f"the platform in {data_dir} belongs to user {owner}, and you are user {os.geteuid()}"
    return Permanent("not_yours", message, remedy="ask as its owner, such as with sudo -u")
