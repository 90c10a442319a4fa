from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import Generator, Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from batch_screen.masking.keys import forget_keys
from tests.nights import make_nights
from tests.thoroughness import IS_FULL, examples

if TYPE_CHECKING:  # half a second, for the few that need one
    from tests.buckets import Bucket

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 3 << 30

# A busy machine is no bug: examples have no deadline. In CI the examples are the same each
# time, so that what fails there fails again.
settings.register_profile(
    "project",
    parent=examples(100),
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")


def pytest_configure() -> None:
    """Puts the folders of tests into memory where there is room; in full they lie on the disk.

    Runs sync each file that they write, and on a busy disk the tests wait for nothing else.
    """
    # Under nohup it is ignored, and a command that inherits that ignores it, too.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if not IS_FULL and _MEMORY.is_dir():
        found = os.statvfs(_MEMORY)
        may_start_programs = not found.f_flag & os.ST_NOEXEC
        if may_start_programs and found.f_bavail * found.f_frsize >= _ROOM_BYTES:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


_HEAVY = ("tests/unit/warehouse", "tests/e2e", "tests/torture", "tests/golden")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without those for the full run. Heavy files first: one dealt out last would run alone."""
    if not IS_FULL:
        left_out = [item for item in items if item.get_closest_marker("in_full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("in_full")]
    items.sort(key=lambda item: not item.nodeid.startswith(_HEAVY))


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path,
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Files of tests hold no examples: to look for some takes each process two seconds."""
    found = yield
    if file_path.name.startswith("test_"):
        return [each for each in found if type(each) is pytest.Module]
    return found


def pytest_collection_finish() -> None:
    """What was loaded stays, so that no later search for garbage looks through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def six_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drifting nights (``tests.nights``), to be read only; the list lies beside the folder.

    Where several processes test, the first that wants them makes them for all.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make_nights(tmp_path_factory.mktemp("six"))
    folder = tmp_path_factory.getbasetemp().parent / "six"
    with (folder.parent / "six.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        done = folder / "done"
        if not done.exists():
            folder.mkdir()
            make_nights(folder)
            done.touch()
    return folder / "screened"


@pytest.fixture(autouse=True)
def _forget_keys() -> Iterator[None]:
    """A key that one test reads must not change what another one says."""
    yield
    forget_keys()


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[str]:
    """The address of a server of buckets on loopback."""
    from tests.buckets import moto

    with moto() as url:
        yield url


@pytest.fixture
def bucket(bucket_server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, which the environment leads to."""
    import boto3

    from tests.buckets import Bucket, use

    use(monkeypatch, bucket_server)
    client = boto3.client("s3", endpoint_url=bucket_server, region_name="us-east-1")
    letters = "".join(secrets.choice(ascii_lowercase) for _ in range(8))  # digits are masked
    return Bucket(client, f"bucket-{letters}")
