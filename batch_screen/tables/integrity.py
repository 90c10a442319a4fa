"""Checks a run's files against its manifest: marker, latest.json, bytes, foreign files, modes.

Knows names and bytes only; what the tables hold is the business of ``verify``.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from batch_screen.config.sections import Mode
from batch_screen.errors import InputError, OutputError, RunLockedError
from batch_screen.masking import safe_text
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import (
    DATA_FOLDERS,
    PART,
    TABLES,
    Layout,
    latest_run,
    layout_of_run,
    number_of,
)
from batch_screen.schema import READ_VERSIONS, SCHEMA_VERSION
from batch_screen.storage.atomic import sha256_of
from batch_screen.storage.lock import shared
from batch_screen.storage.reading import MOST_BYTES, open_regular, read_bytes, refuse_odd
from batch_screen.tables.manifest import (
    ListedFile,
    Manifest,
    latest_content,
    marker_content,
    read_manifest,
)
from batch_screen.tables.reader import DamagedPartError, height

# What a validation found: its checks by name, and the differences each of them came across.


class Difference(msgspec.Struct, frozen=True):
    """A difference, and the file or folder where it was found."""

    where: str
    what: str


class VerifyCheck(msgspec.Struct, frozen=True):
    """One check of a run, over ``examined`` things.

    ``unchecked`` says why the claim could not be held against all of them; empty if it could.
    ``waived``: the caller did not want it made.
    """

    name: str
    claim: str
    examined: int
    differences: tuple[Difference, ...] = ()
    remedy: str = ""
    unchecked: str = ""
    waived: bool = False

    @property
    def is_ok(self) -> bool:
        """Whether no difference was found, and the check was made in full unless it was waived."""
        return not self.differences and (self.waived or not self.unchecked)


class Validation(msgspec.Struct, frozen=True):
    """A verified run: every check in the order it was made."""

    run_id: str
    folder: str
    checks: tuple[VerifyCheck, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every check was made and none found a difference."""
        return all(check.is_ok for check in self.checks)

    @property
    def differences(self) -> int:
        return sum(len(check.differences) for check in self.checks)


def refuse_differing(layout: Layout, *checks: VerifyCheck) -> None:
    """Raises ``InputError`` with the first difference that the checks found."""
    for check in checks:
        for difference in check.differences:
            raise InputError(
                f"run {layout.run_id} is not what was written, {difference.where}: "
                f"{difference.what}; batch-screen validate {layout.run} says all that differs and "
                "what to do"
            )


def whole_manifest(layout: Layout) -> Manifest:
    """The run's manifest. Raises ``InputError`` where it or its marker is not what was written."""
    manifest = read_manifest(layout)
    refuse_differing(layout, marker_check(layout), manifest_check(layout, manifest))
    return cast("Manifest", manifest)  # the check finds one that cannot be read


def refuse_changed(
    layout: Layout, listed: Sequence[ListedFile], events: RunEvents | None = None
) -> None:
    """Hashes the files, a stage of its own. Raises ``InputError`` over one that differs."""
    events = events or RunEvents()
    events.progress.stage("hashing", total=len(listed))
    refuse_differing(layout, files_check(layout, listed, partial(events.advance, 1))[0])


@contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Locks a complete run until the block ends, so that purge leaves it alone.

    Raises ``RunLockedError`` where it is being removed, or was, since somebody saw it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(shared(layout.manifest, f"run {layout.run_id}"))
        except OutputError:
            if layout.is_marked:  # else it is gone, which is no fault of the disk's
                refuse_differing(layout, marker_check(layout))
                raise
        if not layout.is_marked:
            raise RunLockedError(
                f"run {layout.run_id} was removed, or is being written anew; start again"
            )
        yield


PRIVATE = "private"
"""The check of file modes; it does not look at content."""
_OTHERS = 0o077
_OTHERS_AND_WRITERS = 0o027
_MARKER_SIZE = 4096


def rewrite(layout: Layout) -> str:
    """The remedy for damaged files of a run."""
    manifest = read_manifest(layout)
    if manifest and manifest.erased:  # its state went with the people
        at = manifest.erased[-1].at
        return (
            f"restore them from a copy made after {at:%Y-%m-%d %H:%M} UTC, when people were erased "
            "from the run: an earlier one would bring them back"
        )
    return (
        f"restore them from a copy; or, if the run's state is kept, delete {_name(layout.marker)} "
        "and start the command that batch-screen status then names: it writes all files anew and "
        "asks nothing"
    )


def marker_check(layout: Layout) -> VerifyCheck:
    """The marker is there and holds the manifest's SHA-256."""
    claim = "_SUCCESS holds the manifest's SHA-256"
    remedy = rewrite(layout)
    if not layout.is_marked:
        remedy = "if its state is kept, batch-screen status names the command that resumes it"
    return VerifyCheck("marker", claim, 1, tuple(_marker_differences(layout)), remedy)


