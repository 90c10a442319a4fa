"""Millions of cells, the same each time: columns, single cells and phonenumbers agree on all.

Run by ``make differential``; a few ten thousand of the same kind are in the quick tests.
"""

from __future__ import annotations

import phonenumbers
import pytest

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.model import ColumnKind
from tests.differential.cases import ordinary, random_cases, random_conventions
from tests.differential.compare import differences_from_cells, differences_from_library

pytestmark = pytest.mark.differential

FROM_LIBRARY = 34
FROM_CELLS = 24
EACH = 150_000

SETTINGS = (
    Numbers(),
    Numbers(strictness=Strictness.POSSIBLE, double_zero_is_plus=True),
    Numbers(strictness=Strictness.MOBILE, ambiguous=Ambiguous.INTERNATIONAL),
    Numbers(ambiguous=Ambiguous.NATIONAL, vanity_letters=True, test_numbers=("+447700900123",)),
)


@pytest.fixture(autouse=True, scope="module")
def _pattern_cache() -> None:
    phonenumbers.enable_pattern_cache()


def test_every_example_in_every_writing() -> None:
    compared, differing = differences_from_library(ordinary())
    assert differing == []
    assert compared > 30_000
    compared, differing = differences_from_cells(ordinary())
    assert differing == []
    assert compared > 50_000


@pytest.mark.parametrize("seed", range(FROM_LIBRARY))
def test_random_cells_are_read_as_phonenumbers_reads_them(seed: int) -> None:
    compared, differing = differences_from_library(random_cases(seed, EACH))
    assert differing == []
    assert compared > 115_000


@pytest.mark.parametrize("seed", range(1_000, 1_000 + FROM_CELLS))
def test_random_cells_are_judged_alike_together_and_alone(seed: int) -> None:
    settings = SETTINGS[seed % len(SETTINGS)]
    kind = ColumnKind.TEXT if seed % 6 else ColumnKind.INTEGER
    default = ("", "DE", "US", "GB", "IT", "BR")[seed % 5]
    cases = random_cases(seed, EACH)
    conventions = random_conventions(seed) if seed % 2 else {}
    compared, differing = differences_from_cells(cases, settings, kind, default, conventions)
    assert differing == []
    assert compared > 149_000
