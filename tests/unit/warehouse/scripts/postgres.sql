-- batch-screen 0.1.0, postgres: run 20260302-0123456789
-- For psql -X -f FILE, on the machine that has the files. PostgreSQL cannot read Parquet: the lines
-- with \copy start DuckDB's command line (pip install duckdb-cli). "batch-screen load" needs none.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET standard_conforming_strings = on;
SET client_encoding = 'UTF8';
SET TIME ZONE 'UTC';

-- What is missing is made. Nothing is dropped or retyped.
BEGIN;
SELECT pg_advisory_xact_lock(108170704021619);
CREATE SCHEMA IF NOT EXISTS "batch_screen";
CREATE TABLE IF NOT EXISTS "batch_screen"."runs" (
    "run_id" text NOT NULL,
    "run_date" date NOT NULL,
    "started_at" timestamp with time zone,
    "completed_at" timestamp with time zone,
    "loaded_at" timestamp with time zone NOT NULL,
    "schema_version" integer NOT NULL,
    "version" text,
    "sandbox" boolean NOT NULL,
    "api" text,
    "manifest_sha256" text NOT NULL,
    "since_run_id" text,
    "inputs" text NOT NULL,
    "rows_read" bigint,
    "rows_accepted" bigint,
    "rows_rejected" bigint,
    "lookups" bigint,
    "failed" bigint,
    "erased_rows" bigint,
    "supersedes" text,
    "loaded_tables" text,
    PRIMARY KEY ("run_id")
);
COMMENT ON TABLE "batch_screen"."runs" IS 'batch-screen: the runs that are loaded whole; rows of any other run do not count';
COMMENT ON COLUMN "batch_screen"."runs"."run_id" IS 'the run';
COMMENT ON COLUMN "batch_screen"."runs"."run_date" IS 'its logical date';
COMMENT ON COLUMN "batch_screen"."runs"."started_at" IS 'when it was begun';
COMMENT ON COLUMN "batch_screen"."runs"."completed_at" IS 'when its files were complete';
COMMENT ON COLUMN "batch_screen"."runs"."loaded_at" IS 'when it was loaded here';
COMMENT ON COLUMN "batch_screen"."runs"."schema_version" IS 'version of the columns it was written with';
COMMENT ON COLUMN "batch_screen"."runs"."version" IS 'version of batch-screen that wrote it';
COMMENT ON COLUMN "batch_screen"."runs"."sandbox" IS 'whether its answers are made up by the sandbox';
COMMENT ON COLUMN "batch_screen"."runs"."api" IS 'host and contract of the server that was asked';
COMMENT ON COLUMN "batch_screen"."runs"."manifest_sha256" IS 'SHA-256 of its manifest.json, as _SUCCESS has it';
COMMENT ON COLUMN "batch_screen"."runs"."since_run_id" IS 'the run that its changes are counted from';
COMMENT ON COLUMN "batch_screen"."runs"."inputs" IS 'digest of its lists, limit and api: the same for the same';
COMMENT ON COLUMN "batch_screen"."runs"."rows_read" IS 'rows of the list';
COMMENT ON COLUMN "batch_screen"."runs"."rows_accepted" IS 'rows among them with a number that was asked about';
COMMENT ON COLUMN "batch_screen"."runs"."rows_rejected" IS 'rows among them that were never asked about';
COMMENT ON COLUMN "batch_screen"."runs"."lookups" IS 'numbers by endpoints';
COMMENT ON COLUMN "batch_screen"."runs"."failed" IS 'lookups among them without an answer';
COMMENT ON COLUMN "batch_screen"."runs"."erased_rows" IS 'rows that were erased from it on a person''s request';
COMMENT ON COLUMN "batch_screen"."runs"."supersedes" IS 'runs it replaces as a retry, with blanks between';
COMMENT ON COLUMN "batch_screen"."runs"."loaded_tables" IS 'its tables that are here, with blanks between';
CREATE TABLE IF NOT EXISTS "batch_screen"."results" (
    "run_date" date NOT NULL,
    "run_id" text NOT NULL,
    "row_index" bigint NOT NULL,
    "source_file" text NOT NULL,
    "source_row" bigint NOT NULL,
    "e164" text NOT NULL,
    "region" text,
    "number_type" text,
    "rule" text NOT NULL,
    "sim_swap_check_outcome" text,
    "sim_swap_check_swapped" boolean,
    "sim_swap_check_max_age_minutes" integer,
    "sim_swap_check_responded_at" timestamp with time zone,
    "sim_swap_date_outcome" text,
    "sim_swap_date_latest_change" text,
    "sim_swap_date_latest_change_at" timestamp with time zone,
    "sim_swap_date_responded_at" timestamp with time zone,
    "device_swap_check_outcome" text,
    "device_swap_check_swapped" boolean,
    "device_swap_check_max_age_minutes" integer,
    "device_swap_check_responded_at" timestamp with time zone,
    "device_swap_date_outcome" text,
    "device_swap_date_latest_change" text,
    "device_swap_date_latest_change_at" timestamp with time zone,
    "device_swap_date_responded_at" timestamp with time zone,
    "call_forwarding_check_outcome" text,
    "call_forwarding_check_active" boolean,
    "call_forwarding_check_responded_at" timestamp with time zone,
    "sim_swap_check_source" text,
    "sim_swap_check_window_start" timestamp with time zone,
    "sim_swap_check_window_end" timestamp with time zone,
    "sim_swap_check_gap_minutes" integer,
    "sim_swap_date_source" text,
    "device_swap_check_source" text,
    "device_swap_check_window_start" timestamp with time zone,
    "device_swap_check_window_end" timestamp with time zone,
    "device_swap_check_gap_minutes" integer,
    "device_swap_date_source" text,
    "call_forwarding_check_source" text,
    "sim_swap_contradiction" boolean,
    "device_swap_contradiction" boolean,
    "sim_change_age_hours" double precision,
    "sim_change_age_band" text,
    "device_change_age_hours" double precision,
    "device_change_age_band" text,
    "risk_sim_and_device_recent" boolean,
    "risk_sim_recent" boolean,
    "risk_device_recent" boolean,
    "risk_forwarding_active" boolean,
    "risk_version" integer NOT NULL,
    "phone_column" text NOT NULL,
    "number_id" text,
    "in_customer_id" text,
    "in_kunden_nr" bigint,
    "in_drop_table_runs" text,
    "in_ad0644ff" text,
    "in_x_y_z_line" date,
    PRIMARY KEY ("run_id", "row_index")
);
ALTER TABLE "batch_screen"."results" ADD COLUMN IF NOT EXISTS "number_id" text;
COMMENT ON COLUMN "batch_screen"."results"."number_id" IS 'the number''s keyed id; null where e164 is plain';
ALTER TABLE "batch_screen"."results" ADD COLUMN IF NOT EXISTS "in_customer_id" text;
COMMENT ON COLUMN "batch_screen"."results"."in_customer_id" IS 'kept from the input: customer_id';
ALTER TABLE "batch_screen"."results" ADD COLUMN IF NOT EXISTS "in_kunden_nr" bigint;
COMMENT ON COLUMN "batch_screen"."results"."in_kunden_nr" IS 'kept from the input: Kunden Nr.';
ALTER TABLE "batch_screen"."results" ADD COLUMN IF NOT EXISTS "in_drop_table_runs" text;
COMMENT ON COLUMN "batch_screen"."results"."in_drop_table_runs" IS 'kept from the input: ''; DROP TABLE runs; --';
ALTER TABLE "batch_screen"."results" ADD COLUMN IF NOT EXISTS "in_ad0644ff" text;
COMMENT ON COLUMN "batch_screen"."results"."in_ad0644ff" IS 'kept from the input: "`\';
ALTER TABLE "batch_screen"."results" ADD COLUMN IF NOT EXISTS "in_x_y_z_line" date;
COMMENT ON COLUMN "batch_screen"."results"."in_x_y_z_line" IS 'kept from the input: $$ ${x} &y {{z}}
line';
COMMENT ON TABLE "batch_screen"."results" IS 'batch-screen: an accepted row of the list, with all answers to its number';
COMMENT ON COLUMN "batch_screen"."results"."run_date" IS 'the logical date of the run';
COMMENT ON COLUMN "batch_screen"."results"."run_id" IS 'the run that wrote the row';
COMMENT ON COLUMN "batch_screen"."results"."row_index" IS 'position of the row over the whole input, from 0; of several phone columns each cell is a row';
COMMENT ON COLUMN "batch_screen"."results"."source_file" IS 'the input file''s name';
COMMENT ON COLUMN "batch_screen"."results"."source_row" IS 'the row''s number in that file, from 1, header not counted';
COMMENT ON COLUMN "batch_screen"."results"."e164" IS 'the number asked about, E.164';
COMMENT ON COLUMN "batch_screen"."results"."region" IS 'ISO 3166-1 alpha-2 region of the number';
COMMENT ON COLUMN "batch_screen"."results"."number_type" IS 'libphonenumber''s type: mobile, fixed_line, …';
COMMENT ON COLUMN "batch_screen"."results"."rule" IS 'the rule by which the raw number was accepted';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_outcome" IS 'success, or why there is no value; null only if the endpoint was not asked';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_swapped" IS 'true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_max_age_minutes" IS 'the window sent or derived, in minutes; null where none is taken';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_responded_at" IS 'when the answer arrived';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_date_outcome" IS 'success, or why there is no value; null only if the endpoint was not asked';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_date_latest_change" IS 'reported, none_reported (not: never), or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_date_latest_change_at" IS 'latest change, truncated to microseconds';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_date_responded_at" IS 'when the answer arrived';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_outcome" IS 'success, or why there is no value; null only if the endpoint was not asked';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_swapped" IS 'true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_max_age_minutes" IS 'the window sent or derived, in minutes; null where none is taken';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_responded_at" IS 'when the answer arrived';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_date_outcome" IS 'success, or why there is no value; null only if the endpoint was not asked';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_date_latest_change" IS 'reported, none_reported (not: never), or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_date_latest_change_at" IS 'latest change, truncated to microseconds';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_date_responded_at" IS 'when the answer arrived';
COMMENT ON COLUMN "batch_screen"."results"."call_forwarding_check_outcome" IS 'success, or why there is no value; null only if the endpoint was not asked';
COMMENT ON COLUMN "batch_screen"."results"."call_forwarding_check_active" IS 'unconditional forwarding: true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."call_forwarding_check_responded_at" IS 'when the answer arrived';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_source" IS 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_window_start" IS 'from when on the value would show a change';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_window_end" IS 'until when it would: when the answer arrived';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_check_gap_minutes" IS 'minutes between the last observation and window_start, 0: none; null: no earlier one';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_date_source" IS 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_source" IS 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_window_start" IS 'from when on the value would show a change';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_window_end" IS 'until when it would: when the answer arrived';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_check_gap_minutes" IS 'minutes between the last observation and window_start, 0: none; null: no earlier one';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_date_source" IS 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped';
COMMENT ON COLUMN "batch_screen"."results"."call_forwarding_check_source" IS 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped';
COMMENT ON COLUMN "batch_screen"."results"."sim_swap_contradiction" IS 'whether check and date, both asked, cannot both be true; null where nobody can tell';
COMMENT ON COLUMN "batch_screen"."results"."device_swap_contradiction" IS 'whether check and date, both asked, cannot both be true; null where nobody can tell';
COMMENT ON COLUMN "batch_screen"."results"."sim_change_age_hours" IS 'age of the latest SIM change when its date was answered';
COMMENT ON COLUMN "batch_screen"."results"."sim_change_age_band" IS 'that age''s band, from <4h to 3y+';
COMMENT ON COLUMN "batch_screen"."results"."device_change_age_hours" IS 'age of the latest device change when its date was answered';
COMMENT ON COLUMN "batch_screen"."results"."device_change_age_band" IS 'that age''s band, from <4h to 3y+';
COMMENT ON COLUMN "batch_screen"."results"."risk_sim_and_device_recent" IS 'whether both changed lately: true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."risk_sim_recent" IS 'whether the SIM changed lately: true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."risk_device_recent" IS 'whether the device changed lately: true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."risk_forwarding_active" IS 'whether all calls are forwarded: true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."results"."risk_version" IS 'the version of the rules for the age and risk columns';
COMMENT ON COLUMN "batch_screen"."results"."phone_column" IS 'the column that held the number, named as in the file';
CREATE INDEX IF NOT EXISTS "results_run_date" ON "batch_screen"."results" ("run_date");
CREATE INDEX IF NOT EXISTS "results_e164" ON "batch_screen"."results" ("e164");
CREATE TABLE IF NOT EXISTS "batch_screen"."lookups" (
    "run_date" date NOT NULL,
    "run_id" text NOT NULL,
    "e164" text NOT NULL,
    "endpoint" text NOT NULL,
    "max_age_minutes" integer,
    "outcome" text NOT NULL,
    "reason" text,
    "swapped" boolean,
    "active" boolean,
    "latest_change" text,
    "latest_change_at" timestamp with time zone,
    "latest_change_raw" text,
    "http_status" integer,
    "code" text,
    "message" text,
    "attempts" integer NOT NULL,
    "refusals" integer NOT NULL,
    "latency_ms" double precision,
    "responded_at" timestamp with time zone,
    "correlator" text,
    "unanswered" integer NOT NULL,
    "source" text,
    "source_run_id" text,
    "last_observed_at" timestamp with time zone,
    "window_start" timestamp with time zone,
    "window_end" timestamp with time zone,
    "gap_minutes" integer,
    "contradiction" boolean,
    "number_id" text,
    PRIMARY KEY ("run_id", "e164", "endpoint")
);
ALTER TABLE "batch_screen"."lookups" ADD COLUMN IF NOT EXISTS "number_id" text;
COMMENT ON COLUMN "batch_screen"."lookups"."number_id" IS 'the number''s keyed id; null where e164 is plain';
COMMENT ON TABLE "batch_screen"."lookups" IS 'batch-screen: one number at one endpoint, with all that is known of the answer';
COMMENT ON COLUMN "batch_screen"."lookups"."run_date" IS 'the logical date of the run';
COMMENT ON COLUMN "batch_screen"."lookups"."run_id" IS 'the run that wrote the row';
COMMENT ON COLUMN "batch_screen"."lookups"."e164" IS 'the number asked about, E.164';
COMMENT ON COLUMN "batch_screen"."lookups"."endpoint" IS 'the endpoint asked';
COMMENT ON COLUMN "batch_screen"."lookups"."max_age_minutes" IS 'the window sent or derived, in minutes; null where none is taken';
COMMENT ON COLUMN "batch_screen"."lookups"."outcome" IS 'success, or why there is no value';
COMMENT ON COLUMN "batch_screen"."lookups"."reason" IS 'a closer word on the outcome';
COMMENT ON COLUMN "batch_screen"."lookups"."swapped" IS 'true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."lookups"."active" IS 'unconditional forwarding: true, false, or null: unknown';
COMMENT ON COLUMN "batch_screen"."lookups"."latest_change" IS 'reported, none_reported (not: never), or null: unknown';
COMMENT ON COLUMN "batch_screen"."lookups"."latest_change_at" IS 'latest change, truncated to microseconds';
COMMENT ON COLUMN "batch_screen"."lookups"."latest_change_raw" IS 'the date exactly as answered';
COMMENT ON COLUMN "batch_screen"."lookups"."http_status" IS 'the last answer''s HTTP status';
COMMENT ON COLUMN "batch_screen"."lookups"."code" IS 'the API''s error code, as answered';
COMMENT ON COLUMN "batch_screen"."lookups"."message" IS 'the API''s error message, masked and shortened';
COMMENT ON COLUMN "batch_screen"."lookups"."attempts" IS 'HTTP requests made';
COMMENT ON COLUMN "batch_screen"."lookups"."refusals" IS 'requests among them refused for the rate';
COMMENT ON COLUMN "batch_screen"."lookups"."latency_ms" IS 'time to the last answer';
COMMENT ON COLUMN "batch_screen"."lookups"."responded_at" IS 'when the last answer arrived';
COMMENT ON COLUMN "batch_screen"."lookups"."correlator" IS 'the x-correlator sent with the last attempt';
COMMENT ON COLUMN "batch_screen"."lookups"."unanswered" IS 'requests beside attempts that a crash left without a saved answer; may have been billed';
COMMENT ON COLUMN "batch_screen"."lookups"."source" IS 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped';
COMMENT ON COLUMN "batch_screen"."lookups"."source_run_id" IS 'reused, carried: the earlier run in which it was asked';
COMMENT ON COLUMN "batch_screen"."lookups"."last_observed_at" IS 'until when earlier runs had observed the number; null: none had, or none was looked at';
COMMENT ON COLUMN "batch_screen"."lookups"."window_start" IS 'from when on the value would show a change';
COMMENT ON COLUMN "batch_screen"."lookups"."window_end" IS 'until when it would: when the answer arrived';
COMMENT ON COLUMN "batch_screen"."lookups"."gap_minutes" IS 'minutes between the last observation and window_start, 0: none; null: no earlier one';
COMMENT ON COLUMN "batch_screen"."lookups"."contradiction" IS 'whether check and date, both asked, cannot both be true; null where nobody can tell';
CREATE INDEX IF NOT EXISTS "lookups_run_date" ON "batch_screen"."lookups" ("run_date");
CREATE INDEX IF NOT EXISTS "lookups_e164" ON "batch_screen"."lookups" ("e164");
CREATE TABLE IF NOT EXISTS "batch_screen"."errors" (
    "run_date" date NOT NULL,
    "run_id" text NOT NULL,
    "kind" text NOT NULL,
    "row_index" bigint,
    "source_file" text,
    "source_row" bigint,
    "raw_masked" text,
    "raw_region" text,
    "e164" text,
    "endpoint" text,
    "reason" text NOT NULL,
    "detail" text,
    "remedy" text NOT NULL,
    "retry_can_help" boolean NOT NULL,
    "http_status" integer,
    "code" text,
    "attempts" integer,
    "phone_column" text,
    "number_id" text
);
ALTER TABLE "batch_screen"."errors" ADD COLUMN IF NOT EXISTS "number_id" text;
COMMENT ON COLUMN "batch_screen"."errors"."number_id" IS 'the number''s keyed id; null where e164 is plain';
COMMENT ON TABLE "batch_screen"."errors" IS 'batch-screen: a rejected row of the list, or a lookup without success';
COMMENT ON COLUMN "batch_screen"."errors"."run_date" IS 'the logical date of the run';
COMMENT ON COLUMN "batch_screen"."errors"."run_id" IS 'the run that wrote the row';
COMMENT ON COLUMN "batch_screen"."errors"."kind" IS 'reject (a row) or failure (a lookup)';
COMMENT ON COLUMN "batch_screen"."errors"."row_index" IS 'rejects: position of the row over the whole input, from 0';
COMMENT ON COLUMN "batch_screen"."errors"."source_file" IS 'rejects: the input file''s name';
COMMENT ON COLUMN "batch_screen"."errors"."source_row" IS 'rejects: the row''s number in that file, from 1';
COMMENT ON COLUMN "batch_screen"."errors"."raw_masked" IS 'rejects: the cell''s shape, masked';
COMMENT ON COLUMN "batch_screen"."errors"."raw_region" IS 'rejects: the row''s own region, as written';
COMMENT ON COLUMN "batch_screen"."errors"."e164" IS 'failures: the number asked about';
COMMENT ON COLUMN "batch_screen"."errors"."endpoint" IS 'failures: the endpoint asked';
COMMENT ON COLUMN "batch_screen"."errors"."reason" IS 'the reject''s reason or the failure''s outcome';
COMMENT ON COLUMN "batch_screen"."errors"."detail" IS 'what was seen, masked';
COMMENT ON COLUMN "batch_screen"."errors"."remedy" IS 'what to do about it';
COMMENT ON COLUMN "batch_screen"."errors"."retry_can_help" IS 'whether asking again may bring an answer';
COMMENT ON COLUMN "batch_screen"."errors"."http_status" IS 'failures: the last answer''s HTTP status';
COMMENT ON COLUMN "batch_screen"."errors"."code" IS 'failures: the API''s error code';
COMMENT ON COLUMN "batch_screen"."errors"."attempts" IS 'failures: HTTP requests made';
COMMENT ON COLUMN "batch_screen"."errors"."phone_column" IS 'rejects: the column that held the cell, as in the file';
CREATE INDEX IF NOT EXISTS "errors_run_date" ON "batch_screen"."errors" ("run_date");
CREATE INDEX IF NOT EXISTS "errors_e164" ON "batch_screen"."errors" ("e164");
CREATE INDEX IF NOT EXISTS "errors_run_id" ON "batch_screen"."errors" ("run_id");
CREATE TABLE IF NOT EXISTS "batch_screen"."changes" (
    "run_date" date NOT NULL,
    "run_id" text NOT NULL,
    "since_run_id" text NOT NULL,
    "e164" text NOT NULL,
    "endpoint" text NOT NULL,
    "change" text NOT NULL,
    "before_outcome" text NOT NULL,
    "after_outcome" text NOT NULL,
    "before_swapped" boolean,
    "after_swapped" boolean,
    "before_active" boolean,
    "after_active" boolean,
    "before_latest_change_at" timestamp with time zone,
    "after_latest_change_at" timestamp with time zone,
    "before_responded_at" timestamp with time zone,
    "after_responded_at" timestamp with time zone,
    "cohort" text,
    "likely_migration" boolean NOT NULL,
    "number_id" text,
    PRIMARY KEY ("run_id", "e164", "endpoint")
);
ALTER TABLE "batch_screen"."changes" ADD COLUMN IF NOT EXISTS "number_id" text;
COMMENT ON COLUMN "batch_screen"."changes"."number_id" IS 'the number''s keyed id; null where e164 is plain';
COMMENT ON TABLE "batch_screen"."changes" IS 'batch-screen: a number that answers otherwise than in the run before; an alert feed';
COMMENT ON COLUMN "batch_screen"."changes"."run_date" IS 'the logical date of the run';
COMMENT ON COLUMN "batch_screen"."changes"."run_id" IS 'the run that wrote the row';
COMMENT ON COLUMN "batch_screen"."changes"."since_run_id" IS 'the earlier run it is compared with';
COMMENT ON COLUMN "batch_screen"."changes"."e164" IS 'the number asked about, E.164';
COMMENT ON COLUMN "batch_screen"."changes"."endpoint" IS 'the endpoint asked';
COMMENT ON COLUMN "batch_screen"."changes"."change" IS 'what is different since the earlier run';
COMMENT ON COLUMN "batch_screen"."changes"."before_outcome" IS 'outcome in the earlier run';
COMMENT ON COLUMN "batch_screen"."changes"."after_outcome" IS 'outcome in this run';
COMMENT ON COLUMN "batch_screen"."changes"."before_swapped" IS 'swapped in the earlier run';
COMMENT ON COLUMN "batch_screen"."changes"."after_swapped" IS 'swapped in this run';
COMMENT ON COLUMN "batch_screen"."changes"."before_active" IS 'active in the earlier run';
COMMENT ON COLUMN "batch_screen"."changes"."after_active" IS 'active in this run';
COMMENT ON COLUMN "batch_screen"."changes"."before_latest_change_at" IS 'latest_change_at in the earlier run';
COMMENT ON COLUMN "batch_screen"."changes"."after_latest_change_at" IS 'latest_change_at in this run';
COMMENT ON COLUMN "batch_screen"."changes"."before_responded_at" IS 'responded_at in the earlier run';
COMMENT ON COLUMN "batch_screen"."changes"."after_responded_at" IS 'responded_at in this run';
COMMENT ON COLUMN "batch_screen"."changes"."cohort" IS 'the marked block or country the number lies in, or null';
COMMENT ON COLUMN "batch_screen"."changes"."likely_migration" IS 'whether the change is part of that cohort''s sudden rise';
CREATE INDEX IF NOT EXISTS "changes_run_date" ON "batch_screen"."changes" ("run_date");
CREATE INDEX IF NOT EXISTS "changes_e164" ON "batch_screen"."changes" ("e164");
CREATE OR REPLACE VIEW "batch_screen"."current_runs" AS SELECT "run_id", "run_date", "started_at", "completed_at", "loaded_at", "schema_version", "version", "sandbox", "api", "manifest_sha256", "since_run_id", "inputs", "rows_read", "rows_accepted", "rows_rejected", "lookups", "failed", "erased_rows", "supersedes", "loaded_tables" FROM (SELECT r.*, row_number() OVER (PARTITION BY run_date, inputs ORDER BY completed_at DESC NULLS LAST, run_id DESC) AS place FROM "batch_screen"."runs" AS r WHERE run_id NOT IN (SELECT unnest(string_to_array(supersedes, ' ')) FROM "batch_screen"."runs")) AS ranked WHERE place = 1;
COMMENT ON VIEW "batch_screen"."current_runs" IS 'batch-screen: of each run date and list, the run completed last, no retried one';
CREATE OR REPLACE VIEW "batch_screen"."current_results" AS SELECT r.* FROM "batch_screen"."results" AS r WHERE r.run_id IN (SELECT run_id FROM "batch_screen"."current_runs");
COMMENT ON VIEW "batch_screen"."current_results" IS 'batch-screen: results of current_runs: each customer once a night';
CREATE OR REPLACE VIEW "batch_screen"."signals" AS SELECT DISTINCT ON (coalesce(l.number_id, l.e164), l.endpoint) l."e164", l."number_id", l."endpoint", l."outcome", l."reason", l."swapped", l."active", l."latest_change", l."latest_change_at", l."max_age_minutes", l."window_start", l."window_end", l."responded_at", l."run_id", l."run_date" FROM "batch_screen"."lookups" AS l JOIN "batch_screen"."runs" AS r ON r.run_id = l.run_id ORDER BY coalesce(l.number_id, l.e164), l.endpoint, (l.outcome = 'success') DESC, l.responded_at DESC NULLS LAST, r.completed_at DESC NULLS LAST, l.run_id DESC;
COMMENT ON VIEW "batch_screen"."signals" IS 'batch-screen: the newest known answer for each number and endpoint; null is unknown';
COMMIT;

