"""All pages of docs/reference, each made from the code alone."""

from __future__ import annotations

from pathlib import Path

from reference.columns import columns_page
from reference.commands import commands_page
from reference.exit_codes import exit_codes_page
from reference.outcomes import outcomes_page
from reference.settings import settings_page

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

PAGES = {
    "columns.md": columns_page,
    "commands.md": commands_page,
    "exit-codes.md": exit_codes_page,
    "outcomes.md": outcomes_page,
    "settings.md": settings_page,
}
