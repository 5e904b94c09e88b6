from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from attrs import define, evolve, field

from dataplatform.base.embedded.process import Program, ServerProcess, lock_is_held
from dataplatform.base.guard import LOG_LIMIT, command_line
from tests.base.embedded.servers import all_end
from tests.support.waiting import DEADLINE, SHORT, until

# A server that reports to the test over a connection: what it is, and each signal it gets. With "obey" it ends on one.
REPORTER = """
import os, signal, socket, sys
report = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
say = lambda *words: report.sendall((" ".join(map(str, words)) + "\\n").encode())
def on_signal(number, frame):
    say("signal", number)
    if sys.argv[3] == "obey":
        sys.exit(7)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, on_signal)
say("up", os.getpid(), os.getppid())
while True:
    signal.pause()
"""
ORPHAN = "import os, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', *sys.argv[4:]] + sys.argv[1:4])\n"


@define(eq=False)
class Reports:
    """What one server said; `ended` waits for its connection to close, which its death does."""

    connection: socket.socket
    pid: int
    parent: int

    def line(self) -> str:
        return read_line(self.connection)

    def ended(self) -> bool:
        return self.line() == ""


def read_line(connection: socket.socket) -> str:
    line = b""
    while (byte := connection.recv(1)) not in {b"", b"\n"}:
        line += byte
    return line.decode()


@define(eq=False)
class Ear:
    """Where the servers of a test report."""

    listener: socket.socket
    heard: list[Reports] = field(factory=list)

    @property
    def port(self) -> str:
        return str(self.listener.getsockname()[1])

    def next(self) -> Reports:
        connection, _ = self.listener.accept()
        connection.settimeout(DEADLINE)
        _up, pid, parent = read_line(connection).split()
        self.heard.append(Reports(connection, int(pid), int(parent)))
        return self.heard[-1]


@pytest.fixture
def ear() -> Iterator[Ear]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        ear = Ear(listener)
        yield ear
        for reports in ear.heard:
            reports.connection.close()


@pytest.fixture
def program(tmp_path: Path, ear: Ear) -> Program:
    command = (sys.executable, "-I", "-S", "-c", REPORTER, str(tmp_path), ear.port, "obey")
    return Program("the reporter", command, tmp_path, signal.SIGINT)


@pytest.fixture
def start() -> Iterator[Callable[[Program], ServerProcess]]:
    started: list[ServerProcess] = []

    def start(program: Program) -> ServerProcess:
        started.append(ServerProcess.start(program))
        return started[-1]

    yield start
    for process in started:
        process.stop()


Start = Callable[[Program], ServerProcess]


def ended(process: ServerProcess) -> str | None:
    """Wait for the guard to end and return how the server did."""
    assert process._wait(DEADLINE)
    return process.ended()


def script(program: Program, text: str) -> Program:
    return evolve(program, command=(sys.executable, "-I", "-S", "-c", text, str(program.home)))


def test_a_stop_is_the_servers_own_signal_and_then_nothing_is_left(program: Program, start: Start, ear: Ear) -> None:
    process = start(program)
    server = ear.next()
    assert process.ended() is None
    process.stop()
    assert server.line() == f"signal {signal.SIGINT:d}"
    assert process.ended() == "ended with status 7"
    assert all_end(server.pid, server.parent)
    process.stop()


def test_a_deaf_server_is_killed_when_its_time_is_up(
    program: Program, start: Start, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplatform.base.embedded.process.ORDERLY", SHORT)
    process = start(evolve(program, command=(*program.command[:-1], "deaf")))
    server = ear.next()
    process.stop()
    assert server.line() == f"signal {signal.SIGINT:d}"
    assert server.ended()
    assert "killed" in "".join(process.last_lines())


def test_when_the_platform_is_gone_a_deaf_server_is_killed_after_the_grace(
    program: Program, start: Start, ear: Ear
) -> None:
    process = start(evolve(program, command=(*program.command[:-1], "deaf"), grace=SHORT))
    server = ear.next()
    process._let_go()  # what the kernel does when the platform dies
    assert server.line() == f"signal {signal.SIGINT:d}"
    assert server.ended()
    assert ended(process) == "ended with signal 9"


def test_server_and_guard_are_out_of_reach_of_the_terminals_ctrl_c(program: Program, start: Start, ear: Ear) -> None:
    start(program)
    server = ear.next()
    assert os.getsid(server.pid) == server.pid  # nor does what it sends to its own group reach its guard
    assert os.getsid(server.parent) == server.parent


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("raise SystemExit(0)", "ended with status 0"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal 9"),
    ],
)
def test_the_end_of_a_server_is_told_as_it_was(program: Program, start: Start, text: str, how: str) -> None:
    assert ended(start(script(program, text))) == how


def test_a_program_that_is_not_there_could_not_be_run(program: Program, start: Start, tmp_path: Path) -> None:
    process = start(evolve(program, command=("/nowhere/server", str(tmp_path))))
    assert ended(process) == "could not be run"
    assert "guard: cannot run /nowhere/server: No such file or directory" in str(process.failure("x"))


def test_a_failure_quotes_the_complaint_and_names_the_log(program: Program, start: Start) -> None:
    text = r"print('2026-01-01 00:00:00.123 UTC [42] FATAL:  no space\nHINT: make some\nLOG: down')"
    process = start(script(program, text))
    ended(process)
    failure = process.failure("ended early")
    assert failure.message == "the reporter ended early: FATAL:  no space | HINT: make some"
    assert failure.remedy == f"its log is {program.log}"


