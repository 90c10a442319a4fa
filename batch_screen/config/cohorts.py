"""The settings of the cohort guard: when a rise over a whole block or country is marked.

They change rows of the change feed, so they belong to a run's identity.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from batch_screen.config.section import Section


class Cohorts(Section):
    """From where on so many newly positive numbers are a migration rather than fraud."""

    min_numbers: Annotated[int, Field(ge=1)] = 50
    min_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_rise: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 5.0
