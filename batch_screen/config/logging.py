"""The settings of what ``run`` says on stderr."""

from __future__ import annotations

from enum import StrEnum

from batch_screen.config.section import Section


class LogFormat(StrEnum):
    """``auto``: text on a terminal, one JSON object a line elsewhere."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class Logging(Section):
    """In which form progress, notes and errors are told."""

    format: LogFormat = LogFormat.AUTO
