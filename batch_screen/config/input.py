"""The settings of how lists are read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from batch_screen.config.section import Positive, Section
from batch_screen.config.values import names_or_all

RegionCode = Annotated[str, Field(pattern=r"^([A-Z]{2})?$")]


class Input(Section):
    """How to read the lists of numbers."""

    phone_column: str = ""
    region_column: str = ""
    default_region: RegionCode = ""
    keep_columns: tuple[str, ...] = ()
    has_header: bool = True
    delimiter: str = ""
    encoding: str = ""
    max_unpacked_gib: Positive = 64.0
    max_unpacking_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 200.0

    @field_validator("keep_columns", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(names_or_all(value))

    @field_validator("default_region", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", "\\t": "\t"}.get(value, value)
        if value not in ("", ",", ";", "\t", "|"):
            raise ValueError("must be one of , ; | tab, or empty to find out")
        return value
