"""Uploads that are killed: a bucket that has a run's marker has all of the run, byte by byte."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread

from botocore.exceptions import ClientError

import batch_screen
from tests.buckets import Bucket
from tests.e2e.conftest import COMMAND, Background, clean
from tests.e2e.starting import begin
from tests.nights import NIGHTS, Night, job
from tests.thoroughness import IS_FULL

from .conftest import Size, sized_in_full
from .figures import Figures, combine
from .trial import wait_until

_NIGHTS = [NIGHTS[0], NIGHTS[1], NIGHTS[4]]
_PAUSE_SECONDS = 0.02 if IS_FULL else 0.05
_SERIAL = count()


class Trial:
    """Uploads of one run under a prefix of its own; ``figures`` is the verdict."""

    def __init__(self, folder: Path, nights: Path, bucket: Bucket, night: Night) -> None:
        self.folder = folder / f"upload-{next(_SERIAL)}"
        shutil.copytree(nights.parent, self.folder)
        self.out = self.folder / nights.name
        self.bucket = bucket
        self.prefix = self.folder.name
        self.night = night
        day = night.day.replace("-", "")
        [self.run_id] = [path.name for path in (self.out / "runs").glob(f"{day}-*")]
        self.starts = self.kills = self.tracebacks = self.looks = 0
        self.phases: Counter[str] = Counter()
        self.torn: list[str] = []

    @property
    def _run(self) -> Path:
        return self.out / "runs" / self.run_id

    def keys(self) -> list[str]:
        """What is in the bucket, but for latest.json, which is written last."""
        found = [key for key in self.bucket.keys if key.startswith(f"{self.prefix}/")]
        return [key for key in found if not key.endswith("latest.json")]

    @property
    def unsent(self) -> int:
        """Files of the run, as it is now, that are not in the bucket."""
        listed = json.loads((self._run / "manifest.json").read_bytes())["files"]
        sent = self.keys()
        return sum(f"{self.prefix}/{file['path']}" not in sent for file in listed)

    def write_anew(self) -> None:
        """The run with other kept columns: other parts, another manifest, the same id."""
        kept = ("customer_id", "opened", "segment")
        night = self.night._replace(kept=kept, is_stopped=False)
        before = (self._run / "manifest.json").read_bytes()
        batch_screen.run(job(self.folder, night))
        assert (self._run / "manifest.json").read_bytes() != before

    @contextmanager
    def started(self) -> Iterator[Background]:
        """The command, running; killed if the block has not waited for its end."""
        self.starts += 1
        said = [self.folder / f"{stream}-{self.starts}" for stream in ("stderr", "stdout")]
        to = f"{self.bucket.address}/{self.prefix}"
        command = [str(COMMAND), "upload", str(self.out), "--to", to, "--run", self.run_id]
        cloud: dict[str, str | None] = {
            name: value for name, value in os.environ.items() if name.startswith("AWS_")
        }
        with said[0].open("wb") as stderr, said[1].open("wb") as stdout:
            process = begin(command, stdout=stdout, stderr=stderr, env=clean(cloud))
        with process:
            try:
                yield Background(process, *said)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        self.tracebacks += sum("Traceback" in path.read_text("utf-8") for path in said)

    def look(self) -> None:
        """As a reader does: where the marker is, every object has to be what it stands for."""
        marker = self._get(f"runs/{self.run_id}/_SUCCESS")
        wrong = self._wrong(marker) if marker is not None else []
        self.looks += 1
        if wrong and self._get(f"runs/{self.run_id}/_SUCCESS") == marker:
            self.torn += wrong

    def _wrong(self, marker: bytes) -> list[str]:
        manifest = self._get(f"runs/{self.run_id}/manifest.json")
        if manifest is None or hashlib.sha256(manifest).hexdigest() != marker.decode().strip():
            return ["the marker is another manifest's"]
        wrong = []
        for file in json.loads(manifest)["files"]:
            content = self._get(file["path"])
            if content is None or hashlib.sha256(content).hexdigest() != file["sha256"]:
                wrong.append(f"{file['path']} is missing or differs")
        return wrong

    def _get(self, key: str) -> bytes | None:
        try:
            return self.bucket.get(f"{self.prefix}/{key}")
        except ClientError:
            return None

    def kill(self, running: Background) -> bool:
        """Kills the upload; whether it was still going on."""
        sent = len(self.keys())
        running.process.kill()
        if running.process.wait() == 0:
            return False
        self.kills += 1
        self.phases["before the first object" if not sent else "between objects"] += 1
        return True

    def figures(self, seed: int) -> Figures:
        """Holds every object against the run's files."""
        manifest = json.loads((self._run / "manifest.json").read_bytes())
        files = [*(f["path"] for f in manifest["files"])]
        files += [f"runs/{self.run_id}/{name}" for name in ("manifest.json", "_SUCCESS")]
        found = {name: self._get(name) for name in files}
        parts = [key for key in self.keys() if key.endswith(".parquet")]
        return Figures(
            "upload: SIGKILL",
            (seed,),
            faults=self.kills,
            starts=self.starts,
            missing=sum(content is None for content in found.values()),
            duplicates=len(parts) - sum(name.endswith(".parquet") for name in files),
            wrong=sum(
                content is not None and content != (self.out / name).read_bytes()
                for name, content in found.items()
            ),
            torn=len(self.torn),
            tracebacks=self.tracebacks,
            billed_shown=None,
            phases=self.phases + Counter({"looks of a reader": self.looks}),
            examples=tuple(self.torn[:5]),
        )


@contextmanager
def watched(trial: Trial) -> Iterator[None]:
    """A reader that looks all the time."""
    ended = Event()

    def look() -> None:
        while not ended.wait(_PAUSE_SECONDS):
            with suppress(OSError):
                trial.look()

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def killed_until_complete(trial: Trial, draw: random.Random, most_kills: int) -> None:
    """Kills the same command at random moments until it was faster, then lets it end."""
    for _ in range(most_kills):
        at = draw.randint(0, trial.unsent)
        due = time.monotonic() + (draw.uniform(0, 2) if draw.random() < 0.2 else 60)
        with trial.started() as running:
            process = running.process
            wait_until(
                lambda: (
                    trial.unsent <= at  # noqa: B023
                    or time.monotonic() > due  # noqa: B023
                    or process.poll() is not None  # noqa: B023
                ),
                every=0.02,  # a look is a request to the bucket
            )
            time.sleep(draw.choice([0, draw.uniform(0, 0.05), draw.uniform(0, 0.3)]))
            if not trial.kill(running):
                break
        trial.look()
    with trial.started() as running:
        assert running.process.wait() == 0, running.said
    trial.look()


@sized_in_full
def test_killed_at_any_moment(
    six_nights: Path,
    tmp_path: Path,
    size: Size,
    bucket: Bucket,
    settle: Callable[[Figures], None],
) -> None:
    draw, kills = random.Random(size.seed), max(2, size.kills // 3)

    def trials() -> Iterator[Figures]:
        done = 0
        while done < kills:
            trial = Trial(tmp_path, six_nights, bucket, draw.choice(_NIGHTS))
            with watched(trial):  # and then written anew, the first version under the second
                killed_until_complete(trial, draw, (kills - done + 1) // 2)
                trial.write_anew()
                killed_until_complete(trial, draw, kills - done - trial.kills)
            done += trial.kills
            yield trial.figures(size.seed)

    settle(combine("upload: SIGKILL", trials()))
