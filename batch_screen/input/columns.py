"""Choice of an input file's columns: phone numbers, regions, and those to keep.

A guess is made only where it is safe: the wrong column costs money and asks about strangers.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input import cells
from batch_screen.input.layout import ChosenColumns, FileLayout, InputColumn, bare, shown
from batch_screen.masking import mask_cell

_PHONE_NAMES = frozenset(
    """
    phone phones phoneno phonenr phonenum phonenumber phonenumbers msisdn mobile mobileno
    mobilenumber mobilenr mobilephone mobilephonenumber cell cellno cellnumber cellphone
    cellphonenumber tel telno telnr telephone telephoneno telephonenumber telefon telefonnr
    telefonnummer handy handynr handynummer rufnummer rufnr mobil mobilnr mobilnummer
    mobiltelefon mobilfunk mobilfunknummer gsm gsmnumber e164 numerotelephone numerodetelephone
    telefono numerotelefono numerodetelefono telefonomovil movil portable telefoonnummer
    telefoon telefone celular cellulare telemovel telefonnumber komorka numertelefonu
    telefonszam puhelin puhelinnumero subscribernumber contactnumber
    """.split()  # noqa: SIM905 (a list of eighty quoted words is harder to read)
)
# Beside the names above, where the cells look like numbers, too.
_PHONE_WORDS = ("phone", "mobil", "telefon", "handy", "landline", "festnetz", "cell")
_PHONE_PLACES = ("home", "work", "office", "business", "private", "privat", "dienstlich", "other")
_ALL = ("all",)
_LISTED = 30
_LISTED_CHARACTERS = 200
_MOST_KEPT = 1_000
_SHORT_NAME = 60
_COMPARED = 1_000
# With the right name, many cells may say "unknown": the rows are rejected one by one.
_TRUSTED_SHARE = 0.3


class FoundBy(StrEnum):
    """How the phone column was found."""

    OPTION = "option"
    NAME = "name"
    CONTENT = "content"
    ONLY_COLUMN = "only_column"


def choose(
    layout: FileLayout, settings: Input, first: ChosenColumns | None = None
) -> ChosenColumns:
    """Chooses the columns that the settings name; without a name the phone column is guessed.

    ``first`` is the first file's choice, which every other file has to repeat by name.
    InputError names the file, and lists the columns where the user has to choose.
    """
    if first or settings.phone_column:
        names = (
            [phone.name for phone in first.phones]
            if first
            else named_phones(layout, settings.phone_column)
        )
        found = [_named(layout, name, "phone") for name in names]
        phones = [*{phone.position: phone for phone in found}.values()]  # each once
    else:
        phones = [_guessed(layout)]
    for phone in phones:
        if phone.kind is None or phone in layout.partitions:
            raise InputError(
                f"{layout.name}: column {shown(phone.name)!r} ({phone.type_name}) cannot hold "
                "phone numbers; choose another with --phone-column, or write it as text, one "
                "number a row"
            )
    region = _named(layout, settings.region_column, "region") if settings.region_column else None
    if region and region.kind is None:
        raise InputError(
            f"{layout.name}: the region column {shown(region.name)!r} ({region.type_name}) is not "
            "text; it has to hold countries: codes such as DE, names, or calling codes"
        )
    if region and region in phones:
        raise InputError(
            f"{layout.name}: --phone-column and --region-column both name {shown(region.name)!r}; "
            "name another column for one of them"
        )
    return ChosenColumns(tuple(phones), region, _kept(layout, settings, first))


def named_phones(layout: FileLayout, names: str) -> list[str]:
    """The phone columns that ``input.phone_column`` names, with commas between.

    A name that holds commas itself is the column's if the file has it.
    """
    known = {_folded(column.name) for column in layout.columns}
    words, found = names.split(","), []
    while words:
        # The longest name that there is, else the first word.
        lengths = range(len(words), 1, -1)
        taken = next((n for n in lengths if _folded(",".join(words[:n])) in known), 1)
        found.append(",".join(words[:taken]).strip())
        words = words[taken:]
    return [name for name in found if name]


def _folded(name: str) -> str:
    """The name without case, and without blanks beside its commas."""
    return ",".join(word.strip() for word in name.casefold().split(","))


def found_by(layout: FileLayout, settings: Input, phone: InputColumn) -> FoundBy:
    """How ``choose`` found the phone column of a file."""
    if settings.phone_column:
        return FoundBy.OPTION
    if normal(phone.name) in _PHONE_NAMES:
        return FoundBy.NAME
    return FoundBy.ONLY_COLUMN if len(layout.columns) == 1 else FoundBy.CONTENT


def look_alike(layout: FileLayout, chosen: ChosenColumns, settings: Input) -> list[InputColumn]:
    """Columns beside one that was guessed which look like phone numbers, too."""
    if settings.phone_column:
        return []
    return [
        column
        for column in layout.columns
        if column.kind and column not in chosen.phones and _looks_like_phone(column)
    ]


def _looks_like_phone(column: InputColumn) -> bool:
    name = normal(column.name).rstrip("0123456789")
    is_named = (
        name in _PHONE_NAMES or name in _PHONE_PLACES or any(word in name for word in _PHONE_WORDS)
    )
    claim = cells.may_be_number if is_named else cells.is_phone_shaped
    return "fax" not in name and cells.most(column.sample, claim)


def _kept(
    layout: FileLayout, settings: Input, first: ChosenColumns | None
) -> dict[str, InputColumn]:
    # None unless named: what is not copied cannot leak, and the schema stays when a list gains one.
    keeps_all = settings.keep_columns == _ALL
    if first:
        names = list(first.kept)
        if keeps_all and len(layout.columns) + len(layout.partitions) > len(names):
            raise InputError(
                f"{layout.name}: it has more columns than the first file, and keep_columns is "
                "all; name the columns to keep, or screen the files apart"
            )
    elif keeps_all:
        names = [column.name for column in (*layout.columns, *layout.partitions)]
    else:
        names = list(settings.keep_columns)
    if len(names) > _MOST_KEPT:
        raise InputError(
            f"{layout.name}: {len(names):,} columns are too many to keep, at most {_MOST_KEPT:,} "
            "are; name those you need with --keep-columns"
        )
    chosen = [_named(layout, name, "kept") for name in names]
    for column in chosen:
        if column.dtype is None:
            raise InputError(
                f"{layout.name}: column {shown(column.name)!r} ({column.type_name}) cannot be "
                "kept; leave it out of keep_columns, or write it as text"
            )
    if first:
        return dict(zip(names, chosen, strict=True))
    # Most warehouses do not tell column names apart by case.
    for name, times in Counter(column.name.casefold() for column in chosen).items():
        if times > 1 and len({c.position for c in chosen if c.name.casefold() == name}) > 1:
            raise InputError(
                f"{layout.name}: two kept columns are called {shown(name)!r} but for upper and "
                "lower case; rename one, or keep one only"
            )
    return {column.name: column for column in chosen}


def _named(layout: FileLayout, name: str, role: str) -> InputColumn:
    """The column of that name, or else the one that differs in case only."""
    # Without a header, columns may be named by their number.
    if not layout.has_header and name.isdecimal():
        name = f"column_{int(name)}"
    columns, name = (*layout.columns, *layout.partitions), bare(name)
    matches = [c for c in columns if c.name == name] or [
        c for c in columns if _folded(c.name) == _folded(name)
    ]
    if not matches:
        # A first row taken for the header is the likelier cause than a mistyped name.
        _refuse_data_header(layout)
        raise _missing(layout, name, role)
    if len(matches) > 1 or matches[0].duplicate_of:
        written = matches[0].duplicate_of or name
        raise InputError(
            f"{layout.name}: more than one column is called {shown(written)!r}; rename them, so "
            f"that the {role} column is certain"
        )
    return matches[0]


def _missing(layout: FileLayout, name: str, role: str) -> InputError:
    columns = (*layout.columns, *layout.partitions)
    by_folded = {c.name.casefold(): c.name for c in columns}
    # Comparing takes long for long names; nobody mistypes one of those.
    short = [folded for folded in by_folded if len(folded) <= _SHORT_NAME][:_COMPARED]
    close = difflib.get_close_matches(name.casefold()[:_SHORT_NAME], short, n=1)
    hint = f" Did you mean {shown(by_folded[close[0]])!r}?" if close else ""
    listed = _listing(layout, (shown(c.name) for c in columns))
    return InputError(
        f"{layout.name}: there is no {role} column {shown(name)!r}.{hint} Name one "
        f"that it has: {listed}"
    )


def _listing(layout: FileLayout, descriptions: Iterable[str]) -> str:
    """Columns' descriptions, as many as a line has room for."""
    listed: list[str] = []
    for each in islice(descriptions, _LISTED):
        if listed and len(", ".join((*listed, each))) > _LISTED_CHARACTERS:
            break
        listed.append(each)
    return ", ".join(listed) + (", …" if len(layout.columns) > len(listed) else "")


