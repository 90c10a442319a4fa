"""Region cells to regions: the two-letter codes that have a numbering plan.

The only place that reads what people write for a region. Another way of writing one is added to
``region_of``, which both the single cells and the columns call once for each distinct cell.
"""

from __future__ import annotations

import phonenumbers

from batch_screen.config.screening import REGION_ALIASES, Numbers
from batch_screen.errors import ConfigurationError
from batch_screen.masking import plain
from batch_screen.numbers.rules import NO_COUNTRY

NO_REGION, UNKNOWN_REGION = "", "?"
"""In place of a region: the cell is blank, or names none that has a numbering plan."""


def region_of(cell: str | None) -> str:
    """The region that a cell names, or ``NO_REGION`` or ``UNKNOWN_REGION``.

    >>> region_of(" de "), region_of("uk"), region_of(None), region_of("Germany")
    ('DE', 'GB', '', '?')
    """
    code = (cell or "").strip().upper()
    code = REGION_ALIASES.get(code, code)
    return code if not code or code in phonenumbers.SUPPORTED_REGIONS else UNKNOWN_REGION


def default_region_of(setting: str) -> str:
    """The region of ``input.default_region``. ``ConfigurationError`` if there is no such."""
    region = region_of(setting)
    if region == UNKNOWN_REGION:
        raise ConfigurationError(
            f"input.default_region is {plain(setting, 10)!r}, which is no region with"
            " a numbering plan; write a two-letter ISO 3166-1 code such as DE"
        )
    return region


def refuse_unknown_regions(settings: Numbers) -> None:
    """Raises ``ConfigurationError`` for a listed region without a numbering plan."""
    known = {*phonenumbers.SUPPORTED_REGIONS, NO_COUNTRY}
    for name in ("allowed_regions", "denied_regions"):
        for code in getattr(settings, name):
            if code not in known:
                raise ConfigurationError(
                    f"numbers.{name} names {code!r}, which is no region with a numbering plan; "
                    "write two-letter ISO 3166-1 codes such as DE, or 001 for numbers of no country"
                )
