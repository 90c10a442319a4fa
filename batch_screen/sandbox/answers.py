"""Ground truth per number: the last change of SIM and device, and call forwarding.

Pure: everything follows from the number, the seed and two instants, when the world began and
when the question came. So two sandboxes with the same settings agree, a check agrees with the
date beside it, and a test can ask ``truth`` what a run should have found. Knows nothing of HTTP
and of faults.
"""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import msgspec

from batch_screen.config.sections import Dialect
from batch_screen.model import Endpoint
from batch_screen.sandbox.contract import NOT_FOUND, PERMISSION_DENIED, Problem, out_of_range
from batch_screen.sandbox.magic import MAGIC_NUMBERS, Behaviour, is_magic

DEFAULT_MAX_AGE_MINUTES = 240

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 10**9
_MINUTE = 60 * _SECOND
_RECENT_MINUTES = (1.0, 2390.0)  # short of 2,400: a date cut to whole seconds stays recent
_OLD_MINUTES = (2410.0, 5 * 525_600.0)
_OTHER_MAGIC_MINUTES = 30 * 1440
_SHORT_HISTORY_MINUTES = 240
_MAGIC_MINUTES: dict[Behaviour | None, int | None] = {
    Behaviour.SWAPPED_NOW: 5,
    Behaviour.SWAPPED_LATELY: 1000,
    Behaviour.NEVER_SWAPPED: None,
}
_EIGHT = struct.Struct(">8Q")


class Population(msgspec.Struct, frozen=True, kw_only=True):
    """Shares among the ordinary numbers, each 0 to 1."""

    swapped_share: float = 0.03
    """SIM (and, on its own, device) changed within the last 2,400 minutes."""
    no_date_share: float = 0.15
    """The date is null."""
    device_follows_share: float = 0.6
    """The device changed together with the SIM, within the hour before it."""
    forwarding_share: float = 0.02
    """Calls are forwarded."""
    not_found_share: float = 0.02
    """The API does not know the number: 404 at every endpoint."""
    forbidden_share: float = 0.0
    """The operator refuses the number: 403 at every endpoint."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides an answer, except the question."""

    seed: int
    now: datetime
    """The instant of the question, from which a window reaches back."""
    since: datetime | None = None
    """The instant from which the ages of all changes count back, so that dates stay; None: now."""
    dialect: Dialect = Dialect.PAGE
    population: Population = Population()


class Subscriber(msgspec.Struct, frozen=True):
    """The facts about one number; instants in nanoseconds since 1970, or None."""

    sim_changed_ns: int | None
    device_changed_ns: int | None
    forwards_calls: bool
    fraction_digits: int = 9
    problem: Problem | None = None
    history_minutes: int | None = None
    """How far back the operator may look; None: as far as there is anything."""


def truth(
    number: str, endpoint: Endpoint, max_age_minutes: int | None, world: World
) -> dict[str, object] | Problem:
    """The body of the honest 200 answer to a valid question, or the error.

    ``max_age_minutes`` None means the server's default of 240 and only counts at the checks.
    """
    person = subscriber(number, world)
    if person.problem is not None:
        return person.problem
    if endpoint is Endpoint.CALL_FORWARDING_CHECK:
        return {"active": person.forwards_calls}
    is_sim = endpoint in (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE)
    changed = person.sim_changed_ns if is_sim else person.device_changed_ns
    window = DEFAULT_MAX_AGE_MINUTES if max_age_minutes is None else max_age_minutes
    if (history := person.history_minutes) is not None:
        if endpoint.takes_max_age and window > history:
            return out_of_range(world.dialect)
        if changed is not None and not _is_within(changed, history, world):
            changed = None
    if endpoint.answers_date:
        date = None if changed is None else rfc3339(changed, person.fraction_digits)
        return {field_name(endpoint, world.dialect): date}
    return {"swapped": changed is not None and _is_within(changed, window, world)}


def field_name(endpoint: Endpoint, dialect: Dialect) -> str:
    """The only property of an endpoint's 200 body.

    >>> field_name(Endpoint.DEVICE_SWAP_DATE, Dialect.PAGE)
    'latestSimChange'
    """
    if endpoint is Endpoint.CALL_FORWARDING_CHECK:
        return "active"
    if not endpoint.answers_date:
        return "swapped"
    # The page's own slip: the device date travels under the SIM's name there.
    later_device = endpoint is Endpoint.DEVICE_SWAP_DATE and dialect is Dialect.LATER
    return "latestDeviceChange" if later_device else "latestSimChange"


