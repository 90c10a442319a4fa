"""``batch-screen config``: shows every setting, its value, and its origin."""

from __future__ import annotations

import os
from typing import Any

from batch_screen.cli.console import print_json, print_raw
from batch_screen.cli.options import flags_of
from batch_screen.config.key import find_key
from batch_screen.config.load import load_traced
from batch_screen.config.template import as_toml, shown_settings
from batch_screen.masking import safe_line


def config(*, as_json: bool, **options: Any) -> None:
    """Prints all settings, and where the key was found, as TOML or JSON."""
    traced = load_traced(flags_of(options), config=options["config"], environment=os.environ)
    settings = shown_settings(traced)
    place = find_key(traced.settings.api.key_file, os.environ)
    key = safe_line(f"read from {place.name}") if place else None
    if as_json:
        print_json({"settings": settings, "key": key})
    else:
        none = "none is found; name a file that holds it with --api-key-file"
        print_raw(f"# API key: {key or none}\n\n{as_toml(settings)}")
