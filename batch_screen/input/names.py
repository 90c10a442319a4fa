"""Which names are lists: of files in a folder, members of an archive, objects in a bucket."""

from __future__ import annotations

import re
from collections.abc import Sequence

from batch_screen.errors import InputError, no_input

SUFFIXES = (
    ".parquet",
    *(".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"),
    *(
        kind + packing
        for kind in (".csv", ".tsv", ".txt")
        for packing in ("", ".gz", ".zst", ".bz2", ".zip")
    ),
    ".zip",
)
_NAMED = 5
_NO_LISTS = re.compile(
    r"\..*|~\$.*|.*\.crc|_SUCCESS|_(common_)?metadata|_(started|committed)_.*"
    r"|desktop\.ini|thumbs\.db",
    re.IGNORECASE,
)


def is_list(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def is_no_list(name: str) -> bool:
    """Whether a file is what engines, office programs and systems put beside data."""
    return bool(_NO_LISTS.fullmatch(name))


def not_read(folder: object, names: Sequence[str]) -> str:
    """Says which files of a folder are left out, because their names are no list's."""
    more = f" and {len(names) - _NAMED:,} more" if names[_NAMED:] else ""
    return f"{folder}: not read, as no list: {', '.join(names[:_NAMED])}{more}"


def holds_folder(folder: object, inner: str, suffix: str) -> InputError:
    """The error of a folder with folders in it, half of which would be left out without a word."""
    return no_input(
        f"{folder}: it holds another folder, {inner}, and folders are not searched "
        f"inside; name the files, or a pattern such as '{folder}/**/*{suffix}'"
    )


def holds_no_list(folder: object) -> InputError:
    return no_input(
        f"{folder}: no input in this folder; put .csv, .tsv, .txt (also with .gz, .zst, .bz2 or "
        ".zip), .parquet or .xlsx files there"
    )


def is_table(folder: object, kind: str) -> InputError:
    """The error of a folder of a table format: its files also hold rows that were deleted since."""
    return InputError(
        f"{folder}: it is {kind} table, whose files also hold rows that were deleted from it; "
        "export its current rows as Parquet or CSV, and name those"
    )
