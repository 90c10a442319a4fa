"""Erase people from warehouses, too: each by its own means, and none keeps another from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from batch_screen.errors import WarehouseError
from batch_screen.masking import safe_text
from batch_screen.runs.events import RunEvents
from batch_screen.warehouse.address import Address, open_target
from batch_screen.warehouse.target import Target, WhomToErase


class ErasedTarget(msgspec.Struct, frozen=True):
    """What a warehouse holds of the people, or held: rows by table, and in which ``runs``.

    ``cells`` were kept in rows of other people. ``to_replace``: runs there that are not what the
    output folder has, so that ``load --replace`` is to follow. ``remains``: what may still hold
    deleted rows, and what its owner does about it.
    """

    target: str
    schema: str
    rows: Mapping[str, int]
    runs: tuple[str, ...]
    cells: int = 0
    to_replace: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (any(self.rows.values()) or self.cells)


class Warehouse(NamedTuple):
    """A warehouse to erase from, too."""

    address: Address
    schema: str

    def opened(self) -> Target:
        return open_target(self.address, self.schema, creates=False)

    def erased(self, whom: WhomToErase, *, dry_run: bool) -> ErasedTarget:
        """Erases them there, or only looks."""
        with self.opened() as target:
            found = target.erase(whom, dry_run=dry_run)
        return ErasedTarget(
            self.address.shown,
            safe_text(self.schema),
            found.rows,
            found.runs,
            found.cells,
            () if dry_run else found.others,
            tuple(map(safe_text, found.remains)),
        )


def erase_from(
    warehouses: Sequence[Warehouse],
    whom: WhomToErase,
    out: Path,
    events: RunEvents,
    *,
    dry_run: bool,
) -> list[ErasedTarget]:
    """Erases them from each warehouse, or only looks.

    Raises ``WarehouseError`` where one fails, once all others are done; ``out`` holds them no more.
    """
    events.progress.stage("erasing", total=len(warehouses))
    done, failed = list[ErasedTarget](), list[WarehouseError]()
    for warehouse in warehouses:
        try:
            done.append(warehouse.erased(whom, dry_run=dry_run))
        except WarehouseError as error:
            failed.append(error)
        events.advance(1)
    if not failed:
        return done
    first, *more = failed
    if dry_run:
        raise first
    others = f" (and {len(more)} more failed)" if more else ""
    raise WarehouseError(
        f"{first}{others}; {safe_text(str(out))} holds them no more: once that is fixed, start "
        "the same batch-screen erase again, with the same numbers and --to",
        exit_code=first.exit_code,
    )
