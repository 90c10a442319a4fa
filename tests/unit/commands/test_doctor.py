from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batch_screen.commands.doctor import canary_number, doctor, unreadable
from batch_screen.commands.run import run
from batch_screen.config.screening import Numbers
from batch_screen.config.sections import Api, Metrics, Output
from batch_screen.config.settings import Settings
from batch_screen.diagnostics.findings import Diagnosis, Health
from batch_screen.errors import BatchScreenError, ConfigurationError
from batch_screen.job import Job

KEY = {"BATCH_SCREEN_API_KEY": "s3cret-api-key"}
NUMBER = "+491713920012"
NOBODY = Api(base_url="http://127.0.0.1:9/v1", connect_timeout_seconds=1)


def of(found: Diagnosis) -> dict[str, str]:
    return {finding.name: finding.health.value for finding in found.findings}


def test_nothing_is_named_and_nobody_answers() -> None:
    found = doctor(Job((), Settings(api=NOBODY)), KEY)
    assert found.exit_code == 69
    assert of(found) == {
        "configuration": "ok",
        "key": "ok",
        "open files": "ok",
        "output": "not checked",
        "state": "not checked",
        "lock": "not checked",
        "disk": "not checked",
        "dns": "ok",
        "connection": "failed",
        "tls": "not checked",
        "clock": "not checked",
    }


def test_with_the_sandbox_no_server_and_no_key_is_looked_for(tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("phone\n" + "+44770090000%d\n" * 3 % (1, 2, 3))
    settings = Settings(output={"folder": str(tmp_path / "out")})  # type: ignore[arg-type]
    found = doctor(Job((str(listed),), settings, sandbox=True), {}, NUMBER)
    assert found.exit_code == 0
    assert of(found)["canary"] == "not checked"
    healths = of(found)
    assert (healths["key"], healths["dns"], healths["input"]) == ("not checked",) * 2 + ("ok",)
    seen = next(f.seen for f in found.findings if f.name == "input")
    assert "about 4 rows, estimated from the file's size" in seen
    assert not (tmp_path / "out").exists()


def test_parquet_files_say_how_many_rows_they_have(tmp_path: Path) -> None:
    listed, beside = tmp_path / "list.parquet", tmp_path / "more.csv"
    pl.DataFrame({"phone": ["+447700900001", "+447700900002"]}).write_parquet(listed)
    beside.write_text("phone\n+447700900003\n")

    def said(*inputs: Path) -> str:
        found = doctor(Job(tuple(map(str, inputs)), sandbox=True), {})
        return next(f.seen for f in found.findings if f.name == "input")

    assert said(listed) == "list.parquet, 2 rows, numbers in column 'phone'"
    assert "2 files, about 4 rows, estimated from the files' size, " in said(listed, beside)


@pytest.mark.parametrize(
    ("inputs", "health", "exit_code"),
    [(("nothere.csv",), "failed", 66), (("-",), "not checked", 0)],
)
def test_inputs(inputs: tuple[str, ...], health: str, exit_code: int) -> None:
    found = doctor(Job(inputs, sandbox=True), {})
    assert (of(found)["input"], found.exit_code) == (health, exit_code)


@pytest.mark.parametrize("name", ["none.txt", ".", "s.csv"])
def test_an_opt_out_list_that_a_run_would_refuse(tmp_path: Path, name: str) -> None:
    (tmp_path / "list.csv").write_text("phone\n+442079460001\n")
    (tmp_path / "s.csv").write_text("phone\nnobody\n")
    settings = Settings(
        numbers=Numbers(opt_out_file=str(tmp_path / name)),
        output=Output(folder=str(tmp_path / "out")),
    )
    job = Job((str(tmp_path / "list.csv"),), settings, sandbox=True)
    found = doctor(job, {})
    assert of(found)["opt-outs"] == "failed"
    with pytest.raises(BatchScreenError) as refused:
        run(job)
    assert found.exit_code == refused.value.exit_code


def test_a_summary_or_metrics_file_that_could_not_be_written(tmp_path: Path) -> None:
    inside = str(tmp_path / "none" / "s.json")
    for settings in (
        Settings(output=Output(summary_file=inside)),
        Settings(metrics=Metrics(file=inside)),
    ):
        found = doctor(Job((), settings, sandbox=True), {})
        assert (of(found)["reports"], found.exit_code) == ("failed", 73)


def test_files_that_can_be_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("+442079460001\n")
    settings = Settings(
        numbers=Numbers(opt_out_file=str(tmp_path / "none.txt")),
        output=Output(summary_file=str(tmp_path / "s.json")),
    )
    found = of(doctor(Job((), settings, sandbox=True), {}))
    assert (found["opt-outs"], found["reports"]) == ("ok", "ok")
    assert [path.name for path in tmp_path.iterdir()] == ["none.txt"]


def test_a_canary_is_not_sent_into_nothing() -> None:
    found = doctor(Job((), Settings(api=NOBODY)), KEY, NUMBER)
    assert of(found)["canary"] == "not checked"
    assert found.findings[-1].seen.endswith("nothing was sent")


def test_settings_that_cannot_be_read() -> None:
    found = unreadable(ConfigurationError("x.toml, line 3: unknown; did you mean y?"))
    assert found.exit_code == 2
    assert found.findings[0].remedy == "did you mean y?"
    assert {finding.health for finding in found.findings[1:]} == {Health.NOT_CHECKED}


def test_the_number_of_a_canary() -> None:
    job = Job((), Settings(numbers=Numbers(test_numbers=(NUMBER, "+12025550123"))))
    assert canary_number(job, "") == NUMBER
    assert canary_number(job, "+12025550124") == "+12025550124"
    for wrong in ("list.csv", "0171 3920012", "491713920012", "+49"):
        with pytest.raises(ConfigurationError, match="must be written as"):
            canary_number(job, wrong)
    with pytest.raises(ConfigurationError, match=r"set numbers\.test_numbers"):
        canary_number(Job(()), "")
