"""Generates docs/reference, and dbt's sources, from the code: ``make docs``; tests compare."""

from __future__ import annotations

import copy
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import polars as pl

from batch_screen import errors, schema
from batch_screen.cli.main import cli
from batch_screen.errors import BatchScreenError, ExitCode
from batch_screen.schema import Column
from docs.generate.dbt import sources_file
from docs.generate.markdown import code, one_of, page, table
from docs.generate.outcomes import outcomes_page
from docs.generate.settings import settings_page

FOLDER = Path(__file__).parents[1] / "reference"

# Columns: every table that a command writes.

_COLUMNS = """\
The columns of the files that a run writes, in their order. [Files](files.md) says where the files
lie, [loading](../loading.md) how to load them, [signals](../signals.md) how to read them. This is
version {version} of the schema; new columns come behind the others and raise the version. Kept
columns stand behind them all, so a loader by position finds the others where they were.

**Null** says whether a column may be empty. With [ids](../privacy.md#two-kinds-of-output) `e164` is
null in every row, and `number_id` stands where it would. In a signal, null means unknown and never
"safe": the `outcome` beside it says why ([outcomes](outcomes.md))."""

TABLES = {
    "results": (
        "One row per accepted row of the input; behind these, `in_NAME` of each kept column.",
        schema.results({}),
    ),
    "lookups": (
        "One row per number and endpoint; `attempts - refusals` requests may have been billed.",
        schema.LOOKUPS,
    ),
    "errors": (
        "One row per rejected row, and per lookup without a value unless it was unnecessary.",
        schema.ERRORS,
    ),
    "changes": (
        "One row per number and endpoint that differs from the previous run; none in a first run.",
        schema.CHANGES,
    ),
    "runs --parquet": ("One row per complete run.", schema.RUNS),
    "runs --gone --parquet": ("One row per run that purge has removed.", schema.PURGED_RUNS),
    "check --rejects": ("One row per row that would be rejected.", schema.CHECK_REJECTS),
    "export --flagged": (
        "One row per accepted row that deserves a look; behind `line` stand the kept columns.",
        schema.EXPORT_FLAGGED,
    ),
    "export --rejected": (
        "One row per rejected row; with its cell stand the kept columns, behind `line`.",
        schema.EXPORT_REJECTED,
    ),
}


def columns_page() -> str:
    """docs/reference/columns.md."""
    heads = ("Column", "Type", "Null", "Meaning")
    parts = []
    for title, (about, columns) in TABLES.items():
        rows = [
            (code(c.name), type_of(c), "never" if c.required else "may be", c.meaning)
            for c in columns
        ]
        parts.append(f"## {title}\n\n{about}\n\n{table(heads, rows)}")
    return page("Columns", _COLUMNS.format(version=schema.SCHEMA_VERSION), *parts)


def type_of(column: Column) -> str:
    """A column's type in words.

    >>> type_of(Column("at", schema.INSTANT, "when")), type_of(Column("n", pl.Int32, "how many"))
    ('Datetime, UTC', 'Int32')
    """
    dtype = column.dtype() if isinstance(column.dtype, type) else column.dtype
    return "Datetime, UTC" if isinstance(dtype, pl.Datetime) else str(dtype)


# Commands: the help that each prints, but options that many have only once.

_NAME = "batch-screen"
_CHARACTERS = 100
_SHARED_BY = 4
_GUIDES = {
    "run": "[one night, set up end to end](../nightly.md), [rate and budgets](../rate.md)",
    "doctor": "[one night, set up end to end](../nightly.md#could-it-start)",
    "status": "[when it rings](../alarms.md)",
    "check": "[numbers](../numbers.md), [audit](../audit.md), [check --json](check-json.md)",
    "plan": "[fewer requests](../fewer-requests.md)",
    "runs": "[loading](../loading.md#without-load), [its columns](columns.md#runs---parquet)",
    "validate": "[what it compares](files.md#what-validate-compares), [loading](../loading.md)",
    "diff": "[changes](../signals.md#changes)",
    "export": "[its columns](columns.md#export---flagged), [audit](../audit.md)",
    "load": "[loading](../loading.md)",
    "unload": "[loading](../loading.md#take-runs-out)",
    "contract": "[loading](../loading.md#a-contract-for-the-data)",
    "sql": "[loading](../loading.md#sql-for-other-warehouses)",
    "upload": "[loading](../loading.md#copy-to-an-object-store)",
    "report": "[report.html](files.md#reporthtml)",
    "purge": "[privacy](../privacy.md#delete-a-run)",
    "erase": "[privacy](../privacy.md#erase-a-person)",
    "id-key": "[privacy](../privacy.md#two-kinds-of-output)",
    "lookup-id": "[privacy](../privacy.md#answer-a-request-for-access)",
    "init": "[settings](settings.md)",
    "config": "[settings](settings.md)",
    "sandbox": "[the sandbox](../sandbox.md)",
}
_SHARED = "Options of a list"
_COMMANDS = f"""\
What each command says with `--help` on a terminal of {_CHARACTERS} columns. Options that most of
them have stand once, under [{_SHARED}](#options-of-a-list). [Exit codes](exit-codes.md) says
how a command may end, [settings](settings.md) what the options set."""


