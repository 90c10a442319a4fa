from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batch_screen.config.screening import Input, Numbers, Screening
from batch_screen.config.sections import Api, Guards, Output, Section
from batch_screen.config.settings import Budget, Pacing, Prices, Retry, Schedule, Settings
from batch_screen.model import Endpoint

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (Screening, {"max_age_minutes": 0}),
        (Screening, {"max_age_minutes": 2401}),
        (Screening, {"max_age_minutes": True}),
        (Screening, {"max_age_minutes": 1.5}),
        (Input, {"delimiter": "x"}),
        (Input, {"delimiter": ";;"}),
        (Input, {"delimiter": "+"}),
        (Input, {"delimiter": "\\"}),
        (Input, {"skip_lines": -1}),
        (Input, {"default_region": "DEU"}),
        (Input, {"default_region": 49}),
        (Input, {"keep_columns": 5}),
        (Input, {"keep_columns": [1]}),
        (Numbers, {"strictness": "sure"}),
        (Numbers, {"test_numbers": ["0171 3920012"]}),
        (Numbers, {"test_numbers": "+٤٩١٧١٣٩٢٠٠١٢"}),
        (Numbers, {"test_numbers": 5}),
        (Numbers, {"allowed_regions": "DEU"}),
        (Numbers, {"allowed_regions": ["Germany"]}),
        (Numbers, {"denied_regions": "49"}),
        (Numbers, {"denied_regions": [1]}),
        (Numbers, {"denied_regions": None}),
        (Numbers, {"opt_out_file": 5}),
        (Pacing, {"rate_per_second": 0}),
        (Pacing, {"rate_per_second": -1}),
        (Pacing, {"rate_per_second": float("inf")}),
        (Pacing, {"rate_per_second": float("nan")}),
        (Pacing, {"rate_per_second": True}),
        (Pacing, {"headroom": 1}),
        (Pacing, {"headroom": float("nan")}),
        (Pacing, {"max_concurrency": 0}),
        (Pacing, {"rate_per_second_by_endpoint": {"sim-swap/check": 0}}),
        (Pacing, {"rate_per_second_by_endpoint": {"sim-swap": 1}}),
        (Pacing, {"rate_per_second_by_region": {"DE": 0}}),
        (Pacing, {"rate_per_second_by_region": {"Germany": 1}}),
        (Pacing, {"rate_per_second_by_region": {"GB": 1, "uk": 2}}),
        (Api, {"keys_by_region": {"DE": ""}}),
        (Api, {"keys_by_region": {"DE": "s3://bucket/key"}}),
        (Schedule, {"timezone": "Berlin"}),
        (Schedule, {"timezone": "Europe"}),
        (Schedule, {"timezone": "../UTC"}),
        (Schedule, {"timezone": ""}),
        (Schedule, {"stop_at": "6"}),
        (Schedule, {"stop_at": "24:00"}),
        (Schedule, {"stop_at": "06:00\n"}),
        (Schedule, {"rate_per_second_by_hour": {"22": 1}}),
        (Schedule, {"rate_per_second_by_hour": {"08-08": 1}}),
        (Schedule, {"rate_per_second_by_hour": {"08-25": 1}}),
        (Schedule, {"rate_per_second_by_hour": {"08-12": -1}}),
        (Schedule, {"rate_per_second_by_hour": {"08-12": 1, "22-09": 2}}),
        (Schedule, {"rate_per_second_by_hour": {"00-12": 0, "12-24": 0}}),
        (Budget, {"max_requests": -1}),
        (Budget, {"max_cost": -0.01}),
        (Budget, {"max_duration_seconds": "soon"}),
        (Budget, {"max_duration_seconds": ""}),
        (Budget, {"max_duration_seconds": True}),
        (Retry, {"max_attempts": 0}),
        (Retry, {"max_attempts": False}),
        (Guards, {"max_failure_share": 1.01}),
        (Guards, {"max_error_share": 1.01}),
        (Guards, {"max_failure_share": True}),
        (Guards, {"canary_answers": -1}),
        (Output, {"compression": "gzip"}),
        (Output, {"shard_lookups": 999}),
        (Prices, {"per_request": {"sim-swap/check": -0.01}}),
        (Prices, {"per_request": {"sim-swap/chek": 0.01}}),
        (Prices, {"per_request": "sim-swap/check"}),
        (Prices, {"per_request": "[1]"}),
        (Settings, {"input": {"phone_column": "a", "region_column": "a"}}),
        (Settings, {"pacng": {}}),
    ],
)
def test_values_that_cannot_be_meant(section: type[Section], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**values)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().pacing.rate_per_second = 1


