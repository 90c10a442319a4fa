"""The settings of which cells count as a phone number, and whose are asked about."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Self

from pydantic import field_validator, model_validator

from batch_screen.config.section import Section
from batch_screen.config.values import list_of

OPT_OUT_FILE = "numbers.opt_out_file"
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_REGION = re.compile(r"[A-Z]{2}|001")
_REGION_ALIASES = {"UK": "GB"}


class Strictness(StrEnum):
    """How sure a number must be before it is asked about: libphonenumber's degrees."""

    POSSIBLE = "possible"
    VALID = "valid"
    MOBILE = "mobile"


class Ambiguous(StrEnum):
    """What to do with digits that read as two different numbers."""

    SAFE = "safe"
    NATIONAL = "national"
    INTERNATIONAL = "international"


class Numbers(Section):
    """Which cells count as a phone number."""

    strictness: Strictness = Strictness.VALID
    ambiguous: Ambiguous = Ambiguous.SAFE
    double_zero_is_plus: bool = False
    vanity_letters: bool = False
    test_numbers: tuple[str, ...] = ()
    allowed_regions: tuple[str, ...] = ()
    denied_regions: tuple[str, ...] = ()
    opt_out_file: str = ""

    @field_validator("test_numbers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("test_numbers")
    @classmethod
    def _are_e164(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_E164.fullmatch(number) for number in value):
            raise ValueError("every test number must be written as + and 7 to 15 digits")
        return value

    @field_validator("allowed_regions", "denied_regions", mode="before")
    @classmethod
    def _are_regions(cls, value: Any) -> Any:
        codes = [code.upper() for code in list_of(value)]
        for code in codes:
            if not _REGION.fullmatch(code):
                raise ValueError(f"'{code[:20]}' is neither a two-letter code such as DE nor 001")
        # One order for every run: to allow FR,DE is the same run as DE,FR.
        return tuple(sorted({_REGION_ALIASES.get(code, code) for code in codes}))

    @model_validator(mode="after")
    def _contradict_nowhere(self) -> Self:
        if both := sorted({*self.allowed_regions} & {*self.denied_regions}):
            raise ValueError(f"allowed_regions and denied_regions both name {both[0]}")
        return self
