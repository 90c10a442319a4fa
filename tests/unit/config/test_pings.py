from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from batch_screen.config.pings import Pings

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
def test_addresses(url: str) -> None:
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
