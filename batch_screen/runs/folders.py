"""Which folders of output and state are fit to be used: those where nobody else may write.

Who can write there can plant answers that nobody gave, and links by which a purge would remove
something elsewhere.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from batch_screen.errors import OutputError
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.storage.atomic import translated

ASIDE = "purging"
"""Subfolder of the state folder: states being removed, also those a crash has left."""

_ROOTS = 0
"""The group of administrators, who may write anywhere."""
_INNER = ("runs", *DATA_FOLDERS, ASIDE)


class Unfit(NamedTuple):
    """A folder where somebody else may write, and what to do about it."""

    folder: Path
    why: str
    remedy: str


def unfit_folders(top: Path) -> Iterator[Unfit]:
    """Those of another user, or writable by others: the folder, and in it those of runs and tables.

    Root is nobody else, and a group is private while the system knows no other user in it: with a
    umask of 002, as many systems have it, every folder is writable by its user's own group.
    """
    for folder in (top, *_inner(top)):
        with suppress(OSError):  # one that is missing is made, and others name what cannot be read
            found = folder.stat()
            # Who owns a link can have it lead elsewhere.
            for owner in {folder.lstat().st_uid, found.st_uid} - {os.geteuid(), 0}:
                why = f"belongs to user {_user(owner)}"
                yield Unfit(folder, why, f"make it your own: chown {os.geteuid()} {folder}")
                break
            else:
                if who := _writers(found):
                    yield Unfit(folder, f"can be written by {who}", f"chmod go-w {folder}")


def refuse_unfit(tops: Iterable[Path]) -> None:
    """Raises ``OutputError`` over the first folder where somebody else may write."""
    found = (unfit for top in dict.fromkeys(tops) for unfit in unfit_folders(top))
    if unfit := next(found, None):
        raise OutputError(
            f"{unfit.folder} {unfit.why}, who could change anything there; name another folder, "
            f"or, if what lies there is yours, {unfit.remedy}, or take it with --trust-folders"
        )


def refuse_links(out: Path | None, state: Path, *, is_deep: bool = False) -> None:
    """Raises ``OutputError`` over a link among the folders that hold what is to be removed.

    Those of runs and tables, and a state in the output folder; ``is_deep``: and what lies in them.
    The output folder, and a state elsewhere, are as they were named.
    """
    tops = [state] if out is None else [out, state]
    for folder in (folder for top in tops for folder in _inner(top)):
        if is_deep or folder.parent in tops:
            refuse_link(folder)
    if state.parent == out:
        refuse_link(state)


def refuse_link(path: Path) -> None:
    """Raises ``OutputError`` over a link: what it leads to may be anybody's."""
    if path.is_symlink():
        raise OutputError(
            f"{path} is a link, and nothing is removed or written anew where a link leads to; "
            "nothing was changed: put what it leads to in its place"
        )


def others_in(gid: int) -> tuple[str, set[str]]:
    """A group's name, and which other users but root the system knows in it."""
    users = pwd.getpwall()
    names = {user.pw_name for user in users if user.pw_gid == gid}
    try:
        name, names = grp.getgrgid(gid).gr_name, names | {*grp.getgrgid(gid).gr_mem}
    except KeyError:  # of a directory that does not answer, or of another machine
        name = str(gid)
    return name, names - {user.pw_name for user in users if user.pw_uid in (os.geteuid(), 0)}


def _inner(top: Path) -> Iterator[Path]:
    """The folders of runs and tables, and what lies in them: runs, and the days of a table."""
    for folder in (top / name for name in _INNER):
        if folder.is_dir():
            yield folder
            with translated("read", folder), os.scandir(folder) as entries:
                inner = [Path(entry) for entry in entries if entry.is_dir()]
            yield from inner


def _writers(found: os.stat_result) -> str:
    """Who else may write to a folder of this mode."""
    if found.st_mode & stat.S_IWOTH:
        return "every user"
    if not found.st_mode & stat.S_IWGRP or found.st_gid == _ROOTS:
        return ""
    name, others = others_in(found.st_gid)
    return f"group {name} ({', '.join(sorted(others)[:3])})" if others else ""


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
