"""``batch-screen sandbox``: serves the local stand-in for the API."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from batch_screen.cli.console import print_json, print_text
from batch_screen.config.sections import Dialect
from batch_screen.sandbox.config import DEFAULT_KEY, SandboxConfig
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.profiles import PROFILES
from batch_screen.sandbox.run import RunningSandbox, serve_forever
from batch_screen.sandbox.window import Window


def sandbox(*, as_json: bool, **options: Any) -> None:
    """Serves until Ctrl-C, or lists the profiles."""
    if options["list_profiles"]:
        for name, profile in PROFILES.items():
            about = {"profile": name, "about": profile.about}
            _say(about, f"{name:18} {profile.about}", as_json=as_json)
        return
    config = SandboxConfig(
        seed=options["seed"],
        now=options["now"].replace(tzinfo=UTC) if options["now"] else None,
        dialect=Dialect(options["dialect"]),
        profiles=options["profiles"],
        latency=Latency.parse(options["latency"]) if options["latency"] else None,
        rate_limit_per_second=options["rate_limit"],
        rate_limit_by_endpoint=options["limits"],
        not_entitled=options["not_entitled"],
        strict_body=options["strict_body"],
        rate_window=Window(options["rate_window"]),
        quota=options["quota"],
        revoke_keys_after=options["revoke_after"],
        journal_path=options["journal"],
    )

    def announce(running: RunningSandbox) -> None:
        statistics = f"{running.origin}/_sandbox/statistics"
        _say(
            {"url": running.url, "key": DEFAULT_KEY, "statistics": statistics},
            f"sandbox at {running.url}, key {DEFAULT_KEY}; Ctrl-C ends it",
            f"statistics at {statistics}",
            as_json=as_json,
        )

    last = serve_forever(config, options["host"], options["port"], announce)
    served = last["requests"]
    _say({"requests": served}, f"served {served} requests", as_json=as_json)


def _say(content: dict[str, Any], *lines: str, as_json: bool) -> None:
    if as_json:
        print_json(content, indent=0)
    else:
        for line in lines:
            print_text(line)