IDENTITY = {
    ("api", "base_url"): "https://other.example",
    ("api", "dialect"): "2026-04",
    ("api", "paths"): {"sim-swap/check": "/other"},
    ("screening", "endpoints"): "all",
    ("screening", "max_age_minutes"): 240,
    ("screening", "max_age"): "since-last-run",
    ("screening", "max_age_margin_minutes"): 5,
    ("screening", "beyond_window"): "report-gap",
    ("planner", "derive_checks"): True,
    ("planner", "look_back_days"): 7,
    ("planner", "reuse_within_minutes"): {"sim-swap/check": 60},
    ("planner", "only_where_changed"): {"device-swap/check": "sim-swap/check"},
    ("input", "phone_column"): "phone",
    ("input", "region_column"): "country",
    ("input", "default_region"): "DE",
    ("input", "keep_columns"): "id",
    ("input", "has_header"): False,
    ("input", "delimiter"): ";",
    ("input", "quote_escape"): "backslash",
    ("input", "skip_lines"): 3,
    ("input", "sheet"): "Kunden",
    ("input", "encoding"): "cp1252",
    ("numbers", "strictness"): "mobile",
    ("numbers", "ambiguous"): "national",
    ("numbers", "double_zero_is_plus"): True,
    ("numbers", "vanity_letters"): True,
    ("numbers", "test_numbers"): "+491713920012",
    ("numbers", "allowed_regions"): "DE",
    ("numbers", "denied_regions"): "FR",
    ("numbers", "opt_out_file"): "no.txt",
    ("output", "shard_lookups"): 1_000,
    ("cohorts", "min_numbers"): 100,
    ("cohorts", "min_share"): 0.2,
    ("cohorts", "min_rise"): 2,
}
NOT_IDENTITY = {
    ("output", "in_order"): True,
    ("output", "mode"): "group",
    ("output", "memory_mib"): 512,
    ("api", "timeout_seconds"): 1,
    ("api", "connect_timeout_seconds"): 1,
    ("api", "proxy"): "http://proxy.example",
    ("api", "trust_environment_proxies"): True,
    ("api", "ca_file"): "ca.pem",
    ("api", "key_file"): "key",
    ("api", "keys_by_region"): {"DE": "de.key"},
    ("pacing", "rate_per_second"): 1,
    ("pacing", "rate_per_second_by_endpoint"): {"sim-swap/check": 1},
    ("pacing", "rate_per_second_by_region"): {"DE": 1},
    ("pacing", "headroom"): 0.5,
    ("pacing", "ramp_up_seconds"): 0,
    ("pacing", "max_concurrency"): 1,
    ("pacing", "max_retry_after_seconds"): 1,
    ("retry", "max_attempts"): 1,
    ("retry", "base_delay_seconds"): 1,
    ("retry", "max_delay_seconds"): 1,
    ("retry", "max_refusals"): 1,
    ("schedule", "timezone"): "Europe/Berlin",
    ("schedule", "stop_at"): "06:00",
    ("schedule", "rate_per_second_by_hour"): {"22-06": 1},
    ("budget", "max_requests"): 1,
    ("budget", "max_cost"): 1,
    ("budget", "max_duration_seconds"): "6h",
    ("guards", "canary_answers"): 0,
    ("guards", "max_consecutive_failures"): 1,
    ("guards", "unreachable_seconds"): 1,
    ("guards", "max_error_share"): 1,
    ("guards", "max_failure_share"): 1,
    ("guards", "grace_seconds"): 0,
    ("guards", "fail_if"): "failure_rate > 1%",
    ("cluster", "workers"): 4,
    ("cluster", "engine"): "ray",
    ("cluster", "ray_address"): "10.0.0.7:6379",
    ("output", "folder"): "out",
    ("output", "state_folder"): "state",
    ("output", "state_bucket"): "s3://bucket/state",
    ("output", "compression"): "snappy",
    ("output", "row_group_rows"): 1_000,
    ("output", "heartbeat_seconds"): 1,
    ("output", "trust_folders"): True,
    ("output", "summary_file"): "last.json",
    # The key is of a run's identity, by its name: a job adds it.
    ("privacy", "ids"): "hmac",
    ("privacy", "id_key_file"): "ids.key",
    ("privacy", "id_vault"): "vault",
    ("privacy", "keep_state"): True,
    ("logging", "format"): "json",
    ("metrics", "file"): "batch_screen.prom",
    ("pings", "start_url"): "https://ping.example/start",
    ("pings", "finish_url"): "https://ping.example/finish",
    ("pings", "failure_url"): "https://ping.example/failure",
    ("pings", "webhook_url"): "https://ping.example/webhook",
    ("pings", "method"): "get",
    ("pings", "timeout_seconds"): 1,
    ("screening", "unfinished"): "new",
    ("input", "max_unpacked_gib"): 1,
    ("input", "max_unpacking_ratio"): 1000,
    ("prices", "currency"): "USD",
    ("prices", "per_request"): {"sim-swap/check": 0.01},
}


def changed(section: str, name: str, value: Any) -> Settings:
    return Settings(**{section: {name: value}})


@pytest.mark.parametrize(("setting", "value"), IDENTITY.items())
def test_what_can_change_an_outcome_is_identity(setting: tuple[str, str], value: Any) -> None:
    before, after = Settings().identity(), changed(*setting, value).identity()
    assert {name for name in before if before[name] != after[name]} == {".".join(setting)}


@pytest.mark.parametrize(("setting", "value"), NOT_IDENTITY.items())
def test_what_only_changes_the_pace_is_not(setting: tuple[str, str], value: Any) -> None:
    settings = changed(*setting, value)
    assert settings != Settings()
    assert settings.identity() == Settings().identity()


def test_every_setting_is_either_or() -> None:
    known = {
        (section, name)
        for section, field in Settings.model_fields.items()
        for name in field.annotation.model_fields  # type: ignore[union-attr]
    }
    assert known == {*IDENTITY, *NOT_IDENTITY}
    assert not IDENTITY.keys() & NOT_IDENTITY.keys()


@given(st.permutations(list(Endpoint)))
def test_the_order_of_endpoints_makes_no_other_run(endpoints: list[Endpoint]) -> None:
    one = Settings(screening=Screening(endpoints=tuple(endpoints)))
    assert one.identity() == Settings(screening=Screening(endpoints="all")).identity()


@pytest.mark.parametrize(
    "cluster", [{"workers": 2}, {"engine": "ray"}, {"engine": "ray", "workers": 1}]
)
@pytest.mark.parametrize(
    "contracts",
    [
        {"pacing": {"rate_per_second_by_region": {"DE": 5}}},
        {"api": {"keys_by_region": {"DE": "de.key"}}},
    ],
)
def test_contracts_by_region_are_asked_by_this_process(
    cluster: dict[str, Any], contracts: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="do not go together"):
        Settings.model_validate({"cluster": cluster, **contracts})
