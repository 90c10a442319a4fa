from __future__ import annotations

from batch_screen import errors
from batch_screen.errors import BatchScreenError, ExitCode
from reference.exit_codes import exit_codes_page, raised_with


def test_every_code_is_explained() -> None:
    page = exit_codes_page()
    for code in ExitCode:
        assert f"| {int(code)} | {code.meaning} | {code.next_step} |" in page


def test_every_exception_stands_beside_its_code() -> None:
    ours = {n for n, c in vars(errors).items() if isinstance(c, type) and _is_ours(c)}
    assert {name for code in ExitCode for name in raised_with(code)} == ours
    assert raised_with(ExitCode.STOPPED) == ["QuotaError", "Stopped"]
    assert "    - `QuotaError`: " in exit_codes_page()


def _is_ours(found: type) -> bool:
    return issubclass(found, BatchScreenError)
