from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Prices
from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.tables.counts import count_lookups, scans_of, with_left
from tests.thoroughness import examples

from .frames import outcome, outcomes_of

CHECK, DATE, FORWARDING = (
    Endpoint.SIM_SWAP_CHECK,
    Endpoint.SIM_SWAP_DATE,
    Endpoint.CALL_FORWARDING_CHECK,
)


def written(folder: Path, *parts: list[dict[str, object]]) -> list[Path]:
    paths = []
    for i, rows in enumerate(parts):
        paths.append(folder / f"{i}.parquet")
        outcomes_of(rows).write_parquet(paths[-1])
    return paths


def test_figures_are_counted_over_all_parts(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        [
            outcome(1, CHECK, swapped=True, attempts=3, refusals=1, latency_ms=10.0),
            outcome(2, CHECK, swapped=False, latency_ms=20.0),
            outcome(1, DATE, latest_change="reported"),
        ],
        [
            outcome(3, CHECK, outcome="not_found", latency_ms=30.0),
            outcome(2, DATE, latest_change="none_reported"),
            outcome(3, DATE, outcome="timeout", attempts=4),
            outcome(3, FORWARDING, active=True),
        ],
    )
    prices = Prices(per_request={CHECK: 0.5})
    counted = count_lookups(scans_of(paths), prices)
    assert list(counted) == [CHECK, DATE, FORWARDING]
    checks = counted[CHECK]
    assert checks.by_outcome == {"success": 2, "not_found": 1}
    assert (checks.total, checks.positives, checks.attempts, checks.refusals) == (3, 1, 5, 1)
    assert checks.cost == 2.0, "what was refused was not billed"
    assert checks.latency_ms == {"p50": 20.0, "p95": 30.0, "p99": 30.0}
    assert (counted[DATE].positives, counted[FORWARDING].positives) == (1, 1)
    assert counted[DATE].cost == 0.0
    assert counted[DATE].latency_ms == {}


@examples(40)
@given(
    lookups=st.lists(
        st.tuples(st.sampled_from(Endpoint), st.sampled_from(OutcomeKind)), max_size=40
    )
)
def test_every_lookup_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, lookups: list[tuple[Endpoint, OutcomeKind]]
) -> None:
    rows = [outcome(i, e, outcome=kind.value) for i, (e, kind) in enumerate(lookups)]
    counted = count_lookups(scans_of(written(tmp_path_factory.mktemp("s"), rows, [])), Prices())
    found = sorted(
        (endpoint, kind, count)
        for endpoint, f in counted.items()
        for kind, count in f.by_outcome.items()
    )
    expected = sorted((e.value, k.value, lookups.count((e, k))) for e, k in set(lookups))
    assert found == expected
    assert all(f.total == sum(f.by_outcome.values()) for f in counted.values())


def test_no_parts_have_no_figures() -> None:
    assert count_lookups(scans_of([]), Prices()) == {}


def test_tables_counted_one_by_one_come_to_what_they_are_together(tmp_path: Path) -> None:
    latencies = [None, *(float(i * i % 97) / 7 for i in range(200))]
    rows = [
        outcome(i, e, swapped=i % 3 == 0, outcome=kind, attempts=i % 4, latency_ms=latencies[i])
        for i in range(200)
        for e, kind in ((CHECK, "success"), (DATE, "timeout" if i % 5 else "not_found"))
    ]
    prices = Prices(per_request={CHECK: 0.5})
    together = count_lookups([outcomes_of(rows).lazy()], prices)
    tables = [outcomes_of(rows[first : first + 70]).lazy() for first in range(0, len(rows), 70)]
    assert count_lookups([outcomes_of([]).lazy(), *tables], prices) == together
    assert count_lookups(iter(tables[::-1]), prices) == together


def test_what_is_left_of_each_endpoint() -> None:
    counted = count_lookups([outcomes_of([outcome(1, CHECK)]).lazy()], Prices())
    filled = with_left(counted, [CHECK, DATE], 10)
    assert {name: (figures.total, figures.left) for name, figures in filled.items()} == {
        CHECK.value: (1, 9),
        DATE.value: (0, 10),
    }
