"""How each file was read: format, encoding, delimiter, and which columns were chosen, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batch_screen.config.screening import Input
from batch_screen.input.columns import found_by, look_alike, normal
from batch_screen.input.layout import ChosenColumns, FileLayout, InputColumn, shown
from batch_screen.input.table import Table
from batch_screen.masking import mask_text, plain
from batch_screen.model import ColumnKind
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.regions import NO_REGION, UNKNOWN_REGION, region_of
from batch_screen.numbers.rules import Accepted
from batch_screen.profile.damage import is_misread
from batch_screen.profile.facts import ColumnFacts, FileFacts

_REGION_NAMES = frozenset(
    """
    country countrycode countryiso countryiso2 countryiso3 countryname customercountry phonecountry
    phoneregion region regioncode regionname iso iso2 iso3 isocode isocountry isocountrycode nation
    nationality land landcode landescode landkz lkz laenderkennzeichen landerkennzeichen laendercode
    landercode laendername landername landesvorwahl laendervorwahl landervorwahl vorwahl pays
    codepays nompays indicatif indicatifpays pais codigopais nombrepais prefijo prefijopais paese
    codicepaese prefisso kraj orszag maa callingcode countrycallingcode dialcode dialingcode
    diallingcode countrydialcode countrydialingcode countryprefix phonecode phoneprefix phonecc cc
    areacodecountry idd ddi internationalcode
    """.split()  # noqa: SIM905 (a list of sixty quoted words is harder to read)
)
_REGION_SHARE = 0.8
_TRIED = 200

CSV, PARQUET, EXCEL = "csv", "parquet", "excel"
TEXT = ColumnKind.TEXT.value


def file_facts(
    table: Table,
    settings: Input,
    normaliser: Normaliser,
    rows: Mapping[str, int],
    accepted: Mapping[str, int],
) -> list[FileFacts]:
    """Facts on the files, in their order; ``rows`` and ``accepted`` are by file name."""
    facts = []
    for layout, choice in table.files:
        roles = {choice.region.position: "region"} if choice.region else {}
        roles |= {phone.position: "phone" for phone in choice.phones}
        cells = [cell for c in layout.columns for cell in (c.name, *c.sample) if cell]
        csv = layout.csv
        likely = None if choice.region else likely_region(layout, choice, normaliser)
        others = look_alike(layout, choice, settings)
        read, taken = rows.get(layout.name, 0), accepted.get(layout.name, 0)
        each = FileFacts(
            name=shown_file(layout.name),
            format=CSV if csv else EXCEL if layout.sheet else PARQUET,
            compression=csv.packing.value if csv else layout.codec,
            encoding=table.encoding_of(layout),
            delimiter=csv.delimiter if csv else "",
            has_header=layout.has_header,
            sheet=shown(layout.sheet.name) if layout.sheet else "",
            phone_column_by=found_by(layout, settings, choice.phones[0]).value,
            likely_region_column=shown(likely.name) if likely else "",
            is_misread=any(map(is_misread, cells)),
            columns=[
                ColumnFacts(shown(c.name), _type(c), roles.get(c.position, ""))
                for c in (*layout.columns, *layout.partitions)
            ],
            rows=read,
            accepted=taken,
            rejected=read - taken,
            likely_phone_columns=[shown(column.name) for column in others],
        )
        facts.append(each)
    return facts


def likely_region(
    layout: FileLayout, chosen: ChosenColumns, normaliser: Normaliser
) -> InputColumn | None:
    """The column whose name and cells say that it holds the numbers' regions, if any.

    Codes, names of countries, or calling codes. Where there are several, the one with which most
    numbers of the sample can be read; none where that is a draw between different regions. Only a
    hint: a wrong region would ask about strangers, so such a column is never taken unasked.
    """
    found: dict[tuple[str, ...], tuple[int, InputColumn]] = {}
    for column in (*layout.columns, *layout.partitions):
        name = normal(column.name)
        is_named = name in _REGION_NAMES or "country" in name
        if not is_named or not column.kind or column.duplicate_of or column in chosen.phones:
            continue
        cells = column.sample[:_TRIED]
        regions = [region for cell in cells if (region := region_of(cell)) != NO_REGION]
        known = sum(region != UNKNOWN_REGION for region in regions)
        if regions and known >= _REGION_SHARE * len(regions):
            accepted = _accepted(chosen.phones[0].sample, cells, normaliser)
            found.setdefault(tuple(map(region_of, cells)), (accepted, column))
    ranked = sorted(found.values(), key=lambda each: -each[0])
    if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
        return None
    return ranked[0][1] if ranked else None


def _accepted(
    phones: Sequence[str | None], regions: Sequence[str | None], normaliser: Normaliser
) -> int:
    """How many of the phone cells are numbers in the region beside them."""
    pairs = zip(phones, regions, strict=False)
    return sum(isinstance(normaliser.normalise(*pair), Accepted) for pair in pairs)


def shown_file(name: str) -> str:
    """A file's name, printable and masked."""
    return mask_text(plain(name))


def _type(column: InputColumn) -> str:
    """The column's type; of text that holds decimals throughout, that it does."""
    if column.kind is ColumnKind.TEXT:
        return TEXT
    is_csv = column.type_name == TEXT
    return column.kind.value if is_csv and column.kind else column.type_name
