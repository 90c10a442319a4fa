from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from batch_screen.config.sections import (
    Api,
    Dialect,
    Guards,
    NotNegative,
    Output,
    Pings,
    Positive,
    Section,
    Share,
)
from batch_screen.model import Endpoint

CHECK = Endpoint.SIM_SWAP_CHECK


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


def test_dialects() -> None:
    assert Api().dialect is Dialect.PAGE
    assert Api(dialect="2026-04").dialect is Dialect.LATER


@pytest.mark.parametrize("given", [5, True, None, {"a": 1}, ["failure_rate"], [1]])
def test_lists_of_thresholds_that_cannot_be_meant(given: object) -> None:
    with pytest.raises(ValidationError):
        Guards(fail_if=given)  # type: ignore[arg-type]


def test_an_unknown_figure_says_what_was_probably_meant() -> None:
    with pytest.raises(ValidationError, match="did you mean failure_rate"):
        Guards(fail_if=("failure_rates > 1%",))


def test_a_shard_has_no_more_lookups_than_are_set_and_no_more_rows_than_memory_holds() -> None:
    assert Output().shard_rows(endpoints=1) == 160_000
    assert Output(shard_lookups=10_000_000).shard_rows(endpoints=2) == 160_000
    assert Output().shard_rows(endpoints=5) == 40_000
    assert Output(memory_mib=662).shard_rows(endpoints=1) == 80_000
    assert Output(shard_lookups=1_000, memory_mib=450).shard_rows(endpoints=5) == 41


def test_less_memory_makes_batches_and_shards_smaller_and_more_makes_nothing_larger() -> None:
    shares = [Output(memory_mib=mib).memory_share for mib in (450, 512, 1_024, 8_192)]
    assert 0 < shares[0] < shares[1] < 1
    assert shares[2:] == [1, 1]


SECRET = "5up3r-s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"https://ping.example/{SECRET}",
        f"https://ping.example:8443/a?token={SECRET}",
        "http://127.0.0.1:8000/x",
        "http://[::1]/x",
    ],
)
def test_addresses_of_pings(url: str) -> None:
    pings = Pings(start_url=SecretStr(url))
    assert pings.start_url.get_secret_value() == url
    assert SECRET not in f"{pings!r} {pings} {pings.model_dump(mode='json')}"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://ping.example/{SECRET}", "must be https"),
        (f"http://10.0.0.1/{SECRET}", "must be https"),
        (f"https://me:{SECRET}@ping.example", "no user"),
        (f"https://ping.example/#{SECRET}", "no user, password or fragment"),
        (f"ftp://ping.example/{SECRET}", "full http"),
        (f"https://ping.example/{SECRET}\r\nX: 1", "full http"),
        (SECRET, "full http"),
    ],
)
def test_addresses_that_cannot_be_meant_are_not_repeated(url: str, why: str) -> None:
    for name in ("start_url", "finish_url", "failure_url", "webhook_url"):
        with pytest.raises(ValidationError, match=why) as error:
            Pings(**{name: url})
        assert SECRET not in error.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "values", [{"timeout_seconds": 0}, {"timeout_seconds": 61}, {"method": "put"}]
)
def test_values_that_cannot_be_meant(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Pings(**values)  # type: ignore[arg-type]


class Sample(Section):
    """One setting of each kind."""

    rate: Positive = 1.0
    pause: NotNegative = 0.0
    share: Share = 0.5
    count: int = 1
    is_on: bool = False


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"rate": 0}, "greater than 0"),
        ({"rate": float("inf")}, "finite"),
        ({"pause": -1}, "greater than or equal to 0"),
        ({"share": 1.1}, "less than or equal to 1"),
        ({"rate": True}, "not true or false"),
        ({"count": False}, "not true or false"),
        ({"unheard_of": 1}, "Extra inputs"),
    ],
)
def test_values_that_cannot_be_meant_of_section(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Sample(**values)


def test_truth_is_a_value_of_a_switch() -> None:
    assert Sample(is_on=True).is_on


def test_a_section_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sample().rate = 2.0  # type: ignore[misc]
