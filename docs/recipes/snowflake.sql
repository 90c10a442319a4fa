-- Tables for Snowflake, which does not enforce the keys. Add your own columns (in_…).
-- A test compares this file with the columns that are written.

CREATE TABLE IF NOT EXISTS runs (
    run_id varchar NOT NULL,
    run_date date NOT NULL,
    ended_at timestamp_ltz NOT NULL,
    manifest_sha256 varchar NOT NULL,
    loaded_at timestamp_ltz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    PRIMARY KEY (run_id)
);

CREATE TABLE IF NOT EXISTS results (
    run_date date NOT NULL,
    run_id varchar NOT NULL,
    row_index number(19, 0) NOT NULL,
    source_file varchar NOT NULL,
    source_row number(19, 0) NOT NULL,
    e164 varchar NOT NULL,
    region varchar,
    number_type varchar,
    rule varchar NOT NULL,
    sim_swap_check_outcome varchar,
    sim_swap_check_swapped boolean,
    sim_swap_check_max_age_minutes number(10, 0),
    sim_swap_check_responded_at timestamp_ltz,
    sim_swap_date_outcome varchar,
    sim_swap_date_latest_change varchar,
    sim_swap_date_latest_change_at timestamp_ltz,
    sim_swap_date_responded_at timestamp_ltz,
    device_swap_check_outcome varchar,
    device_swap_check_swapped boolean,
    device_swap_check_max_age_minutes number(10, 0),
    device_swap_check_responded_at timestamp_ltz,
    device_swap_date_outcome varchar,
    device_swap_date_latest_change varchar,
    device_swap_date_latest_change_at timestamp_ltz,
    device_swap_date_responded_at timestamp_ltz,
    call_forwarding_check_outcome varchar,
    call_forwarding_check_active boolean,
    call_forwarding_check_responded_at timestamp_ltz,
    sim_swap_check_source varchar,
    sim_swap_check_window_start timestamp_ltz,
    sim_swap_check_window_end timestamp_ltz,
    sim_swap_check_gap_minutes number(10, 0),
    sim_swap_date_source varchar,
    device_swap_check_source varchar,
    device_swap_check_window_start timestamp_ltz,
    device_swap_check_window_end timestamp_ltz,
    device_swap_check_gap_minutes number(10, 0),
    device_swap_date_source varchar,
    call_forwarding_check_source varchar,
    sim_swap_contradiction boolean,
    device_swap_contradiction boolean,
    sim_change_age_hours float,
    sim_change_age_band varchar,
    device_change_age_hours float,
    device_change_age_band varchar,
    risk_sim_and_device_recent boolean,
    risk_sim_recent boolean,
    risk_device_recent boolean,
    risk_forwarding_active boolean,
    risk_version number(10, 0) NOT NULL,
    phone_column varchar NOT NULL,
    number_id varchar,
    PRIMARY KEY (run_id, row_index)
);

CREATE TABLE IF NOT EXISTS lookups (
    run_date date NOT NULL,
    run_id varchar NOT NULL,
    e164 varchar NOT NULL,
    endpoint varchar NOT NULL,
    max_age_minutes number(10, 0),
    outcome varchar NOT NULL,
    reason varchar,
    swapped boolean,
    active boolean,
    latest_change varchar,
    latest_change_at timestamp_ltz,
    latest_change_raw varchar,
    http_status number(10, 0),
    code varchar,
    message varchar,
    attempts number(10, 0) NOT NULL,
    refusals number(10, 0) NOT NULL,
    latency_ms float,
    responded_at timestamp_ltz,
    correlator varchar,
    unanswered number(10, 0) NOT NULL,
    source varchar,
    source_run_id varchar,
    last_observed_at timestamp_ltz,
    window_start timestamp_ltz,
    window_end timestamp_ltz,
    gap_minutes number(10, 0),
    contradiction boolean,
    number_id varchar,
    PRIMARY KEY (run_id, e164, endpoint)
);

CREATE TABLE IF NOT EXISTS errors (
    run_date date NOT NULL,
    run_id varchar NOT NULL,
    kind varchar NOT NULL,
    row_index number(19, 0),
    source_file varchar,
    source_row number(19, 0),
    raw_masked varchar,
    raw_region varchar,
    e164 varchar,
    endpoint varchar,
    reason varchar NOT NULL,
    detail varchar,
    remedy varchar NOT NULL,
    retry_can_help boolean NOT NULL,
    http_status number(10, 0),
    code varchar,
    attempts number(10, 0),
    phone_column varchar,
    number_id varchar,
    UNIQUE (run_id, row_index),
    UNIQUE (run_id, e164, endpoint)
);

CREATE TABLE IF NOT EXISTS changes (
    run_date date NOT NULL,
    run_id varchar NOT NULL,
    since_run_id varchar NOT NULL,
    e164 varchar NOT NULL,
    endpoint varchar NOT NULL,
    change varchar NOT NULL,
    before_outcome varchar NOT NULL,
    after_outcome varchar NOT NULL,
    before_swapped boolean,
    after_swapped boolean,
    before_active boolean,
    after_active boolean,
    before_latest_change_at timestamp_ltz,
    after_latest_change_at timestamp_ltz,
    before_responded_at timestamp_ltz,
    after_responded_at timestamp_ltz,
    cohort varchar,
    likely_migration boolean NOT NULL,
    number_id varchar,
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
