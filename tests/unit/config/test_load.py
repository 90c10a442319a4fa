from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from batch_screen.config.load import (
    Origin,
    Origins,
    Source,
    line_of,
    load_settings,
    sections,
    variable_names,
)
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from tests.thoroughness import IS_FULL

SECRET = "s3cret-value"

# A value for every setting that is not its default, as the environment writes it.
SAMPLES = {
    "api.base_url": ("https://other.example", "https://other.example"),
    "api.dialect": ("2026-04", "2026-04"),
    "api.paths": (
        '{"sim-swap/check": "/a", "device-swap/check": "/b"}',
        {Endpoint.SIM_SWAP_CHECK: "/a", Endpoint.DEVICE_SWAP_CHECK: "/b"},
    ),
    "api.timeout_seconds": ("3", 3.0),
    "api.connect_timeout_seconds": ("3", 3.0),
    "api.proxy": ("http://proxy.example", "http://proxy.example"),
    "api.trust_environment_proxies": ("true", True),
    "api.ca_file": ("ca.pem", "ca.pem"),
    "api.key_file": ("key", "key"),
    "api.keys_by_region": ('{"DE": "de.key"}', {"DE": "de.key"}),
    "screening.endpoints": ("all", tuple(Endpoint)),
    "screening.max_age_minutes": ("240", 240),
    "screening.max_age": ("since-last-run", "since-last-run"),
    "screening.max_age_margin_minutes": ("5", 5),
    "screening.beyond_window": ("report-gap", "report-gap"),
    "screening.unfinished": ("new", "new"),
    "planner.derive_checks": ("true", True),
    "planner.look_back_days": ("7", 7),
    "planner.reuse_within_minutes": (
        '{"sim-swap/check": 60}',
        {Endpoint.SIM_SWAP_CHECK: 60},
    ),
    "planner.only_where_changed": (
        '{"device-swap/check": "sim-swap/check"}',
        {Endpoint.DEVICE_SWAP_CHECK: Endpoint.SIM_SWAP_CHECK},
    ),
    "input.phone_column": ("phone", "phone"),
    "input.region_column": ("country", "country"),
    "input.default_region": ("de", "DE"),
    "input.keep_columns": ("id,name", ("id", "name")),
    "input.has_header": ("false", False),
    "input.delimiter": ("tab", "\t"),
    "input.quote_escape": ("backslash", "backslash"),
    "input.skip_lines": ("3", 3),
    "input.sheet": ("Kunden", "Kunden"),
    "input.encoding": ("cp1252", "cp1252"),
    "input.max_unpacked_gib": ("0.5", 0.5),
    "input.max_unpacking_ratio": ("1000", 1000.0),
    "numbers.strictness": ("mobile", "mobile"),
    "numbers.ambiguous": ("national", "national"),
    "numbers.double_zero_is_plus": ("1", True),
    "numbers.vanity_letters": ("yes", True),
    "numbers.test_numbers": ("+491713920012,+491713920014", ("+491713920012", "+491713920014")),
    "numbers.allowed_regions": ("DE,AT", ("AT", "DE")),
    "numbers.denied_regions": ("fr, uk", ("FR", "GB")),
    "numbers.opt_out_file": ("objected.txt", "objected.txt"),
    "pacing.rate_per_second": ("2.5", 2.5),
    "pacing.rate_per_second_by_endpoint": (
        '{"call-forwarding/check": 5}',
        {Endpoint.CALL_FORWARDING_CHECK: 5.0},
    ),
    "pacing.rate_per_second_by_region": ('{"de": 50}', {"DE": 50.0}),
    "pacing.headroom": ("0", 0.0),
    "pacing.ramp_up_seconds": ("0", 0.0),
    "pacing.max_concurrency": ("7", 7),
    "pacing.max_retry_after_seconds": ("7", 7.0),
    "retry.max_attempts": ("7", 7),
    "retry.base_delay_seconds": ("7", 7.0),
    "retry.max_delay_seconds": ("7", 7.0),
    "retry.max_refusals": ("7", 7),
    "schedule.timezone": ("Europe/Berlin", "Europe/Berlin"),
    "schedule.stop_at": ("06:00", "06:00"),
    "schedule.rate_per_second_by_hour": ('{"22-06": 50}', {"22-06": 50.0}),
    "budget.max_requests": ("7", 7),
    "budget.max_cost": ("7.5", 7.5),
    "budget.max_duration_seconds": ("1h30m", 5400.0),
    "guards.canary_answers": ("0", 0),
    "guards.max_consecutive_failures": ("7", 7),
    "guards.unreachable_seconds": ("7", 7.0),
    "guards.max_error_share": ("1", 1.0),
    "guards.max_failure_share": ("1", 1.0),
    "guards.grace_seconds": ("7", 7.0),
    "cluster.workers": ("7", 7),
    "cluster.engine": ("ray", "ray"),
    "cluster.ray_address": ("10.0.0.7:6379", "10.0.0.7:6379"),
    "output.folder": ("out", "out"),
    "output.state_folder": ("state", "state"),
    "output.state_bucket": ("s3://bucket/state", "s3://bucket/state"),
    "output.compression": ("snappy", "snappy"),
    "output.row_group_rows": ("1000", 1_000),
    "output.shard_lookups": ("1000", 1_000),
    "output.in_order": ("true", True),
    "output.mode": ("group", "group"),
    "output.trust_folders": ("true", True),
    "output.memory_mib": ("512", 512),
    "output.heartbeat_seconds": ("7", 7.0),
    "guards.fail_if": ("cost>5, rows < 7", ("cost > 5", "rows < 7")),
    "output.summary_file": ("last.json", "last.json"),
    "privacy.ids": ("hmac", "hmac"),
    "privacy.id_key_file": ("ids.key", "ids.key"),
    "privacy.id_vault": ("vault", "vault"),
    "privacy.keep_state": ("true", True),
    "logging.format": ("json", "json"),
    "metrics.file": ("batch_screen.prom", "batch_screen.prom"),
    "pings.start_url": ("https://ping.example/1", SecretStr("https://ping.example/1")),
    "pings.finish_url": ("https://ping.example/2", SecretStr("https://ping.example/2")),
    "pings.failure_url": ("https://ping.example/3", SecretStr("https://ping.example/3")),
    "pings.webhook_url": ("https://ping.example/4", SecretStr("https://ping.example/4")),
    "pings.method": ("get", "get"),
    "pings.timeout_seconds": ("2.5", 2.5),
    "cohorts.min_numbers": ("100", 100),
    "cohorts.min_share": ("0.2", 0.2),
    "cohorts.min_rise": ("2.5", 2.5),
    "prices.currency": ("USD", "USD"),
    "prices.per_request": ('{"sim-swap/check": 0.02}', {Endpoint.SIM_SWAP_CHECK: 0.02}),
}


