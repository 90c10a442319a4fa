-- batch-screen 0.1.0, redshift: run 20260302-0123456789
-- For psql -f FILE, with "batch-screen upload" having sent the run and its lists of files.
-- Redshift does not enforce keys.
SET timezone TO 'UTC';

-- What is missing is made. Nothing is dropped or retyped.
CREATE SCHEMA IF NOT EXISTS "batch_screen";
CREATE OR REPLACE PROCEDURE "batch_screen"."batch_screen_add"(
    p_schema varchar(200), p_table varchar(200), p_column varchar(200), p_type varchar(200)
)
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM svv_columns
        WHERE table_schema = p_schema AND table_name = p_table AND column_name = p_column
    ) THEN
        EXECUTE 'ALTER TABLE ' || quote_ident(p_schema) || '.' || quote_ident(p_table)
            || ' ADD COLUMN ' || quote_ident(p_column) || ' ' || p_type;
    END IF;
END;
$$ LANGUAGE plpgsql;
CREATE TABLE IF NOT EXISTS "batch_screen"."runs" (
    "run_id" varchar(64) NOT NULL,
    "run_date" date NOT NULL,
    "started_at" timestamptz,
    "completed_at" timestamptz,
    "loaded_at" timestamptz NOT NULL,
    "schema_version" integer NOT NULL,
    "version" varchar(65535),
    "sandbox" boolean NOT NULL,
    "api" varchar(65535),
    "manifest_sha256" varchar(65535) NOT NULL,
    "since_run_id" varchar(64),
    "inputs" varchar(65535) NOT NULL,
    "rows_read" bigint,
    "rows_accepted" bigint,
    "rows_rejected" bigint,
    "lookups" bigint,
    "failed" bigint,
    "erased_rows" bigint,
    "supersedes" varchar(65535),
    "loaded_tables" varchar(65535),
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
    "run_id" varchar(64) NOT NULL,
    "row_index" bigint NOT NULL,
    "source_file" varchar(65535) NOT NULL,
    "source_row" bigint NOT NULL,
    "e164" varchar(16) NOT NULL,
    "region" varchar(65535),
    "number_type" varchar(65535),
    "rule" varchar(65535) NOT NULL,
    "sim_swap_check_outcome" varchar(65535),
    "sim_swap_check_swapped" boolean,
    "sim_swap_check_max_age_minutes" integer,
    "sim_swap_check_responded_at" timestamptz,
    "sim_swap_date_outcome" varchar(65535),
    "sim_swap_date_latest_change" varchar(65535),
    "sim_swap_date_latest_change_at" timestamptz,
    "sim_swap_date_responded_at" timestamptz,
    "device_swap_check_outcome" varchar(65535),
    "device_swap_check_swapped" boolean,
    "device_swap_check_max_age_minutes" integer,
    "device_swap_check_responded_at" timestamptz,
    "device_swap_date_outcome" varchar(65535),
    "device_swap_date_latest_change" varchar(65535),
    "device_swap_date_latest_change_at" timestamptz,
    "device_swap_date_responded_at" timestamptz,
    "call_forwarding_check_outcome" varchar(65535),
    "call_forwarding_check_active" boolean,
    "call_forwarding_check_responded_at" timestamptz,
    "sim_swap_check_source" varchar(65535),
    "sim_swap_check_window_start" timestamptz,
    "sim_swap_check_window_end" timestamptz,
    "sim_swap_check_gap_minutes" integer,
    "sim_swap_date_source" varchar(65535),
    "device_swap_check_source" varchar(65535),
    "device_swap_check_window_start" timestamptz,
    "device_swap_check_window_end" timestamptz,
    "device_swap_check_gap_minutes" integer,
    "device_swap_date_source" varchar(65535),
    "call_forwarding_check_source" varchar(65535),
    "sim_swap_contradiction" boolean,
    "device_swap_contradiction" boolean,
    "sim_change_age_hours" double precision,
    "sim_change_age_band" varchar(65535),
    "device_change_age_hours" double precision,
    "device_change_age_band" varchar(65535),
    "risk_sim_and_device_recent" boolean,
    "risk_sim_recent" boolean,
    "risk_device_recent" boolean,
    "risk_forwarding_active" boolean,
    "risk_version" integer NOT NULL,
    "phone_column" varchar(65535) NOT NULL,
    "number_id" varchar(32),
    "in_customer_id" varchar(65535),
    "in_kunden_nr" bigint,
    "in_drop_table_runs" varchar(65535),
    "in_ad0644ff" varchar(65535),
    "in_x_y_z_line" date,
    PRIMARY KEY ("run_id", "row_index")
);
CALL "batch_screen"."batch_screen_add"('batch_screen', 'results', 'number_id', 'varchar(32)');
CALL "batch_screen"."batch_screen_add"('batch_screen', 'results', 'in_customer_id', 'varchar(65535)');
CALL "batch_screen"."batch_screen_add"('batch_screen', 'results', 'in_kunden_nr', 'bigint');
CALL "batch_screen"."batch_screen_add"('batch_screen', 'results', 'in_drop_table_runs', 'varchar(65535)');
CALL "batch_screen"."batch_screen_add"('batch_screen', 'results', 'in_ad0644ff', 'varchar(65535)');
CALL "batch_screen"."batch_screen_add"('batch_screen', 'results', 'in_x_y_z_line', 'date');
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
COMMENT ON COLUMN "batch_screen"."results"."number_id" IS 'the number''s keyed id; null where e164 is plain';
COMMENT ON COLUMN "batch_screen"."results"."in_customer_id" IS 'kept from the input: customer_id';
COMMENT ON COLUMN "batch_screen"."results"."in_kunden_nr" IS 'kept from the input: Kunden Nr.';
COMMENT ON COLUMN "batch_screen"."results"."in_drop_table_runs" IS 'kept from the input: ''; DROP TABLE runs; --';
COMMENT ON COLUMN "batch_screen"."results"."in_ad0644ff" IS 'kept from the input: "`\\';
COMMENT ON COLUMN "batch_screen"."results"."in_x_y_z_line" IS 'kept from the input: $$ ${x} &y {{z}}
line';
CREATE TABLE IF NOT EXISTS "batch_screen"."lookups" (
    "run_date" date NOT NULL,
    "run_id" varchar(64) NOT NULL,
    "e164" varchar(16) NOT NULL,
    "endpoint" varchar(64) NOT NULL,
    "max_age_minutes" integer,
    "outcome" varchar(65535) NOT NULL,
    "reason" varchar(65535),
    "swapped" boolean,
    "active" boolean,
    "latest_change" varchar(65535),
    "latest_change_at" timestamptz,
    "latest_change_raw" varchar(65535),
    "http_status" integer,
    "code" varchar(65535),
    "message" varchar(65535),
    "attempts" integer NOT NULL,
    "refusals" integer NOT NULL,
    "latency_ms" double precision,
    "responded_at" timestamptz,
    "correlator" varchar(65535),
    "unanswered" integer NOT NULL,
    "source" varchar(65535),
    "source_run_id" varchar(65535),
    "last_observed_at" timestamptz,
    "window_start" timestamptz,
    "window_end" timestamptz,
    "gap_minutes" integer,
    "contradiction" boolean,
    "number_id" varchar(32),
    PRIMARY KEY ("run_id", "e164", "endpoint")
);
CALL "batch_screen"."batch_screen_add"('batch_screen', 'lookups', 'number_id', 'varchar(32)');
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
COMMENT ON COLUMN "batch_screen"."lookups"."number_id" IS 'the number''s keyed id; null where e164 is plain';
CREATE TABLE IF NOT EXISTS "batch_screen"."errors" (
    "run_date" date NOT NULL,
    "run_id" varchar(64) NOT NULL,
    "kind" varchar(65535) NOT NULL,
    "row_index" bigint,
    "source_file" varchar(65535),
    "source_row" bigint,
    "raw_masked" varchar(65535),
    "raw_region" varchar(65535),
    "e164" varchar(16),
    "endpoint" varchar(64),
    "reason" varchar(65535) NOT NULL,
    "detail" varchar(65535),
    "remedy" varchar(65535) NOT NULL,
    "retry_can_help" boolean NOT NULL,
    "http_status" integer,
    "code" varchar(65535),
    "attempts" integer,
    "phone_column" varchar(65535),
    "number_id" varchar(32)
);
CALL "batch_screen"."batch_screen_add"('batch_screen', 'errors', 'number_id', 'varchar(32)');
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
COMMENT ON COLUMN "batch_screen"."errors"."number_id" IS 'the number''s keyed id; null where e164 is plain';
CREATE TABLE IF NOT EXISTS "batch_screen"."changes" (
    "run_date" date NOT NULL,
    "run_id" varchar(64) NOT NULL,
    "since_run_id" varchar(64) NOT NULL,
    "e164" varchar(16) NOT NULL,
    "endpoint" varchar(64) NOT NULL,
    "change" varchar(65535) NOT NULL,
    "before_outcome" varchar(65535) NOT NULL,
    "after_outcome" varchar(65535) NOT NULL,
    "before_swapped" boolean,
    "after_swapped" boolean,
    "before_active" boolean,
    "after_active" boolean,
    "before_latest_change_at" timestamptz,
    "after_latest_change_at" timestamptz,
    "before_responded_at" timestamptz,
    "after_responded_at" timestamptz,
    "cohort" varchar(65535),
    "likely_migration" boolean NOT NULL,
    "number_id" varchar(32),
    PRIMARY KEY ("run_id", "e164", "endpoint")
);
CALL "batch_screen"."batch_screen_add"('batch_screen', 'changes', 'number_id', 'varchar(32)');
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
COMMENT ON COLUMN "batch_screen"."changes"."number_id" IS 'the number''s keyed id; null where e164 is plain';
CREATE OR REPLACE VIEW "batch_screen"."current_runs" AS
SELECT "run_id", "run_date", "started_at", "completed_at", "loaded_at", "schema_version", "version", "sandbox", "api", "manifest_sha256", "since_run_id", "inputs", "rows_read", "rows_accepted", "rows_rejected", "lookups", "failed", "erased_rows", "supersedes", "loaded_tables"
FROM "batch_screen"."runs"
WHERE "run_id" NOT IN (SELECT each::varchar FROM (SELECT split_to_array("supersedes", ' ') AS ids FROM "batch_screen"."runs") AS later, later.ids AS each)
QUALIFY row_number() OVER (
    PARTITION BY "run_date", "inputs"
    ORDER BY "completed_at" DESC NULLS LAST, "run_id" DESC
) = 1;
CREATE OR REPLACE VIEW "batch_screen"."signals" AS
SELECT
    l."e164",
    l."number_id",
    l."endpoint",
    l."outcome",
    l."reason",
    l."swapped",
    l."active",
    l."latest_change",
    l."latest_change_at",
    l."max_age_minutes",
    l."window_start",
    l."window_end",
    l."responded_at",
    l."run_id",
    l."run_date"
