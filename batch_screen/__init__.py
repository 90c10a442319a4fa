"""batch-screen: screens whole customer bases against a mobile network's fraud signals.

The public names are loaded when they are first used, so that the command line's help does
not wait for polars and aiohttp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch_screen.commands.check import check
    from batch_screen.commands.diff import Diff, diff
    from batch_screen.commands.plan import PlanResult, plan
    from batch_screen.commands.report import ReportResult, report
    from batch_screen.commands.run import RunResult, run
    from batch_screen.commands.status import Status, status
    from batch_screen.commands.validate import validate
    from batch_screen.config.key import read_key
    from batch_screen.config.load import load_settings
    from batch_screen.config.settings import Settings
    from batch_screen.errors import BatchScreenError
    from batch_screen.job import Job
    from batch_screen.model import Endpoint
    from batch_screen.profile.facts import CheckReport
    from batch_screen.runs.events import CancelToken, Progress, RunEvents
    from batch_screen.tables.integrity import Difference, Validation, VerifyCheck


# The one place where the version is written.

__version__ = "0.1.0"


__all__ = [
    "BatchScreenError",
    "CancelToken",
    "CheckReport",
    "Diff",
    "Difference",
    "Endpoint",
    "Job",
    "PlanResult",
    "Progress",
    "ReportResult",
    "RunEvents",
    "RunResult",
    "Settings",
    "Status",
    "Validation",
    "VerifyCheck",
    "__version__",
    "check",
    "diff",
    "load_settings",
    "plan",
    "read_key",
    "report",
    "run",
    "status",
    "validate",
]

_HOMES = {
    "BatchScreenError": "errors",
    "CancelToken": "runs.events",
    "CheckReport": "profile.facts",
    "Diff": "commands.diff",
    "Difference": "tables.integrity",
    "Endpoint": "model",
    "PlanResult": "commands.plan",
    "Job": "job",
    "Progress": "runs.events",
    "ReportResult": "commands.report",
    "RunEvents": "runs.events",
    "RunResult": "commands.run",
    "Settings": "config.settings",
    "Validation": "tables.integrity",
    "VerifyCheck": "tables.integrity",
    "check": "commands.check",
    "diff": "commands.diff",
    "load_settings": "config.load",
    "plan": "commands.plan",
    "read_key": "config.key",
    "run": "commands.run",
    "status": "commands.status",
    "Status": "commands.status",
    "validate": "commands.validate",
    "report": "commands.report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