def commands_page() -> str:
    """docs/reference/commands.md, a chapter for each command in the order of the first help."""
    shared = shared_options()
    chapters = {}
    for context in contexts():
        own, others = split(context.command.params, shared)
        command = copy.copy(context.command)
        command.params = own
        names = one_of(option.opts[0] for option in others)
        more = (
            "And all [options of a list](#options-of-a-list)."
            if len(others) == len(shared)
            else f"And of the [options of a list](#options-of-a-list): {names}."
        )
        guides = _GUIDES.get(str(context.info_name))
        said = [_fenced(command.get_help(context))]
        if names:
            said.append(
                textwrap.fill(more, _CHARACTERS, break_on_hyphens=False, break_long_words=False)
            )
        if guides:
            said.append(f"See {guides}.")
        chapters[context.command_path] = "\n\n".join(said)
    formatter = click.HelpFormatter(width=_CHARACTERS)
    with formatter.indentation():
        formatter.write_dl([r for o in shared if (r := o.get_help_record(click.Context(cli)))])
    parts = [f"## {code(name)}\n\n{text}" for name, text in chapters.items()]
    parts.append(f"## {_SHARED}\n\n{_fenced(formatter.getvalue())}")
    return page("Commands", _COMMANDS, *parts)


def contexts() -> Iterator[click.Context]:
    """Each command with its click context, groups before their commands."""
    width = {"terminal_width": _CHARACTERS, "max_content_width": _CHARACTERS}
    yield from _contexts(click.Context(cli, info_name=_NAME, **{**cli.context_settings, **width}))


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            child = context.command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _contexts(click.Context(child, info_name=name, parent=context))


def shared_options() -> list[click.Option]:
    """Options that many commands share with the same help, in the order of ``run``."""
    had = Counter(_key(each) for context in contexts() for each in context.command.params)
    options = [each for each in cli.commands["run"].params if isinstance(each, click.Option)]
    return [each for each in options if had[_key(each)] >= _SHARED_BY]


def split(
    params: Iterable[click.Parameter], shared: Iterable[click.Option]
) -> tuple[list[click.Parameter], list[click.Parameter]]:
    """The command's own parameters, and those it shares."""
    keys = {_key(each) for each in shared}
    kept = [*params]
    return [p for p in kept if _key(p) not in keys], [p for p in kept if _key(p) in keys]


def _key(param: click.Parameter) -> tuple[str, str]:
    return param.opts[0], getattr(param, "help", None) or ""


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


# Exit codes, and the exceptions that have them.

_EXIT_CODES = """\
Every command ends with one of these. What stopped it is the one line on stderr that begins with
`Error:`; it says what, where, and what to do next. What was answered is saved whatever the code is,
and the same command resumes. **Again** says whether a scheduler may start the same command again.
73 has two causes. A full disk or a folder that cannot be written may be over at the next start.
State that is damaged or foreign stays so until somebody fixes what the message names.

Ctrl-C once (or SIGTERM): answers under way are awaited and saved. Once more, half a second later or
more: the command exits at once. On a later day the same command needs `--run-date` with the run's
date, which every start prints.

Codes may be added; take a code that is not listed here for a failure.

From Python each error is an exception; its `exit_code` is the number here. What fails a row or a
lookup is no error but an [outcome](outcomes.md)."""


def exit_codes_page() -> str:
    """docs/reference/exit-codes.md, its codes in ascending order."""
    heads = ("Code", "Means", "Next", "Again", "Exception")
    again = {c: "yes" if c in errors.MAY_PASS else "no" for c in ExitCode}
    rows = [(int(c), c.meaning, c.next_step, again[c], one_of(raised_with(c))) for c in ExitCode]
    tree = "\n".join(["The exceptions, each below what it is one of:", "", *_branch()])
    return page("Exit codes", _EXIT_CODES, table(heads, rows), tree)


def raised_with(exit_code: ExitCode) -> list[str]:
    """The exceptions whose default exit code this is."""
    types = [each for each in vars(errors).values() if isinstance(each, type)]
    ours = [each for each in types if issubclass(each, BatchScreenError)]
    return [each.__name__ for each in ours if each.default_exit_code == exit_code]


def _branch(error: type[BatchScreenError] = BatchScreenError, depth: int = 0) -> list[str]:
    about = (error.__doc__ or "").splitlines()[0]
    below = [line for child in error.__subclasses__() for line in _branch(child, depth + 1)]
    return [f"{'  ' * depth}- {code(error.__name__)}: {about}", *below]


PAGES = {
    "columns.md": columns_page,
    "commands.md": commands_page,
    "exit-codes.md": exit_codes_page,
    "outcomes.md": outcomes_page,
    "settings.md": settings_page,
}
OTHERS = {"recipes/dbt/models/sources.yml": sources_file}
"""Files of docs/ that are made the same way, and are no pages of the reference."""


def main() -> None:
    """Writes every page whose text has changed."""
    pages = {f"{FOLDER.name}/{name}": made for name, made in PAGES.items()}
    for name, made in (pages | OTHERS).items():
        path, text = FOLDER.parent / name, made()
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
