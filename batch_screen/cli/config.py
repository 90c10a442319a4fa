"""``batch-screen config``: every setting, its value, and where that comes from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli.console import show_json
from batch_screen.cli.options import flags_of, setting_options

if TYPE_CHECKING:
    from batch_screen.config.key import KeyPlace
    from batch_screen.config.template import Setting


@click.command()
@setting_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config(*, as_json: bool, **options: Any) -> None:
    """Show all settings merged: flags over the environment over --config over defaults.

    What is printed can be saved as a file for --config. No key, password or phone number is in
    it: lines that would hold one are comments.
    """
    from batch_screen.config.key import find_key  # noqa: PLC0415 (heavy)
    from batch_screen.config.load import load_traced  # noqa: PLC0415
    from batch_screen.config.template import shown_settings  # noqa: PLC0415

    traced = load_traced(flags_of(options), config=options["config"], environment=os.environ)
    found = shown_settings(traced)
    place = find_key(traced.settings.api.key_file, os.environ)
    show_json(_json(found, place) if as_json else _toml(found, place))


def _toml(settings: list[Setting], place: KeyPlace | None) -> str:
    from batch_screen.config.template import as_toml  # noqa: PLC0415

    return f"# API key: {_key(place)}\n\n{as_toml(settings)}"


def _json(settings: list[Setting], place: KeyPlace | None) -> str:
    import msgspec  # noqa: PLC0415

    told = {"settings": settings, "key": _key(place) if place else None}
    return msgspec.json.format(msgspec.json.encode(told)).decode()


def _key(place: KeyPlace | None) -> str:
    from batch_screen.masking import safe_line  # noqa: PLC0415

    if place is None:
        return "none is found; name a file that holds it with --api-key-file"
    return safe_line(f"read from {place.name}")
