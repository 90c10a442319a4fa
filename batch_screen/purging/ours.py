"""Which files are a run's: by their names alone, and through no link.

Whatever else lies beside them is nobody's business here.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from batch_screen.files import translated
from batch_screen.output.parts import DATA_FOLDERS, Layout
from batch_screen.output.validate import is_run_id

STATE_FOLDERS = ("plan", "plan.growing", "journal", "sealed", "starts")
"""What a run's folder in the state folder holds beside files."""

GOING = "_PURGING"
"""What a run's marker is called while its outputs are removed: what is left can go later."""

_STATE_FILES = (
    re.compile(r"(run|previous)\.json"),
    re.compile(
        r"plan(\.growing)?/((rows|known)-\d{5}\.(parquet|whole)|rejects\.parquet|plan\.json)"
    ),
    re.compile(r"journal/\d{5}-\d{5}\.journal"),
    re.compile(r"sealed/\d{5}\.(parquet|seal)"),
    re.compile(r"starts/\d{4,}\.json"),
    re.compile(r"((plan(\.growing)?|journal|sealed|starts)/)?\.(.+\.)?[0-9a-f]{8}\.tmp"),
)
_GROWING = re.compile(r"\.(.+\.)?[0-9a-f]{8}\.tmp")


def run_ids(out: Path | None, state: Path | None) -> list[str]:
    """Every run that has a file in one of the folders, oldest date first."""
    names: set[str] = set()
    for folder in (out, state):
        names |= {path.name for path in entries(folder / "runs")} if folder else set()
    for table in DATA_FOLDERS if out else ():
        for day in entries(out / table) if out else ():
            names |= {path.name.rpartition("-")[0] for path in entries(day)}
    return sorted(name for name in names if is_run_id(name))


def outputs(layout: Layout) -> tuple[list[Path], list[str]]:
    """The run's files below the output folder, and the names of others in its own folder."""
    days = [layout.part(table, 0).parent for table in DATA_FOLDERS]
    parts = [path for day in days for path in entries(day) if _is_part(layout, path)]
    known = {*layout.reports, layout.in_order, layout.manifest, layout.marker, layout.run / GOING}
    own, strangers = [], []
    for path in entries(layout.run):
        if _is_file(path) and (path in known or _GROWING.fullmatch(path.name)):
            own.append(path)
        else:
            strangers.append(f"runs/{layout.run_id}/{path.name}")
    return [*parts, *own], strangers


def _is_part(layout: Layout, path: Path) -> bool:
    return _is_file(path) and bool(
        re.fullmatch(rf"{re.escape(layout.run_id)}-\d{{5}}\.parquet", path.name)
    )


def state_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a run's state, and the names of whatever else lies in its folder."""
    own, strangers = [], []
    for path in _below(folder):
        name = str(path.relative_to(folder))
        if _is_file(path) and any(pattern.fullmatch(name) for pattern in _STATE_FILES):
            own.append(path)
        elif not (is_folder(path) and name in STATE_FOLDERS):
            strangers.append(f"{folder.name}/{name}")
    return own, strangers


def _below(folder: Path) -> Iterator[Path]:
    for path in entries(folder):
        yield path
        if path.name in STATE_FOLDERS:
            yield from entries(path)


def entries(folder: Path) -> Iterable[Path]:
    """What lies in the folder; nothing, where it is none or a link to one."""
    if not is_folder(folder):
        return ()
    with translated("read", folder):
        return sorted(folder.iterdir())


def is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)
