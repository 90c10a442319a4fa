from __future__ import annotations

import json
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from types import SimpleNamespace

import pytest

from batch_screen.config.sections import Api
from batch_screen.config.settings import Pacing, Settings
from batch_screen.diagnostics import place
from batch_screen.diagnostics.findings import Finding, Health
from batch_screen.diagnostics.place import (
    disk_findings,
    folder_findings,
    group_finding,
    key_findings,
    lock_finding,
    needed_bytes,
    open_files,
)
from batch_screen.runs import folders
from batch_screen.storage.atomic import make_folder
from batch_screen.storage.lock import locked

KEY = "s3cret-api-key"


def key_finding(key_file: Path | str = "", **environment: str) -> Finding:
    [found] = key_findings(Settings(api=Api(key_file=str(key_file))), environment)
    assert KEY not in repr(found)
    return found


def test_the_key_is_found_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    assert (key_finding(file).health, key_finding(file).seen) == (
        Health.OK,
        f"found in the key file {file}, mode 0600",
    )
    file.chmod(0o640)
    assert key_finding(file).health is Health.WARNING
    assert key_finding(file).remedy == f"chmod 600 {file}"
    assert key_finding(BATCH_SCREEN_API_KEY=KEY).health is Health.OK
    assert key_finding(CREDENTIALS_DIRECTORY=str(tmp_path)).exit_code == 77
    (tmp_path / "batch-screen-api-key").write_text(KEY)
    assert "systemd credential" in key_finding(CREDENTIALS_DIRECTORY=str(tmp_path)).seen


def test_a_key_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    monkeypatch.setattr(place.os, "geteuid", lambda: os.getuid() + 1)
    owner = SimpleNamespace(st_mode=0o600, st_uid=os.getuid() + 2)
    monkeypatch.setattr(place.Path, "stat", lambda _self, **_: owner)
    assert "belongs to another user" in key_finding(file).seen


@pytest.mark.parametrize(
    ("owner", "user", "mode", "remedy"),
    [
        (0, 10001, 0o440, ""),  # a Kubernetes secret with fsGroup
        (0, 10001, 0o640, ""),
        (0, 10001, 0o400, ""),  # by an ACL
        (0, 10001, 0o444, "chmod 600"),
        (0, 10001, 0o460, "chmod 600"),
        (0, 0, 0o440, "chmod 600"),
        (10001, 10001, 0o440, "chmod 600"),
        (10002, 10001, 0o440, "chmod 600"),
    ],
)
def test_a_key_that_root_lends(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    owner: int,
    user: int,
    mode: int,
    remedy: str,
) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    monkeypatch.setattr(place.os, "geteuid", lambda: user)
    found = SimpleNamespace(st_mode=0o100000 | mode, st_uid=owner)
    monkeypatch.setattr(place.Path, "stat", lambda _self, **_: found)
    finding = key_finding(file)
    assert finding.health is (Health.WARNING if remedy else Health.OK)
    assert finding.remedy.startswith(remedy)
    assert f"mode {mode:04o}" in finding.seen


def test_a_key_that_is_open_and_only_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no chmod on what a Kubernetes secret is mounted as."""
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    mounted = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(place.os, "statvfs", lambda _: mounted)
    assert key_finding(file).health is Health.WARNING
    assert key_finding(file).remedy.startswith("mount it with mode 0440 (Kubernetes")


@pytest.mark.parametrize("content", [None, b"", b"two words"])
def test_no_key(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    found = key_finding(file)
    assert (found.health, found.exit_code) == (Health.FAILED, 77)
    assert found.remedy
    assert "--sandbox" in key_finding().remedy


@pytest.mark.parametrize(
    ("hard", "health"),
    [(100, Health.WARNING), (10_000, Health.OK), (resource.RLIM_INFINITY, Health.OK)],
)
def test_open_files(hard: int, health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.resource, "getrlimit", lambda _: (50, hard))
    assert open_files(Settings(pacing=Pacing(max_concurrency=256))).health is health


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def two_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """This user, and a loader who is in this user's group."""
    me, mine = os.geteuid(), os.getegid()
    users = [SimpleNamespace(pw_name="me", pw_uid=me, pw_gid=mine)]
    group = SimpleNamespace(gr_name="loaders", gr_mem=["me", "loader"])
    monkeypatch.setattr(folders.pwd, "getpwall", lambda: users)
    monkeypatch.setattr(folders.grp, "getgrgid", lambda _: group)


