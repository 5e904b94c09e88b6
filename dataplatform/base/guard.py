"""A program that runs one child process and lets nothing of it outlive the platform.

    python -I -S guard.py '{"command": […], "lifeline": 0, "stop_signal": 2, "grace": 10.0, …}'

The platform holds the other end of the guard's lifeline. When that closes, because the platform closed it, ended or
was killed, the guard lets the child end by itself for `patience` seconds, then sends it the stop signal, and after
`grace` seconds ends it by force. Then it ends whatever the child has left behind, in whichever session that is, but
for other guards, which end their own children in good order. It exits with the child's status, 128 + N for signal N,
75 where an earlier child would not leave, 126 where the child cannot be run.

A child with a `lock` runs once: whatever its guard starts inherits the lock, so that it is free only when nothing is
left of an earlier run. A child without one has the guard's standard streams to itself, and the lifeline, a socket
then, tells what becomes of it: `started PID` or `failed ERRNO`, then `ended STATUS`, negative for a signal.

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
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

__all__ = ["CANNOT_RUN", "LOCKED_OUT", "LOG_LIMIT", "Spec", "command_line", "guarded", "shorten_log"]

LOCKED_OUT = 75  # EX_TEMPFAIL
CANNOT_RUN = 126  # as a shell says it
LOG_LIMIT = 5_000_000  # bytes
LOG_TAIL = 100_000  # bytes kept of a log that grew longer
PAUSE = 5.0  # seconds between looks at the log and the platform when nothing happens
ORPHANS_LEAVE, ORPHANS_END = 1.0, 20.0  # seconds for a dead child's children to leave, and to be gone when killed
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Spec(NamedTuple):
    """What to run, and how to end it. `mark` tells an earlier child from a stranger with its process id."""

    command: tuple[str, ...]
    stop_signal: int
    grace: float  # seconds between the stop signal and force
    death_signal: int  # what the child gets should the guard be killed
    lifeline: int = 0  # the descriptor that closes with the platform
    patience: float = 0.0  # seconds for the child to end by itself before the stop signal
    group: bool = False  # whether its process group is stopped with the child, and killed when the child has ended
    lock: str | None = None
    mark: str = ""
    uid: int | None = None
    gid: int | None = None


class Guard:
    """One child's keeper: a single thread around one `select`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.child = 0
        self.status: int | None = None
        self.asked = 0  # how often a signal asked for the end
        self.platform = os.getppid()
        self.platform_gone = False
        self.steps = [(signal.SIGKILL, PAUSE), (spec.stop_signal, spec.grace)]  # towards the end, the last one first
        if spec.patience:
            self.steps.append((0, spec.patience))
        self.due: float | None = None  # monotonic, when the next step is taken; set once the end was asked for
        self.forced = False  # the child was killed here: its own children get no time either
        self.lock = None if spec.lock is None else os.open(spec.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.set_inheritable(spec.lifeline, False)
        self.wake = self.watch_signals()

    def run(self) -> int:
        if self.lock is not None:
            self.take_lock(self.lock)
        if self.unwanted:
            return 0
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # a dead child's own children become ours to end
        self.child, failed = self.spawn()
        if failed:
            say(f"cannot run {self.spec.command[0]}: {os.strerror(failed)}")
            self.tell(f"failed {failed}")
            return CANNOT_RUN
        self.record()
        while self.status is None:
            self.wait(PAUSE if self.due is None else max(0.0, self.due - time.monotonic()))
            self.reap()
            self.stop_child()
            shorten_log(1)
        if self.spec.group:
            with suppress(OSError):  # nobody of it is left
                os.killpg(self.child, signal.SIGKILL)
        self.tell(f"ended {self.status}")
        self.end_orphans()
        return 128 - self.status if self.status < 0 else self.status

    # The lock

    def take_lock(self, lock: int) -> None:
        """Wait until nothing is left of an earlier run, and help it along where its guard is gone."""
        patience, forced = time.monotonic() + self.spec.grace, False
        self.nudge(lock, self.spec.stop_signal)
        while not (locked(lock) or self.unwanted):
            if time.monotonic() > patience:
                if forced:
                    say(f"processes of an earlier run still hold {self.spec.lock}; `fuser` shows which")
                    raise SystemExit(LOCKED_OUT)
                self.nudge(lock, signal.SIGKILL)
                patience, forced = time.monotonic() + self.spec.grace, True
            self.wait(0.02)

    def nudge(self, lock: int, number: int) -> None:
        """Signal an earlier child that has no guard any more, after making sure that it is one."""
        if locked(lock):
            return
        guard, child = recorded(lock)
        guarded = is_guard(guard) and self.spec.mark in command_line(guard)
        if child and not guarded and self.spec.mark in command_line(child):
            say(f"an earlier server, process {child}, has no guard; sending it signal {int(number)}")
            os.kill(child, number)

    # The child

    def spawn(self) -> tuple[int, int]:
        """Start the child and return its process id, and the number of the error where it cannot be run, else 0."""
        guard = os.getpid()
        failure, failed = os.pipe()
        child = os.fork()
        if not child:
            try:
                self.become_child(guard)
            except OSError as error:
                os.write(failed, str(error.errno).encode())
            except BaseException as bug:  # noqa: BLE001  a forked child must not go on as a second guard
                say(f"cannot run {self.spec.command[0]}: {bug!r}")
            os._exit(CANNOT_RUN)
        os.close(failed)
        number = os.read(failure, 16)  # it closes when the child has become the program
        os.close(failure)
        return child, int(number or 0)

    def become_child(self, guard: int) -> NoReturn:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()  # what it sends to its own group is not for its guard
        if self.lock is not None:
            os.set_inheritable(self.lock, True)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.umask(0o077)
        if self.spec.uid is not None:
            os.setgroups([])
            os.setgid(self.spec.gid if self.spec.gid is not None else self.spec.uid)
            os.setuid(self.spec.uid)
        prctl(PR_SET_PDEATHSIG, self.spec.death_signal)  # after the change of user, which clears it
        if os.getppid() != guard:
            os._exit(CANNOT_RUN)
        os.execvp(self.spec.command[0], self.spec.command)  # noqa: S606

    def record(self) -> None:
        """Let it be known that the child runs; without a lock, its streams are no more ours."""
        if self.lock is not None:
            os.ftruncate(self.lock, 0)
            os.pwrite(self.lock, f"{os.getpid()} {self.child}\n".encode(), 0)
            return
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        self.tell(f"started {self.child}")

    def tell(self, what: str) -> None:
        """Tell the platform, where it has not gone, over a lifeline that is a socket."""
        if self.lock is None:
            with suppress(OSError):
                os.write(self.spec.lifeline, f"{what}\n".encode())

    def stop_child(self) -> None:
        """Once the end was asked for, take its steps, each when its time has come; the last at once if asked again."""
        now = time.monotonic()
        if self.status is not None or not (self.unwanted or self.due):
            return
        if self.due is not None and self.asked:
            del self.steps[1:]
        elif self.due is not None and now < self.due:
            return
        number, seconds = self.steps.pop() if len(self.steps) > 1 else self.steps[0]
        self.due, self.asked = now + seconds, 0
        if number == signal.SIGKILL:
            say("the server is killed: it did not stop in time")
            self.forced = True
        if number:
            with suppress(PermissionError):  # it is another user's by now
                os.kill(-self.child if self.spec.group or self.forced else self.child, number)

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
        lifeline = self.spec.lifeline
        readable, _, _ = select.select([self.wake] if self.platform_gone else [self.wake, lifeline], [], [], seconds)
        if self.wake in readable:
            os.read(self.wake, 1024)
        if (lifeline in readable and is_closed(lifeline)) or os.getppid() != self.platform:
            self.platform_gone = True  # also when a process that the platform forked still holds the lifeline

    def reap(self) -> bool:
        """Collect every child that ended; `False` when none is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.child:
                self.status = os.waitstatus_to_exitcode(status)

    def end_orphans(self) -> None:
        """See the child's children off: a killed PostgreSQL leaves some that hold its shared memory."""
        begun = time.monotonic()
        while self.reap() and (waited := time.monotonic() - begun) < ORPHANS_END:
            if self.forced or waited > ORPHANS_LEAVE:
                for orphan in children():
                    if not is_guard(orphan):
                        with suppress(OSError):  # it is another user's
                            os.kill(orphan, signal.SIGKILL)
            self.wait(0.05)


def guarded(spec: Spec) -> list[str]:
    """Return the command that runs a guard of this child; whoever starts it gives it a session of its own."""
    return [sys.executable, "-I", "-S", __file__, json.dumps(spec._asdict(), ensure_ascii=False)]


def say(message: str) -> None:
    os.write(2, f"guard: {message}\n".encode())


def prctl(option: int, value: int) -> None:
    """Set a Linux process attribute; elsewhere the lock and the process group alone keep order."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def is_closed(lifeline: int) -> bool:
    """Tell whether a lifeline that can be read has come to its end."""
    try:
        return not os.read(lifeline, 1024)
    except ConnectionError:  # the platform ended without having read what it was told
        return True


def is_guard(pid: int) -> bool:
    """Tell whether a process is a guard, of this platform or another."""
    return f"/{Path(__file__).name} {{" in command_line(pid)


def command_line(pid: int) -> str:
    """Return a process's command line, empty when it is gone or hidden."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    except OSError:
        return "" if Path("/proc/self").exists() else os.popen(f"ps -ww -o command= -p {pid:d}").read()  # noqa: S605


def locked(lock: int) -> bool:
    """Take the lock if it is free, and tell whether it is ours."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def recorded(lock: int) -> tuple[int, int]:
    """Return the pids of guard and child that the lock file names, zeros where it names none."""
    words = os.pread(lock, 100, 0).split()
    if len(words) == 2 and all(word.isdigit() for word in words):  # noqa: PLR2004
        return int(words[0]), int(words[1])
    return 0, 0


def children() -> list[int]:
    """Return the pids of this process's children (on Linux; elsewhere only those of the child's group are ended)."""
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
    raise SystemExit(Guard(Spec(**json.loads(sys.argv[1]))).run())
