"""Checks of this machine: key file, open files, folders, lock, and disk space."""

from __future__ import annotations

import os
import resource
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from batch_screen.config.key import KEY_VARIABLE, find_key, read_key, read_keys
from batch_screen.config.settings import Settings
from batch_screen.diagnostics.findings import Finding, failed, of_error, passed, warning
from batch_screen.errors import AuthenticationError, BatchScreenError, OutputError, RunLockedError
from batch_screen.runs.folders import others_in, unfit_folders
from batch_screen.storage.atomic import check_could_write
from batch_screen.storage.lock import holder_of

_OTHERS = 0o077
_GROUP_WRITES_OR_OTHERS = 0o027
_BESIDE = 64
"""Files open beside connections: the journal's, the plan's, libraries."""
_BYTES_A_ROW, _BYTES_A_LOOKUP = 120, 250
"""On disk in plan, state and outputs; above what was measured, to allow for kept columns."""
_BYTES_OF_JOURNALS = 1 << 28
_GIB = 1 << 30


def key_findings(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Where the key is found, and who else could read it; never the key itself."""
    place = find_key(settings.api.key_file, environment)
    if place is None:
        remedy = (
            f"name a file with --api-key-file, or set {KEY_VARIABLE}_FILE or {KEY_VARIABLE}; to "
            "try without an account, use --sandbox"
        )
        yield failed("key", "none is found", remedy, AuthenticationError.default_exit_code)
        return
    try:
        read_key(settings.api.key_file, environment)
    except AuthenticationError as error:
        yield of_error("key", error)
        return
    if place.file is None:
        yield passed("key", f"found in {place.name}")
        return
    try:
        found = place.file.stat()
    except OSError:  # a pipe that was read
        yield passed("key", f"found in {place.name}")
        return
    yield _key_file(place.name, place.file, found)


def region_key_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the keys of regions can be read; never the keys themselves."""
    for region, file in settings.api.keys_by_region.items():
        try:
            read_keys({region: file})
        except AuthenticationError as error:
            yield of_error(f"key of {region}", error)
        else:
            yield passed(f"key of {region}", f"found in the key file {file}")


def _key_file(name: str, file: Path, found: os.stat_result) -> Finding:
    """Checks who else could read the key in this file."""
    mode = found.st_mode & 0o777
    # Only root could change it, and it is read by way of its group or an ACL: a Kubernetes secret
    # with fsGroup, a systemd credential. There, chmod is not ours.
    if found.st_uid == 0 != os.geteuid() and not mode & _GROUP_WRITES_OR_OTHERS:
        seen = f"found in {name}, mode {mode:04o}: root's file, which this user may read"
        return passed("key", seen)
    if mode & _OTHERS:
        seen = f"found in {name}, whose mode {mode:04o} lets other users in"
        remedy = f"chmod 600 {file}"
        if os.statvfs(file).f_flag & os.ST_RDONLY:  # only mounted: nothing can be changed here
            remedy = "mount it with mode 0440 (Kubernetes: defaultMode of the secret's volume)"
        return warning("key", seen, remedy)
    if found.st_uid not in (os.geteuid(), 0):
        seen = f"found in {name}, which belongs to another user"
        return warning("key", seen, f"make it your own: chown {os.geteuid()} {file}")
    return passed("key", f"found in {name}, mode {mode:04o}")


def open_files(settings: Settings) -> Finding:
    """Whether the process may open enough files for the concurrency."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.pacing.max_concurrency
    if hard == resource.RLIM_INFINITY or hard >= wanted + _BESIDE:
        limit = "any number" if hard == resource.RLIM_INFINITY else f"{hard:,}"
        return passed("open files", f"{limit} permitted, for {wanted:,} requests at once")
    seen = f"{hard:,} permitted: fewer than {wanted:,} requests at once"
    return warning("open files", seen, "raise the limit (ulimit -n), or lower max_concurrency")


def folder_findings(
    name: str, folder: Path, *, is_private: bool, is_trusted: bool = False
) -> Finding:
    """Whether the folder can be written or created, and is closed to other users."""
    try:
        check_could_write(folder)
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is not a folder; name another one")
    except BatchScreenError as error:
        return of_error(name, error)
    if not folder.is_dir():
        return passed(name, f"{folder} can be made")
    if unfit := [*unfit_folders(folder)]:
        seen = "; ".join(f"{each.folder} {each.why}" for each in unfit)
        if is_trusted:
            return warning(name, f"{seen}: trusted by output.trust_folders", unfit[0].remedy)
        remedy = f"{unfit[0].remedy}, or take it as it is with --trust-folders"
        return failed(name, seen, remedy, OutputError.default_exit_code)
    mode = folder.stat().st_mode & 0o777
    if is_private and mode & _OTHERS:
        seen = f"{folder}, whose mode {mode:04o} lets other users in"
        return warning(name, seen, f"chmod 700 {folder}: it holds phone numbers")
    return passed(name, f"{folder} can be written")


def group_finding(folder: Path) -> Finding:
    """Which users read the output by its group, and whether a folder above it keeps them out."""
    whole = folder.resolve()
    there = next(path for path in (whole, *whole.parents) if path.exists())
    found = there.stat()
    # What is made takes the group of a folder with setgid, else that of the process.
    is_inherited = there == whole or found.st_mode & stat.S_ISGID
    gid = found.st_gid if is_inherited else os.getegid()
    name, users = others_in(gid)
    seen = f"a loader reads it by group {name}"
    for above in reversed([path for path in whole.parents if path.exists()]):
        mode = above.stat().st_mode
        if not mode & (stat.S_IXGRP if above.stat().st_gid == gid else stat.S_IXOTH):
            closed = f"{seen}, and {above}, mode {mode & 0o777:04o}, lets that group not pass"
            return warning("group", closed, f"chmod o+x {above}, or put the output elsewhere")
    if not users:
        remedy = f"add the loader to it, or give {folder} another group: chgrp GROUP {folder}"
        return warning("group", f"{seen}, in which no other user is known", remedy)
    return passed("group", f"{seen}: {', '.join(sorted(users)[:5])}")


def lock_finding(state: Path) -> Finding:
    """Whether a run could start now; takes no lock."""
    holder = holder_of(state)
    if holder is None:
        return passed("lock", "free")
    if holder.is_alive is False:
        return passed("lock", f"free: process {holder.pid}, which held it, has ended")
    seen = f"held by process {holder.pid} on {holder.host}, since {holder.since}"
    remedy = "wait for it to end; batch-screen status says how far it is"
    if holder.is_alive is None:  # only its own machine knows
        return warning("lock", seen, f"if it has ended, start; else {remedy}")
    return failed("lock", seen, remedy, RunLockedError.default_exit_code)


def disk_findings(
    folders: Mapping[str, Path], rows: int | None, endpoints: int, copied: int | None = None
) -> Iterator[Finding]:
    """Whether the disk has room for a run over so many rows; None: unknown.

    ``copied`` bytes of lists are not on it yet.
    """
    needed = copied if rows is None else needed_bytes(rows, endpoints)
    what = "needed" if copied is None else "needed for a copy of the list alone"
    seen_devices: set[int] = set()
    for name, folder in folders.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        # Folders on one disk share its room: it is said once, under the first of them.
        device = there.stat().st_dev
        if device not in seen_devices:
            seen_devices.add(device)
            yield _disk(f"disk of {name}", shutil.disk_usage(there).free, needed, what)


def needed_bytes(rows: int, endpoints: int) -> int:
    """The disk space that a run needs, for state and outputs, with a margin.

    >>> needed_bytes(1_000_000, 1) >> 20
    608
    """
    return rows * (_BYTES_A_ROW + _BYTES_A_LOOKUP * endpoints) + _BYTES_OF_JOURNALS


def _disk(name: str, free: int, needed: int | None, what: str) -> Finding:
    seen = f"{free / _GIB:,.1f} GiB free"
    if needed is None:
        if free < _GIB:
            return warning(name, seen, "free space, or name INPUT to compare with what it needs")
        return passed(name, f"{seen}; name INPUT to compare with what it needs")
    seen += f", about {needed / _GIB:,.1f} GiB {what}"
    if free < needed:
        remedy = "free space, or name folders on another disk with --out and --state-dir"
        return failed(name, seen, remedy, OutputError.default_exit_code)
    return passed(name, seen)
