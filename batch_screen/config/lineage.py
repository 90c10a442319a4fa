"""Where OpenLineage events go, by the variables that its own clients read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import SecretStr

from batch_screen.masking import hide

_DISABLED = {"1", "true", "yes", "on"}
_ENDPOINT = "api/v1/lineage"


class LineageServer(NamedTuple):
    """``url`` is empty where events are sent nowhere; ``namespace`` is that of the jobs."""

    url: str = ""
    key: SecretStr = SecretStr("")
    namespace: str = "default"

    @property
    def headers(self) -> dict[str, str]:
        key = self.key.get_secret_value()
        return {"Authorization": f"Bearer {key}"} if key else {}


def lineage_server(environment: Mapping[str, str]) -> LineageServer:
    """The server that the environment names; its key is hidden from every text from now on.

    >>> lineage_server({"OPENLINEAGE_URL": "https://lineage.example/"}).url
    'https://lineage.example/api/v1/lineage'
    """
    base, key = (environment.get(f"OPENLINEAGE_{name}", "").strip() for name in ("URL", "API_KEY"))
    hide(key)
    if environment.get("OPENLINEAGE_DISABLED", "").strip().lower() in _DISABLED:
        base = ""
    endpoint = environment.get("OPENLINEAGE_ENDPOINT", "").strip() or _ENDPOINT
    return LineageServer(
        f"{base.rstrip('/')}/{endpoint.lstrip('/')}" if base else "",
        SecretStr(key),
        environment.get("OPENLINEAGE_NAMESPACE", "").strip() or LineageServer().namespace,
    )
