"""Rows on their way into a plan: which of them a limit takes, and how many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import polars as pl

from batch_screen.model import ColumnRows
from batch_screen.numbers.rules import RejectReason
from batch_screen.schema import KEPT_PREFIX


class FirstNumbers:
    """Lets rows through up to the one that brings the last of so many numbers."""

    def __init__(self, limit: int, on_left_out: Callable[[int], None]) -> None:
        self.left_out = 0
        self._limit = limit
        self._on_left_out = on_left_out

    def rows(self, batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        if not self._limit:
            yield from batches
            return
        seen: set[str] = set()
        for batch in batches:
            lacking, number = self._limit - len(seen), batch["e164"]
            taken = batch if lacking else batch.clear()
            if lacking:
                is_new = number.is_not_null() & number.is_first_distinct()
                last = (is_new & ~number.is_in([*seen])).arg_true()[lacking - 1 : lacking]
                taken = batch.head(last.item() + 1) if len(last) else batch
            seen.update(taken["e164"].drop_nulls())
            if taken.height:
                yield taken
            # Read to its end all the same: what is wrong with the list, and how it writes its
            # numbers, is then as of a run over all of it.
            self.left_out += batch.height - taken.height
            self._on_left_out(batch.height - taken.height)


class RowCounter:
    """Counts a plan's rows by phone column, its rejects by reason, and kept cells with U+0000."""

    def __init__(self) -> None:
        self.nul_cells = 0
        self._accepted: Counter[str] = Counter()
        self._rejected: Counter[tuple[str, str]] = Counter()

    def add(self, accepted: pl.DataFrame, rejects: pl.DataFrame) -> None:
        self._accepted.update(dict(accepted["phone_column"].value_counts().iter_rows()))
        counts = rejects.group_by("phone_column", "reason").len()
        self._rejected.update({(name, reason): n for name, reason, n in counts.iter_rows()})

    def without_nul(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows without U+0000 in the kept columns: PostgreSQL takes no text that has it."""
        texts = [n for n, t in rows.schema.items() if n.startswith(KEPT_PREFIX) and t == pl.String]
        has_nul = pl.col(texts).str.contains("\0", literal=True)
        cells = rows.select(has_nul.sum()).row(0, named=True) if texts else {}
        self.nul_cells += sum(cells.values())
        marked = [name for name, count in cells.items() if count]
        return rows.with_columns(pl.col(marked).str.replace_all("\0", "", literal=True))

    @property
    def by_reason(self) -> dict[str, int]:
        """Rejects by reason, the most frequent first."""
        found: Counter[str] = Counter()
        for (_, reason), rows in self._rejected.items():
            found[reason] += rows
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def by_column(self, columns: Sequence[str]) -> dict[str, ColumnRows]:
        """The rows of these columns, which files may name in upper and lower case."""
        folded = {name.casefold(): name for name in reversed(columns)}

        def column_of(name: str) -> str:
            return name if name in columns else folded[name.casefold()]

        found = dict.fromkeys(columns, ColumnRows(0, 0, 0, 0))
        for name, rows in self._accepted.items():
            found[column_of(name)] += ColumnRows(rows, rows, 0, 0)
        for (name, reason), rows in self._rejected.items():
            empty = rows if reason == RejectReason.EMPTY else 0
            found[column_of(name)] += ColumnRows(rows, 0, rows, empty)
        return found
