"""SQL: scripts that load complete runs, for a client that somebody else starts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from batch_screen.commands.load import found_runs, refuse_sandbox
from batch_screen.config.paths import is_address, shown_address
from batch_screen.errors import ConfigurationError
from batch_screen.masking import safe_line
from batch_screen.runs.layout import place_of
from batch_screen.storage.parquet import metadata_of
from batch_screen.warehouse.dialects import DIALECTS, REDSHIFT, SNOWFLAKE, Dialect
from batch_screen.warehouse.runs import LoadableRun, opened
from batch_screen.warehouse.script import Place, declared, script
from batch_screen.warehouse.target import SCHEMA


class SqlScript(msgspec.Struct, frozen=True):
    """A script, and the run that it loads; of one that makes the tables alone both are empty.

    ``note``: what somebody should know before it is started.
    """

    run_id: str
    run_date: str
    sql: str
    note: str = ""


def sql(  # noqa: PLR0913 (as the command)
    folder: Path | str,
    dialect: str,
    stage: str | None = None,
    *,
    access: str | None = None,
    schema: str = SCHEMA,
    run_ids: Sequence[str] = (),
    ddl: bool = False,
    creates: bool = True,
    sandbox: bool = False,
) -> list[SqlScript]:
    """A script for each complete run, or for those named, the oldest completion first.

    ``ddl``: one script instead, which makes the tables for all of them; ``creates`` False: none
    makes any. Raises ``ConfigurationError`` over the dialect, its stage, and runs of the sandbox
    without ``sandbox``; ``InputError`` over a run that is not what was written.
    """
    if dialect not in DIALECTS:
        raise ConfigurationError(
            f"dialect {safe_line(dialect, 40)!r} is none; choose among {', '.join(DIALECTS)}"
        )
    place = _place(DIALECTS[dialect], schema, stage, access, Path(folder))
    found = found_runs([Path(folder)], run_ids)
    refuse_sandbox(found, sandbox=sandbox)
    if ddl:
        with ExitStack() as held:
            runs = [held.enter_context(opened(run)) for run in found]
            return [SqlScript("", "", script(place, declared(runs)))]
    scripts = []
    for each in found:
        with opened(each) as run:
            made = script(place, declared([run]) if creates else (), run)
            note = _note(place.dialect, run)
            scripts.append(SqlScript(run.run_id, each.layout.run_date, made, note))
    return scripts


def _place(
    dialect: Dialect, schema: str, stage: str | None, access: str | None, folder: Path
) -> Place:
    dialect.path(schema)  # refuses one that it cannot have
    if access and not dialect.access:
        raise ConfigurationError(
            f"--access is for snowflake and redshift, and not for {dialect.name}; leave it out"
        )
    if dialect.types:
        given = str(place_of(folder)[0] if stage is None else stage)
        if is_address(given) or "\n" in given:
            raise ConfigurationError(
                f"--stage {shown_address(given) if is_address(given) else 'with a line break'}: "
                f"{dialect.name} reads a folder of this machine; name the output folder or its copy"
            )
        return Place(dialect, schema, str(Path(given).absolute()))
    given = (stage or "").rstrip("/")
    has_login = "@" in given[1:] and not given.startswith("abfss:")
    if not given.startswith(dialect.stages) or has_login or any(s in given for s in "?*\n"):
        raise ConfigurationError(
            f"--stage for {dialect.name} must begin with {' or '.join(dialect.stages)} and have no "
            "secret, pattern or line break in it: name the address that was uploaded to"
        )
    if dialect.name == SNOWFLAKE and not (given.startswith("@") or access):
        raise ConfigurationError(
            "--stage of a bucket needs --access, the name of a storage integration; or name a "
            "stage of Snowflake over it: --stage @NAME"
        )
    if dialect.name == SNOWFLAKE and given.startswith("gs://"):
        given = f"gcs{given.removeprefix('gs')}"
    return Place(dialect, schema, given, access or "")


def _note(dialect: Dialect, run: LoadableRun) -> str:
    """What Redshift may not read: its documents name snappy and gzip, and not zstd."""
    if dialect.name != REDSHIFT:
        return ""
    for table in run.tables:
        for file in table.files:
            found = metadata_of(table.folder / file.path)
            if found.num_row_groups and found.row_group(0).column(0).compression == "ZSTD":
                return (
                    f"run {run.run_id}: its files are compressed by zstd, which Redshift's "
                    "documentation does not name; should COPY refuse them, set "
                    'output.compression = "snappy" for the runs to come'
                )
    return ""