def setting(settings: Settings, dotted: str) -> Any:
    section, name = dotted.split(".")
    return getattr(getattr(settings, section), name)


def others(settings: Settings, dotted: str) -> dict[str, Any]:
    section, name = dotted.split(".")
    dumped = settings.model_dump()
    del dumped[section][name]
    return dumped


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "screen.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def refusal(config: Path | None = None, **layers: Any) -> str:
    with pytest.raises(ConfigurationError) as error:
        load_settings(layers.get("flags"), config=config, environment=layers.get("environment"))
    message = str(error.value)
    assert "\n" not in message
    assert error.value.exit_code == 2
    return message


def test_defaults() -> None:
    assert load_settings() == Settings()


def test_every_setting_has_a_variable() -> None:
    assert set(variable_names().values()) == set(SAMPLES)
    assert variable_names()["BATCH_SCREEN_PACING__RATE_PER_SECOND"] == "pacing.rate_per_second"
    assert list(sections()) == list(Settings.model_fields)


@pytest.mark.parametrize(("variable", "dotted"), variable_names().items())
def test_every_variable_sets_its_setting(variable: str, dotted: str) -> None:
    text, value = SAMPLES[dotted]
    for name in (variable, variable.lower()):
        settings = load_settings(environment={name: text})
        assert setting(settings, dotted) == value != setting(Settings(), dotted)
        assert others(settings, dotted) == others(Settings(), dotted)


LAYERS = ["flag", "variable", "file"]


