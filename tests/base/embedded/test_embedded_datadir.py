from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplatform.base.embedded import DataDirectory
from dataplatform.errors import Permanent
from tests.support.waiting import DEADLINE

HOLD = """
import sys
from pathlib import Path
from dataplatform.base.embedded import DataDirectory
DataDirectory(Path(sys.argv[1])).open()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process
        process.kill()


def test_a_data_directory_is_created_for_its_owner_only(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "a" / "b") as data:
        assert stat.S_IMODE(data.path.stat().st_mode) == 0o700
        assert (data.path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(Permanent) as refused:
        DataDirectory(tmp_path / "data").open()
    assert refused.value.code == "data_dir_in_use"
    assert refused.value.__suppress_context__, "one error, without the kernel's before it"
    assert f"is in use by process {holder.pid}" in refused.value.message
    assert "--data-dir" in refused.value.remedy


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait(DEADLINE)
    with DataDirectory(tmp_path / "data"):
        pass


def test_a_second_holder_in_the_same_process_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path)
    first.open()
    with pytest.raises(Permanent, match="data_dir_in_use"):
        second.open()
    first.close()
    first.close()
    second.open()
    second.close()


def test_opening_twice_keeps_the_one_lock(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path).open().open()
    data.close()
    with DataDirectory(tmp_path):
        pass


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_its_place_is_a_clear_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Permanent, match=r"data_dir_unusable: cannot work in .*file.*--data-dir"):
        DataDirectory(tmp_path / place).open()


@pytest.fixture
def unprivileged(data_dir: Path) -> Iterator[Path]:
    """A folder that this process may not write: root, who may, is somebody else for the moment."""
    if os.geteuid() != 0:
        data_dir.chmod(0o500)
        yield data_dir
        data_dir.chmod(0o700)
        return
    os.seteuid(65_534)
    yield data_dir
    os.seteuid(0)


def test_a_directory_without_the_right_to_write_is_a_clear_error(unprivileged: Path) -> None:
    with pytest.raises(Permanent, match=r"data_dir_unusable: .*Permission denied \(.*lock\)"):
        DataDirectory(unprivileged).open()


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert DataDirectory(Path("data")).postgres == tmp_path.resolve() / "data" / "postgres"


@pytest.mark.parametrize("simulated", [True, False])
def test_a_directory_holds_simulated_data_or_real_ones_and_never_both(tmp_path: Path, *, simulated: bool) -> None:
    with DataDirectory(tmp_path) as data:
        data.keep_apart(simulated=simulated)
        data.keep_apart(simulated=simulated)
        with pytest.raises(Permanent, match="simulated data" if simulated else "real data") as refusal:
            data.keep_apart(simulated=not simulated)
        assert refusal.value.code == "other_data"
        assert "--demo" in refusal.value.remedy
