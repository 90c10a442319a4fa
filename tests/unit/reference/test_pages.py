from __future__ import annotations

import pytest

from reference.pages import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    path = FOLDER / name
    written = path.read_text("utf-8") if path.exists() else ""
    assert written == PAGES[name](), f"docs/reference/{name} is not up to date: make docs"


def test_nothing_else_lies_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)
