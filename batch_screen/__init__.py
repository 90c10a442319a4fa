"""batch-screen: screens whole customer bases against a mobile network's fraud signals.

The public names are loaded when they are first used, so that the command line's help does
not wait for polars and aiohttp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from batch_screen.version import __version__

if TYPE_CHECKING:
    from batch_screen.auditing import audit
    from batch_screen.comparing import Comparison, compare
    from batch_screen.config.key import read_key
    from batch_screen.config.load import load_settings
    from batch_screen.config.settings import Settings
    from batch_screen.errors import BatchScreenError
    from batch_screen.forecasting import Forecast, forecast
    from batch_screen.job import Job
    from batch_screen.model import Endpoint
    from batch_screen.output.findings import Check, Difference, Validation
    from batch_screen.pipeline import Screened, screen
    from batch_screen.report_page import Reported, write_report
    from batch_screen.survey.facts import Audit
    from batch_screen.validating import validate
    from batch_screen.watch import Progress, Stop, Watch

__all__ = [
    "Audit",
    "BatchScreenError",
    "Check",
    "Comparison",
    "Difference",
    "Endpoint",
    "Forecast",
    "Job",
    "Progress",
    "Reported",
    "Screened",
    "Settings",
    "Stop",
    "Validation",
    "Watch",
    "__version__",
    "audit",
    "compare",
    "forecast",
    "load_settings",
    "read_key",
    "screen",
    "validate",
    "write_report",
]

_HOMES = {
    "Audit": "survey.facts",
    "BatchScreenError": "errors",
    "Check": "output.findings",
    "Comparison": "comparing",
    "Difference": "output.findings",
    "Endpoint": "model",
    "Forecast": "forecasting",
    "Job": "job",
    "Progress": "watch",
    "Reported": "report_page",
    "Screened": "pipeline",
    "Settings": "config.settings",
    "Stop": "watch",
    "Validation": "output.findings",
    "Watch": "watch",
    "audit": "auditing",
    "compare": "comparing",
    "forecast": "forecasting",
    "load_settings": "config.load",
    "read_key": "config.key",
    "screen": "pipeline",
    "validate": "validating",
    "write_report": "report_page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
