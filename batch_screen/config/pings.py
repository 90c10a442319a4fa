"""The settings of whom to tell that a run starts and ends. The addresses are secrets."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from batch_screen.config.section import Section
from batch_screen.config.values import address, is_loopback

_MOST_SECONDS = 60.0


class Method(StrEnum):
    """How pings are sent. ``post`` has a body with the exit code and the run's id."""

    POST = "post"
    GET = "get"


class Pings(Section):
    """Addresses to call; a call that fails never fails the run.

    Whoever knows such an address can say that all is well, so none is ever shown.
    """

    start_url: SecretStr = SecretStr("")
    finish_url: SecretStr = SecretStr("")
    failure_url: SecretStr = SecretStr("")
    webhook_url: SecretStr = SecretStr("")
    method: Method = Method.POST
    timeout_seconds: Annotated[float, Field(gt=0, le=_MOST_SECONDS)] = 5.0

    @field_validator("start_url", "finish_url", "failure_url", "webhook_url")
    @classmethod
    def _is_private(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url:
            parts = address(url)
            if parts.username or parts.password or parts.fragment:
                raise ValueError("must hold no user, password or fragment")
            if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
                raise ValueError("must be https://: its secret would travel unencrypted")
        return value
