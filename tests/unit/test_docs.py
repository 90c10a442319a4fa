"""What the documents say is what the code does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import polars as pl
import pytest
from msgspec import Struct

import batch_screen
from batch_screen import errors
from batch_screen.cli.main import cli
from batch_screen.cli.options import _SETTINGS
from batch_screen.config.load import load_settings, sections, variable_names
from batch_screen.config.settings import Numbers, Settings
from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.numbers.rules import MEANING, REMEDY, Modifier, RejectReason, Rule
from batch_screen.schema import (
    AUDIT_REJECTS,
    ERRORS,
    IDENTITY,
    LOOKUPS,
    Column,
    endpoint_group,
)
from batch_screen.survey import facts
from batch_screen.survey.damage import MEANING as DAMAGE
from batch_screen.survey.damage import Damage

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
OUTPUT = (ROOT / "OUTPUT.md").read_text("utf-8")
CONFIG = ROOT / "config.toml"


def commands() -> Iterator[click.Command]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield command


def column_lines() -> Iterator[str]:
    groups = [column for e in Endpoint for column in endpoint_group(e).values()]
    for column in dict.fromkeys((*IDENTITY, *groups, *LOOKUPS, *ERRORS, *AUDIT_REJECTS)):
        yield column_line(column)


def column_line(column: Column) -> str:
    dtype = column.dtype() if isinstance(column.dtype, type) else column.dtype
    kind = "Datetime, UTC" if isinstance(dtype, pl.Datetime) else str(dtype)
    return f"| `{column.name}` | {kind} | {column.meaning} |"


def test_config_toml_shows_the_defaults() -> None:
    assert load_settings(config=CONFIG) == Settings()


def test_config_toml_is_complete() -> None:
    table = tomllib.loads(CONFIG.read_text("utf-8"))
    documented = {f"{section}.{name}" for section, values in table.items() for name in values}
    assert documented == set(variable_names().values())


def test_config_toml_explains_every_setting() -> None:
    above = ""
    for line in CONFIG.read_text("utf-8").splitlines():
        is_setting = re.match(r"\w+ = |\[\w+\.\w+\]", line)
        assert not is_setting or above.startswith("# "), f"no comment above: {line}"
        above = line


def test_config_toml_marks_what_belongs_to_a_run() -> None:
    text = CONFIG.read_text("utf-8")
    settings = Settings().identity()
    for section, model in sections().items():
        for name in model.model_fields:
            heading = f"[{section}.{name}]"
            start = text.index(heading if heading in text else f"\n{name} = ")
            comment = text[:start].rsplit("\n\n", 1)[1]
            assert ("[run identity]" in comment) == (f"{section}.{name}" in settings), name


@pytest.mark.parametrize("line", list(column_lines()))
def test_output_lists_the_column(line: str) -> None:
    assert line in OUTPUT


@pytest.mark.parametrize("name", [*MEANING, *REMEDY])
def test_output_explains_the_rule_or_reason(name: str) -> None:
    meaning = {**MEANING, **REMEDY}[name]  # type: ignore[index]
    assert f"| `{name}` | {meaning} |" in OUTPUT


def test_output_lists_all_rules_and_reasons_and_no_others() -> None:
    chapter = OUTPUT.split("## How numbers are read")[1].split("\n## ")[0]
    tables = re.findall(r"^\| (\w+) \| \w+ \|\n\|---\|---\|\n((?:\|.*\n?)+)", chapter, re.MULTILINE)
    listed = {title: re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) for title, rows in tables}
    assert listed == {"Rule": [*Rule, *Modifier], "Reason": [*RejectReason]}


def test_readme_names_only_rules_and_reasons_that_exist() -> None:
    chapter = README.split("## Which numbers are asked about")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", chapter))
    assert named
    assert named <= {*Rule, *Modifier, *RejectReason}


@pytest.mark.parametrize(
    "name",
    [
        RejectReason.AMBIGUOUS,
        RejectReason.SCIENTIFIC_NOTATION,
        RejectReason.FLOAT_ARTEFACT,
        Modifier.INTEGER_COLUMN,
        Modifier.FLOAT_COLUMN,
        Modifier.EXTENSION_DROPPED,
        RejectReason.VANITY_LETTERS,
        RejectReason.MULTIPLE_NUMBERS,
        RejectReason.TOO_SHORT,
        RejectReason.NOT_VALID,
        RejectReason.NOT_MOBILE,
        RejectReason.DOUBLE_ZERO,
        Rule.TEST_NUMBER,
        RejectReason.REGION_NOT_ALLOWED,
        RejectReason.REGION_DENIED,
        RejectReason.OPTED_OUT,
    ],
)
def test_readme_has_a_line_for_each_rule_of_ours(name: str) -> None:
    chapter = README.split("## Which numbers are asked about")[1].split("\n## ")[0]
    assert re.search(rf"^\|.*`{name}`.*\|$", chapter, re.MULTILINE)


def test_readme_names_every_setting_of_numbers() -> None:
    chapter = README.split("## Which numbers are asked about")[1].split("\n## ")[0]
    by_flag = {setting: flag for flag, (section, setting) in _SETTINGS.items()}
    for name in Numbers.model_fields:
        flag = by_flag.get(name, "").replace("_", "-")
        assert f"numbers.{name}`" in chapter or (flag and f"--{flag}`" in chapter), name


@pytest.mark.parametrize("kind", DAMAGE)
def test_output_explains_the_damage(kind: Damage) -> None:
    assert f"| `{kind}` | {DAMAGE[kind]} |" in OUTPUT


def test_output_explains_every_field_of_an_audit() -> None:
    section = OUTPUT[OUTPUT.index("## What `check` says") : OUTPUT.index("## How numbers are read")]
    records = [r for r in vars(facts).values() if isinstance(r, type) and issubclass(r, Struct)]
    fields = {name for record in records for name in record.__struct_fields__}
    assert fields
    assert [name for name in sorted(fields) if f"`{name}`" not in section] == []


@pytest.mark.parametrize("kind", OutcomeKind)
def test_output_explains_the_outcome(kind: OutcomeKind) -> None:
    assert f"| `{kind}` |" in OUTPUT


def test_readme_lists_the_exit_codes() -> None:
    raised = {
        error.default_exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.BatchScreenError)
    }
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert listed == raised | {0, 3, 66, 71, 130, 143}


def test_readme_names_every_command_and_option_of_run() -> None:
    for command in commands():
        assert f"batch-screen {command.name}" in README
    run = cli.commands["run"]
    for option in run.params:
        if isinstance(option, click.Option):
            assert option.opts[0] in README, option.opts[0]


def test_readme_uses_only_options_that_exist() -> None:
    known = {name for c in commands() for p in c.params for name in p.opts} | {
        "--help",
        "--version",
    }
    blocks = "\n".join(re.findall(r"^ {4,}batch-screen .*(?:\\\n.*)*", README, re.MULTILINE))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", blocks))
    assert used
    assert used <= known


def test_public_names_exist_and_are_documented() -> None:
    for name in batch_screen.__all__:
        assert getattr(batch_screen, name) is not None
        assert name in README, name


def test_documents_point_to_files_that_exist() -> None:
    for document in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text("utf-8")):
            assert (ROOT / target).exists(), f"{document.name} points to {target}"


def test_documents_name_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in ROOT.glob("*.md"):
        named = set(re.findall(r"`make ([a-z-]+)`", document.read_text("utf-8")))
        assert named <= targets, document.name
