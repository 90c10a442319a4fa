from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.config.cohorts import Cohorts
from batch_screen.config.settings import Settings
from batch_screen.output.parts import LOOKUPS
from batch_screen.output.recorded import UnusableRunError, opened, recorded

from .two_nights import CHECK, DATE, Night


def test_a_run_is_what_its_summary_tells(tmp_path: Path) -> None:
    settings = Settings(cohorts=Cohorts(min_numbers=7))
    night = Night(tmp_path, endpoints=[CHECK, DATE], settings=settings)
    night.report()
    found = recorded(night.layout)
    assert found.told.endpoints == (CHECK.value, DATE.value)
    assert (found.told.run_id, found.told.unique_numbers) == (night.run.run_id, 120)
    assert found.bounds == settings.cohorts
    assert found.base_url == settings.api.base_url


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"run_id": 5}'])
def test_a_summary_that_cannot_be_read_is_of_no_use(tmp_path: Path, content: bytes) -> None:
    night = Night(tmp_path)
    night.report()
    night.layout.summary.write_bytes(content)
    with pytest.raises(UnusableRunError, match=r"summary\.json"):
        recorded(night.layout)


def test_a_run_is_opened_only_if_its_marker_and_digests_fit(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.report()
    side, digest = opened(night.layout, [LOOKUPS])
    assert (side.shards, len(digest)) == (len(night.plan.shards), 64)
    night.layout.marker.write_bytes(b"x")
    with pytest.raises(UnusableRunError, match="_SUCCESS"):
        opened(night.layout, [LOOKUPS])
    night.layout.marker.unlink()
    with pytest.raises(UnusableRunError, match="not complete"):
        recorded(night.layout)
