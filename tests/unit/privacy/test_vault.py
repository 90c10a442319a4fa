from __future__ import annotations

import stat
from pathlib import Path

import polars as pl

from batch_screen.privacy.vault import read_vault, vault_path, write_vault

RUN = "20260302-8144aa1eee"


def test_each_shard_is_read_back_once_per_number(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "vault"
    one = pl.DataFrame(
        {"number_id": ["b", "a", "b"], "e164": ["+2", "+1", "+2"], "in_name": ["x", "y", "z"]}
    )
    write_vault(folder, RUN, [one, one.clear()])
    path = vault_path(folder, RUN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert read_vault(folder, RUN, 0).rows() == [("a", "+1"), ("b", "+2")]
    assert read_vault(folder, RUN, 1).height == 0
    write_vault(folder, RUN, [one.head(1)])  # a start that writes its files again
    assert read_vault(folder, RUN, 0).rows() == [("b", "+2")]