def _marker_differences(layout: Layout) -> Iterator[Difference]:
    where = _name(layout.marker)
    if not layout.is_marked:
        yield Difference(
            where,
            "none: the run was stopped before its end or is going on; nothing else was checked",
        )
        return
    try:
        # Whatever lies there instead of a marker may be large.
        with open_regular(layout.marker) as file:
            found = file.read(_MARKER_SIZE)
        expected = marker_content(sha256_of(layout.manifest, MOST_BYTES))
    except OSError as error:
        yield Difference(where, f"cannot be compared with manifest.json: {_reason(error)}")
        return
    if found != expected:
        yield Difference(where, "it is not the SHA-256 of manifest.json")


def latest_check(layout: Layout) -> VerifyCheck:
    """latest.json names a complete run, this one or another, and that run's manifest."""
    run_id, faults = latest_run(layout.folder), []
    if run_id is None:
        faults.append("it is missing or names no run")
    else:
        named = layout_of_run(layout.folder, run_id)
        # The marker first: without it there may be no manifest to take a digest of.
        if any(_marker_differences(named)):
            faults.append(f"the run it names, {run_id}, is not complete")
        elif read_bytes(named.latest) not in _latest_contents(named):
            faults.append(f"it differs from what run {run_id} wrote there")
    return VerifyCheck(
        "latest",
        "latest.json agrees with the run it names",
        1,
        tuple(Difference("latest.json", fault) for fault in faults),
        "load runs by their own folders; the next run that completes writes latest.json anew",
    )


def _latest_contents(layout: Layout) -> Iterator[bytes]:
    """What latest.json may hold of a run; where it is written anew, either of its writings."""
    for manifest in (layout.manifest, layout.growing / layout.manifest.name):
        with suppress(OSError):  # none, or no file of ours, which another check says
            yield latest_content(layout, sha256_of(manifest, MOST_BYTES))


def manifest_check(layout: Layout, manifest: Manifest | None) -> VerifyCheck:
    """The manifest belongs to this run and lists each of its files once."""
    listed = manifest.files if manifest else ()
    differences = tuple(
        Difference(_name(layout.manifest), what) for what in _manifest_faults(layout, manifest)
    )
    claim = "files listed, each once, at this run's paths"
    return VerifyCheck("manifest", claim, len(listed), differences, rewrite(layout))


def _manifest_faults(layout: Layout, manifest: Manifest | None) -> Iterator[str]:
    if manifest is None:
        yield "it is missing or cannot be read"
        return
    if (manifest.run_id, manifest.run_date) != (layout.run_id, layout.run_date):
        yield f"it names another run or date than {layout.run_id}"
    if manifest.schema_version not in READ_VERSIONS:
        yield (
            f"schema version {manifest.schema_version}, but this batch-screen knows "
            f"{', '.join(map(str, READ_VERSIONS))}: validate with the version that wrote the run"
        )
    if manifest.shards < 1:
        yield "it does not say into how many shards the numbers were partitioned"
    paths = [file.path for file in manifest.files]
    yield from (
        f"{safe_text(path)} is listed twice"
        for path in sorted({p for p in paths if paths.count(p) > 1})
    )
    yield from (
        f"{safe_text(f.path)!r} is no file of this run"
        for f in manifest.files
        if not _is_ours(layout, f)
    )
    # Of a table's parts only the first is always there; before version 5 changes could have none.
    tables = DATA_FOLDERS if manifest.schema_version >= SCHEMA_VERSION else TABLES
    numbers = {(file.table, part_number(file)) for file in manifest.files}
    lacking = [layout.part(table, 0) for table in tables if (table, 0) not in numbers]
    for path in (*lacking, *layout.reports):
        if layout.named(path) not in paths:
            yield f"{layout.named(path)} is not listed"


def _is_ours(layout: Layout, file: ListedFile) -> bool:
    if file.table is None:
        # ``reports`` has it only while it exists; that it was lost is for ``files_check`` to say.
        own = {*layout.reports, layout.in_order}
        return file.path in {layout.named(path) for path in own}
    if file.table not in DATA_FOLDERS:
        return False
    folder, _, name = file.path.rpartition("/")
    return folder == layout.named(layout.part(file.table, 0).parent) and layout.is_part(name)


def own_files(layout: Layout, manifest: Manifest) -> list[ListedFile]:
    """The entries in the places of this run's files; no other path is opened."""
    return [file for file in manifest.files if _is_ours(layout, file)]


def part_number(file: ListedFile) -> int | None:
    """The number in a part's name; None for any other name."""
    return number_of(Path(file.path).name)


def run_of_part(name: str) -> str | None:
    """The run whose part has this name; None for any other name."""
    named = PART.fullmatch(name)
    return named["run_id"] if named else None


