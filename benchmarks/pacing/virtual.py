"""The engine in worlds in which some answers are odd, in virtual time: figures without noise.

Writes the table into docs/rate.md and draws docs/refusals.svg. The server is in memory and the
clock jumps, so a run of minutes takes less than a second; ``limits.py`` has the same worlds with
processes, sockets and real time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from batch_screen.model import Allowance, Answer, Endpoint, Lookup, OutcomeKind
from batch_screen.sandbox.window import Window, rate_limit
from benchmarks import tables
from benchmarks.pacing import charts
from benchmarks.pacing.figures import Arrivals
from benchmarks.pacing.timetable import Timetable
from benchmarks.sheets import new_sheet
from tests.worlds import World, WorldRun, always, at_endpoint, numbered, once, refused, share_of

DOCS = Path(__file__).parents[2] / "docs"
SICK = Endpoint.CALL_FORWARDING_CHECK
MANY, FEW, FIVE = numbered(4000), numbered(500), numbered(500, *Endpoint)
OF_SICK = frozenset(lookup for lookup in FIVE if lookup.endpoint is SICK)
LIMIT = 200
DAY = 86_400.0


class Case(NamedTuple):
    """A world, the lookups that are odd in it, and the seconds that these wait for themselves."""

    name: str
    world: World
    odd: frozenset[Lookup]


def sporadic() -> Iterator[Case]:
    for share in (0.001, 0.003, 0.01, 0.03, 0.1):
        odd = share_of(MANY, share)
        for wait in (1.0, None, 30.0, DAY, 0.0):
            asks = "none" if wait is None else "past date" if wait == 0 else f"{wait:.0f} s"
            name = f"{share:.1%} refused once, Retry-After {asks}"
            yield Case(name, World(odd=once(odd, refused(wait))), odd)


def error(status: int, **fields: float | str) -> Answer:
    kinds = {401: OutcomeKind.FORBIDDEN, 402: OutcomeKind.FORBIDDEN, 403: OutcomeKind.FORBIDDEN}
    kinds |= {404: OutcomeKind.NOT_FOUND, 429: OutcomeKind.RATE_LIMITED}
    wait = fields.get("wait")
    return Answer(
        kind=kinds.get(status, OutcomeKind.SERVER_ERROR),
        http_status=status,
        code=str(fields["code"]) if "code" in fields else None,
        retry_after_seconds=None if wait is None else float(wait),
    )


def says(remaining: int, reset: float) -> Answer:
    allowance = Allowance(remaining=remaining, reset_seconds=reset)
    return Answer(kind=OutcomeKind.SUCCESS, swapped=False, http_status=200, allowance=allowance)


def single() -> Iterator[Case]:
    odd = frozenset({FEW[250]})
    answers = {
        "always 401": error(401),
        "always 402": error(402),
        "always QUOTA_EXCEEDED": error(429, code="QUOTA_EXCEEDED"),
        "always 429": refused(),
        "always 408": refused(None, status=408),
        "429, Retry-After a day": refused(DAY),
        "404, Retry-After 60": error(404, wait=60),
        "503, Retry-After 40": error(503, wait=40),
        "501": error(501),
        "200, Remaining 0, Reset 40": says(0, 40),
        "200, Remaining 1, Reset 100": says(1, 100),
    }
    for rate in (50.0, 20.0):
        for name, answer in answers.items():
            world = World(rate=rate, lookups=FEW, odd=always(odd, answer))
            yield Case(f"one number of 500: {name} ({rate:.0f}/s)", world, odd)


def several() -> Iterator[Case]:
    ten = frozenset(MANY[100::400][:10])
    yield Case("ten numbers always refused", World(odd=always(ten, refused())), ten)
    side_by_side = frozenset(MANY[100:110])
    world = World(odd=always(side_by_side, refused()))
    yield Case("ten numbers side by side always refused", world, side_by_side)
    for share in (0.02, 0.04):
        late = share_of(MANY, share)
        for seconds, what in ((99.0, "hang"), (14.0, "take 14 s")):
            world = World(delay=_late(late, seconds))
            yield Case(f"{share:.0%} of the answers {what}", world, late)
    lost = share_of(MANY, 0.01)
    for reason in ("cannot_connect", "connection_lost"):
        answer = Answer(kind=OutcomeKind.UNREACHABLE, reason=reason)
        yield Case(f"1 % {reason}, once", World(odd=once(lost, answer)), lost)
    storm = error(503, wait=1)
    world = World(odd=lambda _n, _t, now: storm if 5 <= now < 10 else None)
    yield Case("nothing but 503 for 5 s", world, frozenset())


def _late(late: frozenset[Lookup], seconds: float):  # noqa: ANN202 (a Delay)
    return lambda lookup, time, _now: seconds if time == 1 and lookup in late else None


def endpoints() -> Iterator[Case]:
    for limit in (20, 10, 5):
        limits = {SICK: rate_limit(Window.SLIDING, limit)}
        world = World(rate=100, lookups=FIVE, endpoint_limits=limits)
        yield Case(f"one endpoint of five limited to {limit}/s", world, OF_SICK)
    answers = {
        "500": error(500),
        "503, Retry-After 20": error(503, wait=20),
        "403": error(403),
        "401": error(401),
        "429": refused(),
    }
    for name, answer in answers.items():
        world = World(rate=100, lookups=FIVE, odd=at_endpoint(SICK, answer))
        yield Case(f"one endpoint of five: nothing but {name}", world, OF_SICK)
    world = World(rate=100, lookups=FIVE, delay=_never_at(SICK))
    yield Case("one endpoint of five never answers", world, OF_SICK)


def _never_at(endpoint: Endpoint):  # noqa: ANN202 (a Delay)
    return lambda lookup, _time, _now: 99.0 if lookup.endpoint is endpoint else None


def limited() -> Iterator[tuple[str, World]]:
    """Worlds with a true limit."""
    odd = share_of(numbered(12_000), 0.005)
    for window in Window:
        world = World(
            lookups=numbered(12_000), odd=once(odd, refused()), limit=rate_limit(window, LIMIT)
        )
        yield f"0.5 % refused once, true limit at half the rate, {window} window", world
        for times in (5.0, 1.1):
            world = World(
                rate=times * LIMIT, lookups=numbered(24_000), limit=rate_limit(window, LIMIT)
            )
            yield f"rate set {times:g} × too high, {window} window", world


def odd_table() -> tables.Table:
    table = tables.Table(
        *("world", "clean run", "others done", "all done", "requests", "failed others"),
        *("worst second", "ends with"),
    )
    clean: dict[tuple[float, int, frozenset[Endpoint]], WorldRun] = {}
    for case in (*sporadic(), *several(), *single(), *endpoints()):
        world = case.world
        asked = frozenset(lookup.endpoint for lookup in world.lookups)
        key = (world.rate, len(world.lookups), asked)
        usual = clean.get(key) or clean.setdefault(key, world.clean())
        run = world.run()
        failed = sum(
            run.outcomes[n].kind is not OutcomeKind.SUCCESS if n in run.outcomes else True
            for n in world.lookups
            if n not in case.odd
        )
        table.add(
            case.name,
            f"{usual.ended_at:.1f} s",
            f"{run.others_done(case.odd) / usual.ended_at:.2f} ×",
            f"{run.ended_at:.1f} s",
            f"{run.requests / usual.requests:.3f} ×",
            f"{failed:,}",
            f"{run.worst_second():,} of {world.rate:,.0f}",
            "0" if run.error is None else f"{run.error.exit_code}",
        )
    return table


def limit_table() -> tables.Table:
    table = tables.Table("world", "goodput", "after 6 s", "refused", "worst second")
    for name, world in limited():
        run = world.run()
        table.add(
            name,
            tables.percent(used(run, 0)),
            tables.percent(used(run, 6)),
            tables.percent(run.refusals / run.requests),
            f"{run.worst_second():,} of {world.rate:,.0f}",
        )
    return table


def used(run: WorldRun, since: float) -> float:
    """Share of what the limit allowed that was let pass."""
    last = run.passed[-1]
    return sum(at >= since for at in run.passed) / (LIMIT * (last - since))


def arrivals(run: WorldRun) -> Arrivals:
    both = sorted([(at, True) for at in run.passed] + [(at, False) for at in run.refused])
    return Arrivals([at for at, _ in both], [passed for _, passed in both])


def draw() -> None:
    """Four worlds, one below the other."""
    three = share_of(MANY, 0.03)
    half = share_of(numbered(4000), 0.005)
    side_by_side = frozenset(MANY[2000:2010])
    worlds = [
        ("3 % refused at random: looked into once, then let be", World(odd=once(three, refused()))),
        (
            "0.5 % refused at random, and a limit at half the rate: kept to",
            World(odd=once(half, refused()), limit=rate_limit(Window.SLIDING, LIMIT)),
        ),
        (
            "ten numbers side by side are always refused: the account's, until another one passes",
            World(odd=always(side_by_side, refused())),
        ),
        (
            "everything is refused for 5 s, Retry-After 2",
            World(odd=lambda _n, _t, now: refused(2) if 6 <= now < 11 else None),
        ),
    ]
    sheet, axes = new_sheet(10, 8.2, len(worlds), 1)
    for (title, world), (panel,) in zip(worlds, axes, strict=True):
        run = world.run()
        limit = Timetable.read(f"{LIMIT}" if world.limit is not None else f"{world.rate:.0f}")
        charts.draw(panel, arrivals(run), limit, max(24.0, run.ended_at))
        panel.set_title(title)
        panel.set_ylabel("requests in\nthe second before")
    axes[-1][0].set_xlabel("seconds")
    finish(sheet)


def finish(sheet: Figure) -> None:
    charts.finish(sheet, DOCS / "refusals.svg")


def main() -> None:
    draw()
    text = f"{odd_table()}\n\n{limit_table()}\n\n{NOTES}"
    page = DOCS / "rate.md"
    marked = re.compile(r"(<!-- worlds -->\n).*(<!-- /worlds -->)", re.DOTALL)
    page.write_text(marked.sub(lambda m: f"{m[1]}{text}\n{m[2]}", page.read_text("utf-8")), "utf-8")


NOTES = """\
*Clean run*: the same without anything odd. *Others done*: when the last lookup was answered that
is not odd itself, beside the clean run. *All done* has the odd lookups' own waits in it. *Failed
others*: lookups that are not odd and were not answered. *Worst second*: the most requests in any
second, of so many that the contract allows. *Ends with*: the exit code, apart from too many
failed lookups. *Goodput*: requests let pass, as a share of what the true limit of 200/s allowed."""


if __name__ == "__main__":
    main()