@pytest.mark.usefixtures("two_users")
@pytest.mark.parametrize("name", ["", "not/made/yet"])
def test_the_users_that_read_by_the_group(open_folder: Path, name: str) -> None:
    found = group_finding(open_folder / name)
    assert (found.health, found.seen) == (Health.OK, "a loader reads it by group loaders: loader")


@pytest.mark.usefixtures("two_users")
def test_a_folder_above_that_keeps_the_group_out(open_folder: Path) -> None:
    out = open_folder / "a" / "out"
    out.mkdir(parents=True)
    out.parent.chmod(0o700)
    found = group_finding(out)
    assert found.health is Health.WARNING
    assert f"{out.parent}, mode 0700, lets that group not pass" in found.seen
    assert found.remedy.startswith(f"chmod o+x {out.parent}")


def test_a_group_of_nobody_else(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(gid: int) -> None:
        raise KeyError(gid)

    monkeypatch.setattr(folders.pwd, "getpwall", list)
    monkeypatch.setattr(folders.grp, "getgrgid", unknown)
    found = group_finding(open_folder)
    assert found.health is Health.WARNING
    assert (
        found.seen == f"a loader reads it by group {os.getegid()}, in which no other user is known"
    )
    assert "chgrp GROUP" in found.remedy


def test_folders(tmp_path: Path) -> None:
    assert folder_findings("output", tmp_path / "a" / "b", is_private=False).seen.endswith(
        "can be made"
    )
    assert list(tmp_path.iterdir()) == []
    state = make_folder(tmp_path / "state")
    assert folder_findings("state", state, is_private=True).health is Health.OK
    state.chmod(0o755)
    found = folder_findings("state", state, is_private=True)
    assert (found.health, found.remedy.split(":")[0]) == (Health.WARNING, f"chmod 700 {state}")
    assert folder_findings("output", state, is_private=False).health is Health.OK
    (tmp_path / "file").touch()
    assert folder_findings("output", tmp_path / "file", is_private=False).exit_code == 73
    assert folder_findings("output", tmp_path / "file" / "x", is_private=False).exit_code == 73


def test_the_lock(tmp_path: Path) -> None:
    assert lock_finding(tmp_path / "no").health is Health.OK
    with locked(tmp_path):
        held = lock_finding(tmp_path)
        assert (held.health, held.exit_code) == (Health.FAILED, 75)
        assert f"process {os.getpid()} on {gethostname()}" in held.seen
    for host, health in ((gethostname(), Health.OK), ("elsewhere", Health.WARNING)):
        told = {"pid": 2**22 + 1, "since": "2026-11-23", "host": host}
        (tmp_path / "holder.json").write_text(json.dumps(told))
        assert lock_finding(tmp_path).health is health


@pytest.fixture
def ten_gib_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 << 30))


@pytest.mark.usefixtures("ten_gib_free")
def test_the_disk(tmp_path: Path) -> None:
    folders = {"output": tmp_path / "out", "state": tmp_path / "out" / ".state"}
    [unknown] = disk_findings(folders, None, 1)  # both lie on one disk
    assert (unknown.name, unknown.health) == ("disk of output", Health.OK)
    [enough] = disk_findings(folders, 1_000_000, 1)
    assert enough.health is Health.OK
    [short] = disk_findings(folders, 10_000_000, 5)
    assert (short.health, short.exit_code) == (Health.FAILED, 73)
    assert "10.0 GiB free" in short.seen
    assert needed_bytes(2_000, 5) > needed_bytes(2_000, 1) > needed_bytes(1_000, 1)


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    [found] = disk_findings({"output": tmp_path}, None, 1)
    assert found.health is Health.WARNING
