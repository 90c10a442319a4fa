"""Re-reads a run part by part: what the tables say of each other, and what they come to.

Knows neither summary.json nor errors.csv: ``sums`` holds the totals against them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from batch_screen.output import agreement, sources
from batch_screen.output.findings import Check, Difference
from batch_screen.output.manifest import ListedFile
from batch_screen.output.parts import ERRORS, LOOKUPS, RESULTS, TABLES, Layout
from batch_screen.output.placing import Placing, ShardOf
from batch_screen.output.reread import DamagedPartError, Part, read_part
from batch_screen.output.validate import part_number, rewrite

# A check's name → what it claims, and the tables whose rows it examines.
_CLAIMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "readable": ("rows can be read", TABLES),
    "required": ("rows of this run, with all that is required", TABLES),
    "placing": ("rows of results in the part their number belongs to", (RESULTS,)),
    "lookups": ("lookups: every number of results once at every endpoint", (LOOKUPS,)),
    "values": ("lookups with a value where there is success, and nowhere else", (LOOKUPS,)),
    "sources": ("lookups asked, derived, reused or spared, each as it says", (LOOKUPS,)),
    "windows": ("lookups whose windows and gaps are those of their times", (LOOKUPS,)),
    "conflicts": ("lookups, checks held against dates", (LOOKUPS,)),
    "enrichment": ("rows of results with the values of their lookups", (RESULTS,)),
    "risk": ("rows of results with the ages and flags of their dates and checks", (RESULTS,)),
    "failures": ("errors: the rejects and the lookups without success", (ERRORS,)),
}


@dataclass
class Totals:
    """What the parts come to: rows of each table, unique numbers, rejects by reason."""

    rows: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    rejects: Counter[str] = field(default_factory=Counter)

    def add(self, part: Part) -> None:
        for table, frame in part.frames():
            self.rows[table] += frame.height
        self.numbers += part.results["e164"].n_unique()
        turned_down = part.errors.filter(pl.col("kind") == "reject")
        self.rejects.update(dict(turned_down["reason"].value_counts().iter_rows()))


class Recount:
    """What re-reading brought.

    ``unchecked`` says why totals and paths are not those of the whole run; empty if they are.
    """

    def __init__(self, layout: Layout, listed: Sequence[ListedFile]) -> None:
        self.totals = Totals()
        self.paths: dict[str, list[Path]] = {table: [] for table in TABLES}
        self._layout = layout
        self._wanted = _by_number(layout, listed)
        self._left_out = set(self._wanted)
        self._endpoints: list[str] = []
        self._found: dict[str, list[Difference]] = {name: [] for name in _CLAIMS}

    def read(self, usable: Sequence[ListedFile], shard_of: ShardOf, shards: int) -> Iterator[int]:
        """Reads each part once and yields its number.

        A part one of whose files is not ``usable`` is left out: its difference is reported
        already, and whatever else differs may follow from that.
        """
        present = _by_number(self._layout, usable)
        whole = {n: paths for n, paths in present.items() if paths == self._wanted.get(n)}
        placing = Placing(shard_of, shards)
        for number, paths in whole.items():
            try:
                for part in read_part(self._layout, number, paths):
                    self._compare(part, placing)
            except DamagedPartError as error:
                self._found["readable"].append(Difference(error.where, str(error)))
            else:
                self._left_out.remove(number)
                for table, path in paths.items():
                    self.paths[table].append(path)
            yield number

    def _compare(self, part: Part, placing: Placing) -> None:
        # The first part shows which endpoints were asked: every part asks all of them.
        self._endpoints = self._endpoints or sorted(part.lookups["endpoint"].drop_nulls().unique())
        self._found["required"] += agreement.required(part, self._layout.run_id)
        self._found["placing"] += placing.misplaced(part)
        self._found["lookups"] += agreement.lookups(part, self._endpoints)
        self._found["values"] += agreement.values(part)
        self._found["sources"] += sources.sources(part)
        self._found["windows"] += sources.windows(part)
        self._found["conflicts"] += sources.contradictions(part)
        self._found["enrichment"] += agreement.enrichment(part)
        self._found["risk"] += agreement.risk(part)
        self._found["failures"] += agreement.errors(part)
        self.totals.add(part)

    @property
    def parts(self) -> int:
        """How many numbers of parts the manifest lists."""
        return len(self._wanted)

    @property
    def unchecked(self) -> str:
        if not self._left_out:
            return ""
        left_out, parts = len(self._left_out), len(self._wanted)
        return f"{left_out} of {parts} parts could not be compared, for what is said above"

    @property
    def checks(self) -> list[Check]:
        return [
            Check(
                name,
                claim,
                sum(self.totals.rows[table] for table in tables),
                tuple(self._found[name]),
                rewrite(self._layout),
                self.unchecked,
            )
            for name, (claim, tables) in _CLAIMS.items()
        ]


def _by_number(layout: Layout, files: Sequence[ListedFile]) -> Mapping[int, Mapping[str, Path]]:
    """Part number → table → path, in the order of the numbers; of the tables every run has."""
    found: dict[int, dict[str, Path]] = {}
    for file in files:
        number = part_number(file)
        if number is not None and file.table in TABLES:
            found.setdefault(number, {})[file.table] = layout.folder / file.path
    return dict(sorted(found.items()))
