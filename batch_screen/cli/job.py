"""The settings and the job that a command's options describe.

Apart from ``options``, which --help loads: settings are slow to import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batch_screen.cli.options import flags_of
from batch_screen.config.key import read_key
from batch_screen.config.load import load_settings
from batch_screen.config.settings import Settings
from batch_screen.job import Job


def settings_of(options: Mapping[str, Any]) -> Settings:
    """The settings of the options, the environment and the configuration file.

    Options that a command does not have are as if they were not given.
    """
    return load_settings(flags_of(options), config=options["config"], environment=os.environ)


def job_of(options: Mapping[str, Any], *, needs_key: bool, settings: Settings | None = None) -> Job:
    """The job that the options describe, with these settings or those of ``settings_of``."""
    settings = settings or settings_of(options)
    run_date: datetime | None = options.get("run_date")
    is_sandbox = options.get("sandbox", False)
    return Job(
        inputs=options.get("inputs", ()),
        settings=settings,
        key=read_key(settings.api.key_file, os.environ) if needs_key and not is_sandbox else None,
        run_date=run_date.date() if run_date else None,
        new_run=options.get("new_run", False),
        sandbox=is_sandbox,
    )
