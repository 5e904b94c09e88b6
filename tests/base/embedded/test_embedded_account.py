"""What root does for the user whom PostgreSQL runs as; the modes are the same whoever asks."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dataplatform.base.embedded.account import Account, server_account
from dataplatform.errors import Permanent
from tests.base.embedded.servers import Inbox

OTHER = Account("other", os.getuid() + 4_242, os.getgid() + 4_242)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_way_to_a_folder_is_opened_for_passing_only_and_logged(data_dir: Path, events: Inbox) -> None:
    (data_dir / "open").mkdir(mode=0o755)
    (data_dir / "open/closed").mkdir(mode=0o700)
    OTHER.let_pass(data_dir / "open/closed/target")
    assert [mode(data_dir), mode(data_dir / "open"), mode(data_dir / "open/closed")] == [0o701, 0o755, 0o701]
    said = events.next(dict)
    assert said["opened"] == f"{data_dir} (was 0700), {data_dir / 'open/closed'} (was 0700)"
    assert said["reason"].startswith("servers never run as root, and their user")
    OTHER.let_pass(data_dir / "open/closed/target")
    assert events.is_empty()


def test_the_right_is_given_where_it_counts(data_dir: Path, events: Inbox) -> None:
    """A member of the folder's group is judged by the group's rights, the owner by the owner's."""
    data_dir.chmod(0o701)
    Account("member", os.getuid() + 1, data_dir.stat().st_gid).let_pass(data_dir / "target")
    assert mode(data_dir) == 0o711
    data_dir.chmod(0o600)
    Account("owner", os.getuid(), 0).let_pass(data_dir / "target")
    assert mode(data_dir) == 0o700


def test_a_package_installed_under_a_strict_umask_can_be_read_and_run_by_others(data_dir: Path, events: Inbox) -> None:
    folder = data_dir / "package"
    folder.mkdir(mode=0o700)
    for name, rights in (("program", 0o700), ("library", 0o600)):
        (folder / name).touch()
        (folder / name).chmod(rights)
    (folder / "link").symlink_to("nowhere")
    OTHER.let_read(folder)
    assert [mode(folder), mode(folder / "program"), mode(folder / "library")] == [0o705, 0o705, 0o604]
    assert events.next(dict)["opened"] == f"{data_dir} (was 0700), 3 files in {folder}"
    assert events.is_empty()


@needs_root
def test_a_folder_changes_hands_with_all_that_is_in_it(data_dir: Path, events: Inbox) -> None:
    (data_dir / "data/base").mkdir(parents=True)
    (data_dir / "data/base/1").touch()
    (data_dir / "outside").touch()
    (data_dir / "data/link").symlink_to(data_dir / "outside")
    OTHER.own(data_dir / "data")
    handed = [data_dir / "data", data_dir / "data/base", data_dir / "data/base/1", data_dir / "data/link"]
    assert {path.lstat().st_uid for path in handed} == {OTHER.uid}
    assert (data_dir / "outside").stat().st_uid == 0
    assert events.next(dict)["event"] == "handed to the server's user"


@needs_root
def test_data_that_belongs_to_an_ordinary_user_is_served_by_that_user(data_dir: Path) -> None:
    os.chown(data_dir, OTHER.uid, OTHER.gid)
    assert server_account(data_dir) == Account(str(OTHER.uid), OTHER.uid, OTHER.gid)


@needs_root
def test_new_data_is_served_by_a_user_who_is_not_root(data_dir: Path) -> None:
    account = server_account(data_dir / "new")
    assert account is not None
    assert account.uid != 0


@needs_root
def test_where_no_user_can_be_made_nobody_serves(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplatform.base.embedded.account.NAME", "surely-not-there")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    account = server_account(data_dir / "new")
    assert account is not None
    assert account.name == "nobody"


def test_an_ordinary_user_runs_its_servers_itself(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert server_account(data_dir) is None


def test_what_the_machine_does_not_permit_is_said_with_a_way_out(
    data_dir: Path, events: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(Permanent, match=r"not_permitted: .*; run the platform as an ordinary user"):
        OTHER.let_pass(data_dir / "target")
