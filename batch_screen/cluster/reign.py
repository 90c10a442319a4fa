"""Reign: the lock of a state in a bucket, which only ever creates objects.

The machine that creates the next number reigns. It beats every second or two, in an object beside;
a start that sees it beat leaves, and one that sees nothing for a while takes the next number. Who
reigns asks only while its last beat is younger than that, so two never ask at once. No clock is
compared with another machine's: a start watches for a change.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from batch_screen.errors import BatchScreenError, OutputError, RunLockedError
from batch_screen.masking import safe_line
from batch_screen.runs.events import RunEvents
from batch_screen.runs.heartbeat import Heartbeat, read_heartbeat
from batch_screen.storage.objects import ObjectStore
from batch_screen.storage.reading import Decoded, decoded

BEAT_SECONDS = 1.0
HOLD_SECONDS = 8.0
"""So long after its last beat a machine may ask."""
TAKE_SECONDS = 10.0
"""So long a start watches before it takes the place of one that does not beat."""
SETTLE_SECONDS = 2.5
"""So long a reign is silent that follows one that did not end: its workers look by then."""
_LOOK_SECONDS = 0.5
_AWAY_SECONDS = 60.0
_NAME = re.compile(r"reigns/([0-9]{8})")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
# Runs on while the machine sleeps, which a monotonic clock need not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _clock() -> float:
    return time.clock_gettime(_CLOCK)


class Reign(msgspec.Struct, frozen=True):
    """Which process reigns, on which machine, since when."""

    number: int
    pid: int
    host: str
    since: datetime
    machine: str = ""
    """The boot and the namespace of process numbers, to which ``pid`` belongs."""


class Beat(msgspec.Struct, frozen=True):
    """The last sign of life of a reign, and how far its run is."""

    number: int
    count: int
    has_ended: bool = False
    heartbeat: Heartbeat | None = None


def latest_reign(store: ObjectStore, prefix: str) -> tuple[Reign, Beat | None] | None:
    """The last reign there was, and its last beat; None: there was none."""
    names = [item.key[len(prefix) :] for item in store.keys(f"{prefix}reigns")]
    numbers = [int(found[1]) for found in map(_NAME.fullmatch, names) if found]
    if not numbers:
        return None
    number = max(numbers)
    found = _read(store, f"{prefix}reigns/{number:08d}", Reign)
    if found is None or found.number != number:  # damaged: it is watched as any other machine's
        found = Reign(number, 0, "an unknown machine", datetime.fromtimestamp(0, UTC))
    return found, _beat(store, prefix, number)


def _beat(store: ObjectStore, prefix: str, number: int) -> Beat | None:
    key = f"{prefix}beats/{number:08d}"
    return None if store.head(key) is None else _read(store, key, Beat)


def _read(store: ObjectStore, key: str, kind: type[Decoded]) -> Decoded | None:
    """What the object holds; None: it is damaged."""
    with suppress(ValueError):
        return decoded(store.read(key), kind)
    return None


def living(
    store: ObjectStore, prefix: str, sleep: Callable[[float], None] = time.sleep
) -> tuple[Reign, Beat] | None:
    """The reign that beats while it is looked at for a moment, and its last beat."""
    found = latest_reign(store, prefix)
    if found is None or (found[1] and found[1].has_ended) or is_dead(found[0]):
        return None
    until = _clock() + 3 * BEAT_SECONDS
    while _clock() < until:
        now = _beat(store, prefix, found[0].number)
        if now and now != found[1]:
            return None if now.has_ended else (found[0], now)
        sleep(BEAT_SECONDS / 4)
    return None


def prove(store: ObjectStore, prefix: str) -> None:
    """Creates a name twice. Raises ``OutputError`` unless the second time is refused."""
    key, kept = f"{prefix}probes/{secrets.token_hex(8)}", True
    try:
        for content in (b"first", b"second"):
            is_new = store.put_new(key, content, sha256(content).hexdigest())
            kept = kept and is_new is (content == b"first")
        kept = kept and store.read(key) == b"first"
    finally:
        with suppress(BatchScreenError):
            store.delete(key)
    if not kept:
        raise OutputError(
            f"{store.place}: this server writes over an object though it was asked to create it "
            "only (If-None-Match), so two machines could buy the same answers; name a bucket of "
            "S3, GCS or Azure, or a newer version of this server"
        )


class Ruler:
    """The reign of this process, from ``reigning``."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        taken: tuple[int, float, float],
        state: Path,
        events: RunEvents,
    ) -> None:
        self.number, self._last, self._opens_at = taken
        self._store, self._prefix = store, prefix
        self._state, self._events = state, events
        self._count = 0
        self._is_lost = False
        self._has_ended = threading.Event()
        # A daemon: a server that hangs must not keep the command from ending.
        self._thread = threading.Thread(target=self._keep, name="reign", daemon=True)
        self._thread.start()

    @property
    def is_held(self) -> bool:
        """Whether nobody else can reign by now: this process has just said that it lives."""
        now = _clock()
        return not self._is_lost and self._opens_at <= now < self._last + HOLD_SECONDS

    def end(self) -> None:
        """Says that the reign has ended, so that the next start need not wait."""
        self._has_ended.set()
        self._thread.join(HOLD_SECONDS)
        if not self._is_lost:
            with suppress(BatchScreenError):  # it only saves the next start some seconds
                self._put(has_ended=True)

    def _keep(self) -> None:
        while not self._has_ended.is_set():
            begun = _clock()
            try:
                self._put()
                # Before the time counts: of a machine that slept meanwhile, another took the place.
                if self._store.head(f"{self._prefix}reigns/{self.number + 1:08d}"):
                    self._lose()
                    return
                self._last = begun
            except BatchScreenError as error:
                if _clock() - self._last > _AWAY_SECONDS and not self._has_ended.is_set():
                    self._events.stop.end(error)
                    return
            self._has_ended.wait(max(0.0, begun + BEAT_SECONDS - _clock()))

    def _put(self, *, has_ended: bool = False) -> None:
        self._count += 1
        heartbeat = None if has_ended else read_heartbeat(self._state)
        content = msgspec.json.encode(Beat(self.number, self._count, has_ended, heartbeat))
        key = f"{self._prefix}beats/{self.number:08d}"
        self._store.put(key, content, sha256(content).hexdigest())

    def _lose(self) -> None:
        self._is_lost = True
        self._events.stop.end(
            RunLockedError(
                f"another machine has taken over the run in {self._store.place}, as this one was "
                f"not heard for {TAKE_SECONDS:.0f} seconds; it goes on there, so leave it"
            )
        )


