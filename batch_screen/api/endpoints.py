"""Where each endpoint lives and what is sent to it (reference page, "POST /…" sections).

The vendor later moved call forwarding under the same version, so paths are configuration:
a dialect chooses a set, single paths can be overridden.
"""

from __future__ import annotations

import msgspec

from batch_screen.config.api import Api, Dialect
from batch_screen.model import Endpoint, Lookup

_PAGE = {endpoint: f"/{endpoint.value}" for endpoint in Endpoint}
PATHS = {
    Dialect.PAGE: _PAGE,
    Dialect.LATER: {
        **_PAGE,
        Endpoint.CALL_FORWARDING_CHECK: "/call-forwarding/unconditional/check",
    },
}


def url(api: Api, endpoint: Endpoint) -> str:
    """The full address of an endpoint.

    >>> url(Api(dialect=Dialect.LATER), Endpoint.CALL_FORWARDING_CHECK)
    'https://api.tyntec.com/network-signal/v1/call-forwarding/unconditional/check'
    """
    return api.base_url + api.paths.get(endpoint, PATHS[api.dialect][endpoint])


def body(lookup: Lookup) -> bytes:
    """The request's JSON; the window is always sent, for the server's default is short.

    >>> body(Lookup("+447700900000", Endpoint.SIM_SWAP_CHECK, 2400))
    b'{"phoneNumber":"+447700900000","maxAge":2400}'
    """
    content: dict[str, str | int] = {"phoneNumber": lookup.e164}
    if lookup.max_age_minutes is not None:
        content["maxAge"] = lookup.max_age_minutes
    return msgspec.json.encode(content)
