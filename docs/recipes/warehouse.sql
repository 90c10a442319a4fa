-- Tables for PostgreSQL and DuckDB. The loaders add your own columns (in_…), as text.
-- A test compares this file with the columns that are written.

CREATE TABLE IF NOT EXISTS runs (
    run_id text NOT NULL,
    run_date date NOT NULL,
    ended_at timestamptz NOT NULL,
    manifest_sha256 text NOT NULL,
    loaded_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (run_id)
);

CREATE TABLE IF NOT EXISTS results (
    run_date date NOT NULL,
    run_id text NOT NULL,
    row_index bigint NOT NULL,
    source_file text NOT NULL,
    source_row bigint NOT NULL,
    e164 text NOT NULL,
    region text,
    number_type text,
    rule text NOT NULL,
    sim_swap_check_outcome text,
    sim_swap_check_swapped boolean,
    sim_swap_check_max_age_minutes integer,
    sim_swap_check_responded_at timestamptz,
    sim_swap_date_outcome text,
    sim_swap_date_latest_change text,
    sim_swap_date_latest_change_at timestamptz,
    sim_swap_date_responded_at timestamptz,
    device_swap_check_outcome text,
    device_swap_check_swapped boolean,
    device_swap_check_max_age_minutes integer,
    device_swap_check_responded_at timestamptz,
    device_swap_date_outcome text,
    device_swap_date_latest_change text,
    device_swap_date_latest_change_at timestamptz,
    device_swap_date_responded_at timestamptz,
    call_forwarding_check_outcome text,
    call_forwarding_check_active boolean,
    call_forwarding_check_responded_at timestamptz,
    sim_swap_check_source text,
    sim_swap_check_window_start timestamptz,
    sim_swap_check_window_end timestamptz,
    sim_swap_check_gap_minutes integer,
    sim_swap_date_source text,
    device_swap_check_source text,
    device_swap_check_window_start timestamptz,
    device_swap_check_window_end timestamptz,
    device_swap_check_gap_minutes integer,
    device_swap_date_source text,
    call_forwarding_check_source text,
    sim_swap_contradiction boolean,
    device_swap_contradiction boolean,
    sim_change_age_hours double precision,
    sim_change_age_band text,
    device_change_age_hours double precision,
    device_change_age_band text,
    risk_sim_and_device_recent boolean,
    risk_sim_recent boolean,
    risk_device_recent boolean,
    risk_forwarding_active boolean,
    risk_version integer NOT NULL,
    phone_column text NOT NULL,
    number_id text,
    PRIMARY KEY (run_id, row_index)
);

CREATE TABLE IF NOT EXISTS lookups (
    run_date date NOT NULL,
    run_id text NOT NULL,
    e164 text NOT NULL,
    endpoint text NOT NULL,
    max_age_minutes integer,
    outcome text NOT NULL,
    reason text,
    swapped boolean,
    active boolean,
    latest_change text,
    latest_change_at timestamptz,
    latest_change_raw text,
    http_status integer,
    code text,
    message text,
    attempts integer NOT NULL,
    refusals integer NOT NULL,
    latency_ms double precision,
    responded_at timestamptz,
    correlator text,
    unanswered integer NOT NULL,
    source text,
    source_run_id text,
    last_observed_at timestamptz,
    window_start timestamptz,
    window_end timestamptz,
    gap_minutes integer,
    contradiction boolean,
    number_id text,
    PRIMARY KEY (run_id, e164, endpoint)
);

CREATE TABLE IF NOT EXISTS errors (
    run_date date NOT NULL,
    run_id text NOT NULL,
    kind text NOT NULL,
    row_index bigint,
    source_file text,
    source_row bigint,
    raw_masked text,
    raw_region text,
    e164 text,
    endpoint text,
    reason text NOT NULL,
    detail text,
    remedy text NOT NULL,
    retry_can_help boolean NOT NULL,
    http_status integer,
    code text,
    attempts integer,
    phone_column text,
    number_id text,
    UNIQUE (run_id, row_index),
    UNIQUE (run_id, e164, endpoint)
);

CREATE TABLE IF NOT EXISTS changes (
    run_date date NOT NULL,
    run_id text NOT NULL,
    since_run_id text NOT NULL,
    e164 text NOT NULL,
    endpoint text NOT NULL,
    change text NOT NULL,
    before_outcome text NOT NULL,
    after_outcome text NOT NULL,
    before_swapped boolean,
    after_swapped boolean,
    before_active boolean,
    after_active boolean,
    before_latest_change_at timestamptz,
    after_latest_change_at timestamptz,
    before_responded_at timestamptz,
    after_responded_at timestamptz,
    cohort text,
    likely_migration boolean NOT NULL,
    number_id text,
    PRIMARY KEY (run_id, e164, endpoint)
);

-- Of each run date, the complete run that ended last.
CREATE OR REPLACE VIEW current_runs AS
SELECT run_id, run_date, ended_at, manifest_sha256, loaded_at
FROM (
    SELECT runs.*, row_number() OVER (PARTITION BY run_date ORDER BY ended_at DESC) AS place
    FROM runs
) AS ranked
WHERE place = 1;
