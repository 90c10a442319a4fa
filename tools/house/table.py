"""HOUSE.md's table as data: new module ← old modules, the main one first.

Names are below ``batch_screen``. A module that is named nowhere goes to its folder's new place
(FOLDERS) under its own name, and is listed by the script.
"""

from __future__ import annotations

MODULES: dict[str, list[str]] = {
    # root
    "__init__": ["__init__", "version"],
    "errors": ["errors", "exit_codes"],
    # masking
    "masking.numbers": ["masking.numbers", "masking.printable"],
    "masking.text": ["masking.lines", "masking.logs"],
    # config
    "config.sections": [
        "config.section", "config.api", "config.output", "config.guards", "config.pings",
        "config.metrics", "config.logging",
    ],
    "config.screening": [
        "config.screening", "config.planner", "config.numbers", "config.input", "config.cohorts",
    ],
    "config.parsing": ["config.values", "config.thresholds", "config.small"],
    "config.load": ["config.load", "config.origins"],
    "config.template": ["config.template", "config.toml", "config.shown"],
    # storage
    "storage.atomic": ["files", "frames"],
    "storage.records": ["checked"],
    "storage.partition": ["dealing", "output.scratch"],
    "storage.prefetch": ["ahead"],
    "storage.lock": ["lock"],
    # run
    "run.state": ["runs"],
    "run.sessions": ["starts"],
    "run.heartbeat": ["under_way"],
    "run.events": ["watch"],
    "run.layout": ["output.parts", "output.which"],
    # input
    "input.files": ["reading.inputs", "reading.foreign"],
    "input.detect": ["reading.sniff", "reading.numberlike"],
    "input.columns": ["reading.columns"],
    "input.csv": ["reading.records", "reading.decode"],
    "input.parquet": ["reading.parquet"],
    "input.limits": ["reading.pages", "reading.caps"],
    "input.layout": ["reading.layout"],
    "input.table": ["reading.read", "reading.listed", "reading.expected"],
    # numbers
    "numbers.parse": ["numbers.readings"],
    "numbers.workers": ["numbers.alone"],
    "numbers.restrict": ["numbers.permitted"],
    "numbers.columnar.clean": [
        "numbers.cells", "numbers.digits", "numbers.branches", "numbers.masked",
    ],
    "numbers.columnar.parse": ["numbers.columns"],
    "numbers.columnar.decide": ["numbers.decide", "numbers.weigh"],
    "numbers.columnar.plans": ["numbers.territories", "numbers.facts"],
    "numbers.columnar.intervals": ["numbers.ranges", "numbers.lookup"],
    # plan
    "plan.shards": ["plan"],
    "plan.build": ["planning"],
    "plan.history": ["known", "output.earlier"],
    # api
    "api.client": ["api.client", "api.endpoints"],
    "api.answers": ["api.answers", "api.dates"],
    "api.transport": ["api.wire", "api.connections", "api.plain"],
    # journal
    "journal.records": ["journal.lines", "journal.tally"],
    "journal.segments": ["journal.segments", "journal.glance"],
    "journal.writer": ["journal.commit"],
    # engine
    "engine.engine": ["engine.asking", "engine.collecting", "engine.connections"],
    "engine.dispatcher": ["engine.dispatch"],
    "engine.tasks": ["engine.task", "engine.queue", "engine.seams"],
    "engine.checkpoint": ["engine.shards", "engine.history"],
    "engine.dependencies": [
        "engine.deciding", "engine.following", "engine.recalling", "engine.windows",
    ],
    "engine.adaptive_rate": ["engine.governor"],
    "engine.recovery": ["engine.recovery", "engine.starts"],
    "engine.pacer": ["engine.throttle", "engine.pacing"],
    "engine.guards": ["engine.breakers", "engine.canary"],
    "engine.pace_log": ["engine.pace"],
    # tables
    "tables.results": ["output.enrich", "output.observed", "output.risk", "output.bands"],
    "tables.errors": ["output.failures", "output.complaints"],
    "tables.summary": ["output.summary", "output.coverage"],
    "tables.thresholds": ["output.thresholds"],
    "tables.counts": ["output.counting"],
    "tables.breakdown": ["output.breakdown"],
    "tables.manifest": ["output.manifest"],
    "tables.integrity": ["output.validate", "output.findings"],
    "tables.reader": ["output.reread"],
    # diff
    "diff.changes": ["output.changes", "output.cohorts"],
    "diff.feed": ["output.feed", "output.sides"],
    "diff.previous": ["output.previous", "output.recorded", "output.since"],
    # verify
    "verify.checks": ["output.agreement", "output.sources"],
    "verify.recount": ["output.recount", "output.placing", "output.schemas"],
    "verify.totals": ["output.sums"],
    "verify.changes": ["output.change_checks"],
    # report
    "report.page": ["webpage.page", "webpage.written"],
    "report.verdict": ["webpage.verdict", "webpage.material"],
    "report.sections": [
        "webpage.accounting", "webpage.asking", "webpage.faults", "webpage.origin",
    ],
    "report.signals": ["webpage.signals", "webpage.comparison"],
    "report.charts": ["webpage.pace", "output.pace_chart", "webpage.ages"],
    "report.geometry": ["output.pace_geometry", "output.svg"],
    "report.words": ["webpage.words", "webpage.tables"],
    # commands
    "commands.run": ["pipeline"],
    "commands.write": ["reporting", "tables", "output.ordering"],
    "commands.plan": ["forecasting", "sparing"],
    "commands.check": ["auditing"],
    "commands.status": ["standing"],
    "commands.validate": ["validating"],
    "commands.diff": ["comparing"],
    "commands.report": ["report_page"],
    "commands.purge": ["purging.purge", "purging.ours"],
    "commands.doctor": ["diagnosing"],
    # cli
    "cli.console": ["cli.show", "cli.fitting", "cli.unwinding"],
    "cli.text": ["cli.report_lines"],
    "cli.progress": ["cli.watching"],
    "cli.completion": ["cli.completion", "cli.completing"],
    "cli.session": ["cli.start"],
    "cli.run_block": ["cli.render", "cli.spared", "cli.threshold_lines", "cli.sparkline"],
    "cli.check_block": ["cli.audit_block"],
    "cli.diff_block": ["cli.change_lines"],
    "cli.status_block": ["cli.status_block", "cli.resume_line"],
}

