from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.storage.atomic import sweep
from batch_screen.storage.partition import scratch_files


def test_they_are_gone_afterwards_whatever_happens(tmp_path: Path) -> None:
    with scratch_files(tmp_path, "held", 3) as paths:
        for path in paths[:2]:
            path.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(IsADirectoryError), scratch_files(tmp_path, "held", 1) as [path]:
        tmp_path.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_those_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    with scratch_files(tmp_path, "held", 1) as [path]:
        path.write_bytes(b"x")
        sweep(tmp_path)
        assert not path.exists()
