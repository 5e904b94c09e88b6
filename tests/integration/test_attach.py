"""A platform that runs, operated from elsewhere: from a second terminal, and by commands in scripts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attrs import define
from click.testing import CliRunner, Result

from dataplatform.base.agent import State
from dataplatform.services.gateway.client import RemotePlatform
from dataplatform.system.cli.main import main
from tests.integration.platforms import (
    COMMAND,
    DEADLINE,
    PlatformProcess,
    PricesTable,
    address_of,
    price,
    produce,
    restarted,
    unbalanced,
)
from tests.integration.prompts import Typist, at_prompt
from tests.integration.terminals import at_terminal
from tests.integration.topologies import NO_FEED, main_job

pytestmark = pytest.mark.long


@define(eq=False)
class Story:
    """A platform whose topic a test fills, and its table."""

    run: PlatformProcess
    table: PricesTable
    produced: int = 0

    @property
    def data_dir(self) -> str:
        return str(self.run.data_dir)

    def produce(self, count: int) -> None:
        numbers = range(self.produced, self.produced + count)
        produce(address_of(self.run.data_dir), [price(f"coin-{number}", number) for number in numbers])
        self.produced += count

    def arrive(self) -> None:
        """Wait until every record that was ever produced is in the table, once."""
        self.table.wait_for(self.produced)
        assert self.table.count() == self.produced

    def state(self, agent: str) -> State:
        (status,) = [one for one in RemotePlatform(self.run.data_dir).status().agents if one.name == agent]
        return status.state

    def command(self, *arguments: str) -> Result:
        return command(*arguments, "--data-dir", self.data_dir)


def command(*arguments: str) -> Result:
    """Run a command in this process, which spares two seconds of imports each time."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def story(shared_data_dir: Path) -> Iterator[Story]:
    """One platform, operated by one test after the other."""
    topology = main_job(shared_data_dir.parent, feeds=NO_FEED)
    with closing(PlatformProcess.start(shared_data_dir, str(topology))) as run:
        run.ready()
        with closing(PricesTable.of(shared_data_dir)) as table:
            yield Story(run, table)


def test_the_status_is_shown_and_as_json(story: Story) -> None:
    story.produce(20)
    story.arrive()
    shown = story.command("status")
    assert shown.exit_code == 0, shown.stderr
    assert re.search(r"^topics → database( +[\d,]+){5}$", shown.stdout, re.MULTILINE)
    status = json.loads(story.command("status", "--json").stdout)
    assert status["phase"] == "running"
    assert {agent["name"]: agent["state"] for agent in status["agents"]}["topics"] == "running"


def test_a_source_is_paused_and_resumed_and_nothing_is_lost(story: Story) -> None:
    assert story.command("pause", "topics").stdout == "topics is paused\n"
    assert story.state("topics") is State.PAUSED
    story.produce(50)
    assert story.table.count() == story.produced - 50
    assert story.command("resume", "topics").stdout == "topics reads on\n"
    story.arrive()


def test_an_agent_is_restarted_and_nothing_is_lost(story: Story) -> None:
    story.produce(50)
    assert story.command("restart", "database").stdout == "database was restarted\n"
    story.produce(50)
    story.arrive()


def test_the_end_of_a_topic_is_printed_for_scripts(story: Story) -> None:
    shown = story.command("tail", "crypto-prices", "-n", "5")
    assert shown.exit_code == 0, shown.stderr
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert len(lines) == 5
    assert all(re.fullmatch(r"\d/\d+", line[1]) and json.loads(line[3])["source"] == "test" for line in lines)


def test_what_cannot_be_done_exits_with_1_and_says_what_can(story: Story) -> None:
    for arguments, said in (
        (("pause", "topic"), "did you mean 'topics'?"),
        (("pause", "database"), "the sources are"),
        (("tail", "crypto-price"), "crypto-prices"),
    ):
        done = story.command(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.long
def test_top_shows_the_live_table_until_ctrl_c(story: Story) -> None:
    with at_terminal("top", "--data-dir", story.data_dir) as session:
        session.see(r"topics → database( +[\d,]+){5}")
        session.process.send_signal(signal.SIGINT)
        assert session.end() == 0
        assert session.screen.shows_cursor()


@pytest.fixture(scope="module")
def typist(story: Story) -> Iterator[Typist]:
    pytest.importorskip("IPython", reason="IPython is not installed")
    with at_prompt("attach", "--data-dir", story.data_dir) as typist:
        typist.prompt()
        yield typist


@pytest.mark.long
def test_a_second_terminal_has_the_same_prompt(typist: Typist, story: Story) -> None:
    assert "Ctrl-D or exit leaves; the platform runs on." in typist.text
    assert re.search(r"^topics → database", typist.type("status()"), re.MULTILINE)
    assert "done" in typist.type('pause("topics")')
    assert story.state("topics") is State.PAUSED
    story.produce(30)
    assert "done" in typist.type('resume("topics")')
    story.arrive()
    assert "done" in typist.type('restart("topics")')
    story.produce(30)
    story.arrive()
    assert re.search(rf"^ +{story.produced}$", typist.type('sql("select count(*) from crypto_prices")'), re.MULTILINE)


@pytest.mark.long
def test_leaving_it_leaves_the_platform_running(typist: Typist, story: Story) -> None:
    typist.press("\x04")
    assert typist.end() == 0
    assert story.state("topics") is State.RUNNING


def test_a_drain_stops_it_and_everything_was_written(story: Story) -> None:
    done = story.command("drain")
    assert (done.exit_code, done.stdout) == (0, "drained and stopped\n"), done.stderr
    assert story.run.wait() == 0
    report = story.run.report()
    assert unbalanced(report) == []
    assert report["outcome"] == "ok"
    assert restarted(report).keys() <= {"database", "topics"}


def test_where_nothing_runs_any_more_the_commands_exit_with_3(story: Story) -> None:
    for arguments in (("status",), ("pause", "topics"), ("drain",), ("tail", "crypto-prices")):
        done = story.command(*arguments)
        assert (done.exit_code, done.stdout) == (3, "")
        assert "no platform runs in" in done.stderr
        assert story.data_dir in done.stderr


@pytest.mark.long
def test_a_socket_that_a_killed_platform_left_is_explained(data_dir: Path, tmp_path: Path) -> None:
    topology = main_job(tmp_path, feeds=NO_FEED)
    with closing(PlatformProcess.start(data_dir, str(topology))) as run:
        run.ready()
        run.process.kill()
        run.wait()
    done = command("status", "--data-dir", str(data_dir))
    assert done.exit_code == 3
    assert "it was left by a platform that was killed" in done.stderr
    with closing(PlatformProcess.start(data_dir, str(topology))) as run:
        run.ready()
        status = [*COMMAND, "status", "--data-dir", str(data_dir)]
        done_again = subprocess.run(status, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)
        assert (done_again.returncode, done_again.stderr) == (0, "")
        assert run.stop() == 0