# Rooms whose merges are switched off: the main module takes the new name, the others keep theirs
# in the same folder. Names of new modules, or "*" for all.
UNMERGED: set[str] = set()
# The same for mirror tests alone.
UNMERGED_TESTS: set[str] = set()

# Folders whose modules the table does not name one by one.
FOLDERS = {
    "reading": "input",
    "survey": "profile",
    "webpage": "report",
    "purging": "commands",
    "output": "tables",
}

# Single names that leave their module: old module:name → new module[:new name].
SPLITS = {
    "output.validate:_RUN_ID": "run.layout:RUN_ID",
    "output.validate:is_run_id": "run.layout",
    "output.validate:layout_of_run": "run.layout",
    "output.validate:latest_run": "run.layout",
    "output.placing:ShardOf": "run.layout",
    "output.changes:Change": "tables.summary",
    "output.changes:Cohort": "tables.summary",
    "output.changes:Changes": "tables.summary",
    "numbers.territories:MOST_DIGITS": "numbers.columnar.intervals",
}

# Names that clash where modules merge: old module:name → its new name.
RENAMES: dict[str, str] = {
    "tests.unit.engine.test_following:settings_of": "settings_for",
    "tests.unit.api.test_dates:instants": "written_instants",
    "tests.unit.api.test_wire:asked": "asked_once",
    "tests.unit.api.test_wire:read_request": "read_one_request",
    "masking.logs:_LONGEST": "_LONGEST_RECORD",
    "output.pace_chart:_draw_panel": "_draw_panel_of_file",
    "output.pace_chart:_draw_scale": "_draw_scale_of_file",
    "output.pace_chart:_draw_time": "_draw_time_of_file",
    "webpage.ages:_WIDTH": "_AGES_WIDTH",
    "webpage.ages:_HEIGHT": "_AGES_HEIGHT",
    "webpage.ages:_described": "_ages_described",
    "webpage.ages:_draw": "_draw_ages",
}

# Names of imports in a merged module where the usual one is taken: new module → old name → name.
LOCAL_NAMES: dict[str, dict[str, str]] = {
    "config.parsing": {"datetime.time": "time_of_day"},
    "tests.unit.api.test_transport": {"Talk": "Connection"},
    "verify.recount": {"agreement": "claims", "sources": "claims"},
}

