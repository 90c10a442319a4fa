"""The recipes for schedulers: what can be tried is tried, the rest is read closely."""

from __future__ import annotations

import configparser
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from batch_screen.cli.main import DEFAULT_NAME, cli
from batch_screen.config.key import CREDENTIAL, KEY_VARIABLE
from batch_screen.config.load import KEY_FILE_VARIABLE, load_settings, variable_names
from batch_screen.config.paths import is_address
from batch_screen.config.settings import Settings
from batch_screen.errors import MAY_PASS, WHOLE, ExitCode
from batch_screen.notify.metrics import metrics
from batch_screen.sandbox.run import SandboxThread
from batch_screen.warehouse.address import parse
from tests.thoroughness import in_full
from tests.unit.notify.ends import BEGAN, complete, failed

from .conftest import COMMAND, KEY, NUMBERS, TELLING, Desk, Output, clean, run_command, write_csv

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
ALL = frozenset(ExitCode)
FINAL = ALL - MAY_PASS - {0}
"""After these a start of the same command changes nothing."""

# Says with what it was started, and ends as the next line of a file tells it to.
_FAKE = """#!/bin/sh
echo "$@" >> "$FAKE/starts"
code=$(head -n 1 "$FAKE/codes"); sed -i 1d "$FAKE/codes"
while [ $# -gt 0 ]; do
    [ "$1" = --summary-file ] && cp "$FAKE/summary" "$2"
    shift
done
exit "$code"
"""
_SUMMARY = {
    "run_id": "20260302-0123456789",
    "thresholds": [
        {"expr": "rows < 9", "seen": 3, "crossed": True},
        {"expr": "cost > 9", "seen": 3, "crossed": False},
    ],
}


def parsed(arguments: list[str], command: str = "run") -> dict[str, Any]:
    """The options that the arguments give; what does not exist is an error."""
    found = cli.get_command(click.Context(cli), command)
    assert found
    return found.make_context(command, arguments).params


class Fake:
    """A command of our name that ends with the given codes, one a start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = folder / "batch-screen"
        command.write_text(_FAKE)
        command.chmod(0o755)
        (folder / "summary").write_text(json.dumps(_SUMMARY))
        self.environment = {"PATH": f"{folder}:/usr/bin:/bin", "FAKE": str(folder)}

    def ends_with(self, *codes: int) -> None:
        (self.folder / "codes").write_text("".join(f"{code}\n" for code in codes))
        (self.folder / "starts").write_text("")

    def started_by(self, script: str, *arguments: str, **environment: str) -> int:
        """The script's exit code, with a list and a folder as its arguments."""
        arguments = arguments or ("list.csv", "--out", "a b")
        return subprocess.run(
            ["sh", RECIPES / script, *arguments],
            env={**self.environment, **environment},
            check=False,
        ).returncode

    @property
    def starts(self) -> list[list[str]]:
        return [shlex.split(line) for line in (self.folder / "starts").read_text().splitlines()]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def test_the_readmes_tell_every_exit_code_once() -> None:
    table = re.findall(r"^\| ([\d, ]+) \|", (RECIPES / "README.md").read_text(), re.MULTILINE)
    good, findings, may_pass, final = ({int(c) for c in row.split(",")} for row in table)
    assert (good | findings, may_pass, findings | final) == (WHOLE, MAY_PASS, FINAL)
    assert ALL == WHOLE | MAY_PASS | FINAL
    assert not MAY_PASS & WHOLE


def test_every_recipe_is_listed_and_there() -> None:
    listed = set(re.findall(r"\]\(([\w.-]+)\)", (RECIPES / "README.md").read_text()))
    assert listed == {path.name for path in RECIPES.iterdir()} - {"README.md", "__pycache__"}


@pytest.mark.parametrize(
    ("codes", "starts"),
    [((0,), 1), ((4, 143, 0), 3), ((75, 3), 2), ((2,), 1), ((77,), 1), ((69, 71, 73, 130, 0), 4)],
)
def test_the_script_starts_again_where_that_may_help(
    fake: Fake, codes: tuple[int, ...], starts: int
) -> None:
    fake.ends_with(*codes)
    done = fake.started_by("nightly.sh", RETRY_WAITS="0 0 0")
    assert done == codes[starts - 1]
    assert len(fake.starts) == starts
    dates = {parsed(start)["run_date"] for start in fake.starts}
    assert len(dates) == 1
    assert None not in dates