def subscriber(number: str, world: World) -> Subscriber:
    """The facts about a number."""
    since = world.since or world.now
    if is_magic(number):
        fault = MAGIC_NUMBERS.get(number)
        behaviour = fault.behaviour if fault else None
        minutes = _MAGIC_MINUTES.get(behaviour, _OTHER_MAGIC_MINUTES)
        changed = _instant(minutes, since, fraction_digits=9)
        return Subscriber(
            changed,
            changed,
            behaviour is Behaviour.FORWARDING,
            history_minutes=(
                _SHORT_HISTORY_MINUTES if behaviour is Behaviour.SHORT_HISTORY else None
            ),
        )
    shares = world.population
    known, sim, sim_age, follows, device, device_age, forwards, digits = draws(
        world.seed, "answers", number
    )
    # One draw decides both: no number is unknown and refused.
    problem = None
    if known < shares.not_found_share:
        problem = NOT_FOUND
    elif known < shares.not_found_share + shares.forbidden_share:
        problem = PERMISSION_DENIED
    # Half of the dates have the nine digits of the page's sample, the others 0 to 8.
    fraction_digits = 9 if digits < 0.5 else int((digits - 0.5) * 18)
    sim_minutes = _age_minutes(sim, sim_age, shares)
    if sim_minutes is not None and follows < shares.device_follows_share:
        device_minutes: float | None = sim_minutes + device_age * 60
    else:
        device_minutes = _age_minutes(device, device_age, shares)
    return Subscriber(
        _instant(sim_minutes, since, fraction_digits),
        _instant(device_minutes, since, fraction_digits),
        forwards < shares.forwarding_share,
        fraction_digits,
        problem,
    )


def rfc3339(instant_ns: int, fraction_digits: int) -> str:
    """An instant in UTC with ``digits`` digits of a second (0 to 9), truncated.

    >>> rfc3339(1726645073_471829447, 9), rfc3339(1726645073_471829447, 0)
    ('2024-09-18T07:37:53.471829447Z', '2024-09-18T07:37:53Z')
    """
    seconds, nanoseconds = divmod(instant_ns, _SECOND)
    whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if not fraction_digits:
        return f"{whole}Z"
    return f"{whole}.{nanoseconds:09d}"[: 20 + fraction_digits] + "Z"


def _age_minutes(which: float, how_old: float, shares: Population) -> float | None:
    """Minutes since a change, spread evenly over their orders of magnitude; None: no date."""
    if which < shares.swapped_share:
        low, high = _RECENT_MINUTES
    elif which < shares.swapped_share + shares.no_date_share:
        return None
    else:
        low, high = _OLD_MINUTES
    return float(low * (high / low) ** how_old)


def _is_within(changed_ns: int, minutes: int, world: World) -> bool:
    return _ns(world.now) - changed_ns <= minutes * _MINUTE


def _instant(minutes_ago: float | None, since: datetime, fraction_digits: int) -> int | None:
    """Nanoseconds since 1970, truncated as the date shows them, so that check and date agree."""
    if minutes_ago is None:
        return None
    instant = _ns(since) - int(minutes_ago * _MINUTE)
    return instant - instant % int(10 ** (9 - fraction_digits))


def _ns(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def draws(seed: int, purpose: str, text: str) -> tuple[float, ...]:
    """Eight independent draws from [0, 1), the same on every machine and in every process.

    ``purpose`` (at most 16 ASCII characters) keeps draws for one use apart from another's.

    >>> draws(0, "example", "+46701740605")[:2]
    (0.8236383874122821, 0.44008874166942646)
    """
    key = seed.to_bytes(16, "big", signed=True)
    digest = hashlib.blake2b(text.encode(), key=key, person=purpose.encode()).digest()
    # 53 bits are what a float holds; dividing all 64 could round up to 1.
    return tuple((word >> 11) / 2**53 for word in _EIGHT.unpack(digest))
