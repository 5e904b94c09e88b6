"""The servers end with the platform, however it ends, and the next one finds the data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import kafka
import psutil
import psycopg2
import pytest
from attrs import define

import dataplatform
from tests.base.embedded.servers import all_end
from tests.support.waiting import DEADLINE

PLATFORM = Path(__file__).with_name("embedded_platform.py")
ROOT = Path(dataplatform.__file__).parent.parent
NOBODY = 65_534


@define(eq=False)
class Platform:
    process: subprocess.Popen[str]
    dsn: str
    address: str
    degraded: list[str]

    def servers(self) -> list[int]:
        """Return the pids of the guards and of all that they started."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]


Start = Callable[[], Platform]


def command(user: int) -> list[str]:
    """Return how to run the platform as `user`, who may look into folders such as root's home, where Python may be."""
    plain = [sys.executable, str(PLATFORM)]
    if user == os.geteuid():
        return plain
    rights = "+dac_read_search"
    identity = [f"--reuid={user}", f"--regid={user}", "--clear-groups", f"--inh-caps={rights}"]
    return ["setpriv", *identity, f"--ambient-caps={rights}", *plain]


@pytest.fixture
def user(request: pytest.FixtureRequest) -> int:
    """Who runs the platform: root needs a user for PostgreSQL, everybody else must not."""
    if getattr(request, "param", "own") == "own":
        return os.geteuid()
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("becoming another user takes root and setpriv")
    return NOBODY


@pytest.fixture
def start(data_dir: Path, user: int, request: pytest.FixtureRequest) -> Iterator[Start]:
    started: list[Platform] = []
    if user == os.geteuid():
        request.getfixturevalue("database")
    os.chown(data_dir, user, -1)

    def start() -> Platform:
        process = subprocess.Popen(
            [*command(user), str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert process.stdout is not None
        said = next((line for line in process.stdout if line.startswith("ready ")), None)
        assert said is not None, f"the platform ended with status {process.wait()}"
        started.append(Platform(process, **json.loads(said.removeprefix("ready "))))
        return started[-1]

    yield start
    for platform in started:
        with platform.process as process:
            process.kill()
    all_end(*processes_in(data_dir))


def processes_in(data_dir: Path) -> list[int]:
    return [process.pid for process in psutil.process_iter() if works_in(process, data_dir)]


def works_in(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return any(str(data_dir) in part for part in (*process.cmdline(), process.cwd()))
    except psutil.Error:
        return False


def write(platform: Platform) -> None:
    with closing(psycopg2.connect(platform.dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists seen (id serial); insert into seen default values")
    with closing(kafka.KafkaProducer(bootstrap_servers=platform.address, acks="all")) as producer:
        producer.send("seen", b"x").get(timeout=DEADLINE)


def written(platform: Platform) -> tuple[int, int]:
    with closing(psycopg2.connect(platform.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from seen")
        (rows,) = cursor.fetchone() or (0,)
    partition = kafka.TopicPartition("seen", 0)
    with closing(kafka.KafkaConsumer(bootstrap_servers=platform.address)) as consumer:
        return rows, consumer.end_offsets([partition])[partition]


@pytest.mark.parametrize("user", ["own", "nobody"], indirect=True)
def test_a_killed_platform_leaves_no_process_and_the_next_one_finds_the_data(start: Start, data_dir: Path) -> None:
    first = start()
    write(first)
    servers = first.servers()
    assert len(servers) > 4
    first.process.kill()
    assert all_end(*servers)
    assert processes_in(data_dir) == []
    second = start()
    assert (second.dsn, second.address, second.degraded) == (first.dsn, first.address, [])
    write(second)
    assert written(second) == (2, 2)


def test_a_platform_started_while_the_servers_of_a_killed_one_still_end_waits_for_them(start: Start) -> None:
    first = start()
    write(first)
    first.process.kill()
    second = start()
    assert (second.dsn, second.address, second.degraded) == (first.dsn, first.address, [])
    assert written(second) == (1, 1)


def test_a_stopped_platform_leaves_no_process(start: Start, data_dir: Path) -> None:
    platform = start()
    servers = platform.servers()
    platform.process.communicate(timeout=DEADLINE)
    assert platform.process.returncode == 0
    assert all_end(*servers, timeout=0)
    assert processes_in(data_dir) == []


def test_a_platform_killed_together_with_its_guards_leaves_no_process(start: Start, data_dir: Path) -> None:
    platform = start()
    write(platform)
    servers = platform.servers()
    for process in [*psutil.Process(platform.process.pid).children(), psutil.Process(platform.process.pid)]:
        process.kill()
    assert all_end(*servers)
    assert written(start()) == (1, 1)
