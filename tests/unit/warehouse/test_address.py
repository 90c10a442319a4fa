from __future__ import annotations

import sys

import pytest

from batch_screen.errors import ConfigurationError
from batch_screen.warehouse.address import open_target, parse


@pytest.mark.parametrize(
    ("target", "kind", "text"),
    [
        ("postgresql://me@db.example/wh?sslmode=verify-full", "postgres", None),
        ("postgres:///?service=wh", "postgres", "postgresql:///?service=wh"),
        ("postgresql://", "postgres", None),
        ("postgresql://db/wh?sslkey=/k.pem&passfile=/p", "postgres", None),
        ("duckdb:warehouse.duckdb", "duckdb", "warehouse.duckdb"),
        ("duckdb:C:/x.duckdb", "duckdb", "C:/x.duckdb"),
        ("delta:lake", "delta", "lake"),
        ("delta:s3://bucket/lake", "delta", "s3://bucket/lake"),
        ("iceberg:prod.screening", "iceberg", "prod.screening"),
    ],
)
def test_targets(target: str, kind: str, text: str | None) -> None:
    address = parse(target)
    assert (address.kind, address.text) == (kind, text or target)


@pytest.mark.parametrize(
    "target", ["", "duckdb:", "warehouse.duckdb", "mysql://db/wh", "delta:", "s3://bucket"]
)
def test_what_is_none(target: str) -> None:
    with pytest.raises(ConfigurationError, match="is no warehouse: write postgresql"):
        parse(target)


@pytest.mark.parametrize(
    "target",
    [
        "postgresql://me:hunter2@db/wh",
        "postgresql://me:@db/wh",
        "postgresql://me:#hunter2@db/wh",
        "postgresql://me:?hunter2@db/wh",
        "postgresql://me:/hunter2@db/wh",
        "postgresql://db/wh?password=hunter2",
        "postgresql://db/wh?sslpassword=hunter2",
        "delta:s3://key:hunter2@bucket/lake",
        "delta:s3://bucket/lake?aws_secret_access_key=hunter2",
        "delta:az://c/lake?sas_token=hunter2",
    ],
)
def test_a_secret_is_refused_and_not_shown(target: str) -> None:
    with pytest.raises(ConfigurationError, match="PGPASSFILE") as raised:
        parse(target)
    assert raised.value.exit_code == 2
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "target",
    [
        "postgres:me:hunter2@db/wh",
        "postgresql:host=db password=hunter2",
        "host=db password=hunter2",
        "mysql://me:hunter2@db/wh",
        "mysql://me:?hunter2@db/wh",
        "me:hunter2@db",
    ],
)
def test_a_secret_in_what_is_no_address_is_not_shown(target: str) -> None:
    with pytest.raises(ConfigurationError, match="is no warehouse") as raised:
        parse(target)
    assert "hunter2" not in str(raised.value)


def test_schemes_may_be_written_in_capitals() -> None:
    assert parse("POSTGRESQL://db/wh").text == "postgresql://db/wh"


def test_what_is_shown_has_no_query() -> None:
    assert parse("postgresql://me@db/wh?options=-c%20x").shown == "postgresql://me@db/wh"
    assert parse("postgresql://db:5432/wh?options=me@x").shown == "postgresql://db:5432/wh"
    assert parse("duckdb:run=1/a@b.duckdb").shown == "duckdb:run=1/a@b.duckdb"


@pytest.mark.parametrize("kind", ["postgres", "duckdb"])
def test_a_missing_driver_is_named_with_its_extra(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("batch_screen.warehouse.")]:
        if name.endswith(kind):
            monkeypatch.delitem(sys.modules, name)
    driver = {"postgres": "psycopg"}.get(kind, kind)
    monkeypatch.setitem(sys.modules, driver, None)
    target = {"postgres": "postgresql://db/wh", "duckdb": "duckdb:x"}[kind]
    with pytest.raises(ConfigurationError) as raised:
        open_target(parse(target))
    assert raised.value.exit_code == 2
    assert f"pip install 'batch-screen[{kind}]'" in str(raised.value)


@pytest.mark.parametrize("schema", ["", "x" * 64, "a\0b"])
def test_schemas_that_are_none(schema: str) -> None:
    with pytest.raises(ConfigurationError, match="--schema"):
        open_target(parse("duckdb:x"), schema)
