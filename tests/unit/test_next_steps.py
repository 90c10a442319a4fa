"""Every error says what to do next: as far as its text can be read without raising it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from batch_screen import errors

PACKAGE = Path(__file__).parents[2] / "batch_screen"
OURS = {
    name
    for name, error in vars(errors).items()
    if isinstance(error, type) and issubclass(error, errors.BatchScreenError)
} | {"empty_input", "no_input", "UsageError", "BadParameter"}

# What tells a person to do something, or what has to be true of what they write.
NEXT = re.compile(
    r"\b(add|ask|bound|call|check|choose|close|complete|copy|export|fix|free|give|keep|leave|look|"
    r"lower|make|mend|move|must|name|needs|pipe|put|raise|rename|replace|restore|save|say|screen|see|"
    r"set|skip|split|start|take|top it up|try|unpack|use|wait|write|report|has to|lists all|"
    r"says what|shows|goes on)\b",
    re.IGNORECASE,
)
WHOLLY_MADE_ELSEWHERE = 12
"""So many messages end with a remedy from a function or a table, with tests of their own, or come
from the caller of ``empty_input`` or ``no_input``."""


class Message(NamedTuple):
    place: str
    text: str


def texts_of(node: ast.expr) -> str:
    """The literal parts of a message; ``{}`` stands for what is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(texts_of(part) for part in parts)
        case ast.BinOp(left=left, right=right):
            return texts_of(left) + texts_of(right)
    return "{}"


@cache
def messages() -> list[Message]:
    return list(_messages())


def _messages() -> Iterator[Message]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in OURS:
                    place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                    yield Message(place, texts_of(node.args[0]))


def is_made_elsewhere(message: Message) -> bool:
    """Whether what to do is put in at the end: a remedy, a hint, or a whole message."""
    return message.text.endswith("{}")


def test_a_message_says_what_to_do_next() -> None:
    assert [m for m in messages() if not (NEXT.search(m.text) or is_made_elsewhere(m))] == []


def test_few_messages_are_made_elsewhere() -> None:
    elsewhere = [m for m in messages() if not NEXT.search(m.text)]
    assert len(elsewhere) <= WHOLLY_MADE_ELSEWHERE, elsewhere
    assert len(messages()) > 100


@pytest.mark.parametrize(
    "text", ["the disk is full", "no such column 'x'", "it is damaged", "interrupted"]
)
def test_a_message_that_only_complains_would_be_found(text: str) -> None:
    assert not NEXT.search(text)
