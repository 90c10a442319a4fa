"""Validate: re-reads what a run left behind and says whether it is whole.

Writes nothing, needs no state and no key: a copy of the output folder elsewhere will do.
"""

from __future__ import annotations

from pathlib import Path

from batch_screen.errors import InputError
from batch_screen.exit_codes import ExitCode
from batch_screen.output.findings import Check, Validation
from batch_screen.output.parts import Layout
from batch_screen.output.recount import Recount
from batch_screen.output.schemas import schema_check
from batch_screen.output.sums import sums_checks
from batch_screen.output.validate import (
    Manifest,
    files_check,
    is_run_id,
    latest_check,
    latest_run,
    layout_of_run,
    manifest_check,
    marker_check,
    own_files,
    private_check,
    read_manifest,
    strangers_check,
)
from batch_screen.plan import MAX_SHARDS, shard_of
from batch_screen.schema import SCHEMA_VERSION
from batch_screen.watch import Watch


def validate(
    folder: Path | str, run_id: str | None = None, watch: Watch | None = None
) -> Validation:
    """Every check of one run: the one named, or the one latest.json names.

    ``folder`` is an output folder, or a run's own in it (``OUT/runs/<run_id>``). Raises
    ``InputError`` where there is no such folder or run; whatever differs is no exception.
    """
    out, own = _place(Path(folder))
    layout = layout_of_run(out, _known(out, own if run_id is None else run_id))
    checks = tuple(_checks(layout, watch or Watch()))
    return Validation(layout.run_id, str(layout.folder), checks)


def runs_in(folder: Path | str) -> list[str]:
    """Every run that began to write into the output folder, oldest date first.

    Raises ``InputError`` if there is none.
    """
    out, own = _place(Path(folder))
    found = sorted(path.name for path in (out / "runs").glob("*") if is_run_id(path.name))
    if not found:
        raise InputError(
            f"{folder}: no run has written there; check the path", exit_code=ExitCode.NO_INPUT
        )
    return [own] if own else found


def _place(folder: Path) -> tuple[Path, str | None]:
    """The output folder, and the run if it was a run's folder."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder; check the path", exit_code=ExitCode.NO_INPUT
        )
    whole = folder.resolve()  # "." may be a run's folder
    if whole.parent.name == "runs" and is_run_id(whole.name):
        return whole.parent.parent, whole.name
    return folder, None


def _known(out: Path, run_id: str | None) -> str:
    if run_id is None:
        return _latest(out)
    if is_run_id(run_id) and (out / "runs" / run_id).is_dir():
        return run_id
    raise InputError(
        f"{out}: there is no run {run_id}; ls {out}/runs shows its runs",
        exit_code=ExitCode.NO_INPUT,
    )


def _latest(out: Path) -> str:
    run_id = latest_run(out)
    if run_id is not None and (out / "runs" / run_id).is_dir():
        return run_id
    if run_id is not None or (out / "latest.json").exists():
        raise InputError(
            f"{out}/latest.json is damaged or names a run that is not there; name a run with "
            "--run, or take --all"
        )
    raise InputError(
        f"{out}: no latest.json, so no run was completed there; check the path, or name a run with "
        "--run",
        exit_code=ExitCode.NO_INPUT,
    )


def _checks(layout: Layout, watch: Watch) -> list[Check]:
    checks = [marker_check(layout)]
    if not layout.marker.exists():  # nothing is promised of a run that did not come to its end
        return checks
    manifest = read_manifest(layout)
    checks += [latest_check(layout), manifest_check(layout, manifest)]
    if manifest is None or manifest.schema_version != SCHEMA_VERSION:
        return checks
    return [*checks, *_listed_checks(layout, manifest, watch)]


def _listed_checks(layout: Layout, manifest: Manifest, watch: Watch) -> list[Check]:
    """What can be said only where a manifest says what there should be."""
    progress = watch.progress
    listed = own_files(layout, manifest)
    progress.stage("hashing", total=len(listed))
    files, intact = files_check(layout, listed, lambda: progress.advance(1))
    schema, usable = schema_check(layout, [file for file in intact if file.table is not None])
    recounted = Recount(layout, listed)
    progress.stage("comparing", total=recounted.parts)
    for _ in recounted.read(usable, shard_of, MAX_SHARDS):
        progress.advance(1)
    return [
        files,
        strangers_check(layout, manifest),
        private_check(layout, manifest),
        schema,
        *recounted.checks,
        *sums_checks(layout, recounted),
    ]
