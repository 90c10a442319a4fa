"""Finds a run in what was named: an output folder, or a run's own folder in it."""

from __future__ import annotations

from pathlib import Path

from batch_screen.errors import InputError
from batch_screen.exit_codes import ExitCode
from batch_screen.output.parts import Layout
from batch_screen.output.validate import is_run_id, latest_run, layout_of_run


def located(folder: Path, run_id: str | None = None) -> Layout:
    """The run that is named, or the one latest.json names.

    ``folder`` is an output folder, or a run's own in it (``OUT/runs/<run_id>``). Raises
    ``InputError`` where there is no such folder or run.
    """
    out, own = place(folder)
    return layout_of_run(out, _known(out, own if run_id is None else run_id))


def place(folder: Path) -> tuple[Path, str | None]:
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