def test_a_failure_quotes_nothing_of_earlier_runs(program: Program, start: Start) -> None:
    ended(start(script(program, "print('error: long ago')")))
    process = start(script(program, "pass"))
    ended(process)
    assert process.last_lines() == []


def test_a_server_killed_alone_takes_its_children_with_it(program: Program, start: Start, ear: Ear) -> None:
    """Its own children come to the guard, which ends those that do not leave."""
    deaf = (str(program.home), ear.port, "deaf", REPORTER)
    process = start(evolve(program, command=(sys.executable, "-I", "-S", "-c", ORPHAN, *deaf)))
    orphan = ear.next()
    assert orphan.ended()
    assert ended(process) == "ended with status 0"


def test_a_killed_guard_lets_its_server_stop_in_good_order(program: Program, start: Start, ear: Ear) -> None:
    process = start(program)
    server = ear.next()
    os.kill(server.parent, signal.SIGKILL)
    assert server.line() == f"signal {signal.SIGINT:d}"
    assert ended(process) == "lost its guard to signal 9"


def test_a_guard_told_to_end_stops_its_server_first(program: Program, start: Start, ear: Ear) -> None:
    process = start(program)
    server = ear.next()
    os.kill(server.parent, signal.SIGTERM)
    assert server.line() == f"signal {signal.SIGINT:d}"
    assert ended(process) == "ended with status 7"


def test_a_new_run_begins_when_nothing_is_left_of_the_one_before(program: Program, start: Start, ear: Ear) -> None:
    first = start(program)
    old = ear.next()
    second = start(program)
    assert lock_is_held(program.lock)
    until(lambda: first.pid is not None, "the first guard tells the number of its server")
    assert (first.pid, second.pid) == (old.pid, None)
    first._let_go()
    new = ear.next()
    assert all_end(old.pid)
    until(lambda: second.pid is not None, "the second guard tells the number of its server")
    assert second.pid == new.pid
    second.stop()
    assert not lock_is_held(program.lock)


def test_a_new_run_gives_up_where_something_holds_the_lock(program: Program, start: Start) -> None:
    lock = os.open(program.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = start(evolve(program, grace=0.05))
    assert ended(process) == "cannot start before an earlier one has ended"
    assert "still hold" in str(process.failure("x"))
    os.close(lock)


def test_a_waiting_guard_ends_with_the_platform(program: Program, start: Start) -> None:
    lock = os.open(program.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = start(program)
    process.stop()
    assert process.ended() == "ended with status 0"
    os.close(lock)


@pytest.mark.parametrize("manner", ["obey", "deaf"])
def test_an_earlier_server_without_a_guard_is_stopped(program: Program, start: Start, ear: Ear, manner: str) -> None:
    lock = os.open(program.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with subprocess.Popen([*program.command[:-1], manner], pass_fds=[lock]) as process:
        stray = ear.next()
        os.write(lock, f"{process.pid + 1_000_000_000} {process.pid}\n".encode())
        os.close(lock)
        start(evolve(program, grace=0.3))
        assert stray.line() == f"signal {signal.SIGINT:d}"
        assert stray.ended()
    assert ear.next().pid != stray.pid


def test_a_process_that_only_has_the_number_of_an_earlier_server_is_left_alone(
    program: Program, start: Start, ear: Ear
) -> None:
    lock = os.open(program.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    command = [*program.command[:5], "/somewhere/else", ear.port, "obey"]
    with subprocess.Popen(command) as process:
        other = ear.next()
        os.write(lock, f"{process.pid + 1_000_000_000} {process.pid}\n".encode())
        assert ended(start(evolve(program, grace=0.05))) == "cannot start before an earlier one has ended"
        assert process.poll() is None
        process.terminate()
        assert other.line() == f"signal {signal.SIGTERM:d}"
    os.close(lock)


def test_a_log_that_grew_too_long_is_cut_to_its_tail(program: Program, start: Start) -> None:
    program.log.write_bytes(b"x" * LOG_LIMIT + b"\nerror: the last line\n")
    process = start(script(program, "print('error: new')"))
    ended(process)
    assert program.log.stat().st_size < 200_000
    assert program.log.read_text().endswith("error: the last line\nerror: new\n")
    assert process.last_lines() == ["error: new"]


def test_a_server_gets_none_of_the_platforms_secrets(
    program: Program, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COINGECKO_API_KEY", "secret")
    monkeypatch.setenv("PGPORT", "1")
    text = "import os; print(sorted(os.environ))"
    process = start(evolve(script(program, text), environ={"LC_ALL": "C"}))
    ended(process)
    said = "".join(process.last_lines())
    assert "LC_ALL" in said
    assert "API_KEY" not in said
    assert "PGPORT" not in said


def test_a_server_has_default_signals_and_no_open_files_but_its_lock(program: Program, start: Start) -> None:
    text = """
import os, signal
print([n.name for n in signal.valid_signals() if isinstance(n, signal.Signals)
       and n not in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ)
       and signal.getsignal(n) == signal.SIG_IGN],
      signal.pthread_sigmask(signal.SIG_BLOCK, []), len(os.listdir('/proc/self/fd')))
"""
    process = start(script(program, text))
    ended(process)
    assert process.last_lines() == [
        "[] set() 5"
    ]  # 0, 1, 2, the lock, and the folder being listed; shells ignore two signals in the background


def test_a_process_has_a_command_line_and_nobody_has_none() -> None:
    assert command_line(os.getpid()).strip() == " ".join(psutil.Process().cmdline()).strip()
    assert command_line(2**22 + 1) == ""
