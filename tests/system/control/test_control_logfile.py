"""The log of a platform at whose terminal a person types."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplatform.system.console import logs as logfile
from dataplatform.system.console.logs import LogFile


def test_lines_are_added_to_a_file_for_its_owner_only(tmp_path: Path) -> None:
    for line in ("one\n", "two\n"):
        log = LogFile.open(tmp_path / "new" / "data")
        log.write(line)
        log.close()
    assert log.path.read_text(encoding="utf-8") == "one\ntwo\n"
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_has_grown_too_large_makes_room_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MOST", 10)
    log = LogFile.open(tmp_path)
    for line in ("first\n", "second\n", "third\n"):
        log.write(line)
    log.close()
    files = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert files == {"platform.log": "third\n", "platform.log.1": "second\n"}
