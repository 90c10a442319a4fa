from __future__ import annotations

import pytest

from batch_screen.errors import ConfigurationError
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.profiles import PROFILES


@pytest.mark.parametrize(
    ("text", "low", "middle", "high"),
    [
        ("0.2", 0.2, 0.2, 0.2),
        ("uniform:0.1:0.5", 0.1, 0.3, 0.5),
        ("lognormal:0.8:0.5", 0.0, 0.8, 5.0),
    ],
)
def test_latency_follows_its_distribution(
    text: str, low: float, middle: float, high: float
) -> None:
    latency = Latency.parse(text)
    drawn = [latency.draw(i / 1000) for i in range(1000)]
    assert drawn == sorted(drawn)
    assert low <= drawn[0]
    assert drawn[500] == pytest.approx(middle)
    assert drawn[-1] <= high


@pytest.mark.parametrize(
    "text", ["", "fast", "-1", "uniform:2:1", "uniform:1", "lognormal:1:-1", "nan", "inf"]
)
def test_what_is_no_latency_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SECONDS"):
        Latency.parse(text)


def test_the_last_named_profile_with_a_latency_decides_unless_one_is_set() -> None:
    slow = PROFILES["slow"].latency
    assert SandboxConfig(profiles=("slow", "flaky")).effective_latency() == slow
    assert SandboxConfig().effective_latency() == Latency()
    set_here = Latency(seconds=0.1)
    assert SandboxConfig(profiles=("slow",), latency=set_here).effective_latency() == set_here
