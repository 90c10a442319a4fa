from __future__ import annotations

import inspect
import re

import pytest

from batch_screen import errors
from batch_screen.errors import BatchScreenError, Stopped

ALL = {
    name: c
    for name, c in inspect.getmembers(errors, inspect.isclass)
    if c.__module__ == errors.__name__
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
