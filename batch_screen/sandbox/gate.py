"""Who may pass: keys, the revocation of keys, the rate limit and the quota, in this order.

Pure but for its counters: the instant of each request is passed in.
"""

from __future__ import annotations

from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.problems import (
    QUOTA_EXCEEDED,
    TOO_MANY_REQUESTS,
    UNAUTHENTICATED,
    Problem,
)
from batch_screen.sandbox.window import SlidingSecond


class Gate:
    """Admits requests one by one, and counts what it refused and why."""

    def __init__(self, config: SandboxConfig) -> None:
        self.change(config)
        self._admitted = SlidingSecond()
        self._authenticated = 0
        self.used_quota = 0
        self.rate_refusals = 0
        self.quota_refusals = 0
        self.after_revocation = 0

    def change(self, config: SandboxConfig) -> None:
        """Other keys and bounds from now on; what was counted stays."""
        self._keys = frozenset(config.keys) - frozenset(config.expired_keys)
        self._revoke_after = config.revoke_keys_after
        self._limit = config.rate_limit_per_second
        self._quota = config.quota

    def admit(self, key: str | None, now_seconds: float) -> Problem | None:
        """None if the request may pass, else why not; refusals take nothing from any budget."""
        if key not in self._keys:
            return UNAUTHENTICATED
        if self._revoke_after is not None and self._authenticated >= self._revoke_after:
            self.after_revocation += 1
            return UNAUTHENTICATED
        self._authenticated += 1
        if self._limit is not None and self._admitted.count(now_seconds) >= self._limit:
            self.rate_refusals += 1
            return TOO_MANY_REQUESTS
        if self._quota is not None and self.used_quota >= self._quota:
            self.quota_refusals += 1
            return QUOTA_EXCEEDED
        if self._limit is not None:
            self._admitted.add(now_seconds)
        self.used_quota += 1
        return None
