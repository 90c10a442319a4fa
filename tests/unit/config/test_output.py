from __future__ import annotations

from batch_screen.config.output import Output


def test_less_memory_makes_batches_and_shards_smaller_and_more_makes_nothing_larger() -> None:
    shares = [Output(memory_mib=mib).memory_share for mib in (450, 512, 1_024, 8_192)]
    assert 0 < shares[0] < shares[1] < 1
    assert shares[2:] == [1, 1]
