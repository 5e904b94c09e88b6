"""A program that runs one server as its child and lets nothing of it outlive the platform.

    python -I -S guard.py '{"command": […], "lock": "…", "mark": "…", "stop_signal": 2, "grace": 10.0, …}'

The platform holds the write end of the guard's standard input. When that closes, because the platform closed it,
ended or was killed, the guard stops the server in good order, and after `grace` seconds by force. It exits with the
server's status, 128 + N for signal N, 75 where an earlier server would not leave, 126 where the server cannot be run.

Whatever the guard starts inherits its lock, so that the lock is free only when nothing is left of an earlier run.
Standard library only, and little of it: it starts in 20 ms.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

__all__ = ["CANNOT_RUN", "LOCKED_OUT", "LOG_LIMIT", "command_line", "shorten_log"]

LOCKED_OUT = 75  # EX_TEMPFAIL
CANNOT_RUN = 126  # as a shell says it
LOG_LIMIT = 5_000_000  # bytes
LOG_TAIL = 100_000  # bytes kept of a log that grew longer
PAUSE = 5.0  # seconds between looks at the log and the platform when nothing happens
ORPHANS_LEAVE, ORPHANS_END = 1.0, 4.0  # seconds for a dead server's children to leave, and to be gone when killed
VARIABLES = {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"}  # passed on: no secrets, nothing that configures a server
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Guard:
    """One server's keeper: a single thread around one `select`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.server = 0
        self.status: int | None = None
        self.asked = 0  # how often a signal asked for the end
        self.platform = os.getppid()
        self.platform_gone = False
        self.kill_at: float | None = None  # monotonic; set once the end was asked for
        self.forced = False  # the server was killed here: its children get no time either
        self.lock = os.open(spec["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.wake = self.watch_signals()

    def run(self) -> int:
        self.take_lock()
        if self.unwanted:
            return 0
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # a killed server's own children become ours to end
        self.server = self.spawn()
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{os.getpid()} {self.server}\n".encode(), 0)
        while self.status is None:
            self.wait(PAUSE if self.kill_at is None else max(0.0, self.kill_at - time.monotonic()))
            self.reap()
            self.stop_server()
            shorten_log(1)
        self.end_orphans()
        return 128 - self.status if self.status < 0 else self.status

    # The lock

    def take_lock(self) -> None:
        """Wait until nothing is left of an earlier run, and help it along where its guard is gone."""
        patience, forced = time.monotonic() + self.spec["grace"], False
        self.nudge(self.spec["stop_signal"])
        while not (self.locked() or self.unwanted):
            if time.monotonic() > patience:
                if forced:
                    say(f"processes of an earlier run still hold {self.spec['lock']}; `fuser` shows which")
                    raise SystemExit(LOCKED_OUT)
                self.nudge(signal.SIGKILL)
                patience, forced = time.monotonic() + self.spec["grace"], True
            self.wait(0.02)

    def locked(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def nudge(self, number: int) -> None:
        """Signal an earlier server that has no guard any more, after making sure that it is one."""
        if self.locked():
            return
        guard, server = recorded(self.lock)
        guarded = Path(__file__).name in (line := command_line(guard)) and self.spec["mark"] in line
        if server and not guarded and self.spec["mark"] in command_line(server):
            say(f"an earlier server, process {server}, has no guard; sending it signal {int(number)}")
            os.kill(server, number)

    # The server

    def spawn(self) -> int:
        """Start the server: it gets our standard output and error, the lock, and the stop signal should we die."""
        guard = os.getpid()
        child = os.fork()
        if child:
            return child
        try:
            self.become_server(guard)
        except OSError as error:
            say(f"cannot run {self.spec['command'][0]}: {error.strerror}")
        except BaseException as bug:  # noqa: BLE001  a forked child must not go on as a second guard
            say(f"cannot run {self.spec['command'][0]}: {bug!r}")
        os._exit(CANNOT_RUN)

    def become_server(self, guard: int) -> NoReturn:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.set_inheritable(self.lock, True)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.umask(0o077)
        if self.spec["uid"] is not None:
            os.setgroups([])
            os.setgid(self.spec["gid"])
            os.setuid(self.spec["uid"])
        prctl(PR_SET_PDEATHSIG, self.spec["stop_signal"])  # after the change of user, which clears it
        if os.getppid() != guard:
            os._exit(CANNOT_RUN)
        environ = {name: value for name, value in os.environ.items() if name in VARIABLES}
        os.execve(self.spec["command"][0], self.spec["command"], environ | self.spec["environ"])  # noqa: S606

    def stop_server(self) -> None:
        """Do what was asked for: the first time stop in good order, by force when asked again or when time is up."""
        now = time.monotonic()
        if self.status is not None or not (self.unwanted or self.kill_at):
            return
        if self.kill_at is None:
            self.kill_at, self.asked = now + self.spec["grace"], 0
            os.kill(self.server, self.spec["stop_signal"])
        elif now >= self.kill_at or self.asked:
            say("the server is killed: it did not stop in time")
            self.forced = True
            os.kill(self.server, signal.SIGKILL)
            self.kill_at, self.asked = now + PAUSE, 0

    # Waiting

    @property
    def unwanted(self) -> bool:
        return self.platform_gone or self.asked > 0

    def watch_signals(self) -> int:
        """Return the end of a pipe that can be read when a signal came: a request to stop, or a child's end."""
        wake, wakeup = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.on_request)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return wake

    def on_request(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1

    def wait(self, seconds: float) -> None:
        """Wait for a signal, the end of the platform, or the time."""
        sources = [self.wake] if self.platform_gone else [self.wake, 0]
        readable, _, _ = select.select(sources, [], [], seconds)
        if self.wake in readable:
            os.read(self.wake, 1024)
        if (0 in readable and not os.read(0, 1024)) or os.getppid() != self.platform:
            self.platform_gone = True  # also when a process that the platform forked still holds the pipe

    def reap(self) -> bool:
        """Collect every child that ended; `False` when none is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.server:
                self.status = os.waitstatus_to_exitcode(status)

    def end_orphans(self) -> None:
        """See the server's children off: a killed PostgreSQL leaves some that hold its shared memory."""
        begun = time.monotonic()
        while self.reap() and (waited := time.monotonic() - begun) < ORPHANS_END:
            if self.forced or waited > ORPHANS_LEAVE:
                for orphan in children():
                    os.kill(orphan, signal.SIGKILL)
            self.wait(0.05)


def say(message: str) -> None:
    os.write(2, f"guard: {message}\n".encode())


def prctl(option: int, value: int) -> None:
    """Set a Linux process attribute; elsewhere the lock alone keeps order."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def command_line(pid: int) -> str:
    """Return a process's command line, empty when it is gone or hidden."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    except OSError:
        return "" if Path("/proc/self").exists() else os.popen(f"ps -ww -o command= -p {pid:d}").read()  # noqa: S605


def recorded(lock: int) -> tuple[int, int]:
    """Return the pids of guard and server that the lock file names, zeros where it names none."""
    words = os.pread(lock, 100, 0).split()
    if len(words) == 2 and all(word.isdigit() for word in words):  # noqa: PLR2004
        return int(words[0]), int(words[1])
    return 0, 0


def children() -> list[int]:
    """Return the pids of this process's children (on Linux; elsewhere a server's orphans are not ours)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it ended while we looked
        if parent == os.getpid():
            found.append(int(stat.parent.name))
    return found


def shorten_log(log: int) -> None:
    """Cut a log, open for appending, back to its tail when it has grown too long; a few lines may be lost."""
    size = os.fstat(log).st_size
    if size > LOG_LIMIT:
        tail = os.pread(log, LOG_TAIL, size - LOG_TAIL)
        os.ftruncate(log, 0)
        os.write(log, tail)


if __name__ == "__main__":
    raise SystemExit(Guard(json.loads(sys.argv[1])).run())
