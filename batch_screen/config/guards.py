"""The settings of what stops a run before more is spent, and of what makes a complete one fail."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from batch_screen.config.section import NotNegative, Positive, Section, Share
from batch_screen.config.thresholds import Threshold, threshold
from batch_screen.config.values import list_of


class Guards(Section):
    """When to stop before more money is spent, and which figures make the exit code 3."""

    canary_answers: Annotated[int, Field(ge=0)] = 24
    max_consecutive_failures: Annotated[int, Field(ge=0)] = 200
    unreachable_seconds: Positive = 60.0
    max_error_share: Share = 0.5
    max_failure_share: Share = 0.01
    grace_seconds: NotNegative = 20.0
    fail_if: tuple[str, ...] = ()

    @field_validator("fail_if", mode="before")
    @classmethod
    def _as_they_are_told(cls, value: Any) -> Any:
        return tuple(dict.fromkeys(threshold(text).text for text in list_of(value)))

    @property
    def thresholds(self) -> list[Threshold]:
        return [threshold(text) for text in self.fail_if]
