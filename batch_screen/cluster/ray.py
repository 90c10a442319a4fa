"""Ray: leads workers on the machines of a Ray cluster.

Ray keeps the processes alive and carries their calls, and does no more: workers pull. The
coordinator is an actor beside this process, and begins anew where it dies. The API key is in no
argument: each worker reads its own, on its machine.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import batch_screen
from batch_screen.cluster.coordinator import Coordinator
from batch_screen.cluster.driver import Workers
from batch_screen.cluster.leases import clock as coordinator_clock
from batch_screen.cluster.messages import SETTLE_SECONDS, Orders, Report
from batch_screen.cluster.worker import LinkCutError, WorkerSpec, run_worker
from batch_screen.config.key import read_key
from batch_screen.config.sections import Metrics, Pings
from batch_screen.config.settings import Settings
from batch_screen.engine.engine import Asked, Work
from batch_screen.engine.resume import SoFar, so_far
from batch_screen.engine.tasks import utc_now
from batch_screen.errors import (
    BatchScreenError,
    ConfigurationError,
    ExitCode,
    RunLockedError,
    Stopped,
)
from batch_screen.journal.seal import seal_path
from batch_screen.masking import masked_logger, records_sent, safe_line
from batch_screen.model import Crew, Pace, Plan
from batch_screen.planning.shards import read_plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Run, read_run

FEWEST = 1
"""Where no shard is left there is nothing to start."""

_NAMESPACE = "batch-screen"
_LOOK_SECONDS = 0.1
_CALL_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_AGAIN_SECONDS = 0.1
_CONNECT_SECONDS = 5.0
_EARLIER_ENDS_SECONDS = 30.0
_WITHOUT_ROOM_SECONDS = 15.0
_CAUSE_CHARACTERS = 300
_ADVICE = (
    "look at the memory of the Ray cluster's machines and whether each has batch-screen "
    f"{batch_screen.__version__}"
)

_log = masked_logger(__name__)


@contextmanager
def lead(work: Work, shards: list[int], events: RunEvents) -> Iterator[Workers]:
    """Actors of a Ray cluster that share these shards."""
    with _connected(work.settings.cluster.ray_address):
        actors = _Actors(work, shards, events)
        try:
            yield actors
        finally:
            actors.end()


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Connects this process to the cluster. Raises ``BatchScreenError`` where that fails."""
    if ray.is_initialized():  # by the program that uses this library
        yield
        return
    place = address or os.environ.get("RAY_ADDRESS", "") or "auto"
    shown = f"the Ray cluster at {place}" if place != "auto" else "a Ray cluster"
    with ExitStack() as kept:
        # Ray sets a handler of its own, which would end this process at once.
        kept.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        try:
            if place != "auto":
                host, _, port = place.rpartition(":")
                socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
            ray.init(
                place,
                namespace=_NAMESPACE,
                log_to_driver=False,  # their records come with their reports, masked
                logging_level="CRITICAL",
            )
        except (ValueError, OSError, RuntimeError, RayError) as error:
            raise Stopped(
                f"{shown} cannot be reached ({_line(error)}): start this command on one of its "
                "machines, with Ray and Python of the same version there, and name the address "
                "HOST:PORT of its head with --ray-address",
                exit_code=ExitCode.UNREACHABLE,
            ) from None
    try:
        yield
    finally:
        ray.shutdown()


class Look(msgspec.Struct):
    """What the driver sees of the coordinator."""

    attempts: int = 0
    saved: int = 0
    pace: Pace = Pace()
    crew: Crew = Crew(0)
    has_shards: bool = True
    is_halted: bool = False
    error: BaseException | None = None
    silent: list[int] = []
    members: list[int] = []
    left: set[int] = set()
    log: list[tuple[int, str, str]] = []
    incarnation: int = 0


class Leader:
    """The coordinator as an actor, which Ray starts again where it dies."""

    def __init__(self, spec: WorkerSpec, shards: list[int], earlier: SoFar) -> None:
        run, plan = _planned(spec.folder)
        incarnation, settings = 0, spec.settings
        if ray.get_runtime_context().was_current_actor_reconstructed:
            incarnation = time.time_ns()
            time.sleep(SETTLE_SECONDS)  # from then on nothing is sent that is not in the journal
            shards, earlier = _read_again(run, plan, settings)
        self._incarnation = incarnation
        self._records: list[tuple[int, str, str]] = []
        self._kept = ExitStack()  # for the life of the process
        self._kept.enter_context(records_sent(self._records.append))
        self._coordinator = Coordinator.of(
            Work(run, plan, settings, "", utc_now, earlier),
            shards,
            RunEvents(),
            clock=coordinator_clock,
            incarnation=incarnation,
        )

    def sync(self, name: int, report: Report) -> Orders:
        """Takes a worker's report and returns its orders."""
        return self._coordinator.sync(name, report)

    def look(self, fenced: set[int], end: tuple[BaseException, float] | None, pause: float) -> Look:
        """Fences who is gone, halts or pauses as the driver says, and says how it stands."""
        coordinator = self._coordinator
        if pause:
            coordinator.pause(pause)
        for name in fenced:
            coordinator.fence(name)
        if end is not None:
            coordinator.halt(end[0], within_seconds=end[1])
        coordinator.tick()
        records = self._records[:]
        self._records.clear()
        return Look(
            attempts=coordinator.attempts,
            saved=coordinator.saved,
            pace=coordinator.pace(),
            crew=coordinator.crew,
            has_shards=coordinator.has_shards,
            is_halted=coordinator.is_halted,
            error=coordinator.error,
            silent=coordinator.silent(),
            members=coordinator.members,
            left=coordinator.left,
            log=records,
            incarnation=self._incarnation,
        )


