"""The project around the package: its files, scripts, containers, and the rules of its own test runs."""

from __future__ import annotations

import configparser
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import DEADLINE

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [
    "scripts/demo",
    "scripts/test",
    "scripts/check",
    "scripts/kafka",
    "scripts/schemas",
    "scripts/timescaledb",
    "scripts/benchmarks/compression",
    ".ci/run",
]
VISIBLE = {"LICENSE", "README.md", "compose", "dataplatform", "pyproject.toml", "scripts", "setup.cfg", "tests"}

# A Python that makes environments of copies of itself, puts a uv into them that ends with the status UV_ENDS if that is
# set, and otherwise only notes what it was asked.
STUB = """\
#!/usr/bin/env bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case "$1 $2" in
    "-c import sys; sys.exit"*) ;;
    "-c import ensurepip"*) ;;
    "--version ") echo "Python 3.11.0" ;;
    "-m venv")
        rm -rf "${@: -1}"
        mkdir -p "${@: -1}/bin"
        cp "${BASH_SOURCE[0]}" "${@: -1}/bin/python" ;;
    *) echo "$PWD> $*" >>"$CALLS" ;;
esac
if [[ "$*" == *"--only-binary uv uv" && -n $UV_ENDS ]]; then
    printf '#!/bin/bash\necho "$PWD> uv $*" >>"$CALLS"; exit %s' "$UV_ENDS" >"$here/uv"
    chmod +x "$here/uv"
fi
"""
PIP = "-m pip install --quiet --disable-pip-version-check --no-input"
TESTING = "-m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=5 --durations-min=1"


def test_nothing_but_the_known_is_visible_at_the_top() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".egg-info"}
    assert visible <= VISIBLE


