from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch_screen.config.sections import Mode
from batch_screen.errors import InputError
from batch_screen.runs.layout import Layout
from batch_screen.runs.purged import PURGED, PurgedRun, add_purged, read_purged

AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
RUN = PurgedRun("20250105-0123456789", "2025-01-05", AT, "ab" * 32, {"results": 3})
UNREAD = PurgedRun("20250106-0123456789", "2025-01-06", AT, None, {})


def test_a_line_for_each_run(tmp_path: Path) -> None:
    assert read_purged(tmp_path) == []
    add_purged(tmp_path, [])
    assert not (tmp_path / PURGED).exists()
    add_purged(tmp_path, [RUN])
    add_purged(tmp_path, [UNREAD])
    assert read_purged(tmp_path) == [RUN, UNREAD]
    first, second = (tmp_path / PURGED).read_text().splitlines()
    assert first == (
        '{"run_id":"20250105-0123456789","run_date":"2025-01-05",'
        f'"purged_at":"2026-03-02T04:00:00Z","manifest_sha256":"{"ab" * 32}",'
        '"rows":{"results":3}}'
    )
    assert '"manifest_sha256":null' in second


def test_what_a_killed_purge_has_added_is_not_added_again(tmp_path: Path) -> None:
    add_purged(tmp_path, [RUN])
    without = PurgedRun(RUN.run_id, RUN.run_date, AT, None, {})
    add_purged(tmp_path, [RUN, without])
    assert read_purged(tmp_path) == [RUN]
    asked_again = PurgedRun(RUN.run_id, RUN.run_date, AT, "cd" * 32, {})
    add_purged(tmp_path, [asked_again])
    assert read_purged(tmp_path) == [RUN, asked_again]


@pytest.mark.parametrize("damage", ['{"run_id":', "[]", "{}", "\xff"])
def test_a_damaged_record_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    add_purged(tmp_path, [RUN])
    with (tmp_path / PURGED).open("a", encoding="latin-1") as file:
        file.write(f"{damage}\n")
    before = (tmp_path / PURGED).read_bytes()
    with pytest.raises(InputError, match=r"purged\.ndjson is damaged") as raised:
        add_purged(tmp_path, [UNREAD])
    assert raised.value.exit_code == 65
    assert (tmp_path / PURGED).read_bytes() == before


def test_it_is_as_open_as_the_runs_were(tmp_path: Path) -> None:
    def mode() -> int:
        return stat.S_IMODE((tmp_path / PURGED).stat().st_mode)

    add_purged(tmp_path, [RUN])
    assert mode() == 0o600
    layout = Layout(tmp_path, UNREAD.run_id, UNREAD.run_date, Mode.GROUP)
    layout.made(layout.run)
    add_purged(tmp_path, [UNREAD])
    assert mode() == 0o640
    add_purged(tmp_path, [PurgedRun("20250107-0123456789", "2025-01-07", AT, None, {})])
    assert mode() == 0o640
