"""scripts/coingecko-mcp installs once, and says why where it cannot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.coingecko_mcp import FAILED, SCRIPT, UNUSABLE
from tests.support.waiting import DEADLINE

TOOLS = ("bash", "cmp", "cp", "dirname", "ln", "mkdir", "mv", "rm", "sed")
NODE = "#!/usr/bin/env bash\n[[ $1 != --version ]] || echo v20.0.0\n"
OLD_NODE = "#!/usr/bin/env bash\n[[ $1 == --version ]] && echo v18.1.0\n"
NPM = """\
#!/usr/bin/env bash
echo "$*" >>"$HOME/npm-calls"
mkdir -p node_modules/@coingecko/coingecko-mcp
echo {} >node_modules/@coingecko/coingecko-mcp/package.json
mkdir node_modules/.bin; : >node_modules/.bin/deno; : >node_modules/.bin/mcp-server
"""
DENO = "mkdir -p node_modules/@deno/some-machine && cp /bin/true node_modules/@deno/some-machine/deno\n"
NPM_OFFLINE = "#!/usr/bin/env bash\necho 'npm error code ENOTFOUND' >&2\nexit 1\n"


def run(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a machine with these programs and no others, at home in `folder`."""
    home, bin_ = folder / "a home", folder / "bin"
    for made in (home, bin_):
        made.mkdir(exist_ok=True)
    for tool in TOOLS:
        (bin_ / tool).unlink(missing_ok=True)
        (bin_ / tool).symlink_to(str(shutil.which(tool)))
    for name, program in programs.items():
        (bin_ / name).write_text(program)
        (bin_ / name).chmod(0o755)
    env = {"PATH": str(bin_), "HOME": str(home)}
    return subprocess.run([SCRIPT], check=False, env=env, cwd="/", capture_output=True, text=True, timeout=DEADLINE)


def test_it_installs_once_and_says_where(tmp_path: Path) -> None:
    first, second = (run(tmp_path, node=NODE, npm=NPM + DENO) for _ in range(2))
    place = tmp_path / "a home" / ".cache" / "dataplatform" / "coingecko-mcp-8.2.0"
    assert first.stdout == second.stdout == f"{place}\n"
    assert "installing @coingecko/coingecko-mcp 8.2.0" in first.stderr
    assert second.stderr == ""
    assert (tmp_path / "a home" / "npm-calls").read_text().count("\n") == 1
    assert {path.name for path in place.parent.iterdir()} == {place.name}


def test_its_folder_of_programs_holds_deno_itself_and_no_wrapper(tmp_path: Path) -> None:
    place = Path(run(tmp_path, node=NODE, npm=NPM + DENO).stdout.strip())
    (place / "bin" / "deno").unlink()  # as an earlier release of the script left it
    run(tmp_path, node=NODE, npm=NPM + DENO)
    programs = {path.name: path.resolve().relative_to(place) for path in (place / "bin").iterdir()}
    assert programs == {
        "deno": Path("node_modules/@deno/some-machine/deno"),
        "mcp-server": Path("node_modules/.bin/mcp-server"),
    }


def test_a_machine_that_deno_does_not_run_on_is_told_so(tmp_path: Path) -> None:
    done = run(tmp_path, node=NODE, npm=NPM)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "npm has no Deno for this machine" in done.stderr


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "needs Node.js 20 or later; found none"),
        ({"node": OLD_NODE}, "needs Node.js 20 or later; found v18.1.0"),
        ({"node": NODE}, "needs npm, which comes with Node.js; found none"),
    ],
)
def test_a_machine_without_node_is_told_so(tmp_path: Path, programs: dict[str, str], reason: str) -> None:
    done = run(tmp_path, **programs)
    assert (done.returncode, done.stdout, done.stderr) == (UNUSABLE, "", f"coingecko-mcp: {reason}\n")


def test_an_install_that_fails_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run(tmp_path, node=NODE, npm=NPM_OFFLINE)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr.splitlines()[-1] == "coingecko-mcp: npm could not install it: npm error code ENOTFOUND"
    assert list((tmp_path / "a home" / ".cache" / "dataplatform").iterdir()) == []
