"""What a terminal or a pipe cannot show is replaced: no program of ours ends with a traceback over its own words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.topologies import main_job
from tests.support.waiting import DEADLINE

SYSTEM, SIMULATOR = ("-m", "dataplatform.system"), ("-m", "dataplatform.simulator")
POOR = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "ascii, strict": {"PYTHONIOENCODING": "ascii:strict"},
    "cp437": {"PYTHONIOENCODING": "cp437"},
    "locale C without UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "locale C": {"LC_ALL": "C"},
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
}
IN_ASCII = {name: POOR[name] for name in ("ascii", "ascii, strict", "locale C without UTF-8 mode")}
ALWAYS = ("ascii, strict", "locale C without UTF-8 mode")  # with the others it is a hundred programs that start
poorly = pytest.mark.parametrize(
    "environ",
    [pytest.param(POOR[name], id=name, marks=[] if name in ALWAYS else [pytest.mark.long]) for name in POOR],
)
STRANGE = "→ ₿ 🚀"
Done = subprocess.CompletedProcess[bytes]


def give(
    environ: dict[str, str], *arguments: str | bytes, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run Python with the arguments, its output going into pipes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONIO", "LC_", "LANG"))}
    return subprocess.run(
        [sys.executable, *arguments],
        env=clean | environ,
        cwd=cwd,
        capture_output=True,
        timeout=4 * DEADLINE,
        check=False,
    )


def assert_told(done: Done, status: int) -> None:
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.returncode == status, done


@poorly
@pytest.mark.parametrize("arguments", [(), ("run",), ("replay",), ("dead-letters", "list"), ("mcp", "serve")], ids=str)
def test_help_is_shown(environ: dict[str, str], arguments: tuple[str, ...]) -> None:
    assert_told(give(environ, *SYSTEM, *arguments, "--help"), 0)


@poorly
def test_what_is_installed_is_shown(environ: dict[str, str]) -> None:
    assert_told(give(environ, *SYSTEM, "plugins"), 0)


@poorly
def test_words_of_the_user_s_own_are_repeated_as_far_as_they_can_be(environ: dict[str, str]) -> None:
    done = give(environ, *SYSTEM, "mcp", "token", "--name", STRANGE)
    assert_told(done, 0)
    assert b"tokens = [" in done.stdout


@poorly
def test_a_topology_with_strange_names_is_checked(environ: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / STRANGE
    folder.mkdir()
    done = give(environ, *SYSTEM, str(main_job(folder)), "--check")
    assert_told(done, 0)
    assert done.stdout.rstrip().endswith(b": ok")


@poorly
def test_errors_about_strange_names_are_told(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(f'[sources."{STRANGE}"]\nkind = "{STRANGE}"\n', encoding="utf-8")
    assert_told(give(environ, *SYSTEM, "t.toml", "--check", cwd=tmp_path), 2)
    assert_told(give(environ, *SYSTEM, "status", "--data-dir", STRANGE, cwd=tmp_path), 3)
    assert_told(give(environ, *SYSTEM, f"{STRANGE}.toml", cwd=tmp_path), 2)


@poorly
def test_a_path_that_is_no_text_at_all_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    assert_told(give(environ, *SYSTEM, b"\xff\xfe.toml", "--check", cwd=tmp_path), 2)
    assert_told(give(environ, *SYSTEM, "status", "--data-dir", b"\xff\xfe", cwd=tmp_path), 3)


@pytest.mark.parametrize("environ", IN_ASCII.values(), ids=IN_ASCII.keys())
def test_an_ascii_terminal_gets_ascii(environ: dict[str, str], tmp_path: Path) -> None:
    done = give(environ, *SYSTEM, "mcp", "token", "--name", "→")
    assert_told(done, 0)
    assert done.stdout.isascii()


@poorly
def test_the_simulator_tells_its_mistakes_too(environ: dict[str, str]) -> None:
    assert_told(give(environ, *SIMULATOR, "--help"), 0)
    assert_told(give(environ, *SIMULATOR, "--fault", STRANGE, "--mcp", "code"), 2)


@poorly
def test_a_script_prints_what_it_likes(environ: dict[str, str]) -> None:
    script = r"from dataplatform import demo_option; demo_option('\u2192'); print('\u20bf \U0001f680 \udcff shown')"
    done = give(environ, "-c", script)
    assert_told(done, 0)
    assert done.stdout.rstrip().endswith(b"shown")


@poorly
def test_a_table_is_drawn(environ: dict[str, str]) -> None:
    script = (
        "from dataplatform.output import take_any_text; take_any_text()\n"
        "from rich.console import Console; from rich.table import Table\n"
        "table = Table('\\u20bf', title='\\u2192'); table.add_row('\\U0001f680 shown'); Console().print(table)"
    )
    done = give(environ, "-c", script)
    assert_told(done, 0)
    assert b"shown" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("environ", IN_ASCII.values(), ids=IN_ASCII.keys())
def test_a_whole_run_is_logged(environ: dict[str, str], tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path / STRANGE), "--demo")
    assert_told(give(environ, *SYSTEM, *place, "--run-for", "1"), 0)
    assert_told(give(environ, *SYSTEM, "storage", *place), 0)