@given(st.sets(st.sampled_from(LAYERS)))
def test_flags_over_environment_over_file_over_defaults(present: set[str]) -> None:
    rates = {"flag": 1.0, "variable": 2.0, "file": 3.0}
    flags = {"pacing": {"rate_per_second": rates["flag"]}} if "flag" in present else {}
    environment = {"BATCH_SCREEN_PACING__RATE_PER_SECOND": "2"} if "variable" in present else {}
    with NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(
            "[pacing]\nheadroom = 0.5\n" + ("rate_per_second = 3" if "file" in present else "")
        )
        file.flush()
        found = load_settings(flags, config=Path(file.name), environment=environment).pacing
    strongest = next((layer for layer in LAYERS if layer in present), None)
    assert found.rate_per_second == (rates[strongest] if strongest else 10.0)
    assert found.headroom == 0.5  # the rest of the section is kept


def test_layers_meet_in_one_section(toml: Callable[[str], Path]) -> None:
    settings = load_settings(
        {"pacing": {"rate_per_second": 1}},
        config=toml("[pacing]\nheadroom = 0.1\n[retry]\nmax_attempts = 2"),
        environment={"BATCH_SCREEN_PACING__MAX_CONCURRENCY": "3", "PATH": "/bin", "UNRELATED": "1"},
    )
    assert settings.pacing.rate_per_second == 1
    assert settings.pacing.headroom == 0.1
    assert settings.pacing.max_concurrency == 3
    assert settings.retry.max_attempts == 2
    assert settings.pacing.ramp_up_seconds == Settings().pacing.ramp_up_seconds


def test_lists_and_tables_of_a_file(toml: Callable[[str], Path]) -> None:
    settings = load_settings(
        config=toml(
            "[screening]\nendpoints = ['device-swap/check', 'sim-swap/check']\n"
            "[api.paths]\n'sim-swap/check' = '/a'\n"
            "[prices.per_request]\n'sim-swap/check' = 1\n"
        )
    )
    assert settings.screening.endpoints == (
        Endpoint.SIM_SWAP_CHECK,
        Endpoint.DEVICE_SWAP_CHECK,
    )
    assert settings.api.paths == {Endpoint.SIM_SWAP_CHECK: "/a"}
    assert settings.prices.per_request == {Endpoint.SIM_SWAP_CHECK: 1.0}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[pacng]\nrate = 1", 1, "unknown section or key 'pacng'; did you mean pacing?"),
        ("rate = 1", 1, "unknown section or key 'rate'; did you mean pacing.rate_per_second?"),
        ("# one\nzzz = 1", 2, "unknown section or key 'zzz'"),
        (
            "[pacing]\n\nrate_per_secnd = 1",
            3,
            "unknown setting 'pacing.rate_per_secnd'; did you mean rate_per_second?",
        ),
        (
            "[pacing]\nrate = 1",
            2,
            "unknown setting 'pacing.rate'; did you mean rate_per_second?",
        ),
        ("[api]\nzzz = 1", 2, "unknown setting 'api.zzz'"),
        (
            "[api]\nproxy = ''\n[pacing] # fast\n  'rate_per_second' = 'fast'",
            4,
            "pacing.rate_per_second: must be a number",
        ),
        ("pacing.rate_per_second = 0", 1, "pacing.rate_per_second: must be more than 0"),
        ("retry = { max_attempts = 0 }", 1, "retry.max_attempts: must be at least 1"),
        ("[screening]\nendpoints = 5", 2, "screening.endpoints: must be a list of names"),
        ("[input]\nkeep_columns = [1]", 2, "input.keep_columns: must be a list of names"),
        ("[screening]\nmax_age_minutes = true", 2, "screening.max_age_minutes: must be a number"),
        (
            "[api]\n\n[api.paths]\n'sim-swap/check' = 'x'",
            3,
            "api.paths: the path of sim-swap/check",
        ),
        ("[api]\n\n[api.paths]\n'sim-swap/chek' = '/x'", 3, "api.paths: a name in it must be"),
        ("\napi = 5", 2, "api: must be a table"),
        (
            "[pacing]\nrate_per_second = 0\nheadroom = 2\nmax_concurrency = 0",
            2,
            "pacing.rate_per_second: must be more than 0 (and 2 more)",
        ),
    ],
)
def test_mistakes_in_a_file_name_the_line(
    toml: Callable[[str], Path], text: str, line: int, what: str
) -> None:
    path = toml(text)
    assert refusal(path).startswith(f"{path}, line {line}: {what}")