def test_the_script_knows_every_code_that_may_pass() -> None:
    [listed] = re.findall(
        r"^    ([\d |]+)\) ;;", (RECIPES / "nightly.sh").read_text(), re.MULTILINE
    )
    assert {int(code) for code in listed.split("|")} == MAY_PASS


@pytest.mark.parametrize(
    ("codes", "commands"),
    [
        ((0, 0, 0), "run validate load"),
        ((3, 0, 0), "run validate load"),
        ((65,), "run"),
        ((130, 0, 0, 0), "run run validate load"),
        ((0, 65), "run validate"),
        ((3, 0, 69, 75, 0), "run validate load load load"),
        ((0, 0, 65), "run validate load"),
        ((0, 0, 75, 75, 75, 75), "run validate load load load load"),
    ],
)
def test_a_complete_night_is_checked_and_loaded(
    fake: Fake, codes: tuple[int, ...], commands: str
) -> None:
    fake.ends_with(*codes)
    waits = {"RETRY_WAITS": "0", "LOAD_WAITS": "0 0 0"}
    done = fake.started_by("nightly-load.sh", "a b", "duckdb:w h", "list.csv", **waits)
    assert done == (3 if codes[0] == 3 else codes[-1])
    assert [start[0] for start in fake.starts] == commands.split()
    scripts = [(RECIPES / name).read_text() for name in ("nightly.sh", "nightly-load.sh")]
    may_pass, may_pass_of_load = (
        {int(code) for code in re.findall(r"\d+", listed)}
        for script in scripts
        for listed in re.findall(r"^    ([\d |]+)\) ;;", script, re.MULTILINE)
    )
    assert may_pass_of_load == may_pass - {ExitCode.STOPPED}


def test_several_nights_are_one_run(fake: Fake, tmp_path: Path) -> None:
    kept = tmp_path / "date"
    today = f"{datetime.now(UTC):%Y-%m-%d}"

    def night(code: int) -> str:
        """The date that the night's start was given."""
        fake.ends_with(code)
        assert fake.started_by("several-nights.sh", KEPT=str(kept)) == code
        [start] = fake.starts
        return f"{parsed(start)['run_date']:%Y-%m-%d}"

    assert night(4) == today
    assert kept.read_text().strip() == today
    kept.write_text("2026-03-02\n")  # it began on another day
    for code in sorted(ALL - WHOLE):
        assert night(code) == "2026-03-02"
    assert night(3) == "2026-03-02"
    assert not kept.exists()
    assert night(0) == today  # another run
    assert not kept.exists()
    nowhere = str(tmp_path / "no" / "date")
    fake.ends_with()
    assert fake.started_by("several-nights.sh", KEPT=nowhere) == 73
    assert fake.starts == []


