"""Data contracts under datacontract-cli: ``python -m tests.e2e.contract FOLDER``, of its programs.

Makes sandbox nights, plain ones and one with keyed ids, and lints and tests the contract of their
files, of DuckDB and of PostgreSQL.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import batch_screen
from batch_screen.commands.contract import as_yaml
from batch_screen.config.sections import Ids, Privacy
from batch_screen.privacy.ids import make_id_key
from tests.nights import NIGHTS, job, make_nights, write_lists
from tests.postgres_server import postgres_server


def main(programs: Path) -> None:
    with tempfile.TemporaryDirectory() as name, postgres_server() as server:
        folder = Path(name)
        screened = make_nights(folder, NIGHTS[:3])
        check(programs, "files", as_yaml(batch_screen.contract(screened)), folder)
        last = batch_screen.list_runs(screened).runs[-1].run_id
        run = screened / "runs" / last
        check(programs, "files of a run", as_yaml(batch_screen.contract(run)), folder)

        make_id_key(folder / "ids.key")
        privacy = Privacy(ids=Ids.HMAC, id_key_file=str(folder / "ids.key"))
        (folder / "keyed").mkdir()
        write_lists(folder / "keyed")
        for night in NIGHTS[:2]:
            batch_screen.run(job(folder / "keyed", night, privacy=privacy))
        keyed = batch_screen.contract(folder / "keyed" / "screened")
        check(programs, "files with ids", as_yaml(keyed), folder)

        # A DuckDB that is older than ours cannot open our files: so it makes this one itself.
        file = folder / "warehouse.duckdb"
        script = "\n".join(each.sql for each in batch_screen.sql(screened, "duckdb", sandbox=True))
        loaded = f"import duckdb, sys; duckdb.connect({str(file)!r}).execute(sys.stdin.read())"
        subprocess.run([programs / "python", "-c", loaded], input=script, text=True, check=True)
        made = batch_screen.contract(screened, f"duckdb:{file}")
        check(programs, "DuckDB", as_yaml(made), folder)

        to = f"postgresql://loader@/postgres?host={server['PGHOST']}"
        batch_screen.load([screened], to, sandbox=True)
        made = batch_screen.contract(screened, to)
        made["servers"][0]["host"] = server["PGHOST"]  # a socket
        login = {
            "DATACONTRACT_POSTGRES_USERNAME": "loader",
            "DATACONTRACT_POSTGRES_PASSWORD": "none",
        }
        check(programs, "PostgreSQL", as_yaml(made), folder, login)


def check(
    programs: Path,
    what: str,
    text: str,
    folder: Path,
    more: Mapping[str, str] = {},
) -> None:
    """Lints and tests a contract; exits where anything but passes and warnings comes back."""
    contract, found = folder / "contract.odcs.yaml", folder / "found.json"
    contract.write_text(text, "utf-8")
    for verb in ("lint", "test"):
        begun = monotonic()
        options = ["--output", str(found), "--output-format", "json"]
        done = subprocess.run(
            [programs / "datacontract", verb, contract, *options],
            env=os.environ | more,
            capture_output=True,
            text=True,
            check=False,
        )
        if not found.exists():
            sys.exit(done.stdout + done.stderr)
        checks = json.loads(found.read_bytes())["checks"]
        found.unlink()
        results = Counter(each["result"] for each in checks)
        counts = ", ".join(f"{count} {result}" for result, count in sorted(results.items()))
        print(f"{what}: {verb} exits with {done.returncode}: {counts}, {monotonic() - begun:.0f} s")
        wrong = [each for each in checks if each["result"] not in ("passed", "warning")]
        if done.returncode or wrong:
            sys.exit("\n".join(f"{each['name']}: {each['reason']}" for each in wrong))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
