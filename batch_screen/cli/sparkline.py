"""The pace of one start as a line of blocks, for a terminal of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator

from batch_screen.model import Pace

_COLUMNS = 60
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING, _REFUSED = "·", "!"


def sparkline(pace: Pace) -> Iterator[tuple[str, str]]:
    """Labels and texts, each at most 60 wide: blocks, marks below them, and what they mean.

    >>> for label, text in sparkline(Pace(1.0, [2, 5, 0, 10], [0, 1, 0, 0], [10.0] * 4)):
    ...     print(f"{label:8}{text}")
    pace    ▂▄·█
    refused  !
            1 s a column, a full block is the limit of 10/s; at most 10/s
            "!": requests were refused; "·": nothing was asked
    """
    shown = pace.at_most(_COLUMNS)
    limit = max(shown.limit_per_second)
    rates = shown.rates_per_second
    yield "pace", "".join(_block(rate, limit) for rate in rates)
    marks = "".join(_REFUSED if refused else " " for refused in shown.refused).rstrip()
    if marks:
        yield "refused", marks
    yield "", f"{_scale(shown, limit)}; at most {max(rates):,.4g}/s"
    if meanings := list(_meanings(shown)):
        yield "", "; ".join(meanings)


def _block(rate: float, limit: float) -> str:
    """The block as high as the rate is, rounded up: what was asked at all is seen.

    >>> [_block(rate, 10.0) for rate in (0.0, 0.1, 5.0, 9.9, 11.0)]
    ['·', '▁', '▄', '█', '█']
    """
    if rate <= 0:
        return _NOTHING
    eighths = math.ceil(8 * rate / limit) if limit > 0 else len(_BLOCKS)
    return _BLOCKS[min(eighths, len(_BLOCKS)) - 1]


def _scale(pace: Pace, limit: float) -> str:
    """What a column and a block stand for.

    >>> _scale(Pace(2.0, [1, 1], [0, 0], [5.0, 10.0]), 10.0)
    '2 s a column, a full block is the limit of 10/s (5/s at times)'
    """
    least = min(pace.limit_per_second)
    lower = f" ({least:,.4g}/s at times)" if least < 0.95 * limit else ""
    return (
        f"{_length(pace.step_seconds)} a column, a full block is the limit of {limit:,.4g}/s{lower}"
    )


def _length(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> _length(4.0), _length(90.0), _length(600.0), _length(5400.0)
    ('4 s', '1.5 min', '10 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3600 else f"{seconds / 3600:.3g} h"


def _meanings(pace: Pace) -> Iterator[str]:
    if any(pace.refused):
        yield f'"{_REFUSED}": requests were refused'
    if not all(pace.attempts):
        yield f'"{_NOTHING}": nothing was asked'