def files_check(
    layout: Layout, listed: Sequence[ListedFile], on_file: Callable[[], None]
) -> tuple[VerifyCheck, list[ListedFile]]:
    """Every listed file has the manifest's content; returns those files, too."""
    differences: list[Difference] = []
    intact: list[ListedFile] = []
    for file in listed:
        found = [Difference(file.path, what) for what in _file_faults(layout.folder, file)]
        differences += found
        if not found:
            intact.append(file)
        on_file()
    claim = "files have the manifest's bytes, SHA-256 and rows"
    return VerifyCheck("files", claim, len(listed), tuple(differences), rewrite(layout)), intact


def _file_faults(folder: Path, file: ListedFile) -> Iterator[str]:
    path = folder / file.path
    try:
        refuse_odd(path)
        size = path.stat().st_size
        # Of another size it is not read: nobody knows how large it was made.
        digest = sha256_of(path, file.bytes) if size == file.bytes else ""
    except OSError as error:
        yield f"cannot be read: {_reason(error)}"
        return
    # One fault a file, the plainest: the others follow from it.
    if size != file.bytes:
        yield f"{size:,} bytes, {file.bytes:,} in the manifest"
    elif digest != file.sha256:
        yield "its content changed: another SHA-256 than in the manifest"
    elif file.table is not None:
        try:
            rows = height(path)
        except DamagedPartError as error:
            yield f"cannot be read: {error}"
        else:
            if rows != file.rows:
                yield f"{rows:,} rows, {file.rows} in the manifest"


def strangers_check(layout: Layout, manifest: Manifest) -> VerifyCheck:
    """The data folders hold no unlisted file of this run, which readers would load.

    A file whose name is no run's may be a copy of a part, so it counts as well.
    """
    listed = {file.path for file in manifest.files}
    # Where a start was killed that wrote the run anew, or is about to have done so: both writings
    # are there, and one of them is the run's. Who reads by the manifest reads that one.
    other = read_manifest(layout, layout.growing)
    passing = {file.path for file in other.files} - listed if other else set()
    examined, left, differences = 0, 0, []
    for table in DATA_FOLDERS:
        for path in sorted(p for p in (layout.folder / table).rglob("*") if not p.is_dir()):
            examined += 1
            name = path.relative_to(layout.folder)
            if str(name) in passing:
                left += 1
            elif str(name) not in listed and run_of_part(path.name) in (None, layout.run_id):
                differences.append(
                    Difference(safe_text(str(name)), "it is no file of the manifest")
                )
    claim = "files in the data folders, no unlisted one of this run"
    if left:
        claim += f" but {left} of its other writing, which the same command removes"
    remedy = "move it elsewhere: readers of the folder take its rows for rows of a run"
    return VerifyCheck("strangers", claim, examined, tuple(differences), remedy)


def private_check(layout: Layout, manifest: Manifest, *, copied: bool = False) -> VerifyCheck:
    """Files and folders of the run let in whom its mode does; the output folder may be open.

    ``copied`` ones have modes of somebody else's making: then nothing is looked at.
    """
    is_group = manifest.mode == Mode.GROUP
    claim = "files and folders are closed to others"
    if is_group:
        claim = "files and folders are closed to others but their group, which only reads"
    if copied:
        unchecked = "a copy's modes say nothing of the run; look after them yourself"
        return VerifyCheck(PRIVATE, claim, 0, unchecked=unchecked, waived=True)
    files = [layout.folder / file.path for file in own_files(layout, manifest)]
    files += [layout.manifest, layout.marker, layout.latest]
    folders = {parent for file in files for parent in file.parents} - {layout.folder}
    ours = [path for path in (*sorted(folders), *files) if layout.folder in path.parents]
    # Runs share these, and one of the others may have opened them to its group.
    shared = {folder for folder in folders - {layout.run} if _has_setgid(folder)}
    if latest_run(layout.folder) != layout.run_id:
        shared.add(layout.latest)
    differences = tuple(
        Difference(str(path.relative_to(layout.folder)), f"mode {mode:04o} lets other users in")
        for path in ours
        if path.exists()
        and (mode := stat.S_IMODE(path.stat().st_mode))
        & (_OTHERS_AND_WRITERS if is_group or path in shared else _OTHERS)
    )
    whom = "g-w,o=" if is_group else "go="
    remedy = (
        f"chmod -R {whom} on the folders below {safe_text(str(layout.folder))}: they hold personal "
        "data; copy with cp -p or rsync -a, and leave this check out with --copied where a copy "
        "keeps no modes"
    )
    return VerifyCheck(PRIVATE, claim, len(ours), differences, remedy)


def _has_setgid(folder: Path) -> bool:
    return folder.exists() and bool(folder.stat().st_mode & stat.S_ISGID)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _name(path: Path) -> str:
    """A path relative to the output folder."""
    return f"runs/{path.parent.name}/{path.name}"
