"""What a plan knows of each number from earlier runs, in the order of the shard's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl

from batch_screen.engine.deciding import NOBODY_ASKED, Past, Rules
from batch_screen.model import Endpoint, LatestChange, Outcome, OutcomeKind, Source


def recalled(known: pl.DataFrame, numbers: pl.Series, rules: Rules) -> Iterator[tuple[str, Past]]:
    """Each number with its past. ``known`` has the columns ``known.KNOWN``."""
    places = numbers.alias("e164").to_frame().with_row_index("place")
    rows = known.join(places, on="e164", how="inner").sort("place").iter_rows(named=True)
    groups = groupby(rows, key=itemgetter("place"))
    upcoming = next(groups, None)
    for place, e164 in enumerate(numbers):
        if upcoming is not None and upcoming[0] == place:
            yield e164, _past(list(upcoming[1]), rules)
            upcoming = next(groups, None)
        else:
            yield e164, NOBODY_ASKED


def _past(rows: list[dict[str, Any]], rules: Rules) -> Past:
    observed: dict[Endpoint, datetime] = {}
    reusable: dict[Endpoint, Outcome] = {}
    for row in rows:
        endpoint = Endpoint(row["endpoint"])
        if _is_conclusive(endpoint, row):
            at = row["responded_at"]
            observed[endpoint.check] = max(at, observed.get(endpoint.check, at))
        if row["reusable"] and endpoint in rules.endpoints and endpoint not in rules.joined:
            reusable[endpoint] = _reused(endpoint, row)
    return Past(observed, reusable)


def _is_conclusive(endpoint: Endpoint, row: dict[str, Any]) -> bool:
    """Whether all that had happened by then was seen: a null date may hide what is too old."""
    return not endpoint.answers_date or row["latest_change"] == LatestChange.REPORTED.value


def _reused(endpoint: Endpoint, row: dict[str, Any]) -> Outcome:
    said = row["latest_change"]
    return Outcome(
        row["e164"],
        endpoint,
        row["max_age_minutes"],
        kind=OutcomeKind.SUCCESS,
        swapped=row["swapped"],
        latest_change=None if said is None else LatestChange(said),
        latest_change_at=row["latest_change_at"],
        latest_change_raw=row["latest_change_raw"],
        http_status=row["http_status"],
        responded_at=row["responded_at"],
        source=Source.REUSED,
        source_run_id=row["source_run_id"],
        last_observed_at=row["last_observed_at"],
    )
