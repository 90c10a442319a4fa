"""Totals at a list's end: a sum of numbers may look like somebody's number, and never is one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl

_LAST_ROWS = 5
_KINDS = "grand|sub|zwischen|gesamt|gener[ae]le?|général|geral|genel|kopā|загальна|of|de"
_WORDS = (
    "totals?|totale|totales|totaux|totaal|totalt|sums?|summe|summa|suma|somme|gesamt|insgesamt"
    "|i alt|count|rows|records|anzahl|average|mean|toplam|razem|łącznie|celkem|spolu|ukupno|skupaj"
    "|összesen|yhteensä|итого|всего|разом|усього|общо|σύνολο|סה.כ|סך הכל|المجموع|الإجمالي"
    "|[合总總小][计計]|合計|小計|합계|총계|รวม|tổng cộng|jumlah"
)
_TOTAL = rf"^(?i)[\W\d]*((?:{_KINDS})[\W\d]*)*((?:{_WORDS})[\W\d]*)+((?:{_KINDS})[\W\d]*)*$"
_SUM = r"^\s*[0-9][0-9.,\s]*$"


def without_totals(
    frames: Iterable[pl.DataFrame], phones: Mapping[str, str], before: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """The frames with the ``phones`` beside their cells; in a total, its label in place of the sum.

    So the row is rejected, and its cell says why. ``before`` are columns that may hold the label.
    """
    raws = {raw: pl.col(phone) for raw, phone in phones.items()}
    held: deque[pl.DataFrame] = deque()
    for frame in frames:
        held.append(frame)
        while sum(each.height for each in held) - held[0].height >= _LAST_ROWS:
            yield held.popleft().with_columns(**raws)
    if not held:
        return
    rows = pl.concat(held).with_columns(**raws)
    labels = [pl.when(pl.col(name).str.contains(_TOTAL)).then(name) for name in before]
    label = pl.coalesce(*labels, pl.lit(None, pl.String))
    last = rows.tail(_LAST_ROWS).with_columns(
        pl.when(label.is_not_null() & pl.col(phone).str.contains(_SUM))
        .then(label)
        .otherwise(phone)
        .alias(raw)
        for raw, phone in phones.items()
    )
    yield pl.concat([rows.head(max(0, rows.height - _LAST_ROWS)), last])
