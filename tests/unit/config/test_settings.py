from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batch_screen.config.output import Output
from batch_screen.config.section import Section
from batch_screen.config.settings import (
    Api,
    Budget,
    Dialect,
    Guards,
    Input,
    Numbers,
    Pacing,
    Prices,
    Retry,
    Schedule,
    Screening,
    Settings,
)
from batch_screen.model import Endpoint

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE


@pytest.mark.parametrize(
    "url",
    [
        "https://api.tyntec.com/network-signal/v1",
        "https://gateway.example:8443",
        "https://192.0.2.7/v1",
        "http://localhost:8080/v1",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:8080/v1",
        "https://bücher.example",
    ],
)
def test_addresses(url: str) -> None:
    assert Api(base_url=url).base_url == url
    assert Api(base_url=f"{url}/").base_url == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "full http"),
        ("api.tyntec.com", "full http"),
        ("ftp://api.tyntec.com", "full http"),
        ("https:///v1", "full http"),
        ("https://host:99999", "full http"),
        ("https://host:0", "full http"),
        ("https://host:port", "full http"),
        ("https://[::1", "full http"),
        ("https://a..b", "full http"),
        (f"https://{'a' * 64}.example", "full http"),
        ("https://ex ample.com", "full http"),
        ("https://example.com/\r\nx", "full http"),
        ("https://me:secret@example.com", "no user"),
        ("https://me@example.com", "no user"),
        ("https://example.com/?key=1", "no user"),
        ("https://example.com/#top", "no user"),
        ("http://api.tyntec.com", "must be https"),
        ("http://127.example.com", "must be https"),
        ("http://127.0.0.1.example.com", "must be https"),
        ("http://localhost.example.com", "must be https"),
        ("http://0.0.0.0:80", "must be https"),
        ("http://10.0.0.1", "must be https"),
    ],
)
def test_addresses_that_cannot_be_meant(url: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Api(base_url=url)


@pytest.mark.parametrize("proxy", ["", "http://proxy.example:3128", "http://me:pw@proxy.example"])
def test_proxies(proxy: str) -> None:
    assert Api(proxy=proxy).proxy == proxy


@pytest.mark.parametrize(
    "proxy", ["proxy.example:3128", "socks5://proxy", "http://me:secret", "http://p:99999"]
)
def test_proxies_that_cannot_be_meant(proxy: str) -> None:
    with pytest.raises(ValidationError) as error:
        Api(proxy=proxy)
    assert "full http" in error.value.errors()[0]["msg"]
    assert "secret" not in error.value.errors()[0]["msg"]


@pytest.mark.parametrize("paths", [{CHECK: "/v2/check"}, '{"sim-swap/check": "/v2/check"}'])
def test_paths(paths: Any) -> None:
    assert Api(paths=paths).paths == {CHECK: "/v2/check"}


@pytest.mark.parametrize("path", ["", "v2", "/a?b", "/a#b", "/a b", "/a\r\nX-Header: 1"])
def test_paths_that_cannot_be_meant(path: str) -> None:
    with pytest.raises(ValidationError, match="must start with /"):
        Api(paths={CHECK: path})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sim-swap/check", (CHECK,)),
        ("all", tuple(Endpoint)),
        (["all"], tuple(Endpoint)),
        ("sim-swap/retrieve-date, sim-swap/check,", (CHECK, DATE)),
        (["sim-swap/retrieve-date", "sim-swap/check,sim-swap/check"], (CHECK, DATE)),
        ((DATE, CHECK), (CHECK, DATE)),
        ({DATE, CHECK}, (CHECK, DATE)),
    ],
)
def test_endpoints(given: Any, meant: tuple[Endpoint, ...]) -> None:
    assert Screening(endpoints=given).endpoints == meant


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "at least one"),
        ([], "at least one"),
        ("sim-swap/chek", "no endpoint 'sim-swap/chek'; did you mean sim-swap/check?"),
        ("all,sim-swap/check", "'all' stands alone"),
        (5, "list of names"),
        (True, "list of names"),
        ([5], "list of names"),
        (None, "list of names"),
        ({"a": 1}, "list of names"),
    ],
)
def test_endpoints_that_cannot_be_meant(given: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why.replace("?", r"\?")):
        Screening(endpoints=given)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("", ()), ("a, b,a", ("a", "b")), (["a", "b,c"], ("a", "b", "c")), (("all",), ("all",))],
)
def test_keep_columns(given: Any, meant: tuple[str, ...]) -> None:
    assert Input(keep_columns=given).keep_columns == meant