def test_a_mistake_between_two_settings_names_both(toml: Callable[[str], Path]) -> None:
    message = refusal(toml("[input]\nphone_column = 'a'\nregion_column = 'a'"))
    assert message == "input.region_column and input.phone_column name the same column"


def test_mistakes_name_the_layer_they_come_from(toml: Callable[[str], Path]) -> None:
    path = toml("[pacing]\nrate_per_second = 5")
    flags = {"pacing": {"rate_per_second": -1}}
    environment = {"BATCH_SCREEN_PACING__RATE_PER_SECOND": "fast"}
    assert refusal(path, flags=flags, environment=environment).startswith(
        "command line: pacing.rate_per_second: must be more than 0"
    )
    assert refusal(path, environment=environment).startswith(
        "environment variable BATCH_SCREEN_PACING__RATE_PER_SECOND: pacing.rate_per_second: "
    )
    lower = {"batch_screen_pacing__rate_per_second": "fast"}
    assert refusal(path, environment=lower).startswith(f"environment variable {next(iter(lower))}:")


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("BATCH_SCREEN_PACING__RATE", "; did you mean BATCH_SCREEN_PACING__RATE_PER_SECOND?"),
        ("BATCH_SCREEN_API_KEYFILE", "; did you mean BATCH_SCREEN_API_KEY_FILE?"),
        ("batch_screen_api__basurl", "; did you mean BATCH_SCREEN_API__BASE_URL?"),
        ("BATCH_SCREEN_PACING", "; did you mean BATCH_SCREEN_PACING__HEADROOM?"),
        ("BATCH_SCREEN_", "; did you mean BATCH_SCREEN_API_KEY?"),
    ],
)
def test_unknown_variables_are_refused(variable: str, hint: str) -> None:
    message = refusal(environment={variable: SECRET})
    assert message == f"environment variable {variable} is no setting{hint}"


@pytest.mark.parametrize(
    "variable",
    ["BATCH_SCREEN_CONFIG", "BATCH_SCREEN_API_KEY", "_BATCH_SCREEN_COMPLETE", "BATCHSCREEN_X"],
)
def test_variables_that_are_somebody_elses(variable: str) -> None:
    assert load_settings(environment={variable: "x"}) == Settings()


def test_the_key_file_has_a_short_variable() -> None:
    short = {"BATCH_SCREEN_API_KEY_FILE": "short", "BATCH_SCREEN_API__KEY_FILE": "long"}
    assert load_settings(environment=short).api.key_file == "short"
    assert load_settings({"api": {"key_file": "flag"}}, environment=short).api.key_file == "flag"


@pytest.mark.parametrize(
    "text",
    [
        f"[api]\nkey = '{SECRET}'",
        f"[api]\napi_key = '{SECRET}'",
        f"api_key = '{SECRET}'",
        f"key = '{SECRET}'",
        f"[api]\napikey = '{SECRET}'",
        f"[key]\nvalue = '{SECRET}'",
        f"[api]\nkey_file = ['{SECRET}']",
        f"[api]\ntimeout_seconds = '{SECRET}'",
        f"[api]\ndialect = '{SECRET}'",
        f"[api]\nproxy = 'http://me:{SECRET}'",
        f"[api]\nbase_url = 'https://me:{SECRET}@example.com'",
        f"[api]\n{SECRET}",
        f"[api]\nkey = {SECRET}",
    ],
)
def test_a_value_is_never_repeated(toml: Callable[[str], Path], text: str) -> None:
    assert SECRET not in refusal(toml(text))


@pytest.mark.parametrize("text", ["[api]\nkey = 'x'", "[api]\napi_key = 'x'", "api_key = 'x'"])
def test_the_key_does_not_belong_in_a_file(toml: Callable[[str], Path], text: str) -> None:
    message = refusal(toml(text))
    assert "the API key's value never belongs in a configuration file" in message
    assert "--api-key-file" in message


