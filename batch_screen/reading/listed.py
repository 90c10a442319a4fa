"""A bare list of numbers that is no input: whatever its layout, found out without being told.

The settings that describe the inputs do not describe it, except for the names of columns,
where it has them too.
"""

from __future__ import annotations

from pathlib import Path

from batch_screen.config.input import Input
from batch_screen.errors import InputError
from batch_screen.reading.columns import choose
from batch_screen.reading.layout import Layout
from batch_screen.reading.numberlike import is_data, was_number
from batch_screen.reading.read import Table, open_table
from batch_screen.reading.sniff import sniff


def open_listed(path: Path, name: str, settings: Input) -> Table:
    """The list as a table. A first row that holds a number is a row and no header.

    The columns are those of the inputs' names, if it has them; else the phone column is
    guessed. InputError: see ``open_table``, and where the column is not certain.
    """
    caps = {key: getattr(settings, key) for key in ("max_unpacked_gib", "max_unpacking_ratio")}
    found = Input(**caps, has_header=False)
    layout = sniff(path, name, found)
    if layout.csv and not _begins_with_a_number(layout):
        found = Input(**caps)
        layout = sniff(path, name, found)
    names = {column.name.casefold() for column in layout.columns}
    known = {
        key: value
        for key in ("phone_column", "region_column")
        if (value := getattr(settings, key)).casefold() in names
    }
    found = found.model_copy(update=known)
    try:
        choose(layout, found)
    except InputError:  # its advice is about the inputs' options
        raise InputError(
            f"{name}: it is not certain which of its columns holds the numbers; keep that one "
            "alone, or call it phone"
        ) from None
    return open_table([path], found, [name])


def _begins_with_a_number(layout: Layout) -> bool:
    first = [column.sample[0] for column in layout.columns if column.sample]
    return any(was_number(cell) or is_data(cell) for cell in first if cell)
