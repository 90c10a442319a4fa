"""The count gate: a run is in the warehouse only if every row that its manifest promises is."""

from __future__ import annotations

from collections.abc import Mapping

from batch_screen.errors import ExitCode, WarehouseError
from batch_screen.warehouse.runs import LoadableRun


def refuse_other_counts(run: LoadableRun, found: Mapping[str, int]) -> None:
    """Raises ``WarehouseError`` where a table holds another number of the run's rows.

    ``found`` has the tables that were loaded, counted by the warehouse itself.
    """
    for table in run.tables:
        if table.name in found and found[table.name] != table.rows:
            raise WarehouseError(
                f"table {table.name}: {found[table.name]:,} rows of run {run.run_id} are there, "
                f"{table.rows:,} in its manifest; nothing of the run was kept: see what drops or "
                "adds rows there (a trigger, a rule, rows left by other means: --replace)",
                exit_code=ExitCode.CONTENT,
            )


def other_manifest(run: LoadableRun, found: str) -> WarehouseError:
    """The error where the warehouse holds the run as another manifest describes it."""
    return WarehouseError(
        f"run {run.run_id} is loaded already with manifest {found[:64]}, and is now written with "
        f"{run.manifest_sha256}: it was written anew or rows were erased; --replace deletes what "
        "is loaded and loads it again",
        exit_code=ExitCode.CONTENT,
    )
