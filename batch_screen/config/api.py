"""The settings of the API: where it is, which contract it speaks, how a key gets there."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator

from batch_screen.config.section import Positive, Section
from batch_screen.config.values import address, is_loopback, table_of
from batch_screen.model import Endpoint


class Dialect(StrEnum):
    """Which of the vendor's two published sets of paths the server speaks."""

    PAGE = "v1.0.0"
    LATER = "2026-04"


class Api(Section):
    """The API's address and how to talk to it."""

    base_url: str = "https://api.tyntec.com/network-signal/v1"
    dialect: Dialect = Dialect.PAGE
    paths: dict[Endpoint, str] = Field(default={})
    timeout_seconds: Positive = 15.0
    connect_timeout_seconds: Positive = 5.0
    proxy: str = ""
    trust_environment_proxies: bool = False
    ca_file: str = ""
    key_file: str = ""

    @field_validator("base_url")
    @classmethod
    def _is_plain_url(cls, value: str) -> str:
        parts = address(value)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("must be https://: the key and the numbers would travel unencrypted")
        return value.rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            address(value)
        return value

    @field_validator("paths", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return table_of(value)

    @field_validator("paths")
    @classmethod
    def _are_paths(cls, value: dict[Endpoint, str]) -> dict[Endpoint, str]:
        for endpoint, path in value.items():
            if not path.startswith("/") or any(c in path for c in "?#\r\n "):
                raise ValueError(f"the path of {endpoint} must start with / and hold no query")
        return value
