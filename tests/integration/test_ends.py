"""However a platform ends, it says why, and leaves no process behind."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.base.embedded.servers import all_end
from tests.integration.conftest import Start
from tests.integration.platforms import PricesTable, restarted, unbalanced
from tests.integration.topologies import main_job


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes requests and never answers, so that a drain has something to wait for."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v3"


def test_a_second_signal_stops_at_once_and_leaves_no_process(start: Start, silent: str, tmp_path: Path) -> None:
    run = start(str(main_job(tmp_path, base_url=silent)))
    run.ready()
    servers = run.servers()
    run.send(signal.SIGINT)
    run.expect("draining")
    assert run.stop(signal.SIGINT) == 130
    assert all_end(*servers)
    report = run.report()
    assert (report["outcome"], report["reason"]) == ("signal", "a second signal (SIGINT) stopped it at once")
    assert {"supervisor", "coingecko", "postgres"} <= {agent["name"] for agent in report["agents"]}


def test_sigterm_drains_and_a_second_sigterm_has_a_status_of_its_own(start: Start, silent: str, tmp_path: Path) -> None:
    run = start(str(main_job(tmp_path, base_url=silent)))
    run.ready()
    servers = run.servers()
    run.send(signal.SIGTERM)
    run.expect("draining")
    assert run.stop(signal.SIGTERM) == 143
    assert all_end(*servers)


def test_a_signal_during_the_start_stops_it_in_good_order(start: Start) -> None:
    run = start("--demo")
    run.expect("server is ready", agent="broker")
    assert run.stop(signal.SIGTERM) == 0
    assert (run.report()["outcome"], run.report()["reason"]) == ("signal", "SIGTERM")


def test_a_report_that_cannot_be_written_in_the_end_is_said_and_has_a_status(start: Start) -> None:
    run = start("--demo", "--run-for", "1")
    run.ready()
    run.report_file.mkdir()
    assert run.wait() == 1
    run.expect("report not written", path=str(run.report_file))


def test_a_killed_platform_leaves_no_process_and_the_next_one_works(start: Start) -> None:
    killed = start("--demo")
    killed.ready()
    servers = killed.servers()
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    following = start("--demo")  # while the servers of the first may still be ending
    following.ready()
    assert all_end(*servers)
    with closing(PricesTable.of(following.data_dir)) as table:
        table.wait_for(250)
    assert following.stop() == 0
    assert unbalanced(following.report()) == []
    assert restarted(following.report()) == {}


@pytest.mark.long
def test_a_stop_ends_though_every_server_hangs_and_leaves_no_process(start: Start) -> None:
    run = start("--demo")
    run.ready()
    servers = run.servers()
    for pid in servers:
        process = psutil.Process(pid)
        if "guard.py" not in " ".join(process.cmdline()):
            process.suspend()
    ended = run.stop(signal.SIGINT)
    assert all_end(*servers)  # the guards outlive the platform until they have killed them
    report = run.report()  # whether a poll had read something by then that nobody could take is the machine's
    undelivered = any(incident["kind"] == "undelivered" for incident in report["incidents"])
    assert (report["outcome"], ended) == (("undelivered", 1) if undelivered else ("signal", 0))


def test_without_a_network_it_stays_up_says_so_writes_no_row_and_stops_cleanly(start: Start, tmp_path: Path) -> None:
    run = start(str(main_job(tmp_path, base_url="http://127.0.0.1:9/api/v3")))
    run.ready()
    degraded = run.expect("degraded", agent="coingecko")
    assert "cannot reach http://127.0.0.1:9" in degraded["reason"]
    assert degraded["next_try"] is not None
    status = run.expect("status")
    assert status["troubled"]["coingecko"]["state"] == "degraded"
    assert "cannot reach" in status["troubled"]["coingecko"]["reason"]
    assert status["troubled"]["coingecko"]["next_try"] > status["timestamp"][:19]
    assert run.stop(signal.SIGTERM) == 0
    report = run.report()
    assert (report["outcome"], report["reason"]) == ("signal", "SIGTERM")
    assert {table["rows"] for table in report["tables"]} == {0}
    assert [route["records_read"] for route in report["routes"]] == [0, 0]
    assert restarted(report) == {}
    errors = {agent["name"]: agent["last_error"] for agent in report["agents"]}
    assert "cannot reach" in errors["coingecko"]
