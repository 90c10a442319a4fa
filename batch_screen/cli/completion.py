"""``batch-screen completion``: the script with which a shell completes what is typed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from batch_screen.cli.console import show_json
from batch_screen.model import Endpoint

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_COMMAND = "batch-screen"
_VARIABLE = "_BATCH_SCREEN_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def completion(context: click.Context, *, shell: str, as_json: bool) -> None:
    """Print a script that completes commands, options, endpoints and regions in SHELL.

    \b
    bash, in ~/.bashrc:  eval "$(batch-screen completion bash)"
    zsh, in ~/.zshrc:    eval "$(batch-screen completion zsh)"
    fish:                batch-screen completion fish > ~/.config/fish/completions/batch-screen.fish
    """  # noqa: D301 (click's mark for a paragraph that keeps its lines)
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}; use bash, zsh or fish")
    script = made(context.find_root().command, {}, _COMMAND, _VARIABLE).source()
    if as_json:
        import json  # noqa: PLC0415

        script = json.dumps({"shell": shell, "script": script}, indent=2)
    show_json(script)


# What a shell may be told while somebody types: endpoints and regions, in lists with commas.

_NO_COUNTRY = ("001", "numbers of no country")


def endpoints(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The endpoints that begin with what stands behind the last comma; ``all`` stands alone."""
    names = [(endpoint.value, "") for endpoint in Endpoint]
    alone = [] if "," in incomplete else [("all", "")]
    return _behind_comma(incomplete, [*names, *alone])


def regions(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The regions (ISO 3166-1) that begin with what stands behind the last comma."""
    return _behind_comma(incomplete, [*_countries(), _NO_COUNTRY])


def region(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The regions that begin so."""
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
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (no help needs it)

    return [CompletionItem(name, help=about or None) for name, about in names]


def _countries() -> list[tuple[str, str]]:
    """Codes and names, from the database of time zones: that of numbers takes long to load."""
    from importlib.resources import files  # noqa: PLC0415 (no help needs it)

    table = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8")
    lines = [line for line in table.splitlines() if line and not line.startswith("#")]
    return [(code, name) for code, _, name in (line.partition("\t") for line in lines)]
