"""A server that is away, hangs, refuses, or no longer knows the key, for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.magic import Behaviour
from batch_screen.sandbox.profiles import ScriptedOutage
from tests.e2e.conftest import CONCURRENCY, Desk

from .conftest import ENDPOINTS, FEW_CELLS, FEW_LOOKUPS, Size, Undisturbed, sized, sized_in_full
from .figures import Figures
from .trial import Trial, wait_until

_LATENCY = Latency(seconds=0.02)
_RATE = 200
_DEAD_KEY = 77
_BEHAVIOURS = [
    None,  # connections are refused
    Behaviour.HANG,
    Behaviour.RESET,
    Behaviour.UNAVAILABLE,
    Behaviour.RATE_LIMITED,
    Behaviour.RATE_LIMITED_DATE,
    Behaviour.HTML_502,
]
_SETTINGS = f"""
[api]
timeout_seconds = 1
[pacing]
ramp_up_seconds = 0
max_concurrency = {CONCURRENCY}
[retry]
max_attempts = 8
"""


def desk_at(folder: Path) -> Desk:
    return Desk(folder, "", FEW_CELLS, options=(*ENDPOINTS, "--rate", str(_RATE)))


def test_server_ends_and_starts_anew(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(size.seed)
    desk = desk_at(tmp_path)
    expected = undisturbed(desk)
    desk.configuration.write_text(_SETTINGS, "utf-8")
    with Trial("server anew", size.seed, desk) as trial, ExitStack() as stack:
        with trial.serve(latency=_LATENCY) as first:
            running = stack.enter_context(trial.started())
            enough = draw.randint(20, 200)
            assert wait_until(lambda: first.statistics()["requests"] >= enough)
        time.sleep(draw.uniform(2, 5) if size.is_full else 1)
        port = urlsplit(desk.url).port or 0
        with trial.serve(port, latency=_LATENCY) as second:
            assert trial.wait(running).code == 0, running.said
            settle(trial.figures(second, expected, faults=1, per_kill_most=0))


@sized("behaviour", quick=[], full=_BEHAVIOURS, more=[Behaviour.UNAVAILABLE])
def test_server_is_out_of_order_for_a_while(
    tmp_path: Path,
    size: Size,
    behaviour: Behaviour | None,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    draw = random.Random(size.seed)
    desk = desk_at(tmp_path)
    expected = undisturbed(desk)
    desk.configuration.write_text(_SETTINGS, "utf-8")
    seconds = draw.uniform(2, 3.5) if size.is_full else 1
    outage = ScriptedOutage(
        behaviour=behaviour, lasting_seconds=seconds, after_requests=draw.randint(20, 200)
    )
    name = f"server {behaviour or 'away'}"
    with (
        Trial(name, size.seed, desk) as trial,
        trial.serve(latency=_LATENCY, outages=(outage,)) as server,
    ):
        began = time.monotonic()
        assert trial.run().code == 0
        assert time.monotonic() - began >= seconds
        settle(trial.figures(server, expected, faults=1, per_kill_most=0))


@sized_in_full
def test_key_revoked_half_way(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(size.seed)
    desk = desk_at(tmp_path)
    good_for = draw.randint(50, FEW_LOOKUPS - 100)
    with Trial("key revoked", size.seed, desk) as trial:
        with trial.serve(latency=_LATENCY, revoke_keys_after=good_for):
            ended = trial.run()
            assert ended.code == _DEAD_KEY
            assert len(ended.state.saved) == good_for
        new_key = "e2e-9Zk1bRm4-another-distinctive"
        trial.keys.append(new_key)
        key_file = tmp_path / "key"
        key_file.write_text(new_key + "\n", "utf-8")
        key_file.chmod(0o600)
        port = urlsplit(desk.url).port or 0
        with trial.serve(port, latency=_LATENCY, keys=(new_key,)) as server:
            assert trial.run("--api-key-file", key_file).code == 0
        settle(
            trial.figures(
                server,
                undisturbed(desk),
                faults=1,
                per_kill_most=0,
                dead_key_most=CONCURRENCY,
            )
        )
