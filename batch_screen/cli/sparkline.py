"""The pace of one start as a line of blocks, for a terminal of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from textwrap import wrap

from batch_screen.model import Pace

_COLUMNS = 60
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING, _REFUSED = "·", "!"
_MUCH_LOWER = 0.95


def sparkline(pace: Pace) -> Iterator[tuple[str, str]]:
    """Labels and texts, each at most 60 wide: blocks, marks below them, and what they mean.

    >>> for label, text in sparkline(Pace(1.0, [2, 5, 0, 10], [0, 1, 0, 0], [10.0] * 4)):
    ...     print(f"{label:8}{text}")
    pace    ▂▄·█
    refused  !
            a column is 1 s; full height is the limit, 10/s; highest
            10/s; ! requests were refused; · nothing was asked
    """
    shown = pace.at_most(_COLUMNS)
    limit = max(shown.limit_per_second)
    yield "pace", "".join(_block(rate, limit) for rate in shown.rates_per_second)
    marks = "".join(_REFUSED if refused else " " for refused in shown.refused).rstrip()
    if marks:
        yield "refused", marks
    for line in wrap("; ".join(_meaning(shown, limit)), _COLUMNS):
        yield "", line


def _meaning(pace: Pace, limit: float) -> Iterator[str]:
    least = min(pace.limit_per_second)
    yield f"a column is {_length(pace.step_seconds)}"
    yield f"full height is the limit, {_rate(limit)}/s"
    if least < _MUCH_LOWER * limit:
        yield f"at times only {_rate(least)}/s were permitted"
    yield f"highest {_rate(max(pace.rates_per_second))}/s"
    if pace.held_by_headers_seconds:
        yield f"held back by the API's headers for {_length(round(pace.held_by_headers_seconds))}"
    if any(pace.refused):
        yield f"{_REFUSED} requests were refused"
    if not all(pace.attempts):
        yield f"{_NOTHING} nothing was asked"


def _block(rate: float, limit: float) -> str:
    """The block as high as the rate is, rounded up: what was asked at all is seen.

    >>> [_block(rate, 10.0) for rate in (0.0, 0.1, 5.0, 9.9, 11.0)]
    ['·', '▁', '▄', '█', '█']
    """
    if rate <= 0:
        return _NOTHING
    if rate >= limit:
        return _BLOCKS[-1]
    return _BLOCKS[max(1, math.ceil(8 * rate / limit)) - 1]


def _rate(per_second: float) -> str:
    """The number as precise as it need be.

    >>> _rate(1234.5), _rate(97.51), _rate(0.25)
    ('1,234', '97.5', '0.25')
    """
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def _length(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> _length(4.0), _length(90.0), _length(600.0), _length(5400.0)
    ('4 s', '1.5 min', '10 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:.3g} h"
