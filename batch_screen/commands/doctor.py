"""Doctor: diagnoses whether a run could start here and now, from settings to server.

Changes nothing and sends no number but that of a canary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from batch_screen.commands.open_run import refuse_other_ids
from batch_screen.config.key import read_key
from batch_screen.config.paths import shown_secret_file
from batch_screen.config.sections import Ids, Mode
from batch_screen.diagnostics.canary import canary_findings
from batch_screen.diagnostics.connection import STEPS, connection_findings
from batch_screen.diagnostics.findings import (
    Diagnosis,
    Finding,
    Health,
    failed,
    not_checked,
    of_error,
    passed,
)
from batch_screen.diagnostics.place import (
    disk_findings,
    folder_findings,
    group_finding,
    key_findings,
    lock_finding,
    open_files,
    region_key_findings,
)
from batch_screen.errors import (
    AuthenticationError,
    BatchScreenError,
    ConfigurationError,
    RunLockedError,
)
from batch_screen.input.files import Stdin, expand
from batch_screen.input.layout import shown
from batch_screen.input.remote import RemoteFile
from batch_screen.job import Job
from batch_screen.masking import safe_line
from batch_screen.notify.announce import check_destinations
from batch_screen.planning.build import InputFile, opened, opt_outs
from batch_screen.runs.events import RunEvents

_SANDBOX = "the sandbox runs inside the program and needs none"
_NO_FOLDER = "no output folder is named; name one with --out"


def doctor(job: Job, environment: Mapping[str, str], canary: str | None = None) -> Diagnosis:
    """Findings from settings to server; ``canary`` is a number in E.164 to ask about."""
    return Diagnosis(tuple(_findings(job, environment, canary)))


def unreadable(error: ConfigurationError) -> Diagnosis:
    """The diagnosis if the settings cannot be loaded."""
    names = ("key", "open files", "output", "state", "lock", "disk", *STEPS)
    why = "the configuration has to be fixed first"
    return Diagnosis((of_error("configuration", error), *not_checked(names, why)))


def canary_number(job: Job, named: str) -> str:
    """The number for the canary: the named one, else the first test number.

    Raises ``ConfigurationError`` if there is none, or it is no E.164.
    """
    number = named or next(iter(job.settings.numbers.test_numbers), "")
    if not number:
        raise ConfigurationError(
            "a canary needs a number: write --canary +… or set numbers.test_numbers"
        )
    digits = number.removeprefix("+")
    if number == digits or not (digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15):
        raise ConfigurationError("the number of --canary must be written as + and 7 to 15 digits")
    return number


def _findings(job: Job, environment: Mapping[str, str], canary: str | None) -> Iterator[Finding]:
    yield passed("configuration", "every setting is known and valid")
    if job.sandbox:
        yield from not_checked(["key"], _SANDBOX)
    else:
        yield from key_findings(job.settings, environment)
        yield from region_key_findings(job.settings)
    yield open_files(job.settings)
    yield from _named_files(job)
    found = _input(job)
    yield from found.findings
    yield from _folders(job, found)
    if job.sandbox:
        yield from not_checked([*STEPS, *(["canary"] if canary else [])], _SANDBOX)
        return
    reached = connection_findings(job.settings.api)
    yield from reached
    if canary is not None:
        yield from _canary(job, environment, canary, reached)


def _named_files(job: Job) -> Iterator[Finding]:
    """Whether the files that settings name beside the lists can be read, or written."""
    settings = job.settings
    if settings.privacy.ids is Ids.HMAC:
        try:
            with_ids = job.with_ids()
            refuse_other_ids(with_ids)
        except BatchScreenError as error:
            yield of_error("ids", error)
        else:
            key_id = with_ids.ids.key_id if with_ids.ids else ""
            yield passed(
                "ids", f"by the key {key_id} in {shown_secret_file(settings.privacy.id_key_file)}"
            )
    if settings.numbers.opt_out_file:
        try:
            opted_out = opt_outs(settings, RunEvents())
        except BatchScreenError as error:
            yield of_error("opt-outs", error)
        else:
            yield passed("opt-outs", f"can be read; numbers in it: {opted_out.len():,}")
    if written := [*filter(None, (settings.output.summary_file, settings.metrics.file))]:
        try:
            check_destinations(settings)
        except BatchScreenError as error:
            yield of_error("reports", error)
        else:
            yield passed("reports", f"{' and '.join(written)} can be written")


class _Input(NamedTuple):
    """About how many rows the inputs have, and how large copies of them are; None: not known."""

    findings: list[Finding]
    rows: int | None = None
    copied: int | None = None


def _input(job: Job) -> _Input:
    if not job.inputs:
        return _Input([])
    try:
        files = expand(job.inputs, excluded=job.excluded)
        if any(isinstance(file, Stdin) for file in files):
            return _Input(not_checked(["input"], "stdin can be read only once"))
        if remote := [file.size() for file in files if isinstance(file, RemoteFile)]:
            count = f"{len(remote):,} file{'s' if len(remote) > 1 else ''}"
            seen = f"{count} elsewhere, {sum(remote):,} bytes, which a run copies first"
            return _Input([passed("input", seen)], copied=sum(remote))
        sources = [InputFile(file) for file in files if isinstance(file, Path)]
        table, columns = opened(sources, job.settings)
        rows = table.expected_rows()
    except BatchScreenError as error:
        return _Input([of_error("input", error)])
    names = f"{len(sources):,} files" if len(sources) > 1 else sources[0].path.name
    counted = f"{rows:,} rows"
    if any(layout.csv for layout, _ in table.files):  # no CSV file is read to its end for it
        whose = "file's" if len(table.files) == 1 else "files'"
        counted = f"about {rows:,} rows, estimated from the {whose} size"
    named = " and ".join(f"'{shown(name)}'" for name in table.phone_columns)
    where = f"numbers in column{'s' if len(columns) > 1 else ''} {named}"
    return _Input([passed("input", f"{names}, {counted}, {where}")], rows)


def _folders(job: Job, found: _Input) -> Iterator[Finding]:
    if not job.settings.output.folder:
        yield from not_checked(("output", "state", "lock", "disk"), _NO_FOLDER)
        return
    is_trusted = job.settings.output.trust_folders
    yield folder_findings("output", job.out, is_private=False, is_trusted=is_trusted)
    if job.settings.output.mode is Mode.GROUP:
        yield group_finding(job.out)
    yield folder_findings("state", job.state, is_private=True, is_trusted=is_trusted)
    if vault := job.settings.privacy.id_vault:
        yield folder_findings("vault", Path(vault), is_private=True, is_trusted=is_trusted)
    yield lock_finding(job.state)
    if job.settings.output.state_bucket:
        yield _state_bucket(job.settings.output.state_bucket)
    folders = {"output": job.out, "state": job.state}
    endpoints = len(job.settings.screening.endpoints)
    yield from disk_findings(folders, found.rows, endpoints, found.copied)


def _state_bucket(address: str) -> Finding:
    """Whether the bucket creates an object once only, and whether a run holds it."""
    from batch_screen.cluster.reign import living, prove  # noqa: PLC0415 (for buckets only)
    from batch_screen.cluster.store import state_store  # noqa: PLC0415

    try:
        store, prefix = state_store(address)
        prove(store, prefix)
        found = living(store, prefix)
    except BatchScreenError as error:
        return of_error("state bucket", error)
    if found is None:
        return passed("state bucket", f"{store.place} creates an object once only, and is free")
    seen = f"{store.place} is held by process {found[0].pid} on {safe_line(found[0].host)}"
    remedy = "wait for it to end; batch-screen status says how far it is"
    return failed("state bucket", seen, remedy, RunLockedError.default_exit_code)


def _canary(
    job: Job, environment: Mapping[str, str], number: str, reached: list[Finding]
) -> list[Finding]:
    if any(finding.health is Health.FAILED for finding in reached):
        return not_checked(["canary"], "the server cannot be reached: nothing was sent")
    try:
        key = read_key(job.settings.api.key_file, environment)
    except AuthenticationError:
        return not_checked(["canary"], "there is no key: nothing was sent")
    return canary_findings(job.settings, key.get_secret_value(), number)
