from __future__ import annotations

import ast
import inspect
import re
import signal
from pathlib import Path

import pytest

from batch_screen import errors
from batch_screen.errors import SIGNAL_EXIT, BatchScreenError, ExitCode, Stopped

ALL = {
    name: c
    for name, c in inspect.getmembers(errors, inspect.isclass)
    if issubclass(c, Exception) and c.__module__ == errors.__name__
}


def drawn() -> dict[str, int]:
    """The tree in the module's docstring: class → exit code."""
    lines = re.findall(r"([A-Z]\w+) +(\d+) ", errors.__doc__ or "")
    return {name: int(code) for name, code in lines}


def test_the_tree_is_drawn_as_it_is() -> None:
    assert {name: c.default_exit_code for name, c in ALL.items()} == drawn()
    assert all(issubclass(c, BatchScreenError) for c in ALL.values())


def test_below_the_api() -> None:
    assert {c.__name__ for c in errors.ApiError.__subclasses__()} == {
        "AuthenticationError",
        "QuotaError",
    }


@pytest.mark.parametrize("error", ALL.values())
def test_exit_code_can_be_said(error: type[BatchScreenError]) -> None:
    assert error("message").exit_code == error.default_exit_code
    assert error("message", exit_code=66).exit_code == 66
    assert str(error("message")) == "message"
    assert error.default_exit_code != 66


def test_one_exit_code_does_not_leak_into_the_next() -> None:
    assert Stopped("by a signal", exit_code=130).exit_code == 130
    assert Stopped("by a budget").exit_code == 4


PACKAGE = Path(__file__).parents[2] / "batch_screen"
SOURCES = [path for path in PACKAGE.rglob("*.py") if path.name != "errors.py"]


def test_each_code_is_an_integer_that_says_what_it_means() -> None:
    assert [int(code) for code in ExitCode] == sorted({int(code) for code in ExitCode})
    assert f"{ExitCode.LOCKED} {ExitCode(75)!r}" == "75 <ExitCode.LOCKED: 75>"
    for code in ExitCode:
        assert code.meaning
        assert code.next_step.endswith("."), code


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_signals(number: signal.Signals, code: ExitCode) -> None:
    assert SIGNAL_EXIT + number == code


def test_every_error_has_one_of_them() -> None:
    raised = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert raised
    assert {type(c.default_exit_code) for c in raised} == {ExitCode}


def test_nobody_writes_a_code_as_a_number() -> None:
    found = {path: numbers_as_codes(path.read_text("utf-8")) for path in SOURCES}
    assert {path: codes for path, codes in found.items() if codes} == {}, "take it from ExitCode"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("raise InputError('x', exit_code=66)", [66]),
        ("NOT_FOUND = 66\nraise InputError('x', exit_code=NOT_FOUND)", [66]),
        ("_TERMINATED = 143\nraise SystemExit(_TERMINATED)", [143]),
        ("@click.command()\ndef run() -> int:\n    return 3 if failed() else 0", [3, 0]),
        ("raise InputError('x', exit_code=ExitCode.NO_INPUT)\nWIDTH = 66", []),
        ("@click.command()\ndef run() -> int:\n    return ExitCode.COMPLETE", []),
    ],
)
def test_codes_as_numbers_are_found(source: str, found: list[int]) -> None:
    assert numbers_as_codes(source) == found


def numbers_as_codes(source: str) -> list[int]:
    """Integers that are given as an exit code, or returned by a command, named or not."""
    tree = ast.parse(source)
    named = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    given = [value for node in ast.walk(tree) for value in _given(node)]
    values = [each for value in given for each in ast.walk(value)]
    values += [named[v.id] for v in values if isinstance(v, ast.Name) and v.id in named]
    return [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, int)]


def _given(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.keyword) and node.arg == "exit_code":
        return [node.value]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("SystemExit", "sys.exit"):
        return node.args
    if isinstance(node, ast.FunctionDef) and "click.command" in str(
        [ast.unparse(each) for each in node.decorator_list]
    ):
        return [
            each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value
        ]
    return []
