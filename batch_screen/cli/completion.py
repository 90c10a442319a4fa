"""``batch-screen completion``: prints a shell's completion script."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from batch_screen.cli.console import print_json, print_raw

_COMMAND = "batch-screen"
_VARIABLE = "_BATCH_SCREEN_COMPLETE"


def completion(*, shell: str, as_json: bool) -> None:
    """Prints the completion script of a shell."""
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}; use bash, zsh or fish")
    command = click.get_current_context().find_root().command
    script = made(command, {}, _COMMAND, _VARIABLE).source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        print_raw(script)


# What completes endpoints and regions, in lists with commas.

_NO_COUNTRY = ("001", "numbers of no country")


def endpoints(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes the last endpoint of a comma-separated list; ``all`` only alone."""
    from batch_screen.model import Endpoint  # noqa: PLC0415 (no help needs it)

    names = [(endpoint.value, "") for endpoint in Endpoint]
    alone = [] if "," in incomplete else [("all", "")]
    return _behind_comma(incomplete, [*names, *alone])


def regions(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes the last region (ISO 3166-1) of a comma-separated list."""
    return _behind_comma(incomplete, [*_countries(), _NO_COUNTRY])


def region(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes one region."""
    begun = incomplete.upper()
    return _items((code, name) for code, name in _countries() if code.startswith(begun))


def _behind_comma(incomplete: str, names: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    before, comma, begun = incomplete.rpartition(",")
    taken = before.lower().split(",")
    return _items(
        (before + comma + name, about)
        for name, about in names
        if name.lower().startswith(begun.lower()) and name.lower() not in taken
    )


def _items(names: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(name, help=about or None) for name, about in names]


def _countries() -> list[tuple[str, str]]:
    """Codes and names, from the time zone database: that of phone numbers is slow to load."""
    from importlib.resources import files  # noqa: PLC0415 (no help needs it)

    table = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8")
    lines = [line for line in table.splitlines() if line and not line.startswith("#")]
    return [(code, name) for code, _, name in (line.partition("\t") for line in lines)]
