"""Pictures of a report, to be looked at: ``python -m tests.browser.pictures PAGE FOLDER``.

Widths of a desk, two telephones and a sheet of paper, light and dark.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from .conftest import Window, chromium


def draw(page: Path, folder: Path) -> None:
    """Writes a PNG for each scheme and width, the first screen, and what would be printed."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        window = Window(browser)
        for scheme in ("light", "dark"):
            for width in (1280, 390, 320):
                shown = window.show(page.resolve(), width, scheme)
                shown.page.screenshot(path=folder / f"{scheme}-{width}.png", full_page=True)
                shown.page.screenshot(path=folder / f"{scheme}-{width}-first.png")
        shown.page.pdf(path=folder / "print.pdf", format="A4")
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
