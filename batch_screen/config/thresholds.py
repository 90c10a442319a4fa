"""The little language of ``fail_if``: NAME OP VALUE, as in ``failure_rate > 1%``.

Knows which figures there are and between which bounds each can lie, not how they are counted.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from batch_screen.model import Endpoint

RATES = ("failure_rate", "unknown_rate", "reject_rate", "duplicate_rate", "positive_rate")
AMOUNTS = ("rows", "numbers", "lookups", "cost")
OF_ENDPOINTS = ("failure_rate", "unknown_rate", "positive_rate", "lookups", "cost")
CHANGE = "_change"
"""Behind a figure's name: by how much of itself it has changed since the previous run."""

_LONGEST = 200
_FORM = re.compile(
    r"\s*(?P<name>\w+)(?::(?P<endpoint>[\w/-]+))?\s*(?P<op>>=|<=|>|<)"
    r"\s*(?P<value>[+-]?\d{1,15}(?:\.\d{1,9})?)\s*(?P<percent>%?)\s*",
    re.ASCII,
)
_CLAIMS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Threshold:
    """A figure, of one endpoint or of all, and the bound it must not cross.

    ``bound`` is a share (0.01 for 1 %), or an amount in the figure's own unit.
    """

    text: str
    figure: str
    endpoint: Endpoint | None
    is_change: bool
    sign: str
    bound: float

    @property
    def is_share(self) -> bool:
        return self.is_change or self.figure in RATES

    def is_crossed_by(self, seen: float) -> bool:
        return _CLAIMS[self.sign](seen, self.bound)


def threshold(text: str) -> Threshold:
    """Reads one threshold. Raises ``ValueError`` with what was probably meant.

    >>> threshold("failure_rate>1%").text
    'failure_rate > 1%'
    >>> threshold("positive_rate_change:sim-swap/check > 50 %").bound
    0.5
    """
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if not match:
        raise ValueError(f"'{text[:_LONGEST]}' must be a name, > >= < or <=, and a value")
    name, value, percent = match["name"], match["value"], match["percent"]
    bound = float(value) / 100 if percent else float(value)
    figure = _figure(name, of_endpoint=match["endpoint"] is not None)
    endpoint = _endpoint(match["endpoint"])
    whose = f":{endpoint}" if endpoint else ""
    plain = f"{name}{whose} {match['op']} {value}{percent}"
    found = Threshold(plain, figure, endpoint, name != figure, match["op"], bound)
    _refuse_senseless(found, is_percentage=bool(percent))
    return found


def _figure(name: str, *, of_endpoint: bool) -> str:
    """The figure's name without the mark of a change."""
    figures = OF_ENDPOINTS if of_endpoint else (*RATES, *AMOUNTS)
    figure = name.removesuffix(CHANGE)
    if figure not in figures:
        known = [*figures, *(f"{each}{CHANGE}" for each in figures)]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(figures)}"
        of = "of an endpoint " if of_endpoint else ""
        raise ValueError(f"there is no figure {of}'{name[:40]}'; {hint}")
    return figure


def _endpoint(name: str | None) -> Endpoint | None:
    if name is not None and name not in set(Endpoint):
        close = get_close_matches(name, list(Endpoint), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"there is no endpoint '{name[:40]}'{hint}")
    return Endpoint(name) if name else None


def _refuse_senseless(found: Threshold, *, is_percentage: bool) -> None:
    """Raises ``ValueError`` for a bound that is always crossed, or never: a slip of the pen."""
    if is_percentage and not found.is_share:
        raise ValueError(f"'{found.text}': {found.figure} is an amount and no share; drop the %")
    if found.is_change and not is_percentage:
        raise ValueError(f"'{found.text}': write a change in percent, as in 50%")
    low = -1.0 if found.is_change else 0.0
    high = 1.0 if found.is_share and not found.is_change else math.inf
    crossed = {found.is_crossed_by(low), found.is_crossed_by(high)}
    if len(crossed) == 1:
        hint = f"; did you mean {found.bound:g}%?" if found.is_share and not is_percentage else ""
        always = "always" if crossed == {True} else "never"
        raise ValueError(f"'{found.text}' is {always} so{hint}")