def test_files_that_cannot_be_read(toml: Callable[[str], Path], tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert (
        refusal(missing)
        == f"cannot read the configuration file {missing}: No such file or directory; name "
        "another one with --config"
    )
    assert "Is a directory" in refusal(tmp_path)
    path = toml("[pacing\n")
    assert refusal(path).startswith(f"{path} is not valid TOML: ")
    path = toml("[pacing]\nheadroom = 0.1\nheadroom = 0.2\n")
    assert refusal(path).startswith(f"{path} is not valid TOML: ")
    path.write_bytes(b"# caf\xe9\n")
    assert refusal(path).startswith(f"{path} is not valid TOML: ")


def test_an_empty_file_changes_nothing(toml: Callable[[str], Path]) -> None:
    assert load_settings(config=toml("")) == Settings()


@given(
    st.recursive(
        st.booleans() | st.integers(-5, 5) | st.text("ab,=/", max_size=4) | st.floats(-1, 2),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.text("ab", min_size=1), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    st.sampled_from(sorted(SAMPLES)),
)
def test_any_value_is_a_setting_or_one_line(value: Any, dotted: str) -> None:
    section, name = dotted.split(".")
    try:
        load_settings({section: {name: value}})
    except ConfigurationError as error:
        message = str(error)
    else:
        return
    assert re.fullmatch(rf"command line: {re.escape(dotted)}: .+", message)


def test_samples_are_valid_toml_names() -> None:
    text = "\n".join(f"{dotted} = 1" for dotted in SAMPLES)
    assert set(tomllib.loads(text)) == set(sections())


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "screen.toml"
    path.write_bytes(b"\xef\xbb\xbf[pacing]\nrate_per_second = 3\n")
    assert load_settings(config=path).pacing.rate_per_second == 3


TEXT = """\
[pacing]
headroom = 0.1
rate_per_second = 3
[api.paths]
"sim-swap/check" = "/v2"
"""


def origins(**environment: str) -> Origins:
    flags = {"pacing": {"rate_per_second": 1}}
    return Origins(flags, environment, Path("my.toml"), TEXT)


def test_the_strongest_place_counts() -> None:
    name = "BATCH_SCREEN_PACING__HEADROOM"
    assert origins().of("pacing", "rate_per_second") == Origin(Source.FLAG)
    assert origins().of("pacing", "headroom") == Origin(Source.FILE, "my.toml, line 2")
    assert origins(**{name: "1"}).of("pacing", "headroom") == Origin(Source.VARIABLE, name)
    assert origins(**{name.lower(): "1"}).of("pacing", "headroom").place == name.lower()
    assert origins().of("api", "paths") == Origin(Source.FILE, "my.toml, line 4")
    assert origins().of("api", "proxy") == Origin(Source.DEFAULT)


def test_a_short_variable_outweighs_the_long_one() -> None:
    both = {"BATCH_SCREEN_API_KEY_FILE": "a", "BATCH_SCREEN_API__KEY_FILE": "b"}
    assert origins(**both).of("api", "key_file").place == "BATCH_SCREEN_API_KEY_FILE"


@pytest.mark.parametrize(
    ("section", "name", "prefix"),
    [
        ("pacing", "rate_per_second", "command line: "),
        ("pacing", "headroom", "my.toml, line 2: "),
        ("api", "proxy", ""),
    ],
)
def test_what_an_error_begins_with(section: str, name: str, prefix: str) -> None:
    assert origins().prefix(section, name) == prefix
    assert origins(BATCH_SCREEN_API__PROXY="x").prefix("api", "proxy") == (
        "environment variable BATCH_SCREEN_API__PROXY: "
    )


@pytest.mark.parametrize(
    ("section", "name", "line"), [("pacing", "", 1), ("api", "paths", 4), ("zzz", "x", None)]
)
def test_lines(section: str, name: str, line: int | None) -> None:
    assert line_of(TEXT, section, name) == line


def test_what_is_allowed_is_said_in_our_words() -> None:
    """Every setting, with values that hardly any of them takes; in full with all of them."""
    found = set()
    values = ("x", "é", "", -1, 0, 1e12, 1.5, True, None, {"x": 1}, [1], float("nan"), 10**20)
    step = 1 if IS_FULL else 5
    for number, dotted in enumerate(variable_names().values()):
        section, name = dotted.split(".")
        for value in values[number % step :: step]:
            try:
                load_settings({section: {name: value}})
            except ConfigurationError as error:
                found.add(str(error))
    assert len(found) > 100
    foreign = ("Input", "String", "pattern", "valid ", "parse", "{")
    assert [text for text in found if any(word in text for word in foreign)] == []