def test_the_licence_is_the_one_that_the_metadata_name() -> None:
    assert _setup()["metadata"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_entry_point_leads_to_a_class_and_the_program_to_a_function() -> None:
    for group, lines in _setup()["options.entry_points"].items():
        for line in lines.strip().splitlines():
            module, _, name = line.partition("=")[2].strip().partition(":")
            found = getattr(importlib.import_module(module), name)
            assert callable(found) if group == "console_scripts" else isinstance(found, type), (group, line)


# Scripts


@pytest.mark.parametrize("script", [*SCRIPTS, "scripts/lib/environment.sh"])
def test_a_script_is_valid_bash_and_stops_at_the_first_error(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    if script in SCRIPTS:
        assert os.access(ROOT / script, os.X_OK)
        assert "set -euo pipefail" in (ROOT / script).read_text()


class Checkout:
    """A copy of the scripts and the metadata, in a folder with a space, where Python is the stub."""

    def __init__(self, folder: Path) -> None:
        self.root, self._calls, self._bin = folder / "a copy", folder / "calls", folder / "bin"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root)
        self._bin.mkdir()
        for name in ("python3.11", "python3"):
            (self._bin / name).write_text(STUB)
            (self._bin / name).chmod(0o755)

    def run(
        self, script: str, *arguments: str, path: str | None = None, uv: str = "0"
    ) -> subprocess.CompletedProcess[str]:
        env = {"PATH": path or f"{self._bin}:{os.environ['PATH']}", "CALLS": str(self._calls), "UV_ENDS": uv}
        command = ["bash", str(self.root / script), *arguments]
        return subprocess.run(command, check=False, cwd="/", env=env, capture_output=True, text=True, timeout=DEADLINE)

    def calls(self) -> list[str]:
        """What Python was asked since the last look, each with the folder it was asked in."""
        calls = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return calls


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_demo_installs_and_the_second_only_starts(checkout: Checkout) -> None:
    first = checkout.run("scripts/demo", "--run-for", "5")
    python = checkout.root / ".venv" / "bin" / "python"
    assert checkout.calls() == [
        f"/> {PIP} --retries 1 --only-binary uv uv",
        f"/> uv pip install --quiet --python {python} --editable {checkout.root}[embedded,repl]",
        "/> -m dataplatform.system --demo --run-for 5",
    ]
    assert "with uv" in first.stdout
    assert re.search(r"demo: installed in \d+ s", first.stdout)
    assert checkout.run("scripts/demo").stdout == ""
    assert checkout.calls() == ["/> -m dataplatform.system --demo"]


def test_the_scripts_share_one_environment_and_extras_are_added(checkout: Checkout) -> None:
    for script in ("scripts/demo", "scripts/test", "scripts/demo"):
        checkout.run(script)
    installs = [call.rpartition("[")[2] for call in checkout.calls() if "--editable" in call]
    assert installs == ["embedded,repl]", "embedded,repl,test]"]


@pytest.mark.parametrize(("uv", "why"), [("", "uv cannot be had here"), ("2", "uv failed; trying pip")])
def test_where_uv_cannot_be_had_or_fails_pip_installs(checkout: Checkout, uv: str, why: str) -> None:
    done = checkout.run("scripts/demo", uv=uv)
    assert f"demo: {why}" in done.stdout
    assert "with pip; that takes about a minute, once" in done.stdout
    *_, install, run = checkout.calls()
    assert install == f"/> {PIP} --editable {checkout.root}[embedded,repl]"
    assert run == "/> -m dataplatform.system --demo"


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml"])
def test_changed_metadata_are_installed_anew(checkout: Checkout, name: str) -> None:
    checkout.run("scripts/demo")
    with (checkout.root / name).open("a") as metadata:
        metadata.write("\n# changed\n")
    checkout.calls()
    checkout.run("scripts/demo")
    install, _ = checkout.calls()
    assert "--editable" in install


def test_an_installation_that_failed_is_tried_again(checkout: Checkout) -> None:
    checkout.run("scripts/demo")
    (checkout.root / ".venv" / "bin" / "python").unlink()
    checkout.calls()
    assert "making" in checkout.run("scripts/demo").stdout
    _, install, _ = checkout.calls()
    assert "--editable" in install


def test_the_tests_leave_out_the_long_ones_unless_all_are_wanted(checkout: Checkout) -> None:
    checkout.run("scripts/test", "-k", "a b")
    checkout.run("scripts/test", "--all", "tests/base")
    short, whole = [call for call in checkout.calls() if "-m pytest" in call]
    assert short == f"{checkout.root}> {TESTING} -m not long -k a b"
    assert whole == f"{checkout.root}> {TESTING} tests/base"


def test_the_tests_run_in_random_order_where_that_is_wanted(checkout: Checkout) -> None:
    checkout.run("scripts/test", "--random", "tests/base")
    checkout.run("scripts/test", "--random", "7", "--all")
    any_order, one_order = [call for call in checkout.calls() if "-m pytest" in call]
    assert any_order == f"{checkout.root}> {TESTING} -m not long -p randomly tests/base"
    assert one_order == f"{checkout.root}> {TESTING} -p randomly --randomly-seed=7"


def test_a_machine_without_a_recent_python_is_told_so(checkout: Checkout, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "basename", "cat", "cksum", "dirname", "sort", "tail"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    done = checkout.run("scripts/demo", path=str(tools))
    assert done.returncode == 1
    assert done.stderr.startswith("demo: needs Python 3.11 or later")


# Containers


def test_every_image_is_pinned_and_every_port_is_this_machine_s_own() -> None:
    compose = (ROOT / "compose" / "compose.yaml").read_text()
    images = re.findall(r"image: (\S+)", compose)
    assert len(images) == compose.count("healthcheck:") == 3
    assert all(re.fullmatch(r"\S+:v?\d+\.\d+\.\d+\S*", image) for image in images)
    ports = re.findall(r"ports:\n((?: +- .*\n)+)", compose)
    assert len(ports) == 3
    assert all(line.strip().startswith("- 127.0.0.1:") for block in ports for line in block.splitlines())


def test_no_password_stands_in_the_containers_file() -> None:
    compose = (ROOT / "compose" / "compose.yaml").read_text()
    assert re.findall(r"PASSWORD: (\S+)", compose) == ["${POSTGRES_PASSWORD:?choose"]


# Test runs


class Run:
    """A test run of its own, with this project's conftest and one file of tests."""

    def __init__(self, folder: Path, tests: str) -> None:
        conftest = (ROOT / "tests" / "conftest.py").read_text()
        (folder / "conftest.py").write_text(conftest.replace("GRACE = 30.0", "GRACE = 0.2"))
        (folder / "test_it.py").write_text(tests)
        self._folder = folder

    def __call__(self, *options: str, require_all: str = "0") -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "DATAPLATFORM_REQUIRE_ALL": require_all, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", ".", *options, "test_it.py"]
        return subprocess.run(
            command, check=False, cwd=self._folder, env=env, capture_output=True, text=True, timeout=DEADLINE
        )


SKIPS = {
    "in a test": "import pytest\ndef test_it(): pytest.skip('no broker here')",
    "by a mark": "import pytest\n@pytest.mark.skip(reason='no broker here')\ndef test_it(): pass",
    "in a fixture": "import pytest\n@pytest.fixture\ndef broker(): pytest.skip('no broker here')\n"
    "def test_it(broker): pass",
    "of a module": "import pytest\npytest.skip('no broker here', allow_module_level=True)",
}


PROCESSES = {"in this process": (), "in others": ("-p", "xdist", "-n", "2", "--dist", "loadfile")}


@pytest.mark.parametrize("options", PROCESSES.values(), ids=PROCESSES.keys())
@pytest.mark.parametrize("tests", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_fails_where_everything_is_required_and_its_reason_is_shown(
    tmp_path: Path, tests: str, options: tuple[str, ...]
) -> None:
    run = Run(tmp_path, tests)
    assert run(*options).returncode in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    required = run(*options, require_all="1")
    assert required.returncode in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
    assert "no broker here" in required.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    run = Run(tmp_path, "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False")
    assert run(require_all="1").returncode == pytest.ExitCode.OK


@pytest.mark.parametrize("options", PROCESSES.values(), ids=PROCESSES.keys())
def test_a_run_that_leaves_a_process_behind_fails_and_ends_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    orphan = tmp_path / "pid"
    run = Run(
        tmp_path,
        "import subprocess\n"
        "def test_it():\n"
        f"    subprocess.run(['bash', '-c', 'sleep 600 >/dev/null 2>&1 & echo $! > {orphan}'], check=True)\n",
    )
    done = run(*options)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search(r"processes left behind.*\n\d+ sleep 600", done.stdout)
    assert not psutil.pid_exists(int(orphan.read_text())) or _is_zombie(int(orphan.read_text()))


STORY = """
import pytest
pytestmark = pytest.mark.story
told = []
@pytest.mark.parametrize("number", range(12))
def test_it(number):
    told.append(number)
    assert told == list(range(number + 1))
"""


@pytest.mark.parametrize("options", PROCESSES.values(), ids=PROCESSES.keys())
def test_a_story_stays_in_order_where_other_tests_do_not(tmp_path: Path, options: tuple[str, ...]) -> None:
    random = ("-p", "pytest_randomly", "--randomly-seed=3", *options)
    assert Run(tmp_path, STORY)(*random).returncode == pytest.ExitCode.OK
    other = Run(tmp_path, STORY.replace("pytestmark = pytest.mark.story", ""))
    assert other(*random).returncode == pytest.ExitCode.TESTS_FAILED


def _is_zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _setup() -> configparser.ConfigParser:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup
