"""The people to find or to erase: their numbers, and what stands for them in a run's tables."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.input.files import spool
from batch_screen.masking import mask_number
from batch_screen.numbers.parse import national_digits
from batch_screen.planning.build import InputFile, listed_numbers
from batch_screen.privacy.ids import NumberIds
from batch_screen.runs.events import RunEvents
from batch_screen.schema import KEPT_PREFIX, NUMBER_ID
from batch_screen.storage.scratch import scratch_folder

STDIN = "-"
_THEREFORE = "nothing was changed, for it may be the person"
_FEWEST_DIGITS = 7
"""Of a national number that is looked for anywhere in a cell; shorter ones must be all of it."""

_AT_ONCE = 100
"""Numbers in a pattern: databases bound how complex one may be."""


@dataclass(frozen=True, eq=False)
class People:
    """Numbers as E.164 texts, sorted; ``ids`` are those of the key, where one was given."""

    e164: pl.Series
    ids: NumberIds | None = None

    def keys(self, id_key: str | None) -> pl.Series:
        """What stands for them in the key column of a run's tables, by its manifest's ``id_key``.

        Raises ``ConfigurationError`` where the run's ids are of a key that was not given.
        """
        if not id_key:
            return self.e164
        if self.ids is None or self.ids.key_id != id_key:
            was = f"that of {self.ids.key_id}" if self.ids else "none"
            raise ConfigurationError(
                f"the runs hold ids by the key {id_key}, and {was} was given: name its file with "
                "--id-key-file"
            )
        return self._ids

    @cached_property
    def _ids(self) -> pl.Series:
        return self.ids.of(self.e164).sort() if self.ids else self.e164.clear()

    @property
    def masked(self) -> list[str]:
        return [mask_number(number) for number in self.e164]

    def masked_of(self, missing: Sequence[bool]) -> list[str]:
        return [masked for masked, is_one in zip(self.masked, missing, strict=True) if is_one]

    @property
    def key_values(self) -> dict[str, list[str]]:
        """Key column of the tables → all that stands for them there."""
        found = {"e164": self.e164.to_list()}
        return {**found, NUMBER_ID.name: self._ids.to_list()} if self.ids else found

    @property
    def patterns(self) -> list[str]:
        """Patterns that find one of them in a cell's digits, each of a bounded length."""
        each = self._of_each
        return ["|".join(each[n : n + _AT_ONCE]) for n in range(0, len(each), _AT_ONCE)]

    def in_cells(self, frame: pl.DataFrame) -> dict[str, pl.Series]:
        """Column kept from the input → where its cells hold one of the numbers, if any does.

        However it is written, a number ends with its national digits.
        """
        found = {}
        for column in frame:
            if column.name.startswith(KEPT_PREFIX) and _may_hold(column.dtype):
                digits = column.cast(pl.String).str.replace_all(r"\D", "").to_frame("d")
                is_one = pl.col("d").str.contains(self._national)
                where = digits.select(is_one.fill_null(value=False)).to_series()
                if where.any():
                    found[column.name] = where
        return found

    @cached_property
    def _national(self) -> str:
        return "|".join(self._of_each)

    @cached_property
    def _of_each(self) -> list[str]:
        digits = [re.escape(national_digits(number)) for number in self.e164]
        return [d if len(d) >= _FEWEST_DIGITS else f"^0*(?:{d})$" for d in digits]


def _may_hold(dtype: pl.DataType) -> bool:
    return dtype == pl.String or dtype.is_integer() or dtype.is_float()


def read_people(
    source: str, settings: Settings, events: RunEvents, ids: NumberIds | None = None
) -> People:
    """The people on a list, read as an opt-out list is; ``-`` is stdin.

    Raises ``InputError`` where a cell is no number, or there is none.
    """
    with scratch_folder() as folder:
        listed = InputFile(Path(source), f"--numbers {source}")
        if source == STDIN:
            listed = InputFile(folder / "numbers", "--numbers -")
            spool(sys.stdin.buffer, listed.path)
        found = listed_numbers(listed, settings, events, _THEREFORE)
    if found.is_empty():
        raise InputError(f"{listed.name}: it holds no number; name a file with one, or say - ")
    return People(found.cast(pl.String).map_elements("+{}".format, pl.String).sort(), ids)