FROM "batch_screen"."lookups" AS l
JOIN "batch_screen"."runs" AS r ON r."run_id" = l."run_id"
WHERE TRUE
QUALIFY row_number() OVER (
    PARTITION BY coalesce(l."number_id", l."e164"), l."endpoint"
    ORDER BY CASE WHEN l."outcome" = 'success' THEN 0 ELSE 1 END,
        l."responded_at" DESC NULLS LAST,
        r."completed_at" DESC NULLS LAST, l."run_id" DESC
) = 1;
COMMENT ON VIEW "batch_screen"."current_runs" IS 'batch-screen: of each run date and list, the run completed last, no retried one';
COMMENT ON VIEW "batch_screen"."signals" IS 'batch-screen: the newest known answer for each number and endpoint; null is unknown';

-- The files that the manifest names, into tables with just their columns, in their order.
DROP TABLE IF EXISTS "new_results";
CREATE TEMP TABLE "new_results" (
    "run_id" varchar(64),
    "row_index" bigint,
    "source_file" varchar(65535),
    "source_row" bigint,
    "e164" varchar(16),
    "region" varchar(65535),
    "number_type" varchar(65535),
    "rule" varchar(65535),
    "sim_swap_check_outcome" varchar(65535),
    "sim_swap_check_swapped" boolean,
    "sim_swap_check_max_age_minutes" integer,
    "sim_swap_check_responded_at" timestamp,
    "sim_swap_date_outcome" varchar(65535),
    "sim_swap_date_latest_change" varchar(65535),
    "sim_swap_date_latest_change_at" timestamp,
    "sim_swap_date_responded_at" timestamp,
    "device_swap_check_outcome" varchar(65535),
    "device_swap_check_swapped" boolean,
    "device_swap_check_max_age_minutes" integer,
    "device_swap_check_responded_at" timestamp,
    "device_swap_date_outcome" varchar(65535),
    "device_swap_date_latest_change" varchar(65535),
    "device_swap_date_latest_change_at" timestamp,
    "device_swap_date_responded_at" timestamp,
    "call_forwarding_check_outcome" varchar(65535),
    "call_forwarding_check_active" boolean,
    "call_forwarding_check_responded_at" timestamp,
    "sim_swap_check_source" varchar(65535),
    "sim_swap_check_window_start" timestamp,
    "sim_swap_check_window_end" timestamp,
    "sim_swap_check_gap_minutes" integer,
    "sim_swap_date_source" varchar(65535),
    "device_swap_check_source" varchar(65535),
    "device_swap_check_window_start" timestamp,
    "device_swap_check_window_end" timestamp,
    "device_swap_check_gap_minutes" integer,
    "device_swap_date_source" varchar(65535),
    "call_forwarding_check_source" varchar(65535),
    "sim_swap_contradiction" boolean,
    "device_swap_contradiction" boolean,
    "sim_change_age_hours" double precision,
    "sim_change_age_band" varchar(65535),
    "device_change_age_hours" double precision,
    "device_change_age_band" varchar(65535),
    "risk_sim_and_device_recent" boolean,
    "risk_sim_recent" boolean,
    "risk_device_recent" boolean,
    "risk_forwarding_active" boolean,
    "risk_version" integer,
    "phone_column" varchar(65535),
    "number_id" varchar(32),
    "in_customer_id" varchar(65535),
    "in_kunden_nr" bigint,
    "in_drop_table_runs" varchar(65535),
    "in_ad0644ff" varchar(65535),
    "in_x_y_z_line" date
);
COPY "new_results" FROM 's3://bucket/nights/runs/20260302-0123456789/results.redshift.manifest'
    IAM_ROLE default FORMAT AS PARQUET MANIFEST;
