"""``batch-screen sandbox``: the local stand-in for the API, to try things against."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch_screen.cli.console import show, show_json

if TYPE_CHECKING:
    from batch_screen.sandbox.run import RunningSandbox

_KEY = "sandbox-key"


def _appendable(
    _context: click.Context, _option: click.Parameter, path: Path | None
) -> Path | None:
    try:
        if path is not None:
            path.open("ab").close()
    except OSError as error:
        raise click.BadParameter(
            f"cannot write {path}: {error.strerror}; name another file"
        ) from None
    return path


def _limits(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, int]:
    limits = {}
    for text in given:
        endpoint, _, limit = text.partition("=")
        if not limit.isdecimal():
            raise click.BadParameter(f"{text!r} is no limit; write it as sim-swap/check=5")
        limits[endpoint] = int(limit)
    return limits


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="Port; 0: a free one.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other answers.")
@click.option(
    "--now",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="The instant (UTC) that dates count back from.  [default: today's midnight]",
)
@click.option("--dialect", type=click.Choice(["v1.0.0", "2026-04"]), default="v1.0.0")
@click.option("--profile", "profiles", multiple=True, help="Faults to inject; may be repeated.")
@click.option("--profiles", "list_profiles", is_flag=True, help="List the profiles and leave.")
@click.option("--latency", help="0.2, uniform:A:B or lognormal:MEDIAN:SIGMA, in seconds.")
@click.option("--rate-limit", type=int, help="Refuse what exceeds so many requests a second.")
@click.option(
    "--rate-limit-at",
    "limits",
    metavar="ENDPOINT=N",
    multiple=True,
    callback=_limits,
    help="The same for one endpoint, besides; may be repeated.",
)
@click.option(
    "--rate-window",
    type=click.Choice(["sliding", "fixed", "bucket"]),
    default="sliding",
    show_default=True,
    help="How it counts: by any second, by seconds of the clock, or by a bucket of tokens.",
)
@click.option("--quota", type=int, help="Refuse everything after so many requests.")
@click.option("--revoke-after", type=int, help="Refuse every key after so many requests.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    callback=_appendable,
    help="Append one JSON line per request.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def sandbox(*, as_json: bool, **options: Any) -> None:
    """Serve a local stand-in for the API until Ctrl-C.

    It accepts the key "sandbox-key", answers the same for the same number, and tells what it
    was asked at /_sandbox/statistics.
    """
    from batch_screen.config.sections import Dialect  # noqa: PLC0415 (heavy)
    from batch_screen.sandbox.config import SandboxConfig  # noqa: PLC0415
    from batch_screen.sandbox.latency import Latency  # noqa: PLC0415
    from batch_screen.sandbox.profiles import PROFILES  # noqa: PLC0415
    from batch_screen.sandbox.run import serve_forever  # noqa: PLC0415
    from batch_screen.sandbox.window import Window  # noqa: PLC0415

    if options["list_profiles"]:
        for name, profile in PROFILES.items():
            told = {"profile": name, "about": profile.about}
            _say(told, f"{name:18} {profile.about}", as_json=as_json)
        return
    config = SandboxConfig(
        seed=options["seed"],
        now=options["now"].replace(tzinfo=UTC) if options["now"] else None,
        dialect=Dialect(options["dialect"]),
        profiles=options["profiles"],
        latency=Latency.parse(options["latency"]) if options["latency"] else None,
        rate_limit_per_second=options["rate_limit"],
        rate_limit_by_endpoint=options["limits"],
        rate_window=Window(options["rate_window"]),
        quota=options["quota"],
        revoke_keys_after=options["revoke_after"],
        journal_path=options["journal"],
    )

    def announce(running: RunningSandbox) -> None:
        statistics = f"{running.origin}/_sandbox/statistics"
        told = {"url": running.url, "key": _KEY, "statistics": statistics}
        lines = (
            f"sandbox at {running.url}, key {_KEY}; Ctrl-C ends it",
            f"statistics at {statistics}",
        )
        _say(told, *lines, as_json=as_json)

    last = serve_forever(config, options["host"], options["port"], announce)
    served = last["requests"]
    _say({"requests": served}, f"served {served} requests", as_json=as_json)


def _say(told: dict[str, Any], *lines: str, as_json: bool) -> None:
    if as_json:
        import json  # noqa: PLC0415

        show_json(json.dumps(told))
        return
    for line in lines:
        show(line)