-- The files that the manifest names, into tables with just their columns, in their order.
BEGIN;
CREATE TEMP TABLE "new_results" (
    "run_id" text,
    "row_index" bigint,
    "source_file" text,
    "source_row" bigint,
    "e164" text,
    "region" text,
    "number_type" text,
    "rule" text,
    "sim_swap_check_outcome" text,
    "sim_swap_check_swapped" boolean,
    "sim_swap_check_max_age_minutes" integer,
    "sim_swap_check_responded_at" timestamp with time zone,
    "sim_swap_date_outcome" text,
    "sim_swap_date_latest_change" text,
    "sim_swap_date_latest_change_at" timestamp with time zone,
    "sim_swap_date_responded_at" timestamp with time zone,
    "device_swap_check_outcome" text,
    "device_swap_check_swapped" boolean,
    "device_swap_check_max_age_minutes" integer,
    "device_swap_check_responded_at" timestamp with time zone,
    "device_swap_date_outcome" text,
    "device_swap_date_latest_change" text,
    "device_swap_date_latest_change_at" timestamp with time zone,
    "device_swap_date_responded_at" timestamp with time zone,
    "call_forwarding_check_outcome" text,
    "call_forwarding_check_active" boolean,
    "call_forwarding_check_responded_at" timestamp with time zone,
    "sim_swap_check_source" text,
    "sim_swap_check_window_start" timestamp with time zone,
    "sim_swap_check_window_end" timestamp with time zone,
    "sim_swap_check_gap_minutes" integer,
    "sim_swap_date_source" text,
    "device_swap_check_source" text,
    "device_swap_check_window_start" timestamp with time zone,
    "device_swap_check_window_end" timestamp with time zone,
    "device_swap_check_gap_minutes" integer,
    "device_swap_date_source" text,
    "call_forwarding_check_source" text,
    "sim_swap_contradiction" boolean,
    "device_swap_contradiction" boolean,
    "sim_change_age_hours" double precision,
    "sim_change_age_band" text,
    "device_change_age_hours" double precision,
    "device_change_age_band" text,
    "risk_sim_and_device_recent" boolean,
    "risk_sim_recent" boolean,
    "risk_device_recent" boolean,
    "risk_forwarding_active" boolean,
    "risk_version" integer,
    "phone_column" text,
    "number_id" text,
    "in_customer_id" text,
    "in_kunden_nr" bigint,
    "in_drop_table_runs" text,
    "in_ad0644ff" text,
    "in_x_y_z_line" date
) ON COMMIT DROP;
\copy "new_results" FROM PROGRAM 'duckdb -c "COPY (SELECT replace(replace(replace(replace(replace(COLUMNS(*)::varchar, chr(0), ''''), chr(92), ''\\\\''), chr(9), ''\\t''), chr(10), ''\\n''), chr(13), ''\\r'') FROM read_parquet([''/srv/screened/results/run_date=2026-03-02/20260302-0123456789-00000.parquet'', ''/srv/screened/results/run_date=2026-03-02/20260302-0123456789-00001.parquet''], hive_partitioning = false)) TO ''/dev/stdout'' (FORMAT csv, HEADER false, DELIMITER ''\\t'', QUOTE '''', ESCAPE '''', NULLSTR ''\\N'')"'
CREATE TEMP TABLE "new_lookups" (
    "run_id" text,
    "e164" text,
    "endpoint" text,
    "max_age_minutes" integer,
    "outcome" text,
    "reason" text,
    "swapped" boolean,
    "active" boolean,
    "latest_change" text,
    "latest_change_at" timestamp with time zone,
    "latest_change_raw" text,
    "http_status" integer,
    "code" text,
    "message" text,
    "attempts" integer,
    "refusals" integer,
    "latency_ms" double precision,
    "responded_at" timestamp with time zone,
    "correlator" text,
    "unanswered" integer,
    "source" text,
    "source_run_id" text,
    "last_observed_at" timestamp with time zone,
    "window_start" timestamp with time zone,
    "window_end" timestamp with time zone,
    "gap_minutes" integer,
    "contradiction" boolean,
    "number_id" text
) ON COMMIT DROP;
\copy "new_lookups" FROM PROGRAM 'duckdb -c "COPY (SELECT replace(replace(replace(replace(replace(COLUMNS(*)::varchar, chr(0), ''''), chr(92), ''\\\\''), chr(9), ''\\t''), chr(10), ''\\n''), chr(13), ''\\r'') FROM read_parquet([''/srv/screened/lookups/run_date=2026-03-02/20260302-0123456789-00000.parquet'', ''/srv/screened/lookups/run_date=2026-03-02/20260302-0123456789-00001.parquet''], hive_partitioning = false)) TO ''/dev/stdout'' (FORMAT csv, HEADER false, DELIMITER ''\\t'', QUOTE '''', ESCAPE '''', NULLSTR ''\\N'')"'
CREATE TEMP TABLE "new_errors" (
    "run_id" text,
    "kind" text,
    "row_index" bigint,
    "source_file" text,
    "source_row" bigint,
    "raw_masked" text,
    "raw_region" text,
    "e164" text,
    "endpoint" text,
    "reason" text,
    "detail" text,
    "remedy" text,
    "retry_can_help" boolean,
    "http_status" integer,
    "code" text,
    "attempts" integer,
    "phone_column" text,
    "number_id" text
) ON COMMIT DROP;
\copy "new_errors" FROM PROGRAM 'duckdb -c "COPY (SELECT replace(replace(replace(replace(replace(COLUMNS(*)::varchar, chr(0), ''''), chr(92), ''\\\\''), chr(9), ''\\t''), chr(10), ''\\n''), chr(13), ''\\r'') FROM read_parquet([''/srv/screened/errors/run_date=2026-03-02/20260302-0123456789-00000.parquet'', ''/srv/screened/errors/run_date=2026-03-02/20260302-0123456789-00001.parquet''], hive_partitioning = false)) TO ''/dev/stdout'' (FORMAT csv, HEADER false, DELIMITER ''\\t'', QUOTE '''', ESCAPE '''', NULLSTR ''\\N'')"'
CREATE TEMP TABLE "new_changes" (
    "run_id" text,
    "since_run_id" text,
    "e164" text,
    "endpoint" text,
    "change" text,
    "before_outcome" text,
    "after_outcome" text,
    "before_swapped" boolean,
    "after_swapped" boolean,
    "before_active" boolean,
    "after_active" boolean,
    "before_latest_change_at" timestamp with time zone,
    "after_latest_change_at" timestamp with time zone,
    "before_responded_at" timestamp with time zone,
    "after_responded_at" timestamp with time zone,
    "cohort" text,
    "likely_migration" boolean,
    "number_id" text
) ON COMMIT DROP;
\copy "new_changes" FROM PROGRAM 'duckdb -c "COPY (SELECT replace(replace(replace(replace(replace(COLUMNS(*)::varchar, chr(0), ''''), chr(92), ''\\\\''), chr(9), ''\\t''), chr(10), ''\\n''), chr(13), ''\\r'') FROM read_parquet([''/srv/screened/changes/run_date=2026-03-02/20260302-0123456789-00000.parquet'', ''/srv/screened/changes/run_date=2026-03-02/20260302-0123456789-00001.parquet''], hive_partitioning = false)) TO ''/dev/stdout'' (FORMAT csv, HEADER false, DELIMITER ''\\t'', QUOTE '''', ESCAPE '''', NULLSTR ''\\N'')"'

