"""How each file was read: format, encoding, delimiter, and which columns were chosen, and why."""

from __future__ import annotations

from collections.abc import Mapping

from batch_screen.config.screening import Input
from batch_screen.input.columns import found_by, likely_region
from batch_screen.input.layout import InputColumn, shown
from batch_screen.input.table import Table
from batch_screen.masking import mask_text, plain
from batch_screen.model import ColumnKind
from batch_screen.profile.damage import is_misread
from batch_screen.profile.facts import ColumnFacts, FileFacts

CSV, PARQUET, EXCEL = "csv", "parquet", "excel"
TEXT = ColumnKind.TEXT.value


def file_facts(
    table: Table, settings: Input, rows: Mapping[str, int], accepted: Mapping[str, int]
) -> list[FileFacts]:
    """Facts on the files, in their order; ``rows`` and ``accepted`` are by file name."""
    facts = []
    for layout, choice in table.files:
        roles = {choice.region.position: "region"} if choice.region else {}
        roles[choice.phone.position] = "phone"
        cells = [cell for c in layout.columns for cell in (c.name, *c.sample) if cell]
        csv = layout.csv
        likely = None if choice.region else likely_region(layout, choice)
        read, taken = rows.get(layout.name, 0), accepted.get(layout.name, 0)
        each = FileFacts(
            name=shown_file(layout.name),
            format=CSV if csv else EXCEL if layout.sheet else PARQUET,
            compression=csv.packing.value if csv else layout.codec,
            encoding=table.encoding_of(layout),
            delimiter=csv.delimiter if csv else "",
            has_header=layout.has_header,
            sheet=shown(layout.sheet.name) if layout.sheet else "",
            phone_column_by=found_by(layout, choice.phone, settings).value,
            likely_region_column=shown(likely.name) if likely else "",
            is_misread=any(map(is_misread, cells)),
            columns=[
                ColumnFacts(shown(c.name), _type(c), roles.get(c.position, ""))
                for c in (*layout.columns, *layout.partitions)
            ],
            rows=read,
            accepted=taken,
            rejected=read - taken,
        )
        facts.append(each)
    return facts


def shown_file(name: str) -> str:
    """A file's name, printable and masked."""
    return mask_text(plain(name))


def _type(column: InputColumn) -> str:
    """The column's type; of text that holds decimals throughout, that it does."""
    if column.kind is ColumnKind.TEXT:
        return TEXT
    is_csv = column.type_name == TEXT
    return column.kind.value if is_csv and column.kind else column.type_name