def _read_again(run: Run, plan: Plan, settings: Settings) -> tuple[list[int], SoFar]:
    """The shards that are left and what was spent, while workers may still seal some."""
    while True:
        sealed = [seal_path(run.sealed, shard).exists() for shard in range(len(plan.shards))]
        with suppress(FileNotFoundError):
            earlier = so_far(run, plan, settings.endpoints)
            # A seal in between has taken segments away, perhaps before they were read.
            if sealed == [seal_path(run.sealed, s).exists() for s in range(len(plan.shards))]:
                return [shard for shard, done in enumerate(sealed) if not done], earlier


class ActorLink:
    """The way of the worker of this name to the coordinator's actor."""

    def __init__(self, leader: Any, name: int) -> None:
        self._leader, self._name = leader, name

    async def call(self, report: Report) -> Orders:
        while True:
            try:
                orders: Orders = await self._leader.sync.remote(self._name, report)
            except ActorUnavailableError:  # it dies, or begins anew
                await asyncio.sleep(_AGAIN_SECONDS)
            except RayError as error:
                raise LinkCutError from error
            else:
                return orders


class WorkerActor:
    """A worker as an actor. Ray starts none again: the next one has another name."""

    def run(self, name: int, spec: WorkerSpec, version: str, leader: Any) -> BaseException | None:
        """The whole life of a worker; returns why it could not begin."""
        host = socket.gethostname()
        try:
            if version != batch_screen.__version__:
                raise ConfigurationError(
                    f"{host} has batch-screen {batch_screen.__version__}, and the run was started "
                    f"with {version}; install one version on all machines of the Ray cluster"
                )
            _planned(spec.folder)
            key = read_key(spec.settings.api.key_file, os.environ).get_secret_value()
            run_worker(spec, key, ActorLink(leader, name))
        except BatchScreenError as error:
            return Stopped(f"a worker on {host}: {error}", exit_code=error.exit_code)
        except Exception as error:  # noqa: BLE001 (its traceback would be in Ray's files)
            return RuntimeError(_line(error))
        return None


def _planned(folder: Path) -> tuple[Run, Plan]:
    run = read_run(folder) if (folder / "run.json").exists() else None
    plan = read_plan(run.plan) if run else None
    if run is None or plan is None:
        raise ConfigurationError(
            f"{folder} is not the run's folder there: the state folder must be one that all "
            "machines of the Ray cluster share, at the same path; name it with --state-dir"
        )
    return run, plan