class Follower:
    """A worker's eye on the reign that it works for: once another follows, it asks no more."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        found = latest_reign(store, prefix)
        self._next = f"{prefix}reigns/{(found[0].number if found else 0) + 1:08d}"
        self._store = store
        self._last = _clock()
        threading.Thread(target=self._look, name="reign", daemon=True).start()

    @property
    def is_held(self) -> bool:
        """Whether no other reign had begun a moment ago."""
        return _clock() - self._last < SETTLE_SECONDS

    def _look(self) -> None:
        while True:
            begun = _clock()
            with suppress(BatchScreenError):  # it is silent until it can look again
                if self._store.head(self._next) is not None:
                    return
                self._last = begun
            time.sleep(_LOOK_SECONDS)


@contextmanager
def reigning(
    store: ObjectStore,
    prefix: str,
    state: Path,
    events: RunEvents,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Ruler]:
    """Holds the state in the bucket. Raises ``RunLockedError``, which names the holder."""
    taken = _taken(store, prefix, events, sleep)
    ruler = Ruler(store, prefix, taken, state, events)
    try:
        for item in [*store.keys(f"{prefix}beats")]:
            if item.key < f"{prefix}beats/{ruler.number:08d}":
                store.delete(item.key)
        yield ruler
    finally:
        ruler.end()


def _taken(
    store: ObjectStore, prefix: str, events: RunEvents, sleep: Callable[[float], None]
) -> tuple[int, float, float]:
    """The number that this process has created, since when nobody else can, and may ask from."""
    while True:
        number, found = 1, latest_reign(store, prefix)
        if found is not None:
            _refuse_living(store, prefix, *found, events, sleep)
            number = found[0].number + 1
        begun, now = _clock(), datetime.now(UTC)
        reign = Reign(number, os.getpid(), socket.gethostname(), now, _machine())
        content = msgspec.json.encode(reign)
        key = f"{prefix}reigns/{number:08d}"
        if store.put_new(key, content, sha256(content).hexdigest()):
            return number, begun, _clock() + _silence(store, prefix, found)


def _silence(store: ObjectStore, prefix: str, before: tuple[Reign, Beat | None] | None) -> float:
    """So long a reign is silent that has just been claimed after this one, watched till then."""
    if before is None or (before[1] and before[1].has_ended):
        return 0.0
    now = _beat(store, prefix, before[0].number)
    # One that came after the last look may have come before the claim: its sender may ask so long.
    has_come = now != before[1] and not (now and now.has_ended)
    return HOLD_SECONDS if has_come else SETTLE_SECONDS


def _refuse_living(  # noqa: PLR0913, PLR0917 (where, who, and how it is waited)
    store: ObjectStore,
    prefix: str,
    reign: Reign,
    beat: Beat | None,
    events: RunEvents,
    sleep: Callable[[float], None],
) -> None:
    """Raises ``RunLockedError`` if the reign beats while it is watched."""
    if (beat and beat.has_ended) or is_dead(reign):
        return
    events.progress.note(
        f"{_holder(reign)} may hold {store.place}: waiting {TAKE_SECONDS:.0f} seconds for a sign "
        "of life"
    )
    until = _clock() + TAKE_SECONDS
    while _clock() < until:
        sleep(_LOOK_SECONDS)
        events.stop.check()
        now = _beat(store, prefix, reign.number)
        if now and now.has_ended:
            return
        if now != beat:
            raise RunLockedError(
                f"another run holds {store.place} ({_holder(reign)}); wait for it to end and "
                "start again"
            )


def _holder(reign: Reign) -> str:
    since = reign.since.isoformat(timespec="seconds")
    return f"process {reign.pid} on {safe_line(reign.host)}, since {since}"


def is_dead(reign: Reign) -> bool:
    """Whether its process has ended for certain: it was one of this boot of this machine."""
    if not reign.machine or reign.machine != _machine():
        return False
    try:
        os.kill(reign.pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        pass
    return False


def _machine() -> str:
    try:
        return f"{_BOOT.read_text('ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return ""