def test_all_columns_are_no_column_among_others() -> None:
    with pytest.raises(ValidationError, match="'all' stands alone"):
        Input(keep_columns=["id", "all"])


@pytest.mark.parametrize(
    ("given", "meant"), [("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), (";", ";"), ("", "")]
)
def test_delimiters(given: str, meant: str) -> None:
    assert Input(delimiter=given).delimiter == meant


def test_regions_are_upper_case() -> None:
    assert Input(default_region="de").default_region == "DE"


def test_test_numbers() -> None:
    assert Numbers(test_numbers="+491713920012, +12025550123").test_numbers == (
        "+491713920012",
        "+12025550123",
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", ()),
        ([], ()),
        ("de", ("DE",)),
        ("gb, UK,001,de", ("001", "DE", "GB")),
        (["uk", "AT,de"], ("AT", "DE", "GB")),
    ],
)
def test_lists_of_regions(given: Any, meant: tuple[str, ...]) -> None:
    assert Numbers(allowed_regions=given).allowed_regions == meant
    assert Numbers(denied_regions=given).denied_regions == meant


def test_the_order_of_regions_makes_no_other_run() -> None:
    one, other = (Settings(numbers=Numbers(allowed_regions=g)) for g in ("DE,UK", ["GB", "DE"]))
    assert one.identity() == other.identity()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"allowed_regions": "DE,Germany"}, "'GERMANY' is neither a two-letter code such as DE"),
        (
            {"allowed_regions": "DE,uk", "denied_regions": ["GB"]},
            "allowed_regions and denied_regions both name GB",
        ),
    ],
)
def test_regions_that_cannot_be_meant(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Numbers(**given)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (Screening, {"max_age_minutes": 0}),
        (Screening, {"max_age_minutes": 2401}),
        (Screening, {"max_age_minutes": True}),
        (Screening, {"max_age_minutes": 1.5}),
        (Input, {"delimiter": "x"}),
        (Input, {"delimiter": ";;"}),
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
    ("output", "memory_mib"): 512,
    ("api", "timeout_seconds"): 1,
    ("api", "connect_timeout_seconds"): 1,
    ("api", "proxy"): "http://proxy.example",
    ("api", "trust_environment_proxies"): True,
    ("api", "ca_file"): "ca.pem",
    ("api", "key_file"): "key",
    ("pacing", "rate_per_second"): 1,
    ("pacing", "rate_per_second_by_endpoint"): {"sim-swap/check": 1},
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
    ("output", "folder"): "out",
    ("output", "state_folder"): "state",
    ("output", "compression"): "snappy",
    ("output", "row_group_rows"): 1_000,
    ("output", "heartbeat_seconds"): 1,
    ("output", "summary_file"): "last.json",
    ("logging", "format"): "json",
    ("metrics", "file"): "batch_screen.prom",
    ("pings", "start_url"): "https://ping.example/start",
    ("pings", "finish_url"): "https://ping.example/finish",
    ("pings", "failure_url"): "https://ping.example/failure",
    ("pings", "webhook_url"): "https://ping.example/webhook",
    ("pings", "method"): "get",
    ("pings", "timeout_seconds"): 1,
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


def test_dialects() -> None:
    assert Api().dialect is Dialect.PAGE
    assert Api(dialect="2026-04").dialect is Dialect.LATER