-- The run, whole or not at all. What is there of it is replaced.
LOCK TABLE "batch_screen"."runs" IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM "batch_screen"."runs" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."results" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."results" ("run_date", "run_id", "row_index", "source_file", "source_row", "e164", "region", "number_type", "rule", "sim_swap_check_outcome", "sim_swap_check_swapped", "sim_swap_check_max_age_minutes", "sim_swap_check_responded_at", "sim_swap_date_outcome", "sim_swap_date_latest_change", "sim_swap_date_latest_change_at", "sim_swap_date_responded_at", "device_swap_check_outcome", "device_swap_check_swapped", "device_swap_check_max_age_minutes", "device_swap_check_responded_at", "device_swap_date_outcome", "device_swap_date_latest_change", "device_swap_date_latest_change_at", "device_swap_date_responded_at", "call_forwarding_check_outcome", "call_forwarding_check_active", "call_forwarding_check_responded_at", "sim_swap_check_source", "sim_swap_check_window_start", "sim_swap_check_window_end", "sim_swap_check_gap_minutes", "sim_swap_date_source", "device_swap_check_source", "device_swap_check_window_start", "device_swap_check_window_end", "device_swap_check_gap_minutes", "device_swap_date_source", "call_forwarding_check_source", "sim_swap_contradiction", "device_swap_contradiction", "sim_change_age_hours", "sim_change_age_band", "device_change_age_hours", "device_change_age_band", "risk_sim_and_device_recent", "risk_sim_recent", "risk_device_recent", "risk_forwarding_active", "risk_version", "phone_column", "number_id", "in_customer_id", "in_kunden_nr", "in_drop_table_runs", "in_ad0644ff", "in_x_y_z_line")
SELECT DATE '2026-03-02', n.* FROM "new_results" AS n;
SELECT CAST(CASE WHEN count(*) = 4 THEN '4' ELSE 'results: the rows are not as many as the manifest says' END AS integer) AS results
FROM "batch_screen"."results" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."lookups" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."lookups" ("run_date", "run_id", "e164", "endpoint", "max_age_minutes", "outcome", "reason", "swapped", "active", "latest_change", "latest_change_at", "latest_change_raw", "http_status", "code", "message", "attempts", "refusals", "latency_ms", "responded_at", "correlator", "unanswered", "source", "source_run_id", "last_observed_at", "window_start", "window_end", "gap_minutes", "contradiction", "number_id")
SELECT DATE '2026-03-02', n.* FROM "new_lookups" AS n;
SELECT CAST(CASE WHEN count(*) = 4 THEN '4' ELSE 'lookups: the rows are not as many as the manifest says' END AS integer) AS lookups
FROM "batch_screen"."lookups" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."errors" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."errors" ("run_date", "run_id", "kind", "row_index", "source_file", "source_row", "raw_masked", "raw_region", "e164", "endpoint", "reason", "detail", "remedy", "retry_can_help", "http_status", "code", "attempts", "phone_column", "number_id")
SELECT DATE '2026-03-02', n.* FROM "new_errors" AS n;
SELECT CAST(CASE WHEN count(*) = 4 THEN '4' ELSE 'errors: the rows are not as many as the manifest says' END AS integer) AS errors
FROM "batch_screen"."errors" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."changes" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."changes" ("run_date", "run_id", "since_run_id", "e164", "endpoint", "change", "before_outcome", "after_outcome", "before_swapped", "after_swapped", "before_active", "after_active", "before_latest_change_at", "after_latest_change_at", "before_responded_at", "after_responded_at", "cohort", "likely_migration", "number_id")
SELECT DATE '2026-03-02', n.* FROM "new_changes" AS n;
SELECT CAST(CASE WHEN count(*) = 4 THEN '4' ELSE 'changes: the rows are not as many as the manifest says' END AS integer) AS changes
FROM "batch_screen"."changes" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."runs" ("run_id", "run_date", "started_at", "completed_at", "loaded_at", "schema_version", "version", "sandbox", "api", "manifest_sha256", "since_run_id", "inputs", "rows_read", "rows_accepted", "rows_rejected", "lookups", "failed", "erased_rows", "supersedes", "loaded_tables")
VALUES ('20260302-0123456789', DATE '2026-03-02', CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp with time zone), CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp with time zone), now(), 5, '0.1.0', FALSE, 'api.example v1', '0000000000000000000000000000000000000000000000000000000000000000', NULL, '1111111111111111111111111111111111111111111111111111111111111111', NULL, NULL, NULL, NULL, NULL, NULL, '', NULL);
COMMIT;