class _Actors(Workers):
    """The coordinator's actor and the workers', as many as are of use."""

    def __init__(self, work: Work, shards: list[int], events: RunEvents) -> None:
        super().__init__(work.settings, len(shards))
        self._events, api = events, work.settings.api
        # No secrets, and paths that lead to the same files from another working folder.
        api = api.model_copy(
            update={f: getattr(api, f) and str(Path(getattr(api, f)).absolute()) for f in _PATHS}
        )
        bare = {"api": api, "pings": Pings(), "metrics": Metrics()}
        folder, ahead = work.run.folder.resolve(), work.clock() - utc_now()
        self._own = self._own.model_copy(update=bare)
        self._spec = WorkerSpec(folder, self._own, ahead, work.earlier)
        leading = self._spec._replace(settings=work.settings.model_copy(update=bare))
        self._leader = _lead(work.run.run_id, events, leading, shards, work.earlier)
        self._numbers = count()
        self._running: dict[Any, tuple[int, Any]] = {}
        """Each worker's result to come, with its name and its actor."""
        self._fenced: set[int] = set()
        self._end: tuple[BaseException, float] | None = None
        self._began, self._has_warned = monotonic(), False
        self._seen: set[int] = set()
        self.look = Look()

    def end(self) -> None:
        """Kills those that still run, and the coordinator."""
        for _, actor in self._running.values():
            ray.kill(actor)
        ray.kill(self._leader)

    @property
    def error(self) -> BaseException | None:
        return self._end[0] if self._end else self.look.error

    def asked(self, seconds: float) -> Asked:
        return Asked(self.look.attempts, seconds, self.look.pace, crew=self.look.crew)

    def halt(self, error: BaseException, *, within_seconds: float = inf) -> None:
        if self._end is None and not self.look.is_halted:
            self._end = error, within_seconds

    def serve(self, *, is_held: bool) -> bool:
        is_fresh = self._take_a_look(is_held=is_held)
        if is_fresh and not self.look.is_halted:
            while self.look.has_shards and len(self._running) < self._most:
                self._start()
        elif self.look.is_halted and self._is_overdue():
            for ref in list(self._running):
                self._give_up(ref, "too slow")
        if not self._running:
            return not is_fresh
        for ref in ray.wait(list(self._running), timeout=_LOOK_SECONDS)[0]:
            self._bury(ref)
        for ref in [r for r, (name, _) in self._running.items() if name in self.look.silent]:
            self._give_up(ref, "silent")
        self._warn_of_room()
        return True

    def _take_a_look(self, *, is_held: bool) -> bool:
        before, pause = self.look, 0.0 if is_held else _PAUSE_SECONDS
        looking = self._leader.look.remote(self._fenced, self._end, pause)
        try:
            self.look = ray.get(looking, timeout=_CALL_SECONDS)
        except (ActorUnavailableError, GetTimeoutError):  # it begins anew
            return False
        except RayError as error:
            raise Stopped(
                f"the coordinator has ended for good ({_line(error)}); start the same command "
                "again to resume",
                exit_code=ExitCode.SYSTEM,
            ) from None
        is_same = self.look.incarnation == before.incarnation
        self._events.progress.advance(self.look.saved - (before.saved if is_same else 0))
        self._seen |= {*self.look.members, *self.look.left}
        self.look.attempts = max(self.look.attempts, before.attempts)
        for level, name, text in self.look.log:
            masked_logger(name).log(level, text)
        return True

    def _start(self) -> None:
        actor = ray.remote(WorkerActor).options(num_cpus=1, scheduling_strategy="SPREAD").remote()
        name = next(self._numbers)
        ref = actor.run.remote(name, self._spec, batch_screen.__version__, self._leader)
        self._running[ref] = name, actor

    def _bury(self, ref: Any) -> None:
        try:
            error = ray.get(ref)
        except RayError as died:
            self._give_up(ref, _how(died))
            return
        name, actor = self._running.pop(ref)
        ray.kill(actor)
        if isinstance(error, BatchScreenError):
            self.halt(error)
        elif error is not None:
            self._replaced(name, str(error))
        elif name not in self._fenced:  # it has said that it leaves
            self._deaths = 0

    def _give_up(self, ref: Any, how: str) -> None:
        name, actor = self._running.pop(ref)
        ray.kill(actor)  # it may only be cut off
        self._replaced(name, how)

    def _replaced(self, name: int, how: str) -> None:
        self._fenced.add(name)
        self._has_died(how, self.look.saved, _ADVICE)

    def _warn_of_room(self) -> None:
        """Says once that workers wait for a CPU: the cluster may be busy, or still grow."""
        waiting = [name for name, _ in self._running.values() if name not in self._seen]
        is_late = monotonic() - self._began > _WITHOUT_ROOM_SECONDS
        if waiting and is_late and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%d of %d workers wait for a free CPU of the Ray cluster",
                len(waiting),
                len(self._running),
            )


_PATHS = ("ca_file", "key_file")


def _lead(
    run_id: str, events: RunEvents, spec: WorkerSpec, shards: list[int], earlier: SoFar
) -> Any:
    """Starts the coordinator's actor beside this process. Its name keeps a second one away."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    leader = ray.remote(Leader).options(
        name=run_id, num_cpus=0, max_restarts=-1, scheduling_strategy=here
    )
    until = monotonic() + _EARLIER_ENDS_SECONDS
    while True:
        try:
            return leader.remote(spec, shards, earlier)
        except ValueError:  # that of a start that was killed ends with its driver
            events.stop.check()
            if monotonic() > until:
                raise RunLockedError(
                    f"another start of run {run_id} asks on this Ray cluster; wait for it to end "
                    "and start again"
                ) from None
            time.sleep(_AGAIN_SECONDS)


def _how(died: RayError) -> str:
    said = str(died)
    if "creation task" in said or not isinstance(died, RayActorError):
        return _line(died)
    if "OOM" in said or "memory" in said:
        return "its machine had no memory left"
    return "its machine was lost" if "node" in said.lower() else "its process died"


def _line(error: BaseException) -> str:
    """What Ray says, in a line: its last ones name the cause, and its tracebacks nobody reads."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return safe_line(lines[-1] if lines else type(error).__name__, _CAUSE_CHARACTERS)
