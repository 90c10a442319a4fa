from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from batch_screen.config.api import Api, Dialect
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