DROP TABLE IF EXISTS "new_lookups";
CREATE TEMP TABLE "new_lookups" (
    "run_id" varchar(64),
    "e164" varchar(16),
    "endpoint" varchar(64),
    "max_age_minutes" integer,
    "outcome" varchar(65535),
    "reason" varchar(65535),
    "swapped" boolean,
    "active" boolean,
    "latest_change" varchar(65535),
    "latest_change_at" timestamp,
    "latest_change_raw" varchar(65535),
    "http_status" integer,
    "code" varchar(65535),
    "message" varchar(65535),
    "attempts" integer,
    "refusals" integer,
    "latency_ms" double precision,
    "responded_at" timestamp,
    "correlator" varchar(65535),
    "unanswered" integer,
    "source" varchar(65535),
    "source_run_id" varchar(65535),
    "last_observed_at" timestamp,
    "window_start" timestamp,
    "window_end" timestamp,
    "gap_minutes" integer,
    "contradiction" boolean,
    "number_id" varchar(32)
);
COPY "new_lookups" FROM 's3://bucket/nights/runs/20260302-0123456789/lookups.redshift.manifest'
    IAM_ROLE default FORMAT AS PARQUET MANIFEST;
DROP TABLE IF EXISTS "new_errors";
CREATE TEMP TABLE "new_errors" (
    "run_id" varchar(64),
    "kind" varchar(65535),
    "row_index" bigint,
    "source_file" varchar(65535),
    "source_row" bigint,
    "raw_masked" varchar(65535),
    "raw_region" varchar(65535),
    "e164" varchar(16),
    "endpoint" varchar(64),
    "reason" varchar(65535),
    "detail" varchar(65535),
    "remedy" varchar(65535),
    "retry_can_help" boolean,
    "http_status" integer,
    "code" varchar(65535),
    "attempts" integer,
    "phone_column" varchar(65535),
    "number_id" varchar(32)
);
COPY "new_errors" FROM 's3://bucket/nights/runs/20260302-0123456789/errors.redshift.manifest'
    IAM_ROLE default FORMAT AS PARQUET MANIFEST;