def cron_lines() -> Iterator[tuple[str, str]]:
    """Each line of a crontab in the documents and recipes: where it stands, and its command."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), RECIPES / "crontab"]
    for document in documents:
        text = document.read_text("utf-8").replace("\\\n", "")
        for command in re.findall(r"^ *(?:[\d*/,-]+ +){5}(\w.*)$", text, re.MULTILINE):
            yield document.name, command


def test_the_lines_of_cron_can_be_started_every_night() -> None:
    found = list(cron_lines())
    assert {name for name, _ in found} >= {"nightly.md", "rate.md", "crontab"}
    for _, command in found:
        program, *arguments = shlex.split(command)
        assert "%" not in command
        if arguments[0] == "purge":
            assert_purges(arguments[1:])
            continue
        if arguments[0] == "retry":
            retried = parsed(arguments[1:], "retry")
            assert retried["run"] is None, "every night the same run would be retried"
            assert Path(retried["config"]).name == DEFAULT_NAME
            continue
        assert arguments[0] == "run" or (RECIPES / program).exists()
        if program == "nightly-load.sh":
            _, target, *arguments = arguments
            assert parse(target).kind == "postgres"
        options = parsed([each for each in arguments if each != "run"])
        assert options["run_date"] is None, "every night would be filed under this date"
        assert not options["new_run"], "a second start would pay again"
        assert Path(options["config"]).name == DEFAULT_NAME


def assert_purges(arguments: list[str]) -> None:
    """Without a terminal, and late enough for windows that reach back."""
    options = parsed(arguments, "purge")
    assert options["yes"]
    kept = datetime.now(UTC).date() - options["older_than"]
    assert kept.days > Settings().planner.look_back_days


def test_purges_of_service_and_pod() -> None:
    command, verb, *arguments = shlex.split(
        unit("batch-screen.service")["Service"]["ExecStartPost"]
    )
    assert (command[0], verb) == ("-", "purge"), "a purge that fails is no bad night"
    assert_purges(arguments)
    [job] = yaml.safe_load_all((RECIPES / "purge-cronjob.yaml").read_text())
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    verb, *arguments = container["args"]
    assert verb == "purge"
    assert_purges(arguments)


def test_settings_in_the_guides_are_settings(tmp_path: Path) -> None:
    file = tmp_path / DEFAULT_NAME
    page = (ROOT / "docs" / "alarms.md").read_text("utf-8")
    found = re.findall(r"^(?:    \[\w+\]\n)(?:    \w+ = .*\n)+", page, re.MULTILINE)
    assert len(found) == 2
    file.write_text("".join(map(textwrap.dedent, found)))
    settings = load_settings(config=file)
    assert settings.metrics.file
    assert settings.pings.failure_url


def test_the_nightly_run_can_rule_a_swap_out(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    """A check speaks of 40 hours: without the date no flag of a week is ever false."""
    text = (ROOT / "README.md").read_text("utf-8")
    [settings] = re.findall(r"^```toml (?:\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "api.key").write_text(KEY)
    nightly = settings.replace("/etc/batch-screen/api.key", str(tmp_path / "api.key"))
    (tmp_path / DEFAULT_NAME).write_text(nightly.replace('region_column = "country"\n', ""))
    url = sandbox(population=TELLING).url
    flags = {}
    for name, how in (("both", ("--config", tmp_path / DEFAULT_NAME)), ("check", ())):
        listed, out = write_csv(tmp_path / "list.csv", NUMBERS[:60]), tmp_path / name
        done = run_command("run", listed, "--out", out, "--base-url", url, "--rate", 1000, *how)
        assert done.code == 0, done.err
        flags[name] = set(Output(out).frame("results")["risk_sim_recent"])
    assert False in flags["both"]
    assert flags["check"] == {True, None}


def test_the_line_of_cron_screens(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    command, _ = (command for name, command in cron_lines() if name == "crontab")
    (tmp_path / "key").write_text(KEY)
    key_file = f'[api]\nkey_file = "{tmp_path / "key"}"\nbase_url = "{sandbox().url}"\n'
    desk = Desk(tmp_path, "", NUMBERS[:5], toml=key_file)
    for example, ours in (
        ("nightly.sh", RECIPES / "nightly.sh"),
        ("/srv/customers.parquet", desk.list),
        ("/srv/screened", desk.out),
        ("/etc/batch-screen/batch-screen.toml", desk.configuration),
    ):
        assert command.count(example) == 1
        command = command.replace(example, str(ours))
    quiet = {"BATCH_SCREEN_API_KEY": None, "BATCH_SCREEN_API__BASE_URL": None}
    path = {"PATH": f"{COMMAND.parent}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", command], env=clean({**quiet, **path}), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"\r" not in done.stdout + done.stderr
    assert desk.latest.frame("results").height == 5


def unit(name: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, comment_prefixes="#", strict=True)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string((RECIPES / name).read_text())
    return read


def test_the_service_restarts_where_that_may_help() -> None:
    service = unit("batch-screen.service")["Service"]
    assert {int(c) for c in service["RestartPreventExitStatus"].split()} == FINAL
    assert (service["Type"], service["Restart"]) == ("oneshot", "on-failure")
    name, _, _ = service["LoadCredential"].partition(":")
    assert name == CREDENTIAL
    command, verb, *arguments = shlex.split(service["ExecStart"])
    assert (Path(command).name, verb) == ("batch-screen", "run")
    assert parsed(arguments)["out"] in service["ReadWritePaths"].split()
    assert int(service["TimeoutStopSec"]) >= seconds_to_end()
    assert unit("batch-screen.timer")["Timer"]["OnCalendar"].endswith(" UTC")


def seconds_to_end() -> float:
    """After a signal: answers under way, counting, and two calls."""
    return Settings().guards.grace_seconds + 10 + 2 * Settings().pings.timeout_seconds


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    names = "batch-screen.service", "batch-screen.timer"
    for name in names:
        text = (RECIPES / name).read_text().replace("/usr/local/bin/batch-screen", str(COMMAND))
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / name for name in names)],
        capture_output=True,
        text=True,
        check=False,
    )
    # What the machine's own units are like is not ours.
    assert [line for line in done.stderr.splitlines() if "batch-screen" in line] == []


def test_kubernetes_tries_again_where_that_may_help() -> None:
    [job] = yaml.safe_load_all((RECIPES / "cronjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    [container], [doctor] = pod["containers"], pod["initContainers"]
    words = shlex.split(doctor["command"][2])
    assert words[1] == "doctor"
    assert words[-2:] == ["||", "true"], "the run is to end with its code, and call the webhook"
    parsed(words[2:-2], "doctor")
    for each in ("image", "env", "volumeMounts", "securityContext"):
        assert doctor[each] == container[each]
    fails, _ = spec["podFailurePolicy"]["rules"]
    assert (fails["action"], fails["onExitCodes"]["operator"]) == ("FailJob", "In")
    assert set(fails["onExitCodes"]["values"]) == FINAL
    assert fails["onExitCodes"]["containerName"] == container["name"]
    assert pod["restartPolicy"] == "Never"  # without it there may be no such policy
    assert pod["terminationGracePeriodSeconds"] >= seconds_to_end()
    verb, *arguments = container["args"]
    options = parsed(arguments)
    assert verb == "run"
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    key, webhook = container["env"]
    assert key["name"] == KEY_FILE_VARIABLE
    assert variable_names()[webhook["name"]] == "pings.webhook_url"
    [secret] = [v["secret"] for v in pod["volumes"] if v["name"] == "key"]
    assert webhook["valueFrom"]["secretKeyRef"]["name"] == secret["secretName"]
    assert {each["path"] for each in secret["items"]} == {Path(key["value"]).name}
    assert secret["defaultMode"] == 0o440  # which doctor takes for root's: test_place
    for path in (options["inputs"][0], options["out"], str(options["config"]), key["value"]):
        assert any(Path(path).is_relative_to(mount) for mount in mounts), path
    memory = container["resources"]["limits"]["memory"]
    assert int(memory.removesuffix("Mi")) > Settings().output.memory_mib


def is_under(path: object, mounts: Collection[str]) -> bool:
    return any(Path(str(path)).is_relative_to(mount) for mount in mounts)


def test_a_night_without_a_volume_keeps_its_state_in_a_bucket() -> None:
    [job] = yaml.safe_load_all((RECIPES / "state-cronjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    # The next pod comes when the one before has ended: else it would find the state held.
    assert spec["podReplacementPolicy"] == "Failed"
    fails, ignored = spec["podFailurePolicy"]["rules"]
    assert set(fails["onExitCodes"]["values"]) == FINAL
    assert ignored["action"] == "Ignore"
    pod = spec["template"]["spec"]
    [run], [upload] = pod["initContainers"], pod["containers"]
    assert fails["onExitCodes"]["containerName"] == run["name"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] >= seconds_to_end()
    assert "command" not in run, "a shell as process 1 passes no SIGTERM on"
    options = parsed(run["args"][1:], run["args"][0])
    sent = parsed(upload["args"][1:], upload["args"][0])
    assert (run["args"][0], upload["args"][0]) == ("run", "upload")
    assert is_address(options["inputs"][0])
    assert is_address(options["state"])
    assert is_address(sent["to"])
    assert sent["run"] == options["out"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in run["volumeMounts"]}
    assert set(mounts.values()) == set(volumes)
    assert not [volume for volume in volumes.values() if "persistentVolumeClaim" in volume]
    assert volumes["key"]["secret"]["defaultMode"] == 0o440
    key = next(each["value"] for each in run["env"] if each["name"] == KEY_FILE_VARIABLE)
    for path in (options["out"], options["config"], key):
        assert is_under(path, mounts), path
    memory = run["resources"]["limits"]["memory"]
    assert int(memory.removesuffix("Mi")) > Settings().output.memory_mib


def test_kuberay_gets_a_command_without_secrets() -> None:
    [job] = yaml.safe_load_all((RECIPES / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    program, verb, *arguments = shlex.split(spec["entrypoint"])
    assert (program, verb) == ("batch-screen", "run")
    options = parsed(arguments)
    assert options["engine"] == "ray"
    assert "runtimeEnvYAML" not in spec, "what is in it stands in the dashboard"
    cluster = spec["rayClusterSpec"]
    [group] = cluster["workerGroupSpecs"]
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    pod = group["template"]["spec"]
    assert pod == head["template"]["spec"], "all see the state and the key at the same path"
    assert pod["terminationGracePeriodSeconds"] >= seconds_to_end()
    [container] = pod["containers"]
    cores = group["replicas"] * int(container["resources"]["requests"]["cpu"])
    assert int(options["workers"]) <= cores, "a worker takes a core"
    [key] = container["env"]
    assert key["name"] == KEY_FILE_VARIABLE
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for path in (options["inputs"][0], options["out"], options["config"], key["value"]):
        assert is_under(path, mounts), path
    [locked] = re.findall(r"^ray==(\S+)", (ROOT / "requirements-ray.txt").read_text(), re.MULTILINE)
    assert cluster["rayVersion"] == locked


def test_a_job_of_ray_is_started_without_secrets(tmp_path: Path) -> None:
    fake = tmp_path / "ray"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"; exit 7\n')
    fake.chmod(0o755)
    done = subprocess.run(
        [RECIPES / "ray-job.sh"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, "it ends as the job does"
    words = done.stdout.splitlines()
    where = words.index("--")
    assert words[:2] == ["job", "submit"]
    assert not [word for word in words[:where] if "env" in word]
    program, verb, *arguments = words[where + 1 :]
    assert (program, verb) == ("batch-screen", "run")
    options = parsed(arguments)
    assert options["engine"] == "ray"
    for path in (options["inputs"][0], options["out"], options["config"]):
        assert is_under(path, {"/shared"})


def test_databricks_runs_on_one_node_and_keeps_its_state_elsewhere() -> None:
    job = json.loads((RECIPES / "databricks-job.json").read_text())
    [cluster] = job["job_clusters"]
    node = cluster["new_cluster"]
    assert node["num_workers"] == 0
    assert node["spark_conf"]["spark.databricks.cluster.profile"] == "singleNode"
    assert node["spark_env_vars"][KEY_VARIABLE].startswith("{{secrets/")
    run, upload = job["tasks"]
    assert upload["depends_on"] == [{"task_key": run["task_key"]}]
    verb, *arguments = run["spark_python_task"]["parameters"]
    # A retry after midnight is the same run.
    assert arguments[-2:] == ["--run-date", "{{job.start_time.iso_date}}"]
    options = parsed([*arguments[:-1], "2026-03-02"], verb)
    assert is_address(options["inputs"][0])
    assert is_address(options["state"])
    verb, *arguments = upload["spark_python_task"]["parameters"]
    sent = parsed(arguments, verb)
    assert sent["run"] == options["out"]
    for task in (run, upload):
        assert task["job_cluster_key"] == cluster["job_cluster_key"]
        assert Path(task["spark_python_task"]["python_file"]).name == "databricks_run.py"
        assert "[cloud]" in task["libraries"][0]["pypi"]["package"]


@in_full
def test_the_task_of_databricks_ends_as_the_command_does(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    listed = write_csv(tmp_path / "list.csv", NUMBERS[:5])
    where = ["--out", tmp_path / "out", "--base-url", sandbox().url]
    for more, code in (([], 0), (["--no-such-option"], 2)):
        done = subprocess.run(
            [sys.executable, RECIPES / "databricks_run.py", "run", listed, *where, *more],
            env=clean(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert Output(tmp_path / "out").frame("results").height == 5


def ringing(exit_code: int, hours_since_complete: float) -> dict[str, str]:
    """The alerts that ring after a start that ended so, and how loudly."""
    now = BEGAN.timestamp() + 3600 * hours_since_complete
    kept = {"batch_screen_last_complete_timestamp_seconds": BEGAN.timestamp()}
    end = complete if exit_code in WHOLE else failed
    ended = datetime.fromtimestamp(now, UTC)
    text = metrics(end(exit_code=exit_code, ended_at=ended), kept).decode()
    families = text_string_to_metric_families(text)
    values = {each.name: each.value for family in families for each in family.samples}
    names = {**values, "time": lambda: now, "absent": lambda found: found is None}
    [group] = yaml.safe_load((RECIPES / "alerts.yaml").read_text())["groups"]
    return {r["alert"]: r["labels"]["severity"] for r in group["rules"] if eval(r["expr"], names)}


def test_alerts_tell_a_finding_from_a_failure() -> None:
    """Expressions that Python reads as Prometheus does."""
    for code in sorted(ALL):
        expected = {}
        if code not in WHOLE:
            expected["BatchScreenNotComplete"] = "page"
        if code in FINAL - WHOLE:
            expected["BatchScreenNeedsSomebody"] = "page"
        if code in {ExitCode.UNREACHABLE, ExitCode.SYSTEM, ExitCode.CANNOT_WRITE}:
            expected["BatchScreenStuck"] = "page"
        if code == ExitCode.STOPPED:
            expected["BatchScreenStopped"] = "ticket"
        if code == ExitCode.FAILURES:
            expected["BatchScreenFindings"] = "ticket"
        assert ringing(code, hours_since_complete=50) == expected
    assert ringing(ExitCode.INTERRUPTED, hours_since_complete=2) == {}


def test_alerts_are_rules_that_prometheus_takes() -> None:
    read = yaml.safe_load((RECIPES / "alerts.yaml").read_text())
    assert [[*group] for group in read["groups"]] == [["name", "rules"]]
    for rule in read["groups"][0]["rules"]:
        assert {*rule} - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1h"))
        assert {*rule["annotations"]} == {"summary", "description"}


def test_metrics_that_documents_name_exist() -> None:
    written = set(re.findall(r"^# TYPE (\w+)", metrics(complete(), {}).decode(), re.MULTILINE))
    for path in (ROOT / "README.md", *(each for each in RECIPES.iterdir() if each.is_file())):
        named = set(re.findall(r"batch_screen_\w+", path.read_text("utf-8")))
        assert named <= written, path.name


def instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (RECIPES / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, " ".join(rest.split())


def test_the_image_is_small_private_and_hears_signals() -> None:
    found = list(instructions())
    names = [name for name, _ in found]
    last = dict(found[names.index("FROM", 1) :])
    assert [rest.split()[0] for name, rest in found if name == "FROM"] == ["python:3.13-slim"] * 2
    assert {"ENV", "ARG", "ADD", "SHELL"}.isdisjoint(names), "a secret would stay in a layer"
    assert int(last["USER"].split(":")[0]) == 10001
    assert f"--uid {last['USER'].split(':')[0]} " in last["RUN"]
    [entry] = json.loads(last["ENTRYPOINT"])
    copied = last["COPY"].split()[-1]
    assert Path(entry) == Path(copied) / "bin" / "batch-screen"
    [job] = yaml.safe_load_all((RECIPES / "cronjob.yaml").read_text())
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001


def test_the_image_copies_what_installing_needs_and_nothing_else(tmp_path: Path) -> None:
    """Of its files alone a wheel can be built."""
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    copies = [rest.split() for name, rest in instructions() if name == "COPY"]
    for *paths, target in (copy for copy in copies if not copy[0].startswith("--")):
        for path in paths:
            assert path not in (".", "*")
            copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
            copy(ROOT / path, source / (path if target == "./" else target))
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, wheels], cwd=source, check=True, capture_output=True
    )
    [wheel] = wheels.iterdir()
    assert wheel.name.startswith("batch_screen-")


class Retried(Exception):  # noqa: N818 (a double)
    """What makes a scheduler try again."""


class Given(Exception):  # noqa: N818 (a double)
    """What makes a scheduler give up."""

    def __init__(self, message: str = "", *, allow_retries: bool = False) -> None:
        assert not allow_retries
        super().__init__(message)


class Deferred:
    """A function that a scheduler will call: calling it in the definition does nothing."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self) -> None:
        pass


