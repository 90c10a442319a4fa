from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from batch_screen.config.key import CREDENTIAL, KEY_VARIABLE, find_key, read_key, read_keys
from batch_screen.config.load import load_traced
from batch_screen.config.paths import NO_SUCH_FILE
from batch_screen.config.template import as_toml, shown_settings
from batch_screen.errors import AuthenticationError, ConfigurationError
from batch_screen.masking import mask_text
from batch_screen.privacy.ids import read_id_key


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / CREDENTIAL).write_text("from-systemd\n")
    return folder


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("from-file\n")
    return path


def refusal(key_file: str, environment: dict[str, str]) -> str:
    with pytest.raises(AuthenticationError) as error:
        read_key(key_file, environment)
    assert error.value.exit_code == 77
    shown = "".join(traceback.format_exception(error.value))
    assert "s3cret" not in shown
    assert "\n" not in str(error.value)
    return str(error.value)


def test_sources_in_their_order(key_file: Path, credentials: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(credentials), KEY_VARIABLE: "from-variable"}
    assert read_key(str(key_file), environment).get_secret_value() == "from-file"
    assert read_key("", environment).get_secret_value() == "from-systemd"
    (credentials / CREDENTIAL).unlink()
    assert read_key("", environment).get_secret_value() == "from-variable"
    del environment["CREDENTIALS_DIRECTORY"]
    assert read_key("", environment).get_secret_value() == "from-variable"


@pytest.mark.parametrize("environment", [{}, {KEY_VARIABLE: ""}, {"CREDENTIALS_DIRECTORY": ""}])
def test_without_any(environment: dict[str, str]) -> None:
    message = refusal("", environment)
    assert message.startswith("no API key: name a file with --api-key-file")
    assert "--sandbox" in message


def test_a_named_file_that_fails_is_not_passed_over(tmp_path: Path) -> None:
    environment = {KEY_VARIABLE: "from-variable"}
    missing = tmp_path / "missing"
    assert refusal(str(missing), environment) == (
        f"cannot read the API key from {NO_SUCH_FILE}: No such file or directory; "
        "name a file that holds it with --api-key-file"
    )
    assert refusal(str(tmp_path), environment).startswith(
        f"cannot read the API key from {tmp_path}: Is a directory; name"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"s3cret one\n",
        b"s3cret\ns3cret\n",
        b"s3cret\x00",
        b"s3cret\xc3\xa9",
        b"a" * 4097,
    ],
)
def test_what_cannot_be_a_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    assert refusal(str(path), {}) == (
        f"the key file {path} holds no usable API key: one line of printable ASCII is expected; "
        "write it anew"
    )


def test_a_key_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"s3cret\xff")
    assert refusal(str(path), {}) == (
        f"cannot read the API key from {path}: not a text file; name a file that holds it with "
        "--api-key-file"
    )


def test_bad_credentials_and_variables_are_named(credentials: Path) -> None:
    (credentials / CREDENTIAL).write_text("")
    assert refusal("", {"CREDENTIALS_DIRECTORY": str(credentials)}).startswith(
        f"the systemd credential {CREDENTIAL} holds no usable"
    )
    assert refusal("", {KEY_VARIABLE: "s3cret\r\nX-Header: 1"}).startswith(
        f"the variable {KEY_VARIABLE} holds no usable"
    )


@pytest.mark.parametrize("content", ["key", "key\n", "\r\n key \r\n"])
def test_white_space_around_it_is_dropped(key_file: Path, content: str) -> None:
    key_file.write_text(content)
    assert read_key(str(key_file), {}).get_secret_value() == "key"


def test_it_is_not_shown_by_accident(key_file: Path) -> None:
    key = read_key(str(key_file), {})
    assert "from-file" not in f"{key} {key!r}"


@pytest.mark.parametrize(
    "key", ["s3cretkey9aZ8bY7c", "/s3cret+base64==", "a/s3cret", "s3cret\0x", "s3cret" * 999]
)
def test_a_key_in_the_place_of_its_files_name_is_never_repeated(key: str) -> None:
    """As --api-key-file "$KEY" gives it: neither message nor traceback, nor what config shows."""
    assert NO_SUCH_FILE in refusal(key, {})
    place = find_key(key, {})
    assert place is not None
    assert "s3cret" not in place.name
    for flags in ({"api": {"key_file": key}}, {"privacy": {"id_key_file": key}}):
        shown = as_toml(shown_settings(load_traced(flags)))
        assert "s3cret" not in shown
        assert NO_SUCH_FILE in shown
    with pytest.raises(ConfigurationError, match="cannot read the id key") as error:
        read_id_key(Path(key))
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_keys_of_regions_are_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "de").write_text("s3cret-de\n")
    (tmp_path / "de").chmod(0o640)
    found = read_keys({"DE": str(tmp_path / "de")})
    assert {region: key.get_secret_value() for region, key in found.items()} == {"DE": "s3cret-de"}
    assert mask_text("a s3cret-de b") == "a [key] b"


@pytest.mark.parametrize(
    ("mode", "content", "said"),
    [
        (0o644, "s3cret\n", "the API key of DE, {}, is open to others than its owner (mode 0644)"),
        (0o660, "s3cret\n", "is open to others than its owner (mode 0660); say: chmod 600 {}"),
        (0o600, "s3cret two\n", "the key file {} holds no usable API key"),
        (
            0o600,
            None,
            "cannot read the API key from [not shown: no file has that name, so it may be ",
        ),
    ],
)
def test_keys_of_regions_that_are_refused(
    tmp_path: Path, mode: int, content: str | None, said: str
) -> None:
    path = tmp_path / "de"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(AuthenticationError) as error:
        read_keys({"DE": str(path)})
    assert said.format(path) in str(error.value)
    assert "s3cret" not in str(error.value)
    assert error.value.exit_code == 77