# Modules of the root that stay, and folders in which modules stay under their own names.
STAY = {"batch_screen.model", "batch_screen.schema", "batch_screen.job", "batch_screen.__main__"}
KEPT_FOLDERS = {
    "masking", "config", "numbers", "api", "journal", "engine", "doctor", "notify", "sandbox",
    "cli", "survey",
}

# Tests that mirror no single module: old → new.
TESTS: dict[str, str] = {
    "tests.unit.test_masking": "tests.unit.masking.test_text",
    "tests.unit.test_masking_keys": "tests.unit.masking.test_keys",
    # its fixture of twenty open files is for its own tests alone
    "tests.unit.engine.test_connections": "tests.unit.engine.test_open_files",
    "tests.unit.output.two_nights": "tests.unit.diff.two_nights",
}

# The top comes first: number, rooms and what is said of them.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"job", "engine", "verify"},
    {"plan", "diff", "report", "profile", "notify", "doctor", "sandbox"},
    {"tables"},
    {"run", "input", "numbers", "api", "journal"},
    {"config", "storage", "schema"},
    {"model", "errors", "masking"},
)
# Old room → new one, for the homes of libraries.
ROOMS = {"lock": "storage", "webpage": "report", "reading": "input", "survey": "profile"}

ARCHITECTURE = """| Floor | Rooms |
|---|---|
| 8 | `cli/`: a file per command, options, console, progress, the blocks that commands print; above it only `__main__.py` |
| 7 | `commands/`: one file per command: `run` (the line as one paragraph) and `write` (its reports), `plan`, `check`, `status`, `validate`, `diff`, `report`, `purge`, `doctor` |
| 6 | `job.py` (what a caller wants screened) · `engine/` (dispatcher, checkpoint, pacer and adaptive rate, guards, budget) · `verify/` (re-reads a run: checks, totals) |
| 5 | `plan/` (read, normalise, plan; what earlier runs know) · `diff/` (what changed between two runs) · `report/` (a run as one page of HTML) · `profile/` (a list's damage, regions, what to fix) · `notify/` (what a start tells programs outside) · `doctor/` (machine, folders, the way to the server) · `sandbox/` |
| 4 | `tables/`: what a run writes: results, errors, summary, counts, manifest, and how they are read again |
| 3 | `run/` (one run's identity, sessions, heartbeat, events, folders) · `input/` (lists as batches) · `numbers/` (cells to E.164) · `api/` (client, answers, transport) · `journal/` (append-only outcomes, seals) |
| 2 | `config/` (settings, their sources, the key; settings as a file) · `storage/` (files whole or absent, checked records, partitions, prefetch, lock; knows no domain) · `schema.py` (every column we write) |
| 1 | `model.py` (nouns) · `errors.py` (what stops a run, each exit code with what to do) · `masking/` |
"""

# First lines of merged modules whose main part says too little.
DOCS = {
    "config.sections": """The sections of the settings about the world outside: API, output, guards, who is told.

    Those of what is read and asked stand in ``screening``.
    """,
    "config.screening": """The sections of the settings about what is read, asked and compared.

    Those about the world outside stand in ``sections``.
    """,
    "config.parsing": """Values of settings read from text: addresses, durations, lists, thresholds, small files.""",
    "run.layout": """Where a run's files lie, which run a path means, and how a part is written.

    Only Parquet lies in the data folders, whose readers take every file they find; what grows
    lies beside them meanwhile.
    """,
    "input.csv": """Text files as frames of whole rows: unpacked, decoded to UTF-8, cut into records.""",
    "input.limits": """What a file would take, known before it is unpacked: of any packing, and of Parquet's pages.""",
    "numbers.columnar.intervals": """Numbers as intervals: patterns as ranges, and verdicts found by one search.""",
    "engine.tasks": """Tasks: lookups on their way, the queue they wait in, and what a dispatcher needs of others.""",
    "tables.results": """The results table: a shard's rows joined with their outcomes, their times and their risk.""",
    "report.sections": """The report's sections: accounting, asking, faults and origin, as tables.""",
    "report.signals": """The report's findings: signals by region, and what changed since the run before.""",
    "report.charts": """The report's drawings: the pace, in the page and as a file of its own, and the ages.""",
    "report.words": """Figures, names and tables as the report writes them.""",
}
