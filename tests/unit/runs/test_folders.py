from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from batch_screen.errors import OutputError
from batch_screen.runs import folders
from batch_screen.runs.folders import others_in, refuse_unfit, unfit_folders
from batch_screen.storage.atomic import make_folder

ME = os.geteuid()


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path becomes another user's: only root can do that, so for others it is we who change."""
    if ME == 0:
        os.lchown(path, 12_345, -1)
    else:
        monkeypatch.setattr(folders.os, "geteuid", lambda: ME + 1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    for name in ("runs/20261123-0123456789", "results/run_date=2026-11-23", "elsewhere"):
        make_folder(out / name)
    return out


def test_folders_of_ones_own_are_fit(out: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)  # as /tmp is: nobody else removes or renames anything there
    assert [*unfit_folders(out), *unfit_folders(tmp_path / "missing")] == []
    refuse_unfit([out])


@pytest.mark.parametrize(
    "name", ["", "runs", "runs/20261123-0123456789", "results/run_date=2026-11-23"]
)
def test_a_folder_that_every_user_may_write_to(out: Path, name: str) -> None:
    (out / name).chmod(0o757)
    [found] = unfit_folders(out)
    assert found == (out / name, "can be written by every user", f"chmod go-w {out / name}")
    with pytest.raises(OutputError, match="or take it with --trust-folders") as error:
        refuse_unfit([out, out])
    assert error.value.exit_code == 73


def test_folders_of_another_user(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(out / "runs", monkeypatch)
    found = {each.folder: each for each in unfit_folders(out)}
    assert "belongs to user " in found[out / "runs"].why
    assert "make it your own: chown " in found[out / "runs"].remedy
    assert (out / "elsewhere") not in found


@pytest.mark.skipif(ME != 0, reason="only root gives a link to another user alone")
def test_a_link_of_another_user_counts_whatever_it_leads_to(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (out / "lookups").symlink_to(make_folder(tmp_path / "own"))
    assert [*unfit_folders(out)] == []
    give_away(out / "lookups", monkeypatch)
    assert [each.folder for each in unfit_folders(out)] == [out / "lookups"]


@pytest.mark.parametrize("members", [(), ("me",), ("me", "root"), ("me", "loader")])
def test_a_group_is_private_while_nobody_else_is_in_it(
    out: Path, members: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [
        SimpleNamespace(pw_name="me", pw_uid=ME, pw_gid=1_000),
        SimpleNamespace(pw_name="root", pw_uid=0, pw_gid=0),
    ]
    group = SimpleNamespace(gr_name="loaders", gr_mem=[*members])
    monkeypatch.setattr(folders.pwd, "getpwall", lambda: users)
    monkeypatch.setattr(folders.grp, "getgrgid", lambda _: group)
    monkeypatch.setattr(folders, "_ROOTS", -1)
    out.chmod(0o775)
    found = [each.why for each in unfit_folders(out)]
    assert found == ["can be written by group loaders (loader)"] * ("loader" in members)


def test_a_group_that_the_system_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a volume in Kubernetes, which fsGroup names."""

    def unknown(gid: int) -> None:
        raise KeyError(gid)

    monkeypatch.setattr(folders.grp, "getgrgid", unknown)
    assert others_in(54_321) == ("54321", set())