def _guessed(layout: FileLayout) -> InputColumn:
    _refuse_data_header(layout)
    readable = [c for c in layout.columns if c.kind]
    named = [c for c in readable if normal(c.name) in _PHONE_NAMES]
    if len(named) == 1 and _fits_its_name(named[0]):
        return _named(layout, named[0].name, "phone")  # which refuses a duplicate
    if not named:
        if len(layout.columns) == 1 and readable and _fits_its_name(readable[0]):
            return readable[0]
        clear = [c for c in readable if cells.most(c.sample, cells.is_clearly_number)]
        possible = [c for c in readable if cells.most(c.sample, cells.may_be_number)]
        # A leading 0 alone may be a padded customer number: then no other column may compete.
        if len(clear) == 1 and (
            possible == clear or cells.most(clear[0].sample, cells.is_international)
        ):
            return _named(layout, clear[0].name, "phone")
    nested = [c for c in layout.columns if not c.kind and normal(c.name) in _PHONE_NAMES]
    if len(nested) == 1 and not named:
        return nested[0]  # which is refused with its type
    raise _undecided(layout)


def _fits_its_name(column: InputColumn) -> bool:
    return cells.most(column.sample, cells.was_number, _TRUSTED_SHARE)


def is_phone_name(name: str) -> bool:
    """Whether a column is usually called so if it holds phone numbers."""
    return normal(name) in _PHONE_NAMES


def normal(name: str) -> str:
    """The name in lower case without accents, blanks and punctuation.

    >>> normal("Téléphone (Mobile)")
    'telephonemobile'
    """
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in letters if c.isalnum())


def _refuse_data_header(layout: FileLayout) -> None:
    if not (layout.csv or layout.sheet) or not layout.has_header:
        return
    for column in layout.columns:
        if cells.is_data(column.name):
            raise InputError(
                f"{layout.name}: its first line holds {mask_cell(column.name)!r}, which looks "
                "like a number and not like a column's name; if it is a row, say --no-header"
            )


def _undecided(layout: FileLayout) -> InputError:
    def described(column: InputColumn) -> str:
        example = next((c for c in column.sample if c and c.strip()), "")
        kind = "empty" if column.kind else column.type_name
        return f"{shown(column.name)} ({mask_cell(example) if example else kind})"

    listed = _listing(layout, map(described, layout.columns))
    return InputError(
        f"{layout.name}: it is not certain which column holds the phone numbers; name it with "
        f"--phone-column. It has: {listed}"
    )
