"""docs/reference/commands.md: every command's help, as the command prints it 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterator

import click

from batch_screen.cli.main import cli
from reference.markdown import code, page

_NAME = "batch-screen"
_COLUMNS = 100
_HEAD = """\
What each command says with `--help` on a terminal of 100 columns. What every one of them exits with
is in [exit codes](exit-codes.md), what its flags set in [settings](settings.md)."""


def commands_page() -> str:
    """The page, a chapter for each command in the order of the first help."""
    parts = [f"## {code(name)}\n\n```text\n{text}\n```" for name, text in helps()]
    return page("Commands", _HEAD, *parts)


def helps() -> Iterator[tuple[str, str]]:
    """Each command's whole name and its help, groups before what is in them."""
    settings = {**cli.context_settings, "terminal_width": _COLUMNS, "max_content_width": _COLUMNS}
    yield from _helps(cli, click.Context(cli, info_name=_NAME, **settings))


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _helps(child, click.Context(child, info_name=name, parent=context))
