"""``batch-screen id-key``: makes a secret key for ids in a new file."""

from __future__ import annotations

from pathlib import Path

from batch_screen.cli.console import print_json, print_text
from batch_screen.config.paths import refuse_address
from batch_screen.masking import safe_text
from batch_screen.privacy.ids import make_id_key


def id_key(*, file: Path, as_json: bool) -> None:
    """Makes the key, and prints its name and where it lies."""
    refuse_address(file, "FILE")
    key_id, shown = make_id_key(file).key_id, safe_text(str(file))
    if as_json:
        print_json({"id_key": key_id, "file": shown})
    else:
        print_text(
            f"wrote the key {key_id} to {shown}, readable by you alone: keep a copy, for without "
            "it nobody can tell a number's id\n"
            f"next: batch-screen run LIST --ids hmac --id-key-file {shown}"
        )
