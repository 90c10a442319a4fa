from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.errors import InputError
from batch_screen.output.which import place_of, run_at, runs_at

from .two_nights import FIRST, Night


def test_a_folder_means_its_latest_run_and_a_runs_own_that_run(tmp_path: Path) -> None:
    first, second = Night(tmp_path, day=FIRST), Night(tmp_path)
    for night in (first, second):
        night.report()
    assert run_at(tmp_path).run_id == second.run.run_id
    assert run_at(first.layout.run).run_id == first.run.run_id
    assert run_at(tmp_path, first.run.run_id).run == first.layout.run
    assert runs_at(tmp_path) == [first.run.run_id, second.run.run_id]
    assert place_of(first.layout.run) == (tmp_path.resolve(), first.run.run_id)


@pytest.mark.parametrize("run_id", [None, "20261122-0123456789", ".."])
def test_what_is_not_there(tmp_path: Path, run_id: str | None) -> None:
    with pytest.raises(InputError) as caught:
        run_at(tmp_path, run_id)
    assert caught.value.exit_code == 66
