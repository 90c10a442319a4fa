"""Sections of the settings: API, output, guards, notifications, logging.

Those of what is read and asked stand in ``screening``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from batch_screen.config.parsing import (
    Threshold,
    address,
    is_loopback,
    list_of,
    table_by_region,
    table_of,
    threshold,
)
from batch_screen.config.paths import bucket_address, local_file, local_folder, local_input
from batch_screen.model import Endpoint

# What every section of the settings is built from: a frozen record, and numbers in bounds.

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Table = BeforeValidator(table_of)
ByRegion = BeforeValidator(table_by_region)
ReadPath = Annotated[str, AfterValidator(local_input)]
WrittenFolder = Annotated[str, AfterValidator(local_folder)]
BucketAddress = Annotated[str, AfterValidator(bucket_address)]
WrittenFile = Annotated[str, AfterValidator(local_file)]


class Section(BaseModel):
    """A section of the settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and wanted in (int, float):  # pydantic reads true as 1
            raise ValueError("must be a number, not true or false")
        return value


# The settings of the API: where it is, which contract it speaks, how a key gets there.


class Dialect(StrEnum):
    """Which of the vendor's two published sets of paths the server speaks."""

    PAGE = "v1.0.0"
    LATER = "2026-04"


class Api(Section):
    """The API's address and how to connect to it."""

    base_url: str = "https://api.tyntec.com/network-signal/v1"
    dialect: Dialect = Dialect.PAGE
    paths: Annotated[dict[Endpoint, str], Table] = Field(default={})
    timeout_seconds: Positive = 15.0
    connect_timeout_seconds: Positive = 5.0
    proxy: str = ""
    trust_environment_proxies: bool = False
    ca_file: ReadPath = ""
    key_file: ReadPath = ""
    keys_by_region: Annotated[dict[str, ReadPath], ByRegion] = Field(default={})

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

    @field_validator("keys_by_region")
    @classmethod
    def _are_named(cls, value: dict[str, str]) -> dict[str, str]:
        for region, path in value.items():
            if not path:
                raise ValueError(f"names no file for {region}")
        return value

    @field_validator("paths")
    @classmethod
    def _are_paths(cls, value: dict[Endpoint, str]) -> dict[Endpoint, str]:
        for endpoint, path in value.items():
            if not path.startswith("/") or any(c in path for c in "?#\r\n "):
                raise ValueError(f"the path of {endpoint} must start with / and hold no query")
        return value


# The settings of what a run writes: where, in which form, and with how much memory.

LEAST_MEMORY_MIB, USUAL_MEMORY_MIB = 450, 1_024
_FIXED_MIB = 300
"""Memory that a run takes beside its batches: Python, libraries, numbering plans."""
_MOST_SHARD_ROWS = 160_000
"""Writing takes about 4 KiB for each: less than 700 MiB, where kept columns are narrow."""


class Compression(StrEnum):
    """How Parquet files are compressed; Redshift reads snappy faster."""

    ZSTD = "zstd"
    SNAPPY = "snappy"


class Mode(StrEnum):
    """Who may read a run's files: their owner alone, or their group too. Others never may."""

    PRIVATE = "private"
    GROUP = "group"


class Output(Section):
    """Where results and state go, and how files are written."""

    folder: WrittenFolder = ""
    state_folder: WrittenFolder = ""
    state_bucket: BucketAddress = ""
    compression: Compression = Compression.ZSTD
    row_group_rows: Annotated[int, Field(ge=1_000)] = 500_000
    shard_lookups: Annotated[int, Field(ge=1_000)] = 200_000
    in_order: bool = False
    mode: Mode = Mode.PRIVATE
    trust_folders: bool = False
    memory_mib: Annotated[int, Field(ge=LEAST_MEMORY_MIB)] = USUAL_MEMORY_MIB
    heartbeat_seconds: Positive = 30.0
    summary_file: WrittenFile = ""

    @property
    def memory_share(self) -> float:
        """Factor for batches, shards and buffers, relative to the default memory."""
        room, usual = (mib - _FIXED_MIB for mib in (self.memory_mib, USUAL_MEMORY_MIB))
        return min(1.0, room / usual)

    def shard_rows(self, endpoints: int) -> int:
        """The most accepted rows of a shard, each of which is asked about at so many endpoints."""
        rows = min(self.shard_lookups // endpoints, _MOST_SHARD_ROWS)
        return max(1, int(rows * self.memory_share))


# The settings of how numbers stand in the output.


class Ids(StrEnum):
    """What stands for a number in the output: itself, or its HMAC by a secret key."""

    PLAIN = "plain"
    HMAC = "hmac"


class Privacy(Section):
    """Whether the output holds numbers, or pseudonyms in their place."""

    ids: Ids = Ids.PLAIN
    id_key_file: ReadPath = ""
    id_vault: WrittenFolder = ""
    keep_state: bool = False


# The settings of what stops a run before more is spent, and of what makes a complete one fail.


class Guards(Section):
    """When to stop before more money is spent, and which figures lead to exit code 3."""

    canary_answers: Annotated[int, Field(ge=0)] = 24
    max_consecutive_failures: Annotated[int, Field(ge=0)] = 200
    unreachable_seconds: Positive = 60.0
    max_error_share: Share = 0.5
    max_failure_share: Share = 0.01
    grace_seconds: NotNegative = 20.0
    fail_if: tuple[str, ...] = ()

    @field_validator("fail_if", mode="before")
    @classmethod
    def _normalised(cls, value: Any) -> Any:
        return tuple(dict.fromkeys(threshold(text).text for text in list_of(value)))

    @property
    def thresholds(self) -> list[Threshold]:
        return [threshold(text) for text in self.fail_if]


# The settings of whom to tell that a run starts and ends. The addresses are secrets.

_MOST_SECONDS = 60.0


class Method(StrEnum):
    """How pings are sent. ``post`` has a body with the exit code and the run's id."""

    POST = "post"
    GET = "get"


class Pings(Section):
    """Addresses to call; a call that fails never fails the run.

    Anybody who knows such an address can say that all is well, so none is ever shown.
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


# The settings of what a run leaves for Prometheus.


class Metrics(Section):
    """The file with the last session's metrics, for node_exporter's textfile collector."""

    file: WrittenFile = ""


# The settings of what ``run`` says on stderr.


class LogFormat(StrEnum):
    """``auto``: text on a terminal, one JSON object a line elsewhere."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class Logging(Section):
    """The format of progress, notes and errors on stderr."""

    format: LogFormat = LogFormat.AUTO


# The settings of several workers under one contract.


class Engine(StrEnum):
    """What keeps workers alive: this machine's processes, or Ray on several machines."""

    PROCESSES = "processes"
    RAY = "ray"


class Cluster(Section):
    """How many workers ask, and what keeps them alive."""

    workers: Annotated[int, Field(ge=1, le=256)] = 1
    engine: Engine = Engine.PROCESSES
    ray_address: str = ""
