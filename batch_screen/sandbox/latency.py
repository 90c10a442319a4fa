"""Response latency: fixed, uniform or lognormal."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Self

import msgspec

from batch_screen.errors import ConfigurationError

_STANDARD_NORMAL = NormalDist()
_SHAPES = "SECONDS, uniform:FROM:TO or lognormal:MEDIAN:SIGMA"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Fixed ``seconds``; uniform up to ``upto_seconds``; or lognormal with that median."""

    seconds: float = 0.0
    upto_seconds: float | None = None
    sigma: float = 0.0

    def __post_init__(self) -> None:
        """Raises ``ConfigurationError`` for a negative or infinite time."""
        upto = self.seconds if self.upto_seconds is None else self.upto_seconds
        if not (0 <= self.seconds <= upto < math.inf and 0 <= self.sigma < math.inf):
            raise ConfigurationError(
                f"the latency {self} is no waiting time: give {_SHAPES}, none of them below 0"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the command line's notation.

        >>> Latency.parse("uniform:0.1:0.5")
        Latency(seconds=0.1, upto_seconds=0.5, sigma=0.0)
        """
        try:
            match text.split(":"):
                case [seconds]:
                    return cls(seconds=float(seconds))
                case ["uniform", low, high]:
                    return cls(seconds=float(low), upto_seconds=float(high))
                case ["lognormal", median, sigma]:
                    return cls(seconds=float(median), sigma=float(sigma))
        except ValueError:
            pass
        raise ConfigurationError(f"{text!r} is no latency: give {_SHAPES}")

    def draw(self, chance: float) -> float:
        """The latency at the quantile ``chance``, in [0, 1).

        >>> Latency(seconds=1.0, upto_seconds=3.0).draw(0.5)
        2.0
        """
        if self.sigma:
            # inv_cdf is undefined at 0 itself.
            normal = _STANDARD_NORMAL.inv_cdf(max(chance, 1e-12))
            return self.seconds * math.exp(self.sigma * normal)
        upto = self.seconds if self.upto_seconds is None else self.upto_seconds
        return self.seconds + (upto - self.seconds) * chance