def airflow() -> dict[str, ModuleType]:
    sdk, exceptions = ModuleType("airflow.sdk"), ModuleType("airflow.exceptions")

    def dag(**how: object) -> Callable[[Callable[[], None]], Callable[[], None]]:
        assert how["schedule"] == "15 2 * * *"
        return lambda function: function

    sdk.__dict__.update(dag=dag, task=lambda **how: Deferred)
    exceptions.__dict__.update(AirflowException=Retried, AirflowFailException=Given)
    whole = ModuleType("airflow")
    return {"airflow": whole, "airflow.sdk": sdk, "airflow.exceptions": exceptions}


def dagster() -> dict[str, ModuleType]:
    module = ModuleType("dagster")

    class RetryRequested(Retried):
        def __init__(self, *, max_retries: int, seconds_to_wait: float) -> None:
            assert max_retries > 1
            assert seconds_to_wait > 60

    module.__dict__.update(
        Definitions=SimpleNamespace,
        Failure=Given,
        OpExecutionContext=object,
        RetryRequested=RetryRequested,
        RunRequest=SimpleNamespace,
        ScheduleEvaluationContext=object,
        job=lambda function: function,
        op=Deferred,
        schedule=lambda **how: lambda function: function,
    )
    return {"dagster": module}


def context() -> tuple[SimpleNamespace, list[object]]:
    """What Dagster hands over, and what was logged."""
    logged: list[object] = []
    log = SimpleNamespace(warning=lambda *said: logged.append(said))
    run = SimpleNamespace(tags={"batch_screen/day": "2026-03-02"})
    return SimpleNamespace(log=log, run=run), logged


