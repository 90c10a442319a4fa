"""Lookup-id: the ids of numbers, which are read as those of a list are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.regions import refuse_unknown_regions
from batch_screen.privacy.ids import read_id_key

MOST_LINES = 1_000_000
"""They are in memory; whole lists are what runs are for."""


class FoundId(msgspec.Struct, frozen=True):
    """The id of the number in a line, or the reason why the line is no number."""

    line: int
    number_id: str | None
    reason: str | None = None


def lookup_id(lines: Iterable[bytes], settings: Settings) -> list[FoundId]:
    """The id of the number in each line, by the key of the settings.

    Digits that could be two numbers have none: nothing is known here of how a list writes its
    numbers. Raises ``ConfigurationError`` without a key, ``InputError`` where nothing is given.
    """
    if not settings.privacy.id_key_file:
        raise ConfigurationError("no id key: name its file with --id-key-file")
    ids = read_id_key(Path(settings.privacy.id_key_file))
    refuse_unknown_regions(settings)
    cells = [line.decode(errors="replace").strip("\r\n\ufeff") for line in lines]
    if not cells or len(cells) > MOST_LINES:
        raise InputError(
            f"stdin has {len(cells):,} lines; write from 1 to {MOST_LINES:,} numbers to it, one a "
            "line"
        )
    schema = {"raw": pl.String, "raw_region": pl.String}
    rows = pl.DataFrame({"raw": cells, "raw_region": [None] * len(cells)}, schema)
    read = normalise_frame(rows, Normaliser(settings.numbers, settings.input.default_region))
    return [
        FoundId(line, found, reason)
        for line, (found, reason) in enumerate(
            zip(ids.of(read["e164"]), read["reject_reason"], strict=True), start=1
        )
    ]
