"""docs/reference/exit-codes.md: every exit code, and the exceptions that have it."""

from __future__ import annotations

from batch_screen import errors
from batch_screen.errors import BatchScreenError, ExitCode
from reference.markdown import code, one_of, page, table

_HEAD = """\
Every command ends with one of these. What stopped it is the one line on stderr that begins with
`Error:`; it says what, where, and what to do next. What was answered is saved whatever the code is,
and the same command resumes.

From Python each error is an exception; its `exit_code` is the number here. What fails a row or a
lookup is no error but an [outcome](outcomes.md)."""


def exit_codes_page() -> str:
    """The page, its codes in ascending order."""
    rows = [(int(c), c.meaning, c.next_step, one_of(raised_with(c))) for c in ExitCode]
    return page("Exit codes", _HEAD, table(("Code", "Means", "Next", "Exception"), rows), _tree())


def raised_with(exit_code: ExitCode) -> list[str]:
    """The exceptions that have this code unless they are given another."""
    found = [each for each in vars(errors).values() if _is_ours(each)]
    return [each.__name__ for each in found if each.default_exit_code == exit_code]


def _is_ours(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BatchScreenError)


def _tree() -> str:
    lines = ["The exceptions, each below what it is one of:", ""]
    return "\n".join([*lines, *_branch(BatchScreenError, 0)])


def _branch(error: type[BatchScreenError], depth: int) -> list[str]:
    about = (error.__doc__ or "").splitlines()[0]
    below = [line for child in error.__subclasses__() for line in _branch(child, depth + 1)]
    return [f"{'  ' * depth}- {code(error.__name__)}: {about}", *below]
