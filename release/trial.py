"""Plays the demo with an installed package: a run against the sandbox, and its validation.

``python -m release.trial BIN`` takes the commands from that folder, in an empty environment of
variables and away from the sources, so that nothing but the installed wheel can answer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from release.lock import PINNED

CUSTOMERS = PINNED.parent / "sample_data" / "customers.csv"
LIST = ("--endpoints", "all", "--phone-column", "phone", "--region-column", "country")


def main() -> None:
    """Ends with an error as soon as a command does."""
    command = Path(sys.argv[1]).absolute() / "batch-screen"
    with TemporaryDirectory() as folder:
        for arguments in (
            ("--version",),
            ("run", CUSTOMERS, "--sandbox", "--out", "demo_out", *LIST, "--rate", "1000"),
            ("validate", "demo_out"),
        ):
            subprocess.run(  # noqa: S603 (the command that was just installed)
                [command, *arguments], cwd=folder, env={"HOME": folder}, check=True
            )


if __name__ == "__main__":
    main()
