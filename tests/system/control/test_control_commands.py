"""The commands on a running platform, and what they answer where they cannot do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dataplatform.base.agent import State
from dataplatform.services.gateway.place import listen
from dataplatform.system.cli.main import main
from dataplatform.system.platform.platform import Platform

NAMES = ("attach", "status", "pause", "resume", "restart", "drain", "skip", "tail", "top")


def run(platform: Platform | Path, *arguments: str) -> Result:
    folder = platform if isinstance(platform, Path) else platform.data.path
    return CliRunner().invoke(main, [*arguments, "--data-dir", str(folder)])


def test_all_of_them_are_there_with_an_example() -> None:
    for name in NAMES:
        shown = CliRunner().invoke(main, [name, "--help"])
        assert shown.exit_code == 0
        assert f"python -m dataplatform.system {name}" in shown.output


def test_the_status_is_a_table_or_json(platform: Platform) -> None:
    assert "coingecko" in run(platform, "status").stdout
    status = json.loads(run(platform, "status", "--json").stdout)
    assert status["phase"] == "running"
    assert status.keys() >= {"version", "uptime_s", "agents", "routes", "tables", "topics", "incidents", "servers"}


def test_a_source_is_paused_restarted_and_resumed(platform: Platform) -> None:
    def state() -> State | None:
        status = platform.address("coingecko").status()
        return status.state if status else None

    assert run(platform, "pause", "coingecko").stdout == "coingecko is paused\n"
    assert state() is State.PAUSED
    assert run(platform, "resume", "coingecko").stdout == "coingecko reads on\n"
    assert state() is State.RUNNING
    assert run(platform, "restart", "coingecko").stdout == "coingecko was restarted\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("pause", "coingeko"), 1, "did you mean 'coingecko'?"),
        (("restart", "nobody"), 1, "there are"),
        (("tail", "crypto-prices"), 1, "no broker"),
        (("skip", "crypto-prices/2"), 1, "no source reads a topic 'crypto-prices'"),
        (("skip", "crypto-prices"), 2, "like crypto-prices/2"),
        (("skip", "crypto-prices/x"), 2, "like crypto-prices/2"),
        (("pause",), 2, "Missing argument 'NAME'"),
        (("tail", "crypto-prices", "-n", "0"), 2, "not in the range"),
        (("top",), 2, "top needs a terminal"),
    ],
)
def test_what_fails_says_why_on_standard_error(
    platform: Platform, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = run(platform, *arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    "arguments", [("attach",), ("status",), ("pause", "x"), ("drain",), ("tail", "x"), ("restart", "x")]
)
def test_where_no_platform_runs_they_exit_with_3(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert (done.exit_code, done.stdout) == (3, "")
    assert f"no platform runs in {tmp_path}" in done.stderr


def test_the_demo_has_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    said = [CliRunner().invoke(main, ["status", *demo]).stderr for demo in ((), ("--demo",))]
    assert [name in text for name, text in zip(("live", "demo"), said, strict=True)] == [True, True]


def test_who_asks_for_a_demo_that_does_not_run_is_told_how_to_start_a_demo(tmp_path: Path) -> None:
    started = f"python -m dataplatform.system --demo --data-dir {tmp_path}`"
    assert started in run(tmp_path, "status", "--demo").stderr
    assert "--demo" not in run(tmp_path, "status").stderr
    listen(tmp_path).close()
    assert started in run(tmp_path, "status", "--demo").stderr


def test_a_prompt_ends_when_one_leaves_and_not_after_some_time() -> None:
    done = CliRunner().invoke(main, ["--demo", "--repl", "--run-for", "5"])
    assert done.exit_code == 2
    assert "--run-for does not go with --repl" in done.stderr


def test_without_ipython_it_is_said_what_to_install(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplatform.system.console.prompt.importlib.util.find_spec", lambda _: None)
    attached = run(platform, "attach")
    started = run(tmp_path / "data", "--demo", "--repl")
    assert (attached.exit_code, started.exit_code) == (2, 2)
    for done in (attached, started):
        assert "pip install 'dataplatform[repl]'" in done.stderr
    assert not (tmp_path / "data").exists()
