"""Two rules for every run: no process is left behind, and with DATAPLATFORM_REQUIRE_ALL=1 nothing is skipped."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from contextlib import suppress

import psutil
import pytest

from dataplatform.redaction import REDACTOR

REQUIRE_ALL = os.environ.get("DATAPLATFORM_REQUIRE_ALL") == "1"
MARK = "DATAPLATFORM_TEST_RUN"  # inherited by every process that a test starts, orphans included
GRACE = 3.0  # seconds for processes that are just ending
LEFT_BEHIND = pytest.StashKey[list[str]]()


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> None:
    """Mask nothing that only another test has for a secret."""
    REDACTOR.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _require(report, item.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _require(report, collector.nodeid)
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_BEHIND] = []
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist belongs to the run that started it
        os.environ[MARK] = f"{os.environ.get(MARK, '')}/{uuid.uuid4().hex}"  # a run inside a run sees only its own


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when processes that it started still run, and end them."""
    if hasattr(session.config, "workerinput"):  # a worker of pytest-xdist: the run itself looks
        return
    _, alive = psutil.wait_procs(_started_by_this_run(), timeout=GRACE)
    for process in alive:
        with suppress(psutil.Error):
            session.config.stash[LEFT_BEHIND].append(f"{process.pid} {' '.join(process.cmdline())}")
            process.kill()
    if session.config.stash[LEFT_BEHIND]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[LEFT_BEHIND]:
        terminalreporter.section("processes left behind", red=True)
        for process in config.stash[LEFT_BEHIND]:
            terminalreporter.line(process)


def _require(report: pytest.TestReport | pytest.CollectReport, name: str) -> None:
    """Turn a skip into a failure that shows the reason of the skip."""
    if not (REQUIRE_ALL and report.skipped):
        return
    *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else (str(report.longrepr),)
    report.outcome = "failed"
    report.longrepr = f"{name} was skipped, and DATAPLATFORM_REQUIRE_ALL=1 forbids it.\n{reason}"


def _started_by_this_run() -> list[psutil.Process]:
    own = psutil.Process()
    marked = {process for process in psutil.process_iter() if _is_marked(process)} - {own, *own.parents()}
    return [process for process in marked.union(own.children(recursive=True)) if _runs(process)]


def _is_marked(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.environ().get(MARK, "").startswith(os.environ[MARK])
    return False


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
