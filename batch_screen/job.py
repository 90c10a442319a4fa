"""A screening job, as a caller describes it: inputs, settings, key and date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path

from pydantic import SecretStr

from batch_screen.config.key import read_keys
from batch_screen.config.screening import OPT_OUT_FILE
from batch_screen.config.sections import Ids
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError
from batch_screen.input.files import digest
from batch_screen.masking import hide
from batch_screen.planning.build import InputFile, opt_out_list
from batch_screen.privacy.ids import NumberIds, read_id_key
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.runs.state import BASE_URL, ID_KEY, LIMIT, SANDBOX, Identity, today

MOST_LIMIT = 1_000_000
"""The most numbers a limit may name: they are in memory while the list is read."""
STATE = ".state"


@dataclass(frozen=True)
class Job:
    """Inputs to screen, with settings.

    ``run_date`` None means today (UTC), or an unfinished run's date by ``screening.unfinished``.
    ``limit``: only the first so many numbers that are accepted; None means all.
    ``is_attended``: somebody sits at the terminal and can decide. ``ids`` stand for numbers in the
    output: ``with_ids`` reads their key. ``keys`` are those of regions: ``with_keys`` reads them.
    """

    inputs: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)
    key: SecretStr | None = None
    run_date: date | None = None
    new_run: bool = False
    sandbox: bool = False
    limit: int | None = None
    is_attended: bool = False
    ids: NumberIds | None = None
    keys: Mapping[str, SecretStr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.limit is not None and not 1 <= self.limit <= MOST_LIMIT:
            raise ConfigurationError(f"limit must be from 1 to {MOST_LIMIT:,}")
        if self.key is not None:
            hide(self.key.get_secret_value())
        for key in self.keys.values():
            hide(key.get_secret_value())

    def with_keys(self) -> Job:
        """The job with the keys of regions that its settings name. ``AuthenticationError``."""
        files = self.settings.api.keys_by_region
        missing = {} if self.sandbox else {r: f for r, f in files.items() if r not in self.keys}
        return replace(self, keys={**self.keys, **read_keys(missing)}) if missing else self

    def with_ids(self) -> Job:
        """The job with the ids that its settings want. Raises ``ConfigurationError``."""
        privacy = self.settings.privacy
        if privacy.ids is Ids.PLAIN:
            if privacy.id_vault:
                raise ConfigurationError(
                    "--id-vault is for ids in the place of numbers; leave it out, or say --ids hmac"
                )
            return self
        if self.ids:
            return self
        if not privacy.id_key_file:
            raise ConfigurationError(
                "--ids hmac needs a key: name its file with --id-key-file; batch-screen id-key "
                "FILE makes one"
            )
        return replace(self, ids=read_id_key(Path(privacy.id_key_file)))

    @property
    def out(self) -> Path:
        if not self.settings.output.folder:
            raise ConfigurationError("no output folder: name one with --out")
        return Path(self.settings.output.folder)

    @property
    def out_if_named(self) -> Path | None:
        """The output folder; a plan needs none."""
        return self.out if self.settings.output.folder else None

    @property
    def state(self) -> Path:
        """The state folder: by default hidden in the output folder."""
        # One folder to back up and to delete, and a run is always found again.
        named = self.settings.output.state_folder
        return Path(named) if named else self.out / STATE

    @property
    def day(self) -> date:
        return self.run_date or today()

    @property
    def now(self) -> datetime:
        """The current time, or with the sandbox the run date's beginning if that is another day."""
        now = datetime.now(UTC)
        return self.midnight if self.sandbox and self.day != now.date() else now

    @property
    def midnight(self) -> datetime:
        """The beginning of the run's date."""
        return datetime.combine(self.day, time(), UTC)

    @property
    def excluded(self) -> tuple[Path, ...]:
        """Paths in an input folder that are not input: our own folders, the opt-out list."""
        listed, vault = opt_out_list(self.settings), self.settings.privacy.id_vault
        others = [*([listed.path] if listed else []), *([Path(vault)] if vault else [])]
        if not self.settings.output.folder:
            return tuple(others)
        ours = (self.out / name for name in (*DATA_FOLDERS, "runs"))
        return (self.out, self.state, *ours, *others)

    def identity(self, files: list[InputFile]) -> Identity:
        """The identity of a run over these files."""
        settings = self.settings.identity()
        if self.sandbox:  # its port differs at every start
            settings[BASE_URL] = SANDBOX
        if self.limit is not None:
            settings[LIMIT] = self.limit
        if self.ids is not None:
            settings[ID_KEY] = self.ids.key_id
        # Another opt-out list is another run: the plan may hold people who have objected since.
        if listed := opt_out_list(self.settings):
            settings[OPT_OUT_FILE] = digest(listed.path, listed.name or "")
        content = [file.sha256 or digest(file.path) for file in files]
        return Identity(content, self.day.isoformat(), settings)

    def complete_runs(self) -> list[str]:
        """Ids of the complete runs in the output folder."""
        out = self.out_if_named
        return [marker.parent.name for marker in (out / "runs").glob("*/_SUCCESS")] if out else []
