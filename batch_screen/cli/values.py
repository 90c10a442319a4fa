"""Values of options, checked as they are read: each a callback of click."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batch_screen.config.paths import refuse_address

if TYPE_CHECKING:
    from batch_screen.model import OutcomeKind

T = TypeVar("T")

_FIRST_YEAR, _LAST_YEAR = 2000, 2100
_AGE = re.compile(r"(\d{1,5})d", re.ASCII)


def _check(of_value: Callable[[Any], T]) -> Callable[[click.Context, click.Parameter, Any], T]:
    """A check of an option's value, as a click callback."""
    return lambda _context, _option, value: of_value(value)


@_check
def day_of(text: str | None) -> date | None:
    try:
        day = None if text is None else datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
    except ValueError:
        raise click.BadParameter("must be a date such as 2026-03-02") from None
    if day is not None and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise click.BadParameter(f"must lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


@_check
def not_blank(value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    """Refuses an empty value: an unset shell variable must not lift a restriction silently."""
    given = (value,) if isinstance(value, str) else value or ()
    if not all(text.strip(", ") for text in given):
        raise click.BadParameter("must not be empty; leave it out if that is meant")
    return value


@_check
def parquet(path: Path | None) -> Path | None:
    if path is not None and path.suffix != ".parquet":
        raise click.BadParameter("must end in .parquet")
    return path


@_check
def instant(value: str | None) -> datetime | None:
    try:
        return None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("must be a time such as 2026-11-23T04:00:00Z") from None


@_check
def days_ago(value: str | None) -> date | None:
    if value is None:
        return None
    if not (match := _AGE.fullmatch(value)):
        raise click.BadParameter("must be a number of days such as 90d")
    return datetime.now(UTC).date() - timedelta(days=int(match[1]))


@_check
def appendable(path: Path | None) -> Path | None:
    try:
        if path is not None:
            refuse_address(path, "--journal")
            path.open("ab").close()
    except OSError as error:
        raise click.BadParameter(
            f"cannot write {path}: {error.strerror}; name another file"
        ) from None
    return path


@_check
def outcomes(given: tuple[str, ...]) -> tuple[OutcomeKind, ...]:
    from batch_screen.model import OutcomeKind  # noqa: PLC0415 (no help needs it)

    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    failing = [kind.value for kind in OutcomeKind if kind is not OutcomeKind.SUCCESS]
    if given and not names:
        raise click.BadParameter("must not be empty; leave it out if that is meant")
    for name in names:
        if name not in failing:
            raise click.BadParameter(f"{name[:40]!r} is none: choose among {', '.join(failing)}")
    return tuple(OutcomeKind(name) for name in dict.fromkeys(names))


@_check
def limits(given: tuple[str, ...]) -> dict[str, int]:
    by_endpoint = {}
    for text in given:
        endpoint, _, limit = text.partition("=")
        if not limit.isdecimal():
            raise click.BadParameter(f"{text!r} is no limit; write it as sim-swap/check=5")
        by_endpoint[endpoint] = int(limit)
    return by_endpoint