DROP TABLE IF EXISTS "new_changes";
CREATE TEMP TABLE "new_changes" (
    "run_id" varchar(64),
    "since_run_id" varchar(64),
    "e164" varchar(16),
    "endpoint" varchar(64),
    "change" varchar(65535),
    "before_outcome" varchar(65535),
    "after_outcome" varchar(65535),
    "before_swapped" boolean,
    "after_swapped" boolean,
    "before_active" boolean,
    "after_active" boolean,
    "before_latest_change_at" timestamp,
    "after_latest_change_at" timestamp,
    "before_responded_at" timestamp,
    "after_responded_at" timestamp,
    "cohort" varchar(65535),
    "likely_migration" boolean,
    "number_id" varchar(32)
);
COPY "new_changes" FROM 's3://bucket/nights/runs/20260302-0123456789/changes.redshift.manifest'
    IAM_ROLE default FORMAT AS PARQUET MANIFEST;

-- The run, whole or not at all. What is there of it is replaced.
BEGIN;
DELETE FROM "batch_screen"."runs" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."results" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."results" ("run_date", "run_id", "row_index", "source_file", "source_row", "e164", "region", "number_type", "rule", "sim_swap_check_outcome", "sim_swap_check_swapped", "sim_swap_check_max_age_minutes", "sim_swap_check_responded_at", "sim_swap_date_outcome", "sim_swap_date_latest_change", "sim_swap_date_latest_change_at", "sim_swap_date_responded_at", "device_swap_check_outcome", "device_swap_check_swapped", "device_swap_check_max_age_minutes", "device_swap_check_responded_at", "device_swap_date_outcome", "device_swap_date_latest_change", "device_swap_date_latest_change_at", "device_swap_date_responded_at", "call_forwarding_check_outcome", "call_forwarding_check_active", "call_forwarding_check_responded_at", "sim_swap_check_source", "sim_swap_check_window_start", "sim_swap_check_window_end", "sim_swap_check_gap_minutes", "sim_swap_date_source", "device_swap_check_source", "device_swap_check_window_start", "device_swap_check_window_end", "device_swap_check_gap_minutes", "device_swap_date_source", "call_forwarding_check_source", "sim_swap_contradiction", "device_swap_contradiction", "sim_change_age_hours", "sim_change_age_band", "device_change_age_hours", "device_change_age_band", "risk_sim_and_device_recent", "risk_sim_recent", "risk_device_recent", "risk_forwarding_active", "risk_version", "phone_column", "number_id", "in_customer_id", "in_kunden_nr", "in_drop_table_runs", "in_ad0644ff", "in_x_y_z_line")
SELECT DATE '2026-03-02', "run_id", "row_index", "source_file", "source_row", "e164", "region", "number_type", "rule", "sim_swap_check_outcome", "sim_swap_check_swapped", "sim_swap_check_max_age_minutes", "sim_swap_check_responded_at" AT TIME ZONE 'UTC', "sim_swap_date_outcome", "sim_swap_date_latest_change", "sim_swap_date_latest_change_at" AT TIME ZONE 'UTC', "sim_swap_date_responded_at" AT TIME ZONE 'UTC', "device_swap_check_outcome", "device_swap_check_swapped", "device_swap_check_max_age_minutes", "device_swap_check_responded_at" AT TIME ZONE 'UTC', "device_swap_date_outcome", "device_swap_date_latest_change", "device_swap_date_latest_change_at" AT TIME ZONE 'UTC', "device_swap_date_responded_at" AT TIME ZONE 'UTC', "call_forwarding_check_outcome", "call_forwarding_check_active", "call_forwarding_check_responded_at" AT TIME ZONE 'UTC', "sim_swap_check_source", "sim_swap_check_window_start" AT TIME ZONE 'UTC', "sim_swap_check_window_end" AT TIME ZONE 'UTC', "sim_swap_check_gap_minutes", "sim_swap_date_source", "device_swap_check_source", "device_swap_check_window_start" AT TIME ZONE 'UTC', "device_swap_check_window_end" AT TIME ZONE 'UTC', "device_swap_check_gap_minutes", "device_swap_date_source", "call_forwarding_check_source", "sim_swap_contradiction", "device_swap_contradiction", "sim_change_age_hours", "sim_change_age_band", "device_change_age_hours", "device_change_age_band", "risk_sim_and_device_recent", "risk_sim_recent", "risk_device_recent", "risk_forwarding_active", "risk_version", "phone_column", "number_id", "in_customer_id", "in_kunden_nr", "in_drop_table_runs", "in_ad0644ff", "in_x_y_z_line"
FROM "new_results";
SELECT CAST(CASE WHEN count(*) = 4 THEN '0' ELSE 'results: the rows are not as many as the manifest says' END AS integer)
FROM "batch_screen"."results" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."lookups" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."lookups" ("run_date", "run_id", "e164", "endpoint", "max_age_minutes", "outcome", "reason", "swapped", "active", "latest_change", "latest_change_at", "latest_change_raw", "http_status", "code", "message", "attempts", "refusals", "latency_ms", "responded_at", "correlator", "unanswered", "source", "source_run_id", "last_observed_at", "window_start", "window_end", "gap_minutes", "contradiction", "number_id")
SELECT DATE '2026-03-02', "run_id", "e164", "endpoint", "max_age_minutes", "outcome", "reason", "swapped", "active", "latest_change", "latest_change_at" AT TIME ZONE 'UTC', "latest_change_raw", "http_status", "code", "message", "attempts", "refusals", "latency_ms", "responded_at" AT TIME ZONE 'UTC', "correlator", "unanswered", "source", "source_run_id", "last_observed_at" AT TIME ZONE 'UTC', "window_start" AT TIME ZONE 'UTC', "window_end" AT TIME ZONE 'UTC', "gap_minutes", "contradiction", "number_id"
FROM "new_lookups";
SELECT CAST(CASE WHEN count(*) = 4 THEN '0' ELSE 'lookups: the rows are not as many as the manifest says' END AS integer)
FROM "batch_screen"."lookups" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."errors" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."errors" ("run_date", "run_id", "kind", "row_index", "source_file", "source_row", "raw_masked", "raw_region", "e164", "endpoint", "reason", "detail", "remedy", "retry_can_help", "http_status", "code", "attempts", "phone_column", "number_id")
SELECT DATE '2026-03-02', "run_id", "kind", "row_index", "source_file", "source_row", "raw_masked", "raw_region", "e164", "endpoint", "reason", "detail", "remedy", "retry_can_help", "http_status", "code", "attempts", "phone_column", "number_id"
FROM "new_errors";
SELECT CAST(CASE WHEN count(*) = 4 THEN '0' ELSE 'errors: the rows are not as many as the manifest says' END AS integer)
FROM "batch_screen"."errors" WHERE "run_id" = '20260302-0123456789';
DELETE FROM "batch_screen"."changes" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."changes" ("run_date", "run_id", "since_run_id", "e164", "endpoint", "change", "before_outcome", "after_outcome", "before_swapped", "after_swapped", "before_active", "after_active", "before_latest_change_at", "after_latest_change_at", "before_responded_at", "after_responded_at", "cohort", "likely_migration", "number_id")
SELECT DATE '2026-03-02', "run_id", "since_run_id", "e164", "endpoint", "change", "before_outcome", "after_outcome", "before_swapped", "after_swapped", "before_active", "after_active", "before_latest_change_at" AT TIME ZONE 'UTC', "after_latest_change_at" AT TIME ZONE 'UTC', "before_responded_at" AT TIME ZONE 'UTC', "after_responded_at" AT TIME ZONE 'UTC', "cohort", "likely_migration", "number_id"
FROM "new_changes";
SELECT CAST(CASE WHEN count(*) = 4 THEN '0' ELSE 'changes: the rows are not as many as the manifest says' END AS integer)
FROM "batch_screen"."changes" WHERE "run_id" = '20260302-0123456789';
INSERT INTO "batch_screen"."runs" ("run_id", "run_date", "started_at", "completed_at", "loaded_at", "schema_version", "version", "sandbox", "api", "manifest_sha256", "since_run_id", "inputs", "rows_read", "rows_accepted", "rows_rejected", "lookups", "failed", "erased_rows", "supersedes", "loaded_tables")
VALUES ('20260302-0123456789', DATE '2026-03-02', CAST('2026-03-02 02:31:07.000005+00:00' AS timestamptz), CAST('2026-03-02 02:31:07.000005+00:00' AS timestamptz), GETDATE(), 5, '0.1.0', FALSE, 'api.example v1', '0000000000000000000000000000000000000000000000000000000000000000', NULL, '1111111111111111111111111111111111111111111111111111111111111111', NULL, NULL, NULL, NULL, NULL, NULL, '', NULL);
COMMIT;
