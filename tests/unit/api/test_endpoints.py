from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from batch_screen.api.endpoints import PATHS, body, url
from batch_screen.config.api import Api, Dialect
from batch_screen.model import Endpoint, Lookup

BASE = "https://api.tyntec.com/network-signal/v1"
MOVED = "/call-forwarding/unconditional/check"


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("dialect", Dialect)
def test_paths(endpoint: Endpoint, dialect: Dialect) -> None:
    moved = (dialect, endpoint) == (Dialect.LATER, Endpoint.CALL_FORWARDING_CHECK)
    wanted = MOVED if moved else f"/{endpoint.value}"
    assert url(Api(dialect=dialect), endpoint) == BASE + wanted


def test_every_dialect_has_every_path() -> None:
    assert set(PATHS) == set(Dialect)
    assert all(set(paths) == set(Endpoint) for paths in PATHS.values())


def test_single_paths_can_be_overridden() -> None:
    api = Api(base_url="http://127.0.0.1:8080/", paths={Endpoint.SIM_SWAP_CHECK: "/v2/check"})
    assert url(api, Endpoint.SIM_SWAP_CHECK) == "http://127.0.0.1:8080/v2/check"
    assert url(api, Endpoint.SIM_SWAP_DATE) == "http://127.0.0.1:8080/sim-swap/retrieve-date"


@pytest.mark.parametrize("endpoint", Endpoint)
def test_addresses_hold_nothing_but_the_path(endpoint: Endpoint) -> None:
    parts = urlsplit(url(Api(), endpoint))
    assert not parts.query
    assert not any(
        character.isdigit() for character in parts.path.removeprefix("/network-signal/v1")
    )


@pytest.mark.parametrize("window", [1, 240, 2400])
def test_the_window_is_always_sent_where_there_is_one(window: int) -> None:
    sent = json.loads(body(Lookup("+491713920012", Endpoint.SIM_SWAP_CHECK, window)))
    assert sent == {"phoneNumber": "+491713920012", "maxAge": window}


@pytest.mark.parametrize("endpoint", [e for e in Endpoint if not e.takes_max_age])
def test_other_endpoints_get_the_number_alone(endpoint: Endpoint) -> None:
    assert body(Lookup("+491713920012", endpoint)) == b'{"phoneNumber":"+491713920012"}'
