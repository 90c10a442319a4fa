"""HOUSE.md's "Words: old → new", a commit each: name → what is renamed in the new house.

``module:name`` is a definition; ``module:Class.name`` a method or field that only this class has,
changed wherever an attribute of that name stands. PHRASES are words of text.
"""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "run": {
        "commands.run:screen": "run",
        "engine.engine:ask_all": "run_engine",
        "engine.engine:_ask_all": "_run_engine",
        "commands.write:report": "write_outputs",
    },
    "plan": {
        "commands.plan:forecast": "plan",
        "commands.plan:_forecast": "_plan",
        "commands.plan:Expected": "Estimate",
        "commands.plan:expected": "estimate",
        "cli.run_block:forecast_block": "plan_block",
    },
    "check": {
        "commands.check:audit": "check",
        "commands.check:_audited": "_checked",
        "profile.facts:Audit": "CheckReport",
        "cli.check_block:audit_block": "check_block",
    },
    "status": {
        "commands.status:standing": "status",
        "commands.status:_standing": "_status",
        "commands.status:Standing": "Status",
        "commands.status:RunStanding": "RunStatus",
    },
    "diff": {
        "commands.diff:compare": "diff",
        "commands.diff:Comparison": "Diff",
        "diff.feed:Feed": "ChangeFeed",
        "diff.feed:Side": "RunTables",
        "diff.feed:Told": "RunFacts",
    },
    "doctor": {
        "commands.doctor:diagnose": "doctor",
    },
    "verify": {
        "tables.integrity:Check": "VerifyCheck",
    },
    "events": {
        "run.events:Watch": "RunEvents",
        "run.events:Stop": "CancelToken",
    },
    "intervals": {
        "numbers.columnar.intervals:Lookup": "IntervalTable",
    },
    "runs": {
        "diff.previous:Recorded": "CompleteRun",
        "diff.previous:Tonight": "CurrentRun",
        "run.state:Made": "StateVersion",
        "commands.purge:Old": "PurgeItem",
        "commands.purge:Wanted": "PurgeScope",
    },
    "transport": {
        "api.transport:Talk": "Connection",
        "api.transport:Wire": "Transport",
        "api.transport:plain_reply": "parse_simple_response",
    },
    "partition": {
        "storage.partition:Dealer": "PartitionedWriter",
        "storage.partition:Spool": "RowGroupWriter",
    },
    "ordered map": {
        "storage.prefetch:ahead": "ordered_map",
    },
    "history": {
        "engine.dependencies:Past": "EarlierAnswers",
        "plan.history:read_known": "read_history",
        "plan.history:write_known": "write_history",
        "plan.shards:known_path": "history_path",
    },
    "heartbeat": {
        "cli.progress:Heartbeat": "ProgressLines",  # one name means one thing
        "run.heartbeat:UnderWay": "Heartbeat",
        "run.heartbeat:read_under_way": "read_heartbeat",
        "run.heartbeat:Telling": "HeartbeatWriter",
    },
    "session": {
        "run.sessions:Start": "SessionRecord",
        "run.sessions:keep_start": "keep_session",
        "run.sessions:read_starts": "read_sessions",
        "commands.run:_Start": "_Session",
        "cli.session:Start": "SessionConsole",
    },
    "checkpointer": {
        "engine.checkpoint:ShardLine": "Checkpointer",
    },
    "pacer": {
        "engine.adaptive_rate:Governor": "AdaptiveRate",
        "engine.pacer:Pacer": "RatePacer",  # Throttle, which holds it, gets the name
        "engine.pacer:Throttle": "Pacer",
    },
    "withheld": {
        "engine.guards:Held": "Item",
        "model:Held": "WithheldOutcome",
    },
}

# Where a function imports something whose new name is taken there: module → old name → name.
LOCAL_NAMES: dict[str, dict[str, str]] = {
    "cli.check": {"audit": "check_list"},
    "cli.plan": {"forecast": "plan_run"},
    "cli.status": {"standing": "status_of"},
    "cli.diff": {"compare": "diff_runs"},
    "cli.doctor": {"diagnose": "diagnose"},
    "cli.run": {"screen": "run_job"},
}

# The same for one word alone, where what is taken is not ours.
LOCAL_NAMES_OF = {
    "transport": {"api.transport": {"aiohttp.connector.Connection": "AiohttpConnection"}},
}

# Words of text, in messages, comments and documents.
PHRASES: dict[str, list[tuple[str, str]]] = {
    "fix": [
        (r"\bmended\b", "fixed"),
        (r"\bMend\b", "Fix"),
        (r"\bmend\b", "fix"),
        (r"\bmends\b", "fixes"),
    ],
    "exits with": [
        (r"\bleaves with (?=\d)", "exits with "),
        (r"\bwhat the command left with\b", "what the command exited with"),
        (r"\bleaves with its message\b", "exits with its message"),
    ],
}
