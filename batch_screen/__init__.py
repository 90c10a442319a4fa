"""batch-screen: screens lists of phone numbers against a mobile network's fraud signals.

The public names are loaded when they are first used, so that the command line's help does
not wait for polars and aiohttp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what the table below says, for type checkers: they do not run it
    from batch_screen.commands.check import check as check
    from batch_screen.commands.contract import contract as contract
    from batch_screen.commands.diff import Diff as Diff
    from batch_screen.commands.diff import diff as diff
    from batch_screen.commands.doctor import doctor as doctor
    from batch_screen.commands.erase import EraseReport as EraseReport
    from batch_screen.commands.erase import erase as erase
    from batch_screen.commands.export import ExportReport as ExportReport
    from batch_screen.commands.export import export as export
    from batch_screen.commands.load import LoadReport as LoadReport
    from batch_screen.commands.load import load as load
    from batch_screen.commands.plan import PlanResult as PlanResult
    from batch_screen.commands.plan import plan as plan
    from batch_screen.commands.purge import Purge as Purge
    from batch_screen.commands.purge import PurgeScope as PurgeScope
    from batch_screen.commands.purge import purge as purge
    from batch_screen.commands.report import ReportResult as ReportResult
    from batch_screen.commands.report import report as report
    from batch_screen.commands.retry import retry as retry
    from batch_screen.commands.run import RunResult as RunResult
    from batch_screen.commands.run import run as run
    from batch_screen.commands.runs import CompletedRun as CompletedRun
    from batch_screen.commands.runs import RunList as RunList
    from batch_screen.commands.runs import list_purged as list_purged
    from batch_screen.commands.runs import list_runs as list_runs
    from batch_screen.commands.sql import SqlScript as SqlScript
    from batch_screen.commands.sql import sql as sql
    from batch_screen.commands.status import Status as Status
    from batch_screen.commands.status import status as status
    from batch_screen.commands.unload import UnloadReport as UnloadReport
    from batch_screen.commands.unload import unload as unload
    from batch_screen.commands.upload import UploadResult as UploadResult
    from batch_screen.commands.upload import upload as upload
    from batch_screen.commands.validate import validate as validate
    from batch_screen.config.key import read_key as read_key
    from batch_screen.config.load import load_settings as load_settings
    from batch_screen.config.settings import Settings as Settings
    from batch_screen.diagnostics.findings import Diagnosis as Diagnosis
    from batch_screen.errors import BatchScreenError as BatchScreenError
    from batch_screen.job import Job as Job
    from batch_screen.model import Endpoint as Endpoint
    from batch_screen.model import OutcomeKind as OutcomeKind
    from batch_screen.profile.facts import CheckReport as CheckReport
    from batch_screen.runs.events import CancelToken as CancelToken
    from batch_screen.runs.events import Progress as Progress
    from batch_screen.runs.events import RunEvents as RunEvents
    from batch_screen.runs.purged import PurgedRun as PurgedRun
    from batch_screen.tables.integrity import Difference as Difference
    from batch_screen.tables.integrity import Validation as Validation
    from batch_screen.tables.integrity import VerifyCheck as VerifyCheck
    from batch_screen.warehouse.target import LoadOptions as LoadOptions

# The one place where the version is written.

__version__ = "0.1.0"

_HOMES = {
    name: module
    for module, names in {
        "commands.check": "check",
        "commands.contract": "contract",
        "commands.diff": "Diff diff",
        "commands.doctor": "doctor",
        "commands.erase": "EraseReport erase",
        "commands.export": "ExportReport export",
        "commands.load": "LoadReport load",
        "commands.plan": "PlanResult plan",
        "commands.purge": "Purge PurgeScope purge",
        "commands.report": "ReportResult report",
        "commands.retry": "retry",
        "commands.run": "RunResult run",
        "commands.runs": "CompletedRun RunList list_purged list_runs",
        "commands.sql": "SqlScript sql",
        "commands.status": "Status status",
        "commands.unload": "UnloadReport unload",
        "commands.upload": "UploadResult upload",
        "commands.validate": "validate",
        "config.key": "read_key",
        "config.load": "load_settings",
        "config.settings": "Settings",
        "diagnostics.findings": "Diagnosis",
        "errors": "BatchScreenError",
        "job": "Job",
        "model": "Endpoint OutcomeKind",
        "profile.facts": "CheckReport",
        "runs.events": "CancelToken Progress RunEvents",
        "runs.purged": "PurgedRun",
        "tables.integrity": "Difference Validation VerifyCheck",
        "warehouse.target": "LoadOptions",
    }.items()
    for name in names.split()
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 (the keys are names)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
