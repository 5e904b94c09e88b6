"""Rules for every run, whatever is installed and set on the machine.

No process is left behind, and with DATAPLATFORM_REQUIRE_ALL=1 nothing is skipped. `scripts/test` has pytest-xdist run
whole files in several processes, those that take longest first. Each process has data directories of its own, no
settings of the machine's databases, and none of the plugins that other packages have brought.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
import structlog

from dataplatform.redaction import REDACTOR

REQUIRE_ALL = os.environ.get("DATAPLATFORM_REQUIRE_ALL") == "1"
MARK = "DATAPLATFORM_TEST_RUN"  # inherited by every process that a test starts, orphans included
GRACE = 30.0  # seconds for processes that are just ending
WORKERS = 2, 8  # processes for each processor, as most of the time is waiting; and at most
SLOW = (
    "faults",
    "integration",
    "base/embedded",
    "base/streaming",
    "base/database",
    "contract",
    "services",
    "sources",
    "system",
)
OWN_FOLDERS = ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "IPYTHONDIR")
SETTINGS = ("PG", "COINGECKO_", "DATABASE_URL")  # beginnings of variables that mean something to us or to libpq
LEFT_BEHIND = pytest.StashKey[list[str]]()
NUMBER = pytest.StashKey[int]()  # of a test as the files have them
_numbers = count()


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
    _leave_out_the_machine_s_settings(config)
    hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes is the machine's
    hypothesis.settings.load_profile("any machine")
    config.stash[LEFT_BEHIND] = []
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist belongs to the run that started it
        os.environ[MARK] = f"{os.environ.get(MARK, '')}/{uuid.uuid4().hex}"  # a run inside a run sees only its own


@pytest.fixture(autouse=True, scope="module")
def _log_as_it_was() -> Iterator[None]:
    """Leave to the next file the log as it was: a command that is run in this process configures it for good."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the tests; those of paths that somebody names are run in one."""
    if config.args_source != pytest.Config.ArgsSource.TESTPATHS:
        return 0
    each, most = WORKERS
    return min(each * (psutil.cpu_count() or 1), most)


def pytest_itemcollected(item: pytest.Item) -> None:
    item.stash[NUMBER] = next(_numbers)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep each story in order, whatever pytest-randomly has made of it.

    Processes that share the tests begin with the slow ones, so that none is left alone with them at the end.
    """
    stories: dict[Path, list[int]] = {}
    for place, item in enumerate(items):
        if item.get_closest_marker("story"):
            stories.setdefault(item.path, []).append(place)
    for places in stories.values():
        told = sorted((items[place] for place in places), key=lambda item: item.stash[NUMBER])
        for place, item in zip(places, told, strict=True):
            items[place] = item
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


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


def _leave_out_the_machine_s_settings(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        del os.environ[name]
    folder = tempfile.mkdtemp(prefix="dp-home-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ.update({name: f"{folder}/{name.lower()}" for name in OWN_FOLDERS})


def _own_entry_points(**selection: Any) -> Any:
    """Return entry points without the plugins of other packages, which no test is about."""
    found: Any = _all_entry_points(**selection)
    if not selection.get("group", "").startswith("dataplatform."):
        return found
    return type(found)(point for point in found if point.dist is None or point.dist.name == "dataplatform")


_all_entry_points = importlib.metadata.entry_points
importlib.metadata.entry_points = _own_entry_points  # before any module of the package takes it by its name


def _turn(item: pytest.Item) -> int:
    folder = item.path.parent.relative_to(Path(__file__).parent).as_posix()
    turns = [turn for turn, slow in enumerate(SLOW) if folder.startswith(slow)]
    return turns[0] if turns else len(SLOW)


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