@pytest.mark.parametrize(("name", "library"), [("airflow_dag", airflow), ("dagster_job", dagster)])
def test_schedulers_in_python(
    fake: Fake,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    library: Callable[[], dict[str, ModuleType]],
) -> None:
    """The library is a double; the recipe's own code runs, and starts a command."""
    for module, double in library().items():
        monkeypatch.setitem(sys.modules, module, double)
    recipe = runpy.run_path(str(RECIPES / f"{name}.py"))
    assert (recipe["COMPLETE"], recipe["MAY_PASS"]) == (WHOLE, MAY_PASS)
    screen = recipe["screen"].function
    screen.__globals__["SUMMARY"] = fake.folder / "last.json"
    for code in sorted(ALL):
        fake.ends_with(code)
        given, logged = context()
        argument = None if name == "airflow_dag" else given
        if code in MAY_PASS:
            with pytest.raises(Retried):
                screen(argument)
        elif code in FINAL - {3}:
            with pytest.raises(Given, match=f"ended with {code}"):
                screen(argument)
        else:
            found = str(screen(argument)) + str(logged)
            assert _SUMMARY["run_id"] in found
            assert ("rows < 9" in found, "cost > 9" in found) == (True, False)
        [[verb, *arguments]] = fake.starts
        assert (verb, parsed(arguments)["run_date"] is None) == ("run", False)


def test_a_command_with_an_option_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parsed(["list.csv", "--of-yesterday"])
