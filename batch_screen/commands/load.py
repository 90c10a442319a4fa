"""Load: complete runs into a warehouse, each once, whole, the oldest completion first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from batch_screen.erasure.journal import note_pending
from batch_screen.errors import ConfigurationError, no_input
from batch_screen.masking import safe_text
from batch_screen.runs.events import RunEvents
from batch_screen.warehouse.address import open_target, parse
from batch_screen.warehouse.runs import RunToLoad, complete_runs, opened
from batch_screen.warehouse.target import (
    SCHEMA,
    LoadedRun,
    LoadOptions,
    Target,
    other_manifest,
)

LOADED, REPLACED, ALREADY = "loaded", "replaced", "already loaded"
ADDED = "missing tables loaded"
WOULD, WOULD_REPLACE = "would be loaded", "would be replaced"
WOULD_ADD = "missing tables would be loaded"


class RunLoad(msgspec.Struct, frozen=True):
    """One run and what became of it: ``state`` is one of the seven above.

    ``rows`` by table. ``makes``: what a dry run found that would be made first.
    """

    run_id: str
    run_date: str
    manifest_sha256: str
    state: str
    rows: Mapping[str, int] = {}
    makes: tuple[str, ...] = ()


class LoadReport(msgspec.Struct, frozen=True):
    """The runs that were new to the warehouse, and how many it ``already`` had."""

    target: str
    schema: str
    dry_run: bool
    already: int
    runs: tuple[RunLoad, ...]


def load(  # noqa: PLR0913 (as the command)
    folders: Sequence[Path | str],
    to: str,
    *,
    run_ids: Sequence[str] = (),
    schema: str = SCHEMA,
    options: LoadOptions | None = None,
    sandbox: bool = False,
    dry_run: bool = False,
    events: RunEvents | None = None,
    on_begin: Callable[[RunToLoad], None] = lambda _: None,
    on_run: Callable[[RunLoad], None] = lambda _: None,
    lock_seconds: float = 30.0,
) -> LoadReport:
    """Loads the complete runs of output folders, or runs' own, that ``to`` does not have yet.

    Of a run that it has without some of the tables in ``options``, those are loaded.
    ``run_ids``: no others. ``on_begin`` is called before a run is looked at, ``on_run`` as soon
    as it is in. Raises ``ConfigurationError`` over the address, a missing driver, and runs of the
    sandbox without ``sandbox``; ``InputError`` over a run that is not what was written;
    ``WarehouseError`` over the warehouse. What was loaded before stays.
    """
    address, options = parse(to), options or LoadOptions()
    found = found_runs([Path(folder) for folder in folders], run_ids)
    refuse_sandbox(found, sandbox=sandbox)
    events = events or RunEvents()
    progress = events.progress
    for out in dict.fromkeys(run.layout.folder for run in found):
        note_pending(out, events)
    creates = options.creates and not dry_run
    done: list[RunLoad] = []
    with open_target(address, schema, creates=creates, lock_seconds=lock_seconds) as target:
        known = target.loaded()
        new = [run for run in found if _missing(run, known, options)]
        if new:
            progress.stage("loading", total=len(new))
        for run in new:
            on_begin(run)
            if dry_run:
                done.append(_looked_at(run, target, options, known, done))
            else:
                done.append(_loaded(run, target, options))
            on_run(done[-1])
            progress.advance(1)
    return LoadReport(address.shown, safe_text(schema), dry_run, len(found) - len(new), tuple(done))


def found_runs(folders: Sequence[Path], run_ids: Sequence[str]) -> list[RunToLoad]:
    """The complete runs of all folders, each once, the oldest completion first."""
    by_id: dict[str, RunToLoad] = {}
    for folder in folders:
        for run in complete_runs(folder, run_ids):
            by_id.setdefault(run.run_id, run)
    for run_id in run_ids:
        if run_id not in by_id:
            where = safe_text(", ".join(map(str, folders)))
            raise no_input(
                f"{where}: there is no complete run {safe_text(run_id[:60])}; batch-screen runs "
                "lists those that are"
            )
    return sorted(by_id.values(), key=lambda run: (run.completed_at, run.run_id))


def refuse_sandbox(found: Sequence[RunToLoad], *, sandbox: bool) -> None:
    """Raises ``ConfigurationError`` over runs of the sandbox, unless the caller wants them."""
    made_up = [run.run_id for run in found if run.sandbox]
    if made_up and not sandbox:
        others = f" and {len(made_up) - 3} more" if len(made_up) > 3 else ""
        real = "name the real runs with --run, or " if len(made_up) < len(found) else ""
        raise ConfigurationError(
            f"{', '.join(made_up[:3])}{others}: answers of the sandbox are made up and would stand "
            f"beside real ones; nothing was loaded: {real}add --sandbox"
        )


def _missing(
    run: RunToLoad, known: Mapping[str, LoadedRun], options: LoadOptions
) -> tuple[str, ...]:
    there = known.get(run.run_id)
    return there.missing(run, options) if there else options.tables


def _loaded(run: RunToLoad, target: Target, options: LoadOptions) -> RunLoad:
    with opened(run) as ready:
        done = target.load(ready, options)
    if not done.is_new:
        state = ALREADY
    else:
        state = REPLACED if done.replaced else ADDED if done.added else LOADED
    return RunLoad(run.run_id, run.layout.run_date, ready.manifest_sha256, state, done.rows)


def _looked_at(
    run: RunToLoad,
    target: Target,
    options: LoadOptions,
    known: Mapping[str, LoadedRun],
    before: Sequence[RunLoad],
) -> RunLoad:
    """What loading the run would do; what an earlier one would make is not said again."""
    with opened(run) as ready:
        there = known.get(run.run_id)
        is_other = there is not None and there.manifest_sha256 != ready.manifest_sha256
        if there and is_other and not options.replaces:
            raise other_manifest(ready, there.manifest_sha256)
        options = options._replace(tables=_missing(run, known, options))
        said = {line for each in before for line in each.makes}
        lacking = map(safe_text, target.lacking(ready, options))  # it names kept columns
        makes = tuple(line for line in lacking if line not in said)
        rows = {table.name: table.rows for table in ready.tables if table.name in options.tables}
    state = WOULD_REPLACE if is_other else WOULD_ADD if there else WOULD
    return RunLoad(run.run_id, run.layout.run_date, run.manifest_sha256, state, rows, makes)
